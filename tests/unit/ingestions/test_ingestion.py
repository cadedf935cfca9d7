"""The state machine of an ingestion: every event, every decision, and what makes a duplicate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.ingestions.ingestion import (
    END_EVENTS,
    EVENTS,
    HOLDING_STATES,
    STEP_OF_STATE,
    Ingestion,
    apply_event,
    declared_queries,
    fold_events,
    from_head,
    project_ingestion,
    query_awaiting_load,
    query_id_prefix,
    query_ingestions,
    query_unfinished,
)
from eventpulse.leases import Begin, Delivery, Exhausted, Held, Lease, begin_step
from eventpulse.ports import Event, Head, Json, NewEvent, ObjectRef, Query
from eventpulse.values import format_time, parse_time

NOW = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)
LEASE = timedelta(minutes=35)
ID = "6a1c1f64-7f6d-5f5e-8d2e-0a8f6d1b2c3d"
STREAM = f"ingestion/{ID}"
ROWS: dict[str, Json] = {
    "rows_read": 10,
    "rows_accepted": 7,
    "rows_quarantined": 2,
    "rows_duplicate": 1,
}
DOCUMENT: dict[str, Json] = {"uri": "file:///r", "name": "r", "generation": 3, "sha256": "d" * 64}


def received(**changed: Json) -> NewEvent:
    source: dict[str, Json] = {
        "bucket": "acme-raw",
        "name": "flights/a.csv",
        "generation": 7,
        "size": 100,
        "created": format_time(NOW),
        "sha256": "a" * 64,
    }
    data: dict[str, Json] = {
        "objects": [source],
        "dataset": "flights",
        "contract_version": "1.0.0",
        "contract_sha256": "c" * 64,
    }
    return NewEvent("received", {**data, **changed})


def started(step: str, attempt: int = 1) -> NewEvent:
    data: dict[str, Json] = {
        "step": step,
        "attempt": attempt,
        "until": format_time(NOW + LEASE),
        "task": f"t-{step}",
        "delivery": attempt - 1,
    }
    return NewEvent("step.started", data)


VALIDATED = NewEvent(
    "validated", {**ROWS, "schema_version": 2, "facts": DOCUMENT, "quarantine": DOCUMENT}
)
ACCEPTED = NewEvent("accepted", {"detail": "fine", "quality": DOCUMENT, "drift": DOCUMENT})
LOADED = NewEvent(
    "loaded", {"group": "g", "rows_current": 5, "rows_superseded": 2, "lineage": DOCUMENT}
)
FAILED = NewEvent("failed", {"failed_step": "load", "detail": "unavailable"})
REJECTED = NewEvent("rejected", {"reason": "quality", "detail": "too many", **ROWS})
DUPLICATE = NewEvent("duplicate", {"duplicate_of": "other", "detail": "same"})
RETURNED = NewEvent("returned", {"because": "a column was added"})
UP_TO_VALIDATED = (received(), started("validate"), VALIDATED)
UP_TO_ACCEPTED = (*UP_TO_VALIDATED, started("drift"), ACCEPTED)
UP_TO_LOADED = (*UP_TO_ACCEPTED, started("load"), LOADED)


def state_after(*events: NewEvent) -> Ingestion:
    state: Ingestion | None = None
    for second, event in enumerate(events):
        at = format_time(NOW + timedelta(seconds=second))
        state = apply_event(state, STREAM, event.type, event.data, at)
    assert state is not None
    return state


# --- Events --------------------------------------------------------------------------------------


def test_received() -> None:
    state = state_after(received())
    assert (state.id, state.stream, state.state, state.step) == (ID, STREAM, "received", "validate")
    assert (state.dataset, state.object) == ("flights", "flights/a.csv")
    assert state.source.ref == ObjectRef("raw", "flights/a.csv", 7)
    assert state.received_at == state.updated_at == format_time(NOW)
    assert state.finished_at is None
    assert state.rows_read is None


@pytest.mark.parametrize(
    ("before", "event", "wanted"),
    [
        ([received()], started("validate"), {"attempts": {"validate": 1}, "state": "received"}),
        (
            [received(), started("validate")],
            started("validate", 2),
            {"attempts": {"validate": 2}},
        ),
        (
            [received(), started("validate")],
            NewEvent("step.faulted", {"problem": "unavailable"}),
            {"lease": None, "attempts": {"validate": 1}, "state": "received", "detail": None},
        ),
        (
            [received(), started("validate")],
            NewEvent("woken", {"by": "sweep"}),
            {"lease": None, "attempts": {"validate": 1}, "state": "received"},
        ),
        (
            [received(), started("validate")],
            VALIDATED,
            {"state": "validated", "step": "drift", "lease": None, **ROWS},
        ),
        (
            [*UP_TO_VALIDATED, started("drift")],
            RETURNED,
            {
                "state": "received",
                "returned": True,
                "schema_version": 2,
                "lease": None,
                "attempts": {},
                "rows_read": 10,
            },
        ),
        (
            [*UP_TO_VALIDATED, started("drift")],
            ACCEPTED,
            {
                "state": "accepted",
                "step": "load",
                "lease": None,
                "awaiting_load": True,
                "detail": "fine",
                "finished_at": None,
            },
        ),
        (
            [*UP_TO_VALIDATED, started("drift")],
            REJECTED,
            {
                "state": "rejected",
                "step": None,
                "reason": "quality",
                "lease": None,
                "awaiting_load": False,
            },
        ),
        (
            [*UP_TO_ACCEPTED, started("load")],
            FAILED,
            {
                "state": "failed",
                "failed_step": "load",
                "lease": None,
                "awaiting_load": False,
            },
        ),
        (
            [*UP_TO_ACCEPTED, started("load")],
            LOADED,
            {
                "state": "loaded",
                "step": None,
                "lease": None,
                "awaiting_load": False,
                "rows_current": 5,
                "rows_superseded": 2,
                "group": "g",
            },
        ),
        (
            [received()],
            DUPLICATE,
            {"state": "duplicate", "duplicate_of": "other", "detail": "same", "step": None},
        ),
        (
            [received(), DUPLICATE],
            NewEvent("resumed", {"because": "other"}),
            {
                "state": "received",
                "step": "validate",
                "duplicate_of": None,
                "finished_at": None,
                "milliseconds": None,
            },
        ),
        (
            [*UP_TO_LOADED],
            NewEvent("stood.down", {"by": "r", "number": 2}),
            {"standing_replay": "r", "standing_number": 2, "state": "loaded", "rows_current": 5},
        ),
        (
            [*UP_TO_LOADED, NewEvent("retract.requested")],
            NewEvent("retract.passed", {"to": "r"}),
            {
                "retract_requested": False,
                "awaiting_load": False,
                "state": "loaded",
                "rows_current": 5,
            },
        ),
        (
            [*UP_TO_VALIDATED, started("drift"), FAILED],
            NewEvent("replaced", {"by": "r"}),
            {"replaced_by": "r", "state": "failed", "rows_current": None, "rows_superseded": None},
        ),
        ([*UP_TO_LOADED], NewEvent("replayed", {"by": "r"}), {"replays": 1, "state": "loaded"}),
        ([*UP_TO_LOADED], NewEvent("recovered", {"by": "r"}), {"recoveries": 1, "state": "loaded"}),
        (
            [*UP_TO_LOADED],
            NewEvent("replaced", {"by": "r"}),
            {"replaced_by": "r", "state": "loaded", "rows_current": 0, "rows_superseded": 7},
        ),
        (
            [*UP_TO_LOADED],
            NewEvent("retract.requested"),
            {"retract_requested": True, "awaiting_load": True, "state": "loaded"},
        ),
        (
            [*UP_TO_LOADED, NewEvent("retract.requested")],
            NewEvent("retract.failed", {"detail": "refused"}),
            {
                "retract_requested": False,
                "awaiting_load": False,
                "state": "loaded",
                "rows_current": 5,
                "detail": "refused",
            },
        ),
        (
            [*UP_TO_LOADED, NewEvent("retract.requested")],
            NewEvent("retracted"),
            {
                "retract_requested": False,
                "awaiting_load": False,
                "state": "retracted",
                "rows_accepted": 7,
                "rows_current": 0,
                "rows_superseded": 7,
            },
        ),
    ],
    ids=lambda value: value.type if isinstance(value, NewEvent) else None,
)
def test_what_an_event_changes(
    before: list[NewEvent], event: NewEvent, wanted: dict[str, Any]
) -> None:
    state = state_after(*before, event)
    assert {name: getattr(state, name) for name in wanted} == wanted
    assert state.updated_at == format_time(NOW + timedelta(seconds=len(before)))
    assert state.received_at == format_time(NOW)


def test_every_event_is_tried_above() -> None:
    tried = {
        "received",
        "step.started",
        "step.faulted",
        "woken",
        "validated",
        "returned",
        "accepted",
        "rejected",
        "failed",
        "loaded",
        "duplicate",
        "resumed",
        "replayed",
        "recovered",
        "replaced",
        "retract.requested",
        "retract.failed",
        "retract.passed",
        "retracted",
        "stood.down",
    }
    assert set(EVENTS) == tried


def test_a_lease_names_the_delivery_that_took_it() -> None:
    lease = state_after(received(), started("validate", 3)).lease
    assert lease == Lease(
        step="validate",
        attempt=3,
        until=format_time(NOW + LEASE),
        task="t-validate",
        delivery=2,
    )


def test_going_back_keeps_the_attempts_of_a_load() -> None:
    state = state_after(
        received(), started("validate"), VALIDATED, started("drift"), started("load"), RETURNED
    )
    assert state.attempts == {"load": 1}


@pytest.mark.parametrize("end", [LOADED, REJECTED, FAILED, DUPLICATE, NewEvent("retracted")])
def test_an_end_has_a_time_and_later_events_keep_it(end: NewEvent) -> None:
    finished = format_time(NOW + timedelta(seconds=len(UP_TO_ACCEPTED)))
    took = 1000 * len(UP_TO_ACCEPTED)
    ended = state_after(*UP_TO_ACCEPTED, end)
    assert (ended.finished_at, ended.milliseconds) == (finished, took)
    later = state_after(*UP_TO_ACCEPTED, end, NewEvent("replayed", {"by": "r"}))
    assert (later.finished_at, later.milliseconds) == (finished, took)


def test_an_unknown_event_is_a_fault_of_the_code() -> None:
    with pytest.raises(KeyError):
        state_after(received(), NewEvent("teleported"))


def test_an_event_with_an_unknown_field_is_a_fault_of_the_code() -> None:
    with pytest.raises(ValueError, match="rows_lost"):
        state_after(received(), NewEvent("validated", {**ROWS, "rows_lost": 1}))


# --- The fold is the projection ------------------------------------------------------------------


NEXT: dict[str, list[NewEvent]] = {
    "received": [
        started("validate"),
        started("validate", 2),
        NewEvent("step.faulted", {"problem": "p"}),
        NewEvent("woken"),
        VALIDATED,
        REJECTED,
        FAILED,
        DUPLICATE,
    ],
    "validated": [started("drift"), NewEvent("step.faulted"), RETURNED, ACCEPTED, REJECTED, FAILED],
    "accepted": [started("load"), NewEvent("step.faulted"), LOADED, FAILED],
    "loaded": [
        NewEvent("replayed", {"by": "r"}),
        NewEvent("recovered", {"by": "r"}),
        NewEvent("replaced", {"by": "r"}),
        NewEvent("retract.requested"),
        NewEvent("retract.failed", {"detail": "refused"}),
        NewEvent("retract.passed", {"to": "r"}),
        NewEvent("stood.down", {"by": "r", "number": 1}),
        NewEvent("retracted"),
    ],
    "rejected": [NewEvent("replayed", {"by": "r"}), NewEvent("replaced", {"by": "r"})],
    "failed": [NewEvent("replayed", {"by": "r"}), NewEvent("replaced", {"by": "r"})],
    "duplicate": [NewEvent("resumed", {"because": "other"})],
    "retracted": [],
}
"""What may follow in each state."""


@st.composite
def legal_timelines(draw: st.DrawFn) -> list[NewEvent]:
    events = [received(dataset=draw(st.sampled_from(["flights", None])))]
    for _ in range(draw(st.integers(0, 15))):
        choices = NEXT[state_after(*events).state]
        if not choices:
            break
        events.append(draw(st.sampled_from(choices)))
    return events


@given(legal_timelines())
def test_the_projection_is_the_fold_of_the_events(events: list[NewEvent]) -> None:
    projection: dict[str, Json] = {}
    timeline: list[Event] = []
    for n, event in enumerate(events):
        at = NOW + timedelta(milliseconds=n)
        projection = project_ingestion(projection, STREAM, event, format_time(at))
        timeline.append(Event(STREAM, n + 1, event.type, at, event.data, {}, "w"))
    folded = fold_events(timeline)
    assert folded is not None
    assert folded.model_dump(mode="json") == projection
    assert from_head(Head(STREAM, len(events), projection)) == folded


@given(legal_timelines())
def test_what_holds_in_every_state(events: list[NewEvent]) -> None:
    state = state_after(*events)
    unfinished = state.state in STEP_OF_STATE
    assert (state.step is not None) == unfinished
    assert (state.finished_at is None) == unfinished
    if not unfinished:
        assert state.lease is None
    if state.state == "accepted":
        assert state.awaiting_load
    elif state.awaiting_load:
        assert state.retract_requested
    if state.state != "duplicate":
        assert state.duplicate_of is None
    if state.rows_current is not None and state.rows_accepted is not None:
        assert state.rows_accepted == state.rows_current + (state.rows_superseded or 0)


def test_an_empty_stream_is_no_ingestion() -> None:
    assert fold_events([]) is None
    assert from_head(Head(STREAM, 0, {})) is None


def test_ends_are_the_states_without_a_step() -> None:
    assert set(NEXT) == {*END_EVENTS, *STEP_OF_STATE}
    assert not END_EVENTS & set(STEP_OF_STATE)
    assert {*STEP_OF_STATE, "loaded"} == HOLDING_STATES


# --- Steps ---------------------------------------------------------------------------------------


def lease_of(*, until: datetime, task: str = "t", delivery: int = 1) -> Lease:
    return Lease(step="validate", attempt=1, until=format_time(until), task=task, delivery=delivery)


LATER, EARLIER = NOW + timedelta(minutes=5), NOW - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("why", "lease", "attempts", "delivery", "wanted"),
    [
        ("nobody works on it", None, 0, Delivery("t", 0), 1),
        ("nobody works on it, and nobody says who asks", None, 0, Delivery(), 1),
        ("it was tried before", None, 3, Delivery("t", 3), 4),
        ("the lease ran out", lease_of(until=EARLIER), 1, Delivery("u", 0), 2),
        ("the lease ends this moment", lease_of(until=NOW), 1, Delivery("u", 0), 2),
        ("another task holds it", lease_of(until=LATER), 1, Delivery("u", 5), Held(LATER)),
        ("the same delivery again", lease_of(until=LATER), 1, Delivery("t", 1), Held(LATER)),
        ("an earlier delivery", lease_of(until=LATER), 1, Delivery("t", 0), Held(LATER)),
        ("the task came again: it was killed", lease_of(until=LATER), 1, Delivery("t", 2), 2),
        ("nobody says who asks", lease_of(until=LATER, task=""), 1, Delivery("", 9), Held(LATER)),
        ("all attempts began", None, 5, Delivery("t", 5), Exhausted(5)),
        ("more than all", None, 6, Delivery("t", 6), Exhausted(6)),
        ("the last one is held", lease_of(until=LATER), 5, Delivery("u", 0), Held(LATER)),
        ("the last one was killed", lease_of(until=LATER), 5, Delivery("t", 2), Exhausted(5)),
        ("the last one ran out", lease_of(until=EARLIER), 5, Delivery("u", 0), Exhausted(5)),
    ],
)
def test_whether_a_step_may_begin(
    why: str,
    lease: Lease | None,
    attempts: int,
    delivery: Delivery,
    wanted: int | Held | Exhausted,
) -> None:
    decision = begin_step(
        "validate",
        lease,
        attempts,
        now=NOW,
        lease_for=LEASE,
        max_attempts=5,
        delivery=delivery,
    )
    if not isinstance(wanted, int):
        assert decision == wanted, why
        return
    assert isinstance(decision, Begin), why
    assert (decision.attempt, decision.last) == (wanted, wanted == 5)
    assert decision.event == NewEvent(
        "step.started",
        {
            "step": "validate",
            "attempt": wanted,
            "until": format_time(NOW + LEASE),
            "task": delivery.task,
            "delivery": delivery.retries,
        },
    )


def test_the_last_attempt_is_known_as_such() -> None:
    decision = begin_step(
        "load", None, 4, now=NOW, lease_for=LEASE, max_attempts=5, delivery=Delivery()
    )
    assert isinstance(decision, Begin)
    assert decision.last
    assert state_after(received(), decision.event).attempts == {"load": 5}


# --- Times ---------------------------------------------------------------------------------------


_TIMES = st.datetimes(timezones=st.just(UTC))


@given(_TIMES, _TIMES)
def test_the_text_of_times_orders_as_the_times_do(one: datetime, other: datetime) -> None:
    assert parse_time(format_time(one)) == one
    assert (format_time(one) < format_time(other)) == (one < other)


def test_times_are_told_in_utc() -> None:
    there = datetime(2026, 1, 31, 10, 30, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(there) == "2026-01-31T08:30:00.000000Z"


# --- Queries -------------------------------------------------------------------------------------


def shape(query: Query) -> tuple[Any, ...]:
    """What an index depends on: not the values, nor how many there are."""
    equal = {name for name, operator, _ in query.where if operator in ("==", "in")}
    ranges = {name for name, operator, _ in query.where} - equal
    return query.kind, equal, ranges <= {name for name, _ in query.order_by}, query.order_by


def test_every_query_that_can_be_asked_is_declared() -> None:
    declared = [shape(each) for each in declared_queries()]
    asked = [
        query_ingestions(),
        query_ingestions(state="failed"),
        query_ingestions(not_states=["loaded"]),
        query_ingestions(state="rejected", not_reasons=["drift"], sort="-seconds"),
        query_ingestions(dataset="x", object_name="y", since="2026", sort="rows_read"),
        query_ingestions(dataset=["x", "y"], not_states=["loaded", "duplicate"]),
        query_ingestions(state="s", dataset="x", object_name="y"),
        query_id_prefix("6a1c"),
        query_awaiting_load("x"),
        query_unfinished("2026"),
    ]
    assert all(shape(each) in declared for each in asked)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({}, ()),
        ({"state": "failed"}, (("state", "==", "failed"),)),
        (
            {"not_states": ["loaded", "duplicate", "retracted"]},
            (("state", "in", ["received", "validated", "accepted", "rejected", "failed"]),),
        ),
        ({"state": "loaded", "not_states": ["loaded"]}, (("state", "in", []),)),
        ({"reason": "drift", "state": "rejected"}, (("reason", "==", "drift"),)),
        ({"reason": "drift", "state": "loaded"}, (("reason", "in", []),)),
        ({"reason": "drift", "not_states": ["rejected"]}, (("reason", "in", []),)),
        ({"reason": "drift", "not_reasons": ["drift"]}, (("reason", "in", []),)),
        (
            {"state": "rejected", "not_reasons": ["drift", "revoked"]},
            (("reason", "in", ["unreadable", "no_contract", "quality"]),),
        ),
        ({"not_reasons": ["drift"]}, ()),
        ({"dataset": ["a"]}, (("dataset", "==", "a"),)),
        ({"dataset": ()}, (("dataset", "in", []),)),
    ],
)
def test_outcomes_that_are_left_out_are_asked_for_as_the_rest(
    given: dict[str, Any], where: tuple[Any, ...]
) -> None:
    assert query_ingestions(**given).where == where


def test_figures_are_ordered_and_what_came_last_breaks_ties() -> None:
    assert query_ingestions(sort="-seconds").order_by == (
        ("milliseconds", "desc"),
        ("received_at", "desc"),
    )
    assert query_ingestions(sort="received_at").order_by == (("received_at", "asc"),)


def test_a_prefix_finds_ids_that_begin_so() -> None:
    (_, _, first), (_, _, last) = query_id_prefix("6a1c").where
    assert str(first) <= ID < str(last)
    assert not any(str(first) <= other < str(last) for other in ("6a1b" + ID[4:], "6a1d" + ID[4:]))


def test_every_queried_field_stands_in_every_projection() -> None:
    projection = state_after(received(dataset=None)).model_dump(mode="json")
    for query in declared_queries():
        for name in [*(name for name, _, _ in query.where), *(name for name, _ in query.order_by)]:
            assert name in projection
