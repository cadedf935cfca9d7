"""What sweep finds, whatever was lost; and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventpulse.errors import BackendUnavailable
from eventpulse.ingestions.ingestion import query_ingestions
from eventpulse.operations.sweeping import LEAST_MOVE, MARGIN, RAW_SWEEP, SweepState
from eventpulse.pipeline.marts import publish_mart
from eventpulse.pipeline.registry import publish_contract
from eventpulse.pipeline.streams import Changes
from eventpulse.pipeline.sweep import Swept, sweep
from eventpulse.ports import Head, Json, NewEvent, ObjectRef, Page, StoredObject
from eventpulse.settings import Settings
from eventpulse.values import format_time, parse_time
from eventpulse.wiring import WiredPlatform
from tests.inline import InlineLane, inline_lane
from tests.lanes.sales import sales_contract, write_sales

PATIENCE = timedelta(seconds=Settings().sweep_after_seconds)
LATER = PATIENCE + timedelta(minutes=1)
A, B = (write_sales([(1, name, 1, "")]) for name in "ab")
COUNT_BY_NAME = (
    "-- materialize: table\nSELECT name, COUNT(*) AS n FROM curated.sales GROUP BY name\n"
)


class Clock:
    """Stands still unless it is moved on."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now = max(self.now, datetime.now(UTC)) + by


class SweptLane(InlineLane):
    """A lane with a clock of its own, in which tasks can be lost."""

    def __init__(self, lane: InlineLane) -> None:
        super().__init__(lane.platform, lane.tasks)
        self.clock = Clock()
        self.set_up(lane.platform.settings)

    def set_up(self, settings: Settings) -> None:
        ports = self.platform
        self.platform = WiredPlatform(
            settings,
            objects=ports.objects,
            log=ports.log,
            warehouse=ports.warehouse,
            tasks=ports.tasks,
            clock=self.clock,
        )

    def sweep_later(self, by: timedelta = LATER, **options: int) -> Swept:
        self.clock.advance(by)
        return sweep(self.platform, **options)

    def lose_tasks(self) -> list[str]:
        """Empty the queue; the names of what was in it."""
        names = [task.name for task in self.tasks.waiting()]
        for name in names:
            self.tasks.finish(name)
        return names

    def run_until(self, function: str) -> None:
        """Deliver tasks until only such of this function wait, or none."""
        while due := [task for task in self.tasks.waiting() if task.function != function]:
            for task in due:
                self.deliver(task)
                self.tasks.finish(task.name)

    def versions(self) -> dict[str, int]:
        """How many events each ingestion has."""
        page = self.platform.log.query(query_ingestions(), limit=100)
        return {head.stream: head.version for head in page.heads}

    def names_shown(self) -> list[Json]:
        """The column `name` of the curated table."""
        rows = self.platform.warehouse.preview("curated", "sales", 100)
        return sorted((row["name"] for row in rows), key=str)

    def watermark(self) -> datetime | None:
        state = SweepState.model_validate(self.platform.log.head(RAW_SWEEP).projection)
        return parse_time(state.watermark) if state.watermark is not None else None


@pytest.fixture
def lane(tmp_path: Path, postgres_url: str) -> Iterator[SweptLane]:
    with inline_lane(tmp_path, postgres_url) as inline:
        publish_contract(inline.platform, sales_contract("sales"), "sales")
        yield SweptLane(inline)


def poison(lane: SweptLane, name: str) -> Callable[[], None]:
    """Reading an object of this name fails, until the returned function is called."""
    store = lane.platform.objects
    healthy = store.open

    def fail_to_open(ref: ObjectRef) -> Any:
        if ref.name == name:
            raise BackendUnavailable("The store", f"read {name}", "made to fail")
        return healthy(ref)

    def heal() -> None:
        store.open = healthy  # type: ignore[method-assign]

    store.open = fail_to_open  # type: ignore[method-assign]
    return heal


# --- Objects -------------------------------------------------------------------------------------


def test_an_object_that_was_never_announced_is_landed(lane: SweptLane) -> None:
    lane.put("sales/a.csv", A)
    assert lane.sweep_later() == Swept(objects=1)
    lane.run()
    assert lane.names_shown() == ["a"]
    assert lane.sweep_later() == Swept()


def test_a_young_object_is_left_to_its_event(lane: SweptLane) -> None:
    lane.put("sales/a.csv", A)
    assert lane.sweep_later(PATIENCE / 2).objects == 0
    assert lane.sweep_later().objects == 1


@pytest.mark.parametrize(
    ("contents", "shown"), [((A, B), "b"), ((A, B, A), "a"), ((B, A), "a")], ids=["AB", "ABA", "BA"]
)
def test_generations_that_were_overwritten_before_they_were_announced_all_land(
    lane: SweptLane, contents: tuple[bytes, ...], shown: str
) -> None:
    stored = [lane.put("sales/a.csv", content) for content in contents]
    assert lane.sweep_later().objects == len(contents)
    landed = [str(task.body["ingestion"]) for task in lane.tasks.waiting()]
    generations = [lane.ingestion(each).source.generation for each in landed]
    assert generations == [each.ref.generation for each in stored]
    lane.run()
    assert lane.names_shown() == [shown]
    assert len(lane.versions()) == len(contents)


def test_an_object_that_was_deleted_before_it_was_announced_lands(lane: SweptLane) -> None:
    stored = lane.put("sales/a.csv", A)
    assert lane.platform.objects.delete(stored.ref)
    assert lane.sweep_later().objects == 1
    lane.run()
    assert lane.names_shown() == ["a"]


def test_an_object_is_found_however_long_sweep_was_down(lane: SweptLane) -> None:
    lane.drop("sales/a.csv", A)
    lane.sweep_later()
    lane.put("sales/b.csv", write_sales([(2, "b", 1, "")]))
    assert lane.sweep_later(timedelta(days=100)).objects == 1
    lane.run()
    assert lane.names_shown() == ["a", "b"]


def test_what_the_watermark_has_passed_is_not_compared_again(lane: SweptLane) -> None:
    lane.put("sales/a.csv", A)
    lane.sweep_later(timedelta(days=1))
    assert lane.watermark() == lane.clock() - PATIENCE
    lane.run()
    asked: list[str] = []
    heads = lane.platform.log.heads

    def note_asked(streams: Sequence[str]) -> list[Head]:
        asked.extend(streams)
        return heads(streams)

    lane.platform.log.heads = note_asked  # type: ignore[method-assign]
    lane.sweep_later(MARGIN)
    assert not [each for each in asked if each.startswith("ingestion/")]
    assert lane.watermark() == lane.clock() - PATIENCE


def test_the_watermark_waits_until_there_is_something_to_tell(lane: SweptLane) -> None:
    lane.sweep_later()
    version = lane.platform.log.head(RAW_SWEEP).version
    for _ in range(3):
        lane.sweep_later(timedelta(minutes=1))
    assert lane.platform.log.head(RAW_SWEEP).version == version == 1


def test_a_sweep_lands_no_more_than_it_may_and_the_next_goes_on(lane: SweptLane) -> None:
    stored = [lane.put(f"sales/{number}.csv", b"%d" % number) for number in (4, 0, 3, 1, 2)]
    assert lane.sweep_later(most_landed=2).objects == 2
    assert [len(lane.tasks.waiting()), lane.watermark()] == [2, stored[2].created]
    assert sweep(lane.platform, most_landed=2).objects == 2
    assert lane.sweep_later(LEAST_MOVE, most_landed=2).objects == 1
    assert lane.watermark() == lane.clock() - PATIENCE
    names = [lane.ingestion(str(task.body["ingestion"])).object for task in lane.tasks.waiting()]
    assert list(dict.fromkeys(names)) == [each.ref.name for each in stored]


def test_the_bucket_is_listed_as_seldom_as_is_asked_for(lane: SweptLane) -> None:
    lane.set_up(replace(lane.platform.settings, compare_seconds=3600))
    listed: list[str] = []
    healthy = lane.platform.objects.list

    def list_noted(bucket: Any, *arguments: Any, **named: Any) -> Any:
        listed.append(bucket)
        return healthy(bucket, *arguments, **named)

    lane.platform.objects.list = list_noted  # type: ignore[method-assign]
    lane.sweep_later()
    lane.put("sales/a.csv", A)
    assert lane.sweep_later(timedelta(minutes=30)) == Swept()
    assert listed == ["raw"]
    assert lane.sweep_later(timedelta(minutes=31)).objects == 1
    assert listed == ["raw", "raw"]


def test_landing_ends_in_time(lane: SweptLane) -> None:
    stored = [lane.put(f"sales/{number}.csv", b"%d" % number) for number in range(3)]
    lane.clock.advance(LATER)
    healthy = lane.platform.objects.open

    def open_slowly(ref: ObjectRef) -> Any:
        lane.clock.now += timedelta(minutes=3)
        return healthy(ref)

    lane.platform.objects.open = open_slowly  # type: ignore[method-assign]
    assert sweep(lane.platform).objects == 2
    assert lane.watermark() == stored[2].created
    assert sweep(lane.platform).objects == 1


# --- Faults --------------------------------------------------------------------------------------


def test_a_poisoned_object_stops_nothing_and_is_found_again(lane: SweptLane) -> None:
    lane.announce(lane.put("sales/accepted.csv", write_sales([(2, "accepted", 1, "")])))
    lane.run_until("load")
    lane.announce(lane.put("sales/received.csv", write_sales([(3, "received", 1, "")])))
    assert len(lane.lose_tasks()) == 2
    poisoned = lane.put("sales/poisoned.csv", A)
    lane.put("sales/silent.csv", write_sales([(4, "silent", 1, "")]))
    heal = poison(lane, "sales/poisoned.csv")

    assert lane.sweep_later() == Swept(objects=1, ingestions=1, groups=1, faults=1)
    lane.run()
    assert lane.names_shown() == ["accepted", "received", "silent"]
    assert lane.watermark() == poisoned.created
    assert lane.sweep_later(timedelta(days=10)) == Swept(faults=1)
    assert lane.watermark() == poisoned.created
    heal()
    assert lane.sweep_later() == Swept(objects=1)
    assert lane.watermark() == lane.clock() - PATIENCE
    lane.run()
    assert lane.names_shown() == ["a", "accepted", "received", "silent"]


PHASES = (
    "ingestions",
    "datasets",
    "marts",
    "claims",
    "bundles",
    "commands",
    "silence",
    "gaps",
    "backfills",
    "verifications",
    "freshness",
)
"""Parts of a sweep that query the log."""


def test_a_poisoned_phase_stops_no_other(lane: SweptLane, caplog: pytest.LogCaptureFixture) -> None:
    lane.put("sales/a.csv", A)
    healthy = lane.platform.log.query

    def fail_to_query(*_: object, **__: object) -> Page:
        raise BackendUnavailable("The log", "query", "made to fail")

    lane.platform.log.query = fail_to_query  # type: ignore[method-assign]
    assert lane.sweep_later() == Swept(objects=1, faults=len(PHASES))
    lane.platform.log.query = healthy  # type: ignore[method-assign]
    said = [record.getMessage() for record in caplog.records if record.exc_info]
    assert said == [f"sweep faulted: {phase}" for phase in PHASES]


def test_a_listing_that_fails_moves_no_watermark(lane: SweptLane) -> None:
    lane.put("sales/a.csv", A)
    store = lane.platform.objects
    healthy = store.list

    def fail_in_the_middle(*arguments: Any, **named: Any) -> Iterator[StoredObject]:
        yield from healthy(*arguments, **named)
        raise BackendUnavailable("The store", "list", "made to fail")

    store.list = fail_in_the_middle  # type: ignore[method-assign]
    assert lane.sweep_later() == Swept(faults=1)
    assert lane.watermark() is None
    store.list = healthy  # type: ignore[method-assign]
    assert lane.sweep_later() == Swept(objects=1)


# --- Ingestions ----------------------------------------------------------------------------------


def test_a_step_that_begins_between_query_and_wake_keeps_its_lease(lane: SweptLane) -> None:
    ingestion = lane.announce(lane.put("sales/a.csv", A))
    lane.lose_tasks()
    lane.clock.advance(LATER)
    query = lane.platform.log.query

    def begin_meanwhile(*arguments: Any, **named: Any) -> Page:
        page = query(*arguments, **named)
        if not lane.ingestion(ingestion).lease:
            begin_step(lane, ingestion)
        return page

    lane.platform.log.query = begin_meanwhile  # type: ignore[method-assign]
    assert sweep(lane.platform) == Swept()
    assert [event.type for event in lane.platform.log.read(f"ingestion/{ingestion}")] == [
        "received",
        "step.started",
    ]
    assert lane.ingestion(ingestion).lease is not None
    assert lane.tasks.waiting() == []


def test_a_step_that_begins_just_before_the_wake_keeps_its_lease(lane: SweptLane) -> None:
    ingestion = lane.announce(lane.put("sales/a.csv", A))
    lane.lose_tasks()
    lane.clock.advance(LATER)
    commit = lane.platform.log.commit

    def begin_first(*arguments: Any, **named: Any) -> Any:
        lane.platform.log.commit = commit  # type: ignore[method-assign]
        begin_step(lane, ingestion)
        return commit(*arguments, **named)

    lane.platform.log.commit = begin_first  # type: ignore[method-assign]
    assert sweep(lane.platform) == Swept()
    assert lane.ingestion(ingestion).lease is not None


def test_a_step_whose_lease_has_ended_is_woken(lane: SweptLane) -> None:
    ingestion = lane.announce(lane.put("sales/a.csv", A))
    lane.lose_tasks()
    begin_step(lane, ingestion)
    assert lane.sweep_later() == Swept()
    assert lane.sweep_later(lane.platform.settings.lease) == Swept(ingestions=1)
    lane.run()
    assert lane.ingestion(ingestion).state == "loaded"


def begin_step(lane: SweptLane, ingestion: str) -> None:
    """What a step commits first, in another process."""
    until = format_time(lane.clock() + lane.platform.settings.lease)
    changes = Changes(lane.platform)
    started: dict[str, Json] = {"step": "validate", "attempt": 1, "until": until}
    changes.add(f"ingestion/{ingestion}", NewEvent("step.started", started))
    assert changes.commit()


# --- Loads ---------------------------------------------------------------------------------------


def accept_five(lane: SweptLane) -> list[str]:
    ids = [
        lane.announce(lane.put(f"sales/{number}.csv", write_sales([(number, "x", 1, "")])))
        for number in range(5)
    ]
    lane.run_until("load")
    assert {lane.ingestion(each).state for each in ids} == {"accepted"}
    return ids


def test_accepted_ingestions_are_woken_by_one_task_and_no_event(lane: SweptLane) -> None:
    ids = accept_five(lane)
    lane.lose_tasks()
    before = lane.versions()
    assert lane.sweep_later() == Swept(groups=1)
    for _ in range(2):
        sweep(lane.platform)
    assert lane.versions() == before
    assert [task.function for task in lane.tasks.waiting()] == ["load"]
    lane.run()
    assert {lane.ingestion(each).state for each in ids} == {"loaded"}


def test_a_load_that_is_lost_again_is_asked_for_again(lane: SweptLane) -> None:
    ids = accept_five(lane)
    for _ in range(3):
        assert len(lane.lose_tasks()) > 0
        lane.sweep_later()
    lane.run()
    assert {lane.ingestion(each).state for each in ids} == {"loaded"}


def test_young_accepted_ingestions_are_left_to_their_task(lane: SweptLane) -> None:
    accept_five(lane)
    lane.lose_tasks()
    assert lane.sweep_later(PATIENCE / 2) == Swept()
    assert lane.tasks.waiting() == []


def test_a_load_that_is_scheduled_within_a_window_is_waited_for(lane: SweptLane) -> None:
    window = timedelta(hours=1)
    lane.set_up(replace(lane.platform.settings, load_window_seconds=int(window.total_seconds())))
    ids = accept_five(lane)
    assert len(lane.lose_tasks()) == 1
    assert lane.sweep_later() == Swept()
    assert lane.sweep_later(window / 2) == Swept()
    assert lane.tasks.waiting() == []
    assert lane.sweep_later(window / 2) == Swept(groups=1)
    lane.run()
    assert {lane.ingestion(each).state for each in ids} == {"loaded"}


def test_a_group_that_nobody_holds_is_gone_on_with(lane: SweptLane) -> None:
    ids = accept_five(lane)
    warehouse = lane.platform.warehouse
    healthy = warehouse.load_rows

    def fail_to_load(*_: object) -> Any:
        warehouse.load_rows = healthy  # type: ignore[method-assign]
        raise BackendUnavailable("The warehouse", "load", "made to fail")

    warehouse.load_rows = fail_to_load  # type: ignore[method-assign,assignment]
    with pytest.raises(BackendUnavailable):
        lane.deliver(lane.tasks.waiting()[0])
    lane.lose_tasks()
    assert lane.sweep_later(PATIENCE / 2) == Swept()
    assert lane.sweep_later() == Swept(groups=1)
    lane.run()
    assert {lane.ingestion(each).state for each in ids} == {"loaded"}


# --- Everything at once --------------------------------------------------------------------------


@pytest.mark.parametrize("emptied", ["validate", "drift", "load", "marts"])
def test_a_queue_emptied_in_the_middle_recovers(lane: SweptLane, emptied: str) -> None:
    publish_mart(lane.platform, "by_name", COUNT_BY_NAME)
    ids = [
        lane.announce(lane.put(f"sales/{name}.csv", write_sales([(number, name, 1, "")])))
        for number, name in enumerate("abc")
    ]
    lane.run_until(emptied)
    assert {name.partition("-")[0] for name in lane.lose_tasks()} == {emptied}
    swept = lane.sweep_later()
    assert swept.faults == 0
    lane.run()
    assert {lane.ingestion(each).state for each in ids} == {"loaded"}
    assert lane.names_shown() == ["a", "b", "c"]
    assert lane.platform.warehouse.count_rows("marts", "by_name") == 3
    assert lane.sweep_later() == Swept()
    assert lane.tasks.waiting() == []
