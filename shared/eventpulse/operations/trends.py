"""Trends: what became of a dataset's files on one day, how long it took and what it cost. Pure.

A day is a handful of small streams, `trend/<dataset>:<day>:<shard>`, written by the very commit
that ends an ingestion, so that the sums are exact. A load ends many at once and is alone with its
dataset (shard `load`); what ends otherwise is spread over shards by its id, because Firestore takes
about one write a second for a document. Days are UTC, and an ingestion counts on the day that it
ends; ending twice, as after a retraction, counts twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.ports import Json, NewEvent, Query
from eventpulse.values import Value, parse_time

SHARDS = 8
LOAD_SHARD = "load"
UNKNOWN = "_unknown"
"""Stands for the dataset of files that no contract takes."""

LATENCIES: tuple[float, ...] = (
    1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400,
)  # fmt: skip
"""Upper bounds of the classes of latency, in seconds; a last class holds what took longer."""

_SUMS = (
    "size",
    "rows_read",
    "rows_accepted",
    "rows_quarantined",
    "rows_duplicate",
    "load_jobs",
    "loaded_rows",
    "processed_bytes",
    "slot_ms",
)


class DayTrend(Value):
    """The projection of one shard, or the sum of any number of them.

    `ends` counts ingestions by the state they ended in, `reasons` the rejected ones by reason.
    `size` is that of the ingestions' files, in bytes.
    `latencies` counts loaded ones by class (see LATENCIES), from received to loaded.
    `processed_bytes` and `slot_ms` are what the warehouse bills load jobs by, 0 where it does not.
    """

    dataset: str
    day: str
    ends: dict[str, int] = Field(default_factory=dict)
    reasons: dict[str, int] = Field(default_factory=dict)
    size: int = 0
    rows_read: int = 0
    rows_accepted: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    latencies: tuple[int, ...] = (0,) * (len(LATENCIES) + 1)
    seconds: float = 0.0
    longest_seconds: float = 0.0
    load_jobs: int = 0
    loaded_rows: int = 0
    processed_bytes: int = 0
    slot_ms: int = 0

    def plus(self, other: DayTrend) -> DayTrend:
        sums = {name: getattr(self, name) + getattr(other, name) for name in _SUMS}
        pairs = zip(self.latencies, other.latencies, strict=True)
        return DayTrend(
            dataset=self.dataset,
            day=self.day,
            ends=_add(self.ends, other.ends),
            reasons=_add(self.reasons, other.reasons),
            latencies=tuple(mine + theirs for mine, theirs in pairs),
            seconds=self.seconds + other.seconds,
            longest_seconds=max(self.longest_seconds, other.longest_seconds),
            **sums,
        )

    def find_latency(self, share: float) -> float | None:
        """Within how many seconds this share of the loaded ingestions was loaded, to the class; the
        longest for the last class, None when none was loaded."""
        total = sum(self.latencies)
        seen = 0
        for bound, count in zip((*LATENCIES, self.longest_seconds), self.latencies, strict=True):
            seen += count
            if total and seen >= share * total:
                return min(bound, self.longest_seconds)
        return None


def _add(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}


def trend_stream(dataset: str | None, day: str, shard: str) -> str:
    return f"trend/{dataset or UNKNOWN}:{day}:{shard}"


def choose_shard(ingestion_id: str) -> str:
    return str(hashlib.sha256(ingestion_id.encode()).digest()[0] % SHARDS)


def ended_event(
    ingestions: Iterable[Ingestion], day: str, cost: Mapping[str, Json] | None = None
) -> NewEvent:
    """What ingestions of one dataset, as they are now that they ended, add to a day; `cost` is that
    of the load job that ended them."""
    total: DayTrend | None = None
    for each in ingestions:
        one = _count(each, day)
        total = one if total is None else total.plus(one)
    assert total is not None, "something ended"
    if cost is not None:
        billed = {
            "load_jobs": 1,
            "loaded_rows": cost.get("rows", 0),
            "processed_bytes": cost.get("bytes", 0),
            "slot_ms": cost.get("slot_ms", 0),
        }
        total = total.model_copy(update=billed)
    return NewEvent("ended", total.model_dump(mode="json"))


def _count(ingestion: Ingestion, day: str) -> DayTrend:
    found: dict[str, Any] = {
        "dataset": ingestion.dataset or UNKNOWN,
        "day": day,
        "ends": {ingestion.state: 1},
        "size": sum(each.size for each in ingestion.objects),
    }
    if ingestion.reason is not None:
        found["reasons"] = {ingestion.reason: 1}
    if ingestion.state in ("loaded", "rejected"):
        found |= {n: getattr(ingestion, n) or 0 for n in _SUMS if n.startswith("rows_")}
    if ingestion.state == "loaded" and ingestion.finished_at:
        took = parse_time(ingestion.finished_at) - parse_time(ingestion.received_at)
        seconds = max(0.0, took.total_seconds())
        found |= {"seconds": seconds, "longest_seconds": seconds, "latencies": _classify(seconds)}
    return DayTrend.model_validate(found)


def _classify(seconds: float) -> tuple[int, ...]:
    at = next((n for n, bound in enumerate(LATENCIES) if seconds <= bound), len(LATENCIES))
    return tuple(int(n == at) for n in range(len(LATENCIES) + 1))


def project_trend(
    projection: Mapping[str, Json], _stream: str, event: NewEvent, _at: str
) -> dict[str, Json]:
    if event.type != "ended":
        raise KeyError(event.type)
    added = DayTrend.model_validate(event.data)
    total = DayTrend.model_validate(projection).plus(added) if projection else added
    return total.model_dump(mode="json")


def sum_days(shards: Sequence[DayTrend], *, by_dataset: bool) -> list[DayTrend]:
    """One trend a day, or one a day and dataset, in their order; `dataset` is empty where all are
    added up."""
    found: dict[tuple[str, str], DayTrend] = {}
    for each in shards:
        one = each if by_dataset else each.model_copy(update={"dataset": ""})
        key = (one.day, one.dataset)
        found[key] = found[key].plus(one) if key in found else one
    return [found[key] for key in sorted(found)]


def query_trends(dataset: str | None, since: str, until: str) -> Query:
    """Shards of the days from `since` to `until`, both included, as YYYY-MM-DD."""
    where: list[tuple[str, Any, Json]] = [("day", ">=", since), ("day", "<=", until)]
    if dataset is not None:
        where.append(("dataset", "==", dataset))
    return Query("trend", tuple(where), (("day", "asc"),))


def declared_queries() -> list[Query]:
    """Every query of trends that the code makes."""
    return [query_trends(dataset, "2026-01-01", "2026-01-31") for dataset in (None, "a")]
