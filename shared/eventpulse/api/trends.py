"""Trends: quality, volume, latency and cost, day by day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from pydantic import Field

from eventpulse.api.endpoints import Call
from eventpulse.api.models import Answer, Request
from eventpulse.errors import RequestRefused
from eventpulse.operations.costs import BASIS, estimate_dollars
from eventpulse.operations.trends import DayTrend, query_trends, sum_days
from eventpulse.platform import Platform

MOST_DAYS = 366
_PAGE = 500


class TrendQuery(Request):
    dataset: str | None = None
    since: date | None = Field(None, description="The first day; 30 days back if not given.")
    until: date | None = Field(None, description="The last day; today (UTC) if not given.")
    by_dataset: bool = Field(False, description="One entry a day and dataset, not one a day.")


class TrendDay(Answer):
    """One day, of one dataset or (`dataset` null) of all that were asked for.

    `ends` counts ingestions by the state they ended in, `rejected` the rejected ones by reason.
    Latencies are in seconds, from received to loaded, exact to a class. `processed_bytes` and
    `slot_ms` are what a warehouse bills load jobs by; 0 where it bills none. `cost_usd` is an
    estimate from the number of ingestions and the `size` of their files, in bytes.
    """

    day: str
    dataset: str | None
    ingestions: int
    ends: dict[str, int]
    rejected: dict[str, int]
    rows_read: int
    rows_accepted: int
    rows_quarantined: int
    rows_duplicate: int
    invalid_percent: float | None
    latency_p50: float | None
    latency_p95: float | None
    latency_max: float | None
    load_jobs: int
    loaded_rows: int
    processed_bytes: int
    slot_ms: int
    size: int
    cost_usd: float


class Trends(Answer):
    since: str
    until: str
    days: list[TrendDay]
    cost_basis: str = Field(description="What the estimates of the cost are made from.")


def list_trends(call: Call) -> Trends:
    wanted: TrendQuery = call.query
    until = wanted.until or call.platform.clock().date()
    since = wanted.since or max(until, date.min + timedelta(days=30)) - timedelta(days=29)
    if not 0 <= (until - since).days < MOST_DAYS:
        problem = f"query.since: from 0 to {MOST_DAYS - 1} days before until ({until})"
        raise RequestRefused(
            422, "invalid_request", "Invalid request", f"{problem}.", problems=[problem]
        )
    shards = list(_read_shards(call.platform, wanted.dataset, since, until))
    days = sum_days(shards, by_dataset=wanted.by_dataset or wanted.dataset is not None)
    return Trends(
        since=since.isoformat(),
        until=until.isoformat(),
        days=[_describe(each) for each in days],
        cost_basis=BASIS,
    )


def _read_shards(
    platform: Platform, dataset: str | None, since: date, until: date
) -> Iterator[DayTrend]:
    query = query_trends(dataset, since.isoformat(), until.isoformat())
    cursor: str | None = None
    while True:
        page = platform.log.query(query, limit=_PAGE, cursor=cursor)
        yield from (DayTrend.model_validate(head.projection) for head in page.heads)
        cursor = page.cursor
        if cursor is None:
            return


def _describe(trend: DayTrend) -> TrendDay:
    own = trend.model_dump(include=set(TrendDay.model_fields))
    read = trend.rows_read
    ingestions = sum(trend.ends.values())
    return TrendDay.model_validate(
        {
            **own,
            "dataset": trend.dataset or None,
            "ingestions": ingestions,
            "cost_usd": estimate_dollars(ingestions, trend.size),
            "rejected": trend.reasons,
            "invalid_percent": 100.0 * trend.rows_quarantined / read if read else None,
            "latency_p50": trend.find_latency(0.5),
            "latency_p95": trend.find_latency(0.95),
            "latency_max": trend.longest_seconds if trend.ends.get("loaded") else None,
        }
    )
