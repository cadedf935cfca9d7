"""The state of a mart's stream, and when a build is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.leases import Begin, Delivery, begin_step
from eventpulse.marts.mart import (
    EVENTS,
    Mart,
    MartState,
    apply_event,
    collect_versions,
    fold_events,
    from_head,
    needs_build,
    project_mart,
    publish_event,
    read_mart,
)
from eventpulse.ports import Event, Head, Json, NewEvent
from tests.unit.marts.test_marts import mart_of

NOW = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)
AT = "2026-01-31T08:30:00.000000Z"


def published(mart: Mart) -> NewEvent:
    return publish_event(mart, f"-- description: {mart.name}\n{mart.sql}")


def built(mart: Mart, versions: dict[str, int], rows: int | None = 3) -> NewEvent:
    data: dict[str, Json] = {"sql_sha256": mart.sha256, "versions": {**versions}, "rows": rows}
    return NewEvent("built", data)


def failed(mart: Mart, versions: dict[str, int], error: str = "broken") -> NewEvent:
    data: dict[str, Json] = {"sql_sha256": mart.sha256, "versions": {**versions}, "error": error}
    return NewEvent("build.failed", data)


def started(attempt: int = 1) -> NewEvent:
    begun = begin_step(
        "build",
        None,
        attempt - 1,
        now=NOW,
        lease_for=timedelta(minutes=10),
        max_attempts=5,
        delivery=Delivery("marts-flights-1", 2),
    )
    assert isinstance(begun, Begin)
    return begun.event


def state_after(*events: NewEvent) -> MartState:
    state: MartState | None = None
    for event in events:
        state = apply_event(state, "mart/m", event.type, event.data, AT)
    assert state is not None
    return state


MART = mart_of("m", "curated.flights")


def test_published() -> None:
    state = state_after(published(MART))
    assert (state.name, state.stream) == ("m", "mart/m")
    assert (state.sql_sha256, state.materialization) == (MART.sha256, "table")
    assert state.text == f"-- description: m\n{MART.sql}"
    assert (state.built_sha256, state.built_at, state.rows, state.builds) == (None, None, None, 0)


def test_step_started_and_faulted() -> None:
    state = state_after(published(MART), started(), NewEvent("step.faulted"), started(2))
    assert state.attempts == 2
    assert state.lease is not None
    assert (state.lease.task, state.lease.delivery) == ("marts-flights-1", 2)
    assert state_after(published(MART), started(), NewEvent("step.faulted")).lease is None


def test_built() -> None:
    state = state_after(published(MART), started(), built(MART, {"flights": 4}, rows=12))
    assert (state.built_sha256, state.built_versions) == (MART.sha256, {"flights": 4})
    assert (state.built_at, state.rows, state.builds) == (AT, 12, 1)
    assert (state.attempts, state.lease, state.error) == (0, None, None)


def test_a_failed_build_keeps_what_the_last_good_one_left() -> None:
    state = state_after(
        published(MART),
        built(MART, {"flights": 4}, rows=12),
        started(),
        failed(MART, {"flights": 5}, "no such column"),
    )
    assert (state.error, state.failed_versions) == ("no such column", {"flights": 5})
    assert (state.rows, state.built_versions) == (12, {"flights": 4})
    assert (state.attempts, state.lease) == (0, None)
    again = apply_event(state, "mart/m", "built", built(MART, {"flights": 6}).data, AT)
    assert (again.error, again.failed_sha256, again.failed_versions) == (None, None, {})


def test_what_was_built_only_grows() -> None:
    state = state_after(
        published(MART), built(MART, {"a": 5, "b": 1}), built(MART, {"a": 4, "b": 2, "c": 1})
    )
    assert state.built_versions == {"a": 5, "b": 2, "c": 1}
    assert state.builds == 2


def test_publishing_other_sql_keeps_what_stands_and_counts_attempts_anew() -> None:
    other = read_mart("m", "SELECT 2 AS x")
    state = state_after(published(MART), built(MART, {"flights": 4}), started(), published(other))
    assert (state.sql_sha256, state.built_sha256) == (other.sha256, MART.sha256)
    assert (state.materialization, state.attempts) == ("view", 0)
    assert state.lease is not None, "whoever builds now goes on, and another waits"


def test_an_unknown_event_is_a_fault_of_the_code() -> None:
    with pytest.raises(KeyError):
        state_after(NewEvent("exploded"))


_VERSIONS = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 9), max_size=2)
_EVENTS = st.one_of(
    st.just(published(MART)),
    st.just(published(read_mart("m", "SELECT 2 AS x"))),
    st.integers(1, 4).map(started),
    st.just(NewEvent("step.faulted")),
    _VERSIONS.map(lambda versions: built(MART, versions)),
    _VERSIONS.map(lambda versions: failed(MART, versions)),
)


@given(st.lists(_EVENTS, max_size=12).map(lambda rest: [published(MART), *rest]))
def test_the_projection_is_the_fold_of_the_events(events: list[NewEvent]) -> None:
    projection: dict[str, Json] = {}
    timeline: list[Event] = []
    for n, event in enumerate(events):
        at = NOW + timedelta(seconds=n)
        projection = project_mart(projection, "mart/m", event, at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        timeline.append(Event("mart/m", n + 1, event.type, at, event.data, {}, "w"))
    folded = fold_events(timeline)
    assert folded is not None
    assert folded.model_dump(mode="json") == projection
    assert from_head(Head("mart/m", len(events), projection)) == folded


def test_every_event_of_the_table_is_tried_above() -> None:
    assert set(EVENTS) == {"published", "step.started", "step.faulted", "built", "build.failed"}
    assert fold_events([]) is None
    assert from_head(Head("mart/m", 0, {})) is None


# --- Decisions -----------------------------------------------------------------------------------


def test_versions_are_those_of_all_datasets_below_and_of_the_marts_read() -> None:
    base = mart_of("base", "curated.flights", table=False)
    middle = mart_of("middle", "marts.base", "curated.airports")
    top = mart_of("top", "marts.middle", "curated.planes")
    states = {
        "base": state_after(published(base), built(base, {"flights": 1})),
        "middle": state_after(published(middle), *(built(middle, {}) for _ in range(3))),
    }
    versions = {"flights": 7, "airports": 2, "weather": 9}
    marts = [base, middle, top]
    assert collect_versions(base, marts, versions, states) == {"flights": 7}
    assert collect_versions(middle, marts, versions, states) == {
        "airports": 2,
        "flights": 7,
        "marts.base": 1,
    }
    assert collect_versions(top, marts, versions, states) == {
        "airports": 2,
        "flights": 7,
        "marts.middle": 3,
    }, "planes has no table yet"


def test_a_mart_that_was_published_and_never_built_has_no_table() -> None:
    base, top = mart_of("base", "curated.flights"), mart_of("top", "marts.base")
    states = {"base": state_after(published(base))}
    versions = collect_versions(top, [base, top], {"flights": 7}, states)
    assert versions == {"flights": 7}
    assert not needs_build(None, top, versions)


TABLE, VIEW = mart_of("m", "curated.a", "curated.b"), mart_of("m", "curated.a", table=False)
CHANGED = read_mart("m", "-- materialize: table\nSELECT x FROM curated.a")


@pytest.mark.parametrize(
    ("why", "events", "mart", "versions", "due"),
    [
        ("nothing was published yet", [], TABLE, {"a": 1, "b": 1}, True),
        ("never built", [published(TABLE)], TABLE, {"a": 0, "b": 0}, True),
        ("a table is missing", [published(TABLE)], TABLE, {"a": 1}, False),
        ("nothing is new", [built(TABLE, {"a": 3, "b": 3})], TABLE, {"a": 3, "b": 3}, False),
        ("a is newer", [built(TABLE, {"a": 3, "b": 3})], TABLE, {"a": 4, "b": 3}, True),
        ("all is older", [built(TABLE, {"a": 3, "b": 3})], TABLE, {"a": 2, "b": 3}, False),
        ("one newer, one older", [built(TABLE, {"a": 3, "b": 3})], TABLE, {"a": 2, "b": 4}, True),
        ("its SQL is new", [built(TABLE, {"a": 3, "b": 3})], CHANGED, {"a": 1}, True),
        ("a view that stands", [built(VIEW, {"a": 3})], VIEW, {"a": 9}, False),
        ("a view never built", [published(VIEW)], VIEW, {"a": 1}, True),
        ("a table made a view", [built(TABLE, {"a": 3, "b": 3})], VIEW, {"a": 3}, True),
        (
            "it failed on the same",
            [built(TABLE, {"a": 3, "b": 3}), failed(TABLE, {"a": 4, "b": 3})],
            TABLE,
            {"a": 4, "b": 3},
            False,
        ),
        (
            "it failed on older data",
            [built(TABLE, {"a": 3, "b": 3}), failed(TABLE, {"a": 4, "b": 3})],
            TABLE,
            {"a": 5, "b": 3},
            True,
        ),
        ("it failed with other SQL", [failed(TABLE, {"a": 4, "b": 3})], CHANGED, {"a": 4}, True),
        ("a view failed on the same", [failed(VIEW, {"a": 4})], VIEW, {"a": 4}, False),
        ("a view failed on older data", [failed(VIEW, {"a": 4})], VIEW, {"a": 5}, True),
    ],
)
def test_when_a_build_is_due(
    why: str, events: list[NewEvent], mart: Mart, versions: dict[str, int], due: bool
) -> None:
    state = state_after(published(mart), *events) if events else None
    assert needs_build(state, mart, versions) is due, why


@given(_VERSIONS, _VERSIONS)
def test_after_a_build_nothing_older_or_equal_is_due(
    first: dict[str, int], second: dict[str, int]
) -> None:
    mart = mart_of("m", "curated.a", "curated.b")
    full: dict[str, Any] = {"a": 0, "b": 0, **first}
    older = {name: min(version, full[name]) for name, version in second.items()}
    state = state_after(published(mart), built(mart, full))
    assert not needs_build(state, mart, {"a": 0, "b": 0, **older})
