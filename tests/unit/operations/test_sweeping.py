"""What sweep decides: the watermark, the oldest of many, and what has waited too long."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from eventpulse.ingestions.ingestion import Ingestion, State
from eventpulse.leases import Lease
from eventpulse.operations.sweeping import (
    LEAST_MOVE,
    MARGIN,
    RAW_SWEEP,
    Backlog,
    SweepState,
    compared_event,
    count_periods,
    is_stalled,
    project_sweep,
)
from eventpulse.ports import NewEvent, ObjectRef, StoredObject
from eventpulse.values import format_time, parse_time

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENCE = timedelta(minutes=5)


def project(*times: datetime) -> SweepState:
    projection = SweepState().model_dump(mode="json")
    for time in times:
        projection = project_sweep(projection, RAW_SWEEP, compared_event(time), "")
    return SweepState.model_validate(projection)


def test_the_watermark_only_grows() -> None:
    assert project().compared_after is None
    assert project(NOW).compared_after == NOW - MARGIN
    assert project(NOW, NOW - timedelta(days=1)) == project(NOW)
    assert project(NOW, NOW + timedelta(days=1)) == project(NOW + timedelta(days=1))


def test_an_unknown_event_is_a_fault() -> None:
    with pytest.raises(KeyError):
        project_sweep({}, RAW_SWEEP, NewEvent("forgotten"), "")


def test_the_watermark_moves_when_there_is_something_to_tell() -> None:
    assert project().should_move(NOW - timedelta(days=1000))
    assert not project(NOW).should_move(NOW + LEAST_MOVE - timedelta(microseconds=1))
    assert project(NOW).should_move(NOW + LEAST_MOVE)


@pytest.mark.parametrize("count", [0, 2, 3, 4, 7, 50])
def test_a_backlog_keeps_the_oldest_and_the_age_of_the_next(count: int) -> None:
    found = [
        StoredObject(ObjectRef("raw", f"{n}", n + 1), 0, NOW + timedelta(seconds=n // 2), "")
        for n in range(count)
    ]
    for seed in range(20):
        backlog = Backlog(3)
        for each in random.Random(seed).sample(found, count):
            backlog.add([each])
        assert backlog.oldest_first() == found[:3]
        assert backlog.beyond == (found[3].created if count > 3 else None)


def ingestion(state: State, minutes: float, lease_minutes: float | None = None) -> Ingestion:
    """Touched `minutes` ago, under a lease that ends in so many minutes."""
    until = NOW + timedelta(minutes=lease_minutes or 0)
    lease = Lease(step="validate", attempt=1, until=format_time(until))
    return Ingestion(
        id="1",
        state=state,
        updated_at=format_time(NOW - timedelta(minutes=minutes)),
        lease=None if lease_minutes is None else lease,
    )


@pytest.mark.parametrize(
    ("subject", "stalled"),
    [
        (ingestion("received", 6), True),
        (ingestion("validated", 6), True),
        (ingestion("received", 5), False),
        (ingestion("received", 60, lease_minutes=1), False),
        (ingestion("received", 60, lease_minutes=-1), True),
        (ingestion("accepted", 60), False),
        (ingestion("loaded", 60), False),
    ],
    ids=lambda value: str(value) if isinstance(value, bool) else value.state,
)
def test_a_step_is_stalled_when_nobody_holds_it_or_has_touched_it(
    subject: Ingestion, stalled: bool
) -> None:
    assert is_stalled(subject, NOW, PATIENCE) == stalled


@pytest.mark.parametrize(
    ("minutes", "patience", "periods"),
    [(4, 5, None), (5, 5, None), (5.1, 5, 1), (9.9, 5, 1), (10, 5, 2), (0.5, 0, 0), (2.5, 0, 2)],
)
def test_waiting_is_counted_in_whole_periods(
    minutes: float, patience: float, periods: int | None
) -> None:
    since = format_time(NOW - timedelta(minutes=minutes))
    assert parse_time(since) == NOW - timedelta(minutes=minutes)
    assert count_periods(since, NOW, timedelta(minutes=patience)) == periods
