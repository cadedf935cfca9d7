"""What devices sent: series for a chart, what is missing, batches and their ingestions."""

from __future__ import annotations

from datetime import datetime, timedelta

from eventpulse.api.device_models import (
    BatchAnswer,
    BatchPage,
    EpochGaps,
    GapPage,
    GapsQuery,
    PageQuery,
    Series,
    SeriesPoint,
    SeriesQuery,
)
from eventpulse.api.endpoints import Call
from eventpulse.api.samples import find_classified
from eventpulse.errors import RequestRefused
from eventpulse.fleet.batches import (
    DATASET,
    Batch,
    Epoch,
    query_batches,
    query_device_gaps,
    query_epochs,
)
from eventpulse.fleet.seq_ranges import count_numbers
from eventpulse.pipeline.fleet.state import device_in
from eventpulse.pipeline.streams import Changes
from eventpulse.ports import Json
from eventpulse.values import format_time, parse_time

NUMERIC = frozenset({"integer", "number", "decimal"})

STEPS: tuple[tuple[int, str, str], ...] = (
    *((each, "MINUTE", "SECOND") for each in (1, 5, 15)),
    *((each * 60, "HOUR", "MINUTE") for each in (1, 5, 15)),
    *((each * 3600, "DAY", "HOUR") for each in (1, 6)),
    (86_400, "DAY", "DAY"),
)
"""Widths of a point in seconds, each a whole part of the unit that times are cut down to."""
_UNIT_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600}


def get_series(call: Call) -> Series:
    """Means and extremes of one column, made where the rows are."""
    wanted: SeriesQuery = call.query
    device = device_in(Changes(call.platform), call.path["id"])
    _check_column(call, wanted.column)
    until = parse_time(wanted.until) if wanted.until else call.platform.clock()
    since = parse_time(wanted.since) if wanted.since else until - timedelta(days=1)
    if since >= until:
        raise RequestRefused(
            422, "invalid_request", "Invalid request", "query.since: is not before until."
        )
    step, whole, part = choose_step(since, until, wanted.points)
    # The id keeps to DEVICE_ID and the column is one of the table's: neither can be SQL.
    cut = f"TIMESTAMP_TRUNC(recorded_at, {whole})"
    nth = "0"
    if whole != part:
        nth = f"DIV(EXTRACT({part} FROM recorded_at), {step // _UNIT_SECONDS[part]})"
    column = f"`{wanted.column}`"
    sql = f"""
        SELECT {cut} AS whole, {nth} AS part, COUNT({column}) AS n,
          AVG({column}) AS mean, MIN({column}) AS least, MAX({column}) AS greatest
        FROM curated.{DATASET}
        WHERE device_id = '{device.id}' AND {column} IS NOT NULL
          AND recorded_at >= TIMESTAMP '{format_time(since)}'
          AND recorded_at < TIMESTAMP '{format_time(until)}'
        GROUP BY {cut}, {nth} ORDER BY whole, part
    """
    rows = call.platform.warehouse.tabulate(DATASET, sql, wanted.points + 2)
    return Series(
        device=device.id,
        column=wanted.column,
        since=format_time(since),
        until=format_time(until),
        step_seconds=step,
        points=[_point(row, step) for row in rows],
    )


def choose_step(since: datetime, until: datetime, points: int) -> tuple[int, str, str]:
    """The narrowest step that needs no more points."""
    seconds = (until - since).total_seconds()
    fitting = [each for each in STEPS if seconds / each[0] <= points]
    if not fitting:
        most = STEPS[-1][0] * points // 86_400
        detail = f"query.since: {points} points reach over {most:,} days at most; ask for less."
        raise RequestRefused(422, "invalid_request", "Invalid request", detail)
    return fitting[0]


def _check_column(call: Call, column: str) -> None:
    """A numeric column whose values may be shown. Raises RequestRefused."""
    types = call.platform.warehouse.column_types("curated", DATASET)
    hidden = find_classified(call.platform, DATASET)
    shown = [name for name, type_ in types.items() if type_ in NUMERIC and name not in hidden]
    if types and column not in shown:
        known = ", ".join(shown)
        detail = (
            f"query.column: {column!r} is no numeric column of {DATASET} that may be shown; "
            f"known are {known}."
        )
        raise RequestRefused(422, "invalid_request", "Invalid request", detail)


def _point(row: dict[str, Json], step: int) -> SeriesPoint:
    at = parse_time(str(row["whole"])) + timedelta(seconds=step * int(str(row["part"])))
    values = {name: row[name] for name in ("mean", "least", "greatest")}
    return SeriesPoint(
        at=format_time(at),
        count=int(str(row["n"])),
        **{name: None if value is None else float(str(value)) for name, value in values.items()},
    )


# --- Gaps and batches ----------------------------------------------------------------------------


def get_gaps(call: Call) -> GapPage:
    """Exactly which events are missing, and which the device gave up, by epoch."""
    wanted: GapsQuery = call.query
    device = device_in(Changes(call.platform), call.path["id"])
    query = query_epochs(device.id) if wanted.all else query_device_gaps(device.id)
    page = call.platform.log.query(query, limit=wanted.limit, cursor=wanted.cursor)
    return GapPage(
        device=device.id,
        epochs=[_show_epoch(Epoch.model_validate(head.projection)) for head in page.heads],
        next_cursor=page.cursor,
    )


def _show_epoch(epoch: Epoch) -> EpochGaps:
    """A gap that landed has the number of an event that did not."""
    given_up = count_numbers(epoch.dropped)
    return EpochGaps(
        epoch=epoch.epoch,
        first_seen=epoch.first_seen,
        known_last=epoch.known_last,
        landed=epoch.known_last - epoch.missing_count - given_up,
        given_up=list(epoch.dropped),
        given_up_count=given_up,
        missing=list(epoch.missing),
        missing_count=epoch.missing_count,
        missing_since=epoch.missing_since,
        predecessor=epoch.predecessor.epoch if epoch.predecessor else None,
        successors=list(epoch.successors),
    )


def list_batches(call: Call) -> BatchPage:
    wanted: PageQuery = call.query
    device = device_in(Changes(call.platform), call.path["id"])
    page = call.platform.log.query(
        query_batches(device.id), limit=wanted.limit, cursor=wanted.cursor
    )
    batches = [Batch.model_validate(head.projection) for head in page.heads]
    shown = set(BatchAnswer.model_fields) - {"object"}
    return BatchPage(
        device=device.id,
        batches=[
            BatchAnswer(object=each.name.object_name, **each.model_dump(include=shown))
            for each in batches
        ],
        next_cursor=page.cursor,
    )
