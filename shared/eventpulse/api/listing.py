"""Lists of ingestions: filtered, searched, counted by state, and what failed alike."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import timedelta
from typing import get_args

from eventpulse.adapters.log_values import encode_cursor
from eventpulse.api.endpoints import Call
from eventpulse.api.ingestions import describe_ingestions
from eventpulse.api.models import (
    FailureFilter,
    FailureGroup,
    FailureGroups,
    IngestionCounts,
    IngestionFilter,
    IngestionPage,
    ReceivedFilter,
)
from eventpulse.errors import RequestRefused
from eventpulse.ingestions.ingestion import Ingestion, State, query_id_prefix, query_ingestions
from eventpulse.platform import Platform
from eventpulse.ports import Head, Query
from eventpulse.values import format_time

MOST_SEARCHED = 2000
"""Ingestions that one request looks through for a text; the page then says where to go on."""

MOST_GROUPED = 5000
FAILED_SINCE = timedelta(days=30)
_PAGE = 500
_AT_ONCE = 8


def list_ingestions(call: Call) -> IngestionPage:
    wanted: IngestionFilter = call.query
    query = _query(wanted)
    if wanted.search is None:
        page = call.platform.log.query(query, limit=wanted.limit, cursor=wanted.cursor)
        heads, cursor = list(page.heads), page.cursor
    else:
        heads, cursor = _search(call.platform, query, wanted)
    found = [Ingestion.model_validate(head.projection) for head in heads]
    return IngestionPage(ingestions=describe_ingestions(call.platform, found), next_cursor=cursor)


def _query(wanted: IngestionFilter) -> Query:
    if wanted.id_prefix is not None:
        _check_alone(wanted)
        return query_id_prefix(wanted.id_prefix)
    return query_ingestions(
        state=wanted.state,
        reason=wanted.reason,
        dataset=wanted.dataset,
        object_name=wanted.object,
        since=wanted.since,
        until=wanted.until,
        oldest_first=wanted.sort == "received_at",
    )


def _check_alone(wanted: IngestionFilter) -> None:
    others = set(wanted.model_fields_set) - {"id_prefix", "cursor", "limit"}
    if others:
        problem = f"query.id_prefix: stands alone; leave out {' and '.join(sorted(others))}"
        raise RequestRefused(
            422, "invalid_request", "Invalid request", f"{problem}.", problems=[problem]
        )


def _search(
    platform: Platform, query: Query, wanted: IngestionFilter
) -> tuple[list[Head], str | None]:
    """The heads that hold the text, and where the search ended unless there is nothing more."""
    text = (wanted.search or "").casefold()
    found: list[Head] = []
    looked = 0
    cursor = wanted.cursor
    while True:
        page = platform.log.query(query, limit=_PAGE, cursor=cursor)
        for at, head in enumerate(page.heads, start=1):
            if text in _searchable(head):
                found.append(head)
            if len(found) == wanted.limit:
                more = page.cursor is not None or at < len(page.heads)
                return found, encode_cursor(query, head) if more else None
        looked += len(page.heads)
        cursor = page.cursor
        if cursor is None or looked >= MOST_SEARCHED:
            return found, cursor


def _searchable(head: Head) -> str:
    """What a search looks at: the id, and what an operator remembers."""
    names = ("id", "object", "dataset", "state", "reason", "failed_step", "detail")
    values = [head.projection.get(name) for name in names]
    return "\n".join(str(each) for each in values if each is not None).casefold()


# --- Counts --------------------------------------------------------------------------------------


def count_ingestions(call: Call) -> IngestionCounts:
    wanted: ReceivedFilter = call.query

    def count(state: State) -> int:
        query = query_ingestions(
            state=state, dataset=wanted.dataset, since=wanted.since, until=wanted.until
        )
        return call.platform.log.count(query)

    states: tuple[State, ...] = get_args(State)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        counted = {state: pool.submit(copy_context().run, count, state) for state in states}
        found = {state: future.result() for state, future in counted.items()}
    return IngestionCounts(total=sum(found.values()), states=found)


# --- Failures ------------------------------------------------------------------------------------


def list_failures(call: Call) -> FailureGroups:
    """Rejected and failed ingestions that nobody has replayed, by dataset and cause."""
    wanted: FailureFilter = call.query
    since = wanted.since or format_time(call.platform.clock() - FAILED_SINCE)
    groups: dict[tuple[str, str, str], FailureGroup] = {}
    complete = True
    for state in ("rejected", "failed"):
        query = query_ingestions(
            state=state, dataset=wanted.dataset, since=since, until=wanted.until
        )
        for number, ingestion in enumerate(_read_all(call.platform, query)):
            if number == MOST_GROUPED:
                complete = False
                break
            if not ingestion.replays:  # a replay stands for it, and says itself how it ended
                _add(groups, ingestion)
    listed = sorted(groups.values(), key=lambda each: each.last_seen, reverse=True)
    return FailureGroups(groups=listed, since=since, complete=complete)


def _add(groups: dict[tuple[str, str, str], FailureGroup], ingestion: Ingestion) -> None:
    """Ingestions come newest first."""
    cause = ingestion.reason or ingestion.failed_step or ""
    key = (ingestion.state, cause, ingestion.dataset or "")
    seen = ingestion.received_at
    group = groups.get(key)
    if group is None:
        groups[key] = FailureGroup.model_validate(
            {
                "state": ingestion.state,
                "reason": ingestion.reason,
                "failed_step": ingestion.failed_step,
                "dataset": ingestion.dataset,
                "count": 1,
                "first_seen": seen,
                "last_seen": seen,
                "last_ingestion": ingestion.id,
                "last_object": ingestion.object,
                "last_detail": ingestion.detail,
            }
        )
    else:
        groups[key] = group.model_copy(update={"count": group.count + 1, "first_seen": seen})


def _read_all(platform: Platform, query: Query) -> Iterator[Ingestion]:
    cursor: str | None = None
    while True:
        page = platform.log.query(query, limit=_PAGE, cursor=cursor)
        yield from (Ingestion.model_validate(head.projection) for head in page.heads)
        cursor = page.cursor
        if cursor is None:
            return
