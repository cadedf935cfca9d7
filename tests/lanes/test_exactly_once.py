"""Nothing lost, nothing twice: in any order, at any number of deliveries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eventpulse.pipeline.registry import publish_contract
from eventpulse.pipeline.replay import replay_ingestion, retract_ingestion
from tests.inline import InlineLane, inline_lane
from tests.lanes.sales import HEADER, sales_contract, write_sales


@pytest.fixture
def lane(tmp_path: Path, postgres_url: str) -> Iterator[InlineLane]:
    with inline_lane(tmp_path, postgres_url) as lane:
        yield lane


def open_dataset(lane: InlineLane, name: str, **changes: str) -> None:
    publish_contract(lane.platform, sales_contract(name, **changes), name)


FIVE_FILES = [
    write_sales([(1, "a", 1, "2026-01-01"), (2, "b", 2, "2026-01-01"), (3, "c", 3, "2026-01-01")]),
    write_sales([(2, "b", 20, "2026-01-03"), (3, "c", 30, "2026-01-02")]),
    write_sales([(3, "c", 300, "2026-01-02"), (4, "d", 4, "2026-01-01")]),
    write_sales([(1, "a", 10, "2025-12-31"), (5, "e", 5, "2026-01-01")]),
    write_sales([(4, "d", 40, "2026-01-05"), (2, "b", 200, "2026-01-02"), (6, "f", 6, "")]),
]
"""They share keys; some are older than others by their ordering column, some by their upload."""


@pytest.mark.parametrize("first", range(5))
def test_all_delivery_orders_of_five_overlapping_files_give_one_table(
    lane: InlineLane, first: int
) -> None:
    """The 24 orders that begin with one file, and the order of the uploads."""
    digests: set[str] = set()
    orders = [each for each in itertools.permutations(range(5)) if each[0] == first]
    for number, order in enumerate([tuple(range(5)), *orders]):
        dataset = f"sales_{number}"
        open_dataset(lane, dataset)
        stored = [lane.put(f"{dataset}/{i}.csv", text) for i, text in enumerate(FIVE_FILES)]
        for index in order:
            lane.announce(stored[index])
            lane.run()
        digests.add(lane.digest(dataset))
    assert len(orders) == 24
    assert len(digests) == 1


def test_files_loaded_as_one_group_give_the_same_table_as_one_by_one(lane: InlineLane) -> None:
    open_dataset(lane, "together")
    open_dataset(lane, "apart")
    for i, text in enumerate(FIVE_FILES):
        lane.announce(lane.put(f"together/{i}.csv", text))
    lane.run()
    for i, text in enumerate(FIVE_FILES):
        lane.drop(f"apart/{i}.csv", text)
    assert lane.digest("together") == lane.digest("apart")
    assert lane.platform.log.head("dataset/together").projection["loads"] == 1


def test_one_event_delivered_a_hundred_times_at_once_makes_one_ingestion(lane: InlineLane) -> None:
    open_dataset(lane, "sales")
    stored = lane.put("sales/one.csv", FIVE_FILES[0])
    with ThreadPoolExecutor(32) as pool:
        ids = set(pool.map(lambda _: lane.announce(stored), range(100)))
    (ingestion,) = ids
    lane.run()
    events = [event.type for event in lane.platform.log.read(f"ingestion/{ingestion}")]
    assert events.count("received") == 1
    assert lane.ingestion(ingestion).state == "loaded"
    assert lane.platform.warehouse.count_rows("curated", "sales") == 3


def test_the_same_content_twice_at_once_is_loaded_once(lane: InlineLane) -> None:
    open_dataset(lane, "sales")
    stored = [lane.put(f"sales/{i}.csv", FIVE_FILES[0]) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lane.announce, stored))
    lane.run()
    states = sorted(lane.ingestion(each).state for each in ids)
    assert states == ["duplicate"] * 7 + ["loaded"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_then_b_then_a_under_one_name_ends_as_a_in_any_order_of_events(
    lane: InlineLane, order: tuple[int, ...]
) -> None:
    open_dataset(lane, "sales")
    open_dataset(lane, "only_a")
    # No ordering value: the newest upload of a key wins.
    a = write_sales([(1, "a", 1, ""), (2, "b", 2, "")])
    b = write_sales([(1, "a", 100, ""), (2, "b", 200, "")])
    stored = [lane.put("sales/same.csv", text) for text in (a, b, a)]
    for index in order:
        lane.announce(stored[index])
        lane.run()
    lane.drop("only_a/same.csv", a)
    assert lane.digest("sales") == lane.digest("only_a")


def test_retracting_a_file_gives_the_table_of_a_run_that_never_had_it(lane: InlineLane) -> None:
    for dataset in ("with", "without"):
        open_dataset(lane, dataset)
    for i, text in enumerate(FIVE_FILES):
        dropped = lane.drop(f"with/{i}.csv", text)
        if i == 1:
            unwanted = dropped
        else:
            lane.drop(f"without/{i}.csv", text)
    retract_ingestion(lane.platform, unwanted.id)
    lane.run()
    assert lane.ingestion(unwanted.id).state == "retracted"
    assert lane.digest("with") == lane.digest("without")


def test_a_copy_of_a_retracted_file_counts_again(lane: InlineLane) -> None:
    open_dataset(lane, "sales")
    first = lane.drop("sales/first.csv", FIVE_FILES[0])
    copy = lane.drop("sales/copy.csv", FIVE_FILES[0])
    assert copy.state == "duplicate"
    assert copy.duplicate_of == first.id
    retract_ingestion(lane.platform, first.id)
    lane.run()
    assert lane.ingestion(copy.id).state == "loaded"
    assert lane.platform.warehouse.count_rows("curated", "sales") == 3


def test_a_replay_under_a_changed_contract_gives_the_table_of_a_run_that_had_it(
    lane: InlineLane,
) -> None:
    open_dataset(lane, "changed")
    dropped = [lane.drop(f"changed/{i}.csv", text) for i, text in enumerate(FIVE_FILES)]
    open_dataset(lane, "changed", version="2.0.0", maximum="100")
    replays = [replay_ingestion(lane.platform, each.id) for each in dropped]
    lane.run()
    open_dataset(lane, "strict", version="2.0.0", maximum="100")
    for i, text in enumerate(FIVE_FILES):
        lane.drop(f"strict/{i}.csv", text)
    assert lane.digest("changed") == lane.digest("strict")
    assert {lane.ingestion(each).state for each in replays} == {"loaded"}
    for first, replay in zip(dropped, replays, strict=True):
        assert lane.ingestion(first.id).replaced_by == replay


def test_replays_under_another_ordering_give_the_table_of_a_run_that_had_it(
    lane: InlineLane,
) -> None:
    def by_amount(dataset: str, version: str) -> str:
        return sales_contract(dataset, version=version).replace("value: changed", "value: amount")

    open_dataset(lane, "changed")
    dropped = [lane.drop(f"changed/{i}.csv", text) for i, text in enumerate(FIVE_FILES)]
    publish_contract(lane.platform, by_amount("changed", "2.0.0"), "changed")
    publish_contract(lane.platform, by_amount("always", "1.0.0"), "always")
    for i, text in enumerate(FIVE_FILES):
        lane.drop(f"always/{i}.csv", text)
    assert lane.digest("changed") != lane.digest("always")
    for each in dropped:
        replay_ingestion(lane.platform, each.id)
    lane.run()
    assert lane.digest("changed") == lane.digest("always")


def test_replaying_an_old_file_does_not_overwrite_newer_rows(lane: InlineLane) -> None:
    open_dataset(lane, "sales")
    old = lane.drop("sales/old.csv", write_sales([(1, "a", 1, "2026-01-01")]))
    lane.drop("sales/new.csv", write_sales([(1, "a", 2, "2026-02-01")]))
    before = lane.digest("sales")
    replay_ingestion(lane.platform, old.id)
    lane.run()
    assert lane.digest("sales") == before


def test_one_faulty_row_does_not_stop_the_others(lane: InlineLane) -> None:
    open_dataset(lane, "sales")
    text = FIVE_FILES[0] + b"7,g,many,2026-01-01\n"
    for i in range(30):
        text += f"{100 + i},x,{i},2026-01-01\n".encode()
    dropped = lane.drop("sales/faulty.csv", text)
    assert (dropped.state, dropped.rows_read) == ("loaded", 34)
    assert (dropped.rows_accepted, dropped.rows_quarantined) == (33, 1)
    assert HEADER.startswith(b"id,")
