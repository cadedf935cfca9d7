"""Lists of ingestions: filtered, searched, counted by state, and what failed alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

MOST_LOOKED_AT = 2000
"""Ingestions that one request looks through, where some are passed over; the page then says where
to go on."""

MOST_GROUPED = 5000
FAILED_SINCE = timedelta(days=30)
_PAGE = 500
_AT_ONCE = 8


def list_ingestions(call: Call) -> IngestionPage:
    wanted: IngestionFilter = call.query
    heads, cursor = _collect(call.platform, _query(wanted), wanted)
    found = [Ingestion.model_validate(head.projection) for head in heads]
    return IngestionPage(ingestions=describe_ingestions(call.platform, found), next_cursor=cursor)


def _query(wanted: IngestionFilter) -> Query:
    if wanted.id_prefix is not None:
        _check_alone(wanted)
        return query_id_prefix(wanted.id_prefix)
    return query_ingestions(
        state=wanted.state,
        reason=wanted.reason,
        dataset=_dataset(wanted),
        object_name=wanted.object,
        since=wanted.since,
        until=wanted.until,
        not_states=wanted.not_state,
        not_reasons=wanted.not_reason,
        sort=wanted.sort,
    )


def _dataset(wanted: ReceivedFilter) -> str | Sequence[str] | None:
    return () if wanted.dataset in wanted.not_dataset else wanted.dataset


def _check_alone(wanted: IngestionFilter) -> None:
    others = set(wanted.model_fields_set) - {"id_prefix", "cursor", "limit"}
    if others:
        problem = f"query.id_prefix: stands alone; leave out {' and '.join(sorted(others))}"
        raise RequestRefused(
            422, "invalid_request", "Invalid request", f"{problem}.", problems=[problem]
        )


def _collect(
    platform: Platform, query: Query, wanted: IngestionFilter
) -> tuple[list[Head], str | None]:
    """The heads of a page, and where looking ended unless there is nothing more. What the query
    cannot say is passed over, in pages that grow as long as little is found."""
    found: list[Head] = []
    looked, size, cursor = 0, wanted.limit, wanted.cursor
    while True:
        page = platform.log.query(query, limit=size, cursor=cursor)
        for at, head in enumerate(page.heads, start=1):
            if _is_wanted(head, wanted):
                found.append(head)
            if len(found) == wanted.limit:
                more = page.cursor is not None or at < len(page.heads)
                return found, encode_cursor(query, head) if more else None
        looked, cursor = looked + len(page.heads), page.cursor
        if cursor is None or looked >= MOST_LOOKED_AT:
            return found, cursor
        size = min(2 * size, _PAGE, MOST_LOOKED_AT - looked)


def _is_wanted(head: Head, wanted: IngestionFilter) -> bool:
    if head.projection.get("object") in wanted.not_object or _is_left_out(head, wanted):
        return False
    return wanted.search is None or wanted.search.casefold() in _searchable(head)


def _is_left_out(head: Head, wanted: ReceivedFilter) -> bool:
    of = head.projection.get
    return of("dataset") in wanted.not_dataset or of("reason") in wanted.not_reason


def _searchable(head: Head) -> str:
    """What a search looks at: the id, and what an operator remembers."""
    names = ("id", "object", "dataset", "state", "reason", "failed_step", "detail")
    values = [head.projection.get(name) for name in names]
    return "\n".join(str(each) for each in values if each is not None).casefold()


# --- Counts --------------------------------------------------------------------------------------


def count_ingestions(call: Call) -> IngestionCounts:
    wanted: ReceivedFilter = call.query

    def count(state: State, dataset: str | Sequence[str] | None) -> int:
        query = query_ingestions(
            state=state,
            dataset=dataset,
            since=wanted.since,
            until=wanted.until,
            not_reasons=wanted.not_reason,
        )
        return call.platform.log.count(query)

    def count_wanted(state: State) -> int:
        """Datasets that are left out are counted and taken off; both counts are not of one
        moment."""
        if wanted.dataset is not None or not wanted.not_dataset:
            return count(state, _dataset(wanted))
        return max(0, count(state, None) - count(state, wanted.not_dataset))

    states: tuple[State, ...] = get_args(State)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        counted = {state: pool.submit(copy_context().run, count_wanted, state) for state in states}
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
            state=state,
            dataset=_dataset(wanted),
            since=since,
            until=wanted.until,
            not_reasons=wanted.not_reason,
        )
        for number, head in enumerate(_read_all(call.platform, query)):
            if number == MOST_GROUPED:
                complete = False
                break
            if not _is_left_out(head, wanted):
                _add(groups, Ingestion.model_validate(head.projection))
    listed = sorted(groups.values(), key=lambda each: each.last_seen, reverse=True)
    return FailureGroups(groups=listed, since=since, complete=complete)


def _add(groups: dict[tuple[str, str, str], FailureGroup], ingestion: Ingestion) -> None:
    """Ingestions come newest first. A replay stands for its first, and says itself how it ended."""
    if ingestion.replays:
        return
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


def _read_all(platform: Platform, query: Query) -> Iterator[Head]:
    cursor: str | None = None
    while True:
        page = platform.log.query(query, limit=_PAGE, cursor=cursor)
        yield from page.heads
        cursor = page.cursor
        if cursor is None:
            return
