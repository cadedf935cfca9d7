"""What a small file costs in the Google lane, call by call: nobody adds one by accident.

`nox -s bench -- costs` says what that is in dollars.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emulators.stack import GoogleStack
from eventpulse.pipeline.marts import publish_mart
from eventpulse.pipeline.registry import publish_contract
from tests.billing import BilledLane, open_billed_lane
from tests.lanes.sales import sales_contract, write_sales

pytestmark = pytest.mark.google

MART = "-- materialize: table\nSELECT name, COUNT(*) AS n FROM curated.{dataset} GROUP BY name"
MOST = {
    "bigquery_jobs": 4,  # load, survey, publish, mart
    "bigquery_tables": 11,  # read by statements: of the publish nine
    "firestore_reads": 42,
    "firestore_writes": 36,
    "invocations": 5,
    "storage_class_a": 7,
    "storage_class_b": 6,
    "tasks_operations": 8,
}
"""Of one file of a known dataset with one mart, from its landing to the mart."""


@pytest.fixture
def lane(google_stack: GoogleStack) -> Iterator[BilledLane]:
    with open_billed_lane(google_stack) as lane:
        yield lane


def drop(lane: BilledLane, dataset: str, number: int) -> dict[str, int]:
    """What one more file of a dataset costs."""
    lane.calls.clear()
    rows = [(number * 100 + each, "a", each, "2026-01-01") for each in range(100)]
    dropped = lane.drop(f"{dataset}/{number}.csv", write_sales(rows))
    assert dropped.state == "loaded", dropped.detail
    return lane.calls.of("")


def open_dataset(lane: BilledLane, dataset: str) -> None:
    publish_contract(lane.platform, sales_contract(dataset), dataset)
    publish_mart(lane.platform, f"{dataset}_by_name", MART.format(dataset=dataset))


def test_a_small_file_takes_so_many_calls_and_no_more(lane: BilledLane) -> None:
    open_dataset(lane, "sales")
    drop(lane, "sales", 0)  # the first one makes the tables
    for number in (1, 2):
        found = drop(lane, "sales", number)
        assert {unit: found[unit] for unit in MOST if found[unit] > MOST[unit]} == {}
        assert found.keys() == MOST.keys()


def test_what_else_there_is_costs_a_file_only_the_look_at_each_mart(lane: BilledLane) -> None:
    others = 4
    for number in range(others):
        open_dataset(lane, f"other_{number}")
        drop(lane, f"other_{number}", 0)
    open_dataset(lane, "sales")
    drop(lane, "sales", 0)
    found = drop(lane, "sales", 1)
    most = {**MOST, "firestore_reads": MOST["firestore_reads"] + others}
    assert {unit: found[unit] for unit in most if found[unit] > most[unit]} == {}


def test_a_second_delivery_costs_next_to_nothing(lane: BilledLane) -> None:
    open_dataset(lane, "sales")
    stored = lane.put("sales/a.csv", write_sales([(1, "a", 1, "2026-01-01")]))
    lane.announce(stored)
    lane.run()
    lane.calls.clear()
    lane.announce(stored)
    lane.run()
    assert lane.calls.of("") == {"firestore_reads": 2, "invocations": 1}


def test_two_deployments_of_one_project_do_not_take_each_others_load_jobs(
    google_stack: GoogleStack,
) -> None:
    """A project's load jobs have their ids for ever: a second one of an id loads nothing."""
    for _ in range(2):
        with open_billed_lane(google_stack) as lane:
            open_dataset(lane, "twice")
            drop(lane, "twice", 0)
