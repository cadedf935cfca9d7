"""What operators and suppliers decide while other things are under way: nothing is undone by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventpulse.errors import (
    BackendUnavailable,
    BuildOvertaken,
    PublishOvertaken,
    RequestRefused,
    TransientError,
)
from eventpulse.ingestions.loading import MOST_MEMBERS
from eventpulse.pipeline.documents import ref_of
from eventpulse.pipeline.marts import publish_mart
from eventpulse.pipeline.registry import publish_contract
from eventpulse.pipeline.replay import replay_ingestion, retract_ingestion
from eventpulse.pipeline.streams import Changes
from eventpulse.ports import NewEvent
from tests.functions.ports import interrupt
from tests.inline import InlineLane, inline_lane
from tests.lanes.sales import sales_contract, write_sales


@pytest.fixture
def lane(tmp_path: Path, postgres_url: str) -> Iterator[InlineLane]:
    with inline_lane(tmp_path, postgres_url) as lane:
        publish_contract(lane.platform, sales_contract("sales"), "sales")
        yield lane


def rows(lane: InlineLane, dataset: str = "sales") -> list[dict[str, object]]:
    found = lane.platform.warehouse.preview("curated", dataset, 100)
    return sorted(found, key=lambda row: str(row["id"]))


def test_a_replay_that_was_retracted_meanwhile_goes_with_it(lane: InlineLane) -> None:
    dropped = lane.drop("sales/a.csv", write_sales([(1, "a", 1, "2026-01-01")]))
    replay = replay_ingestion(lane.platform, dropped.id)
    retract_ingestion(lane.platform, dropped.id)
    lane.run()
    assert rows(lane) == []
    assert lane.ingestion(replay).state == "retracted"


def test_what_is_being_retracted_cannot_be_replayed(lane: InlineLane) -> None:
    dropped = lane.drop("sales/a.csv", write_sales([(1, "a", 1, "2026-01-01")]))
    retract_ingestion(lane.platform, dropped.id)
    with pytest.raises(RequestRefused) as refused:
        replay_ingestion(lane.platform, dropped.id)
    assert refused.value.code == "being_retracted"
    lane.run()
    assert rows(lane) == []


def test_a_retraction_of_what_was_replaced_meanwhile_passes_on(lane: InlineLane) -> None:
    dropped = lane.drop("sales/a.csv", write_sales([(1, "a", 1, "2026-01-01")]))
    replay = replay_ingestion(lane.platform, dropped.id)
    publish = lane.platform.warehouse.publish

    def retract_meanwhile(*arguments: object, **named: object) -> object:
        counts = publish(*arguments, **named)  # type: ignore[arg-type]
        lane.platform.warehouse.publish = publish  # type: ignore[method-assign]
        retract_ingestion(lane.platform, dropped.id)
        return counts

    lane.platform.warehouse.publish = retract_meanwhile  # type: ignore[method-assign,assignment]
    lane.run()
    assert rows(lane) == []
    assert lane.ingestion(replay).state == "retracted"


def test_an_attempt_thought_dead_cannot_bring_back_what_was_retracted(lane: InlineLane) -> None:
    publish = lane.platform.warehouse.publish
    held: list[Callable[[], object]] = []

    def stall_once(*arguments: object, **named: object) -> object:
        lane.platform.warehouse.publish = publish  # type: ignore[method-assign]
        held.append(lambda: publish(*arguments, **named))  # type: ignore[arg-type]
        raise BackendUnavailable("the warehouse", "answer", "it hangs")

    lane.platform.warehouse.publish = stall_once  # type: ignore[method-assign]
    stored = lane.put("sales/a.csv", write_sales([(1, "a", 1, "2026-01-01")]))
    dropped = lane.announce(stored)
    lane.run(tolerate=BackendUnavailable)
    assert lane.ingestion(dropped).state == "loaded"
    retract_ingestion(lane.platform, dropped)
    lane.run()
    assert rows(lane) == []
    with pytest.raises(PublishOvertaken):
        held[0]()
    assert rows(lane) == []


def test_the_replay_asked_for_last_stands_whichever_loads_first(lane: InlineLane) -> None:
    bad = [(1, "a", 500, "2026-01-01"), (2, "b", 500, "2026-01-01")]
    dropped = lane.drop("sales/a.csv", write_sales(bad))
    first = replay_ingestion(lane.platform, dropped.id)
    publish_contract(
        lane.platform, sales_contract("sales", version="2.0.0", maximum="100", invalid=100), "v2"
    )
    second = replay_ingestion(lane.platform, dropped.id)
    late = [task for task in lane.tasks.waiting() if task.body.get("ingestion") == first]
    for task in late:
        lane.tasks.finish(task.name)
    lane.run()
    for task in late:
        lane.deliver(task)
    lane.run()
    assert lane.ingestion(second).state == "loaded"
    assert lane.ingestion(first).state == "duplicate"
    assert rows(lane) == []


def test_two_files_that_bring_the_same_new_column_both_keep_its_values(lane: InlineLane) -> None:
    publish_contract(lane.platform, sales_contract("evolving", added="evolve"), "evolving")
    header = b"id,name,amount,changed,colour\n"
    stored = [
        lane.put("evolving/a.csv", header + b"1,a,1,,red\n"),
        lane.put("evolving/b.csv", header + b"2,b,2,,blue\n"),
    ]
    for each in stored:
        lane.announce(each)
    lane.run()
    assert [row["colour"] for row in rows(lane, "evolving")] == ["red", "blue"]


def test_a_file_that_was_read_before_another_brought_its_column_is_known_under_that_schema(
    lane: InlineLane,
) -> None:
    publish_contract(lane.platform, sales_contract("evolving", added="evolve"), "evolving")
    header = b"id,name,amount,changed,colour\n"
    first = lane.announce(lane.put("evolving/a.csv", header + b"1,a,1,,red\n"))
    late = lane.announce(lane.put("evolving/b.csv", header + b"2,b,2,,blue\n"))
    (read,) = [task for task in lane.tasks.waiting() if task.body["ingestion"] == late]
    lane.deliver(read)
    lane.tasks.finish(read.name)
    (judged,) = [task for task in lane.tasks.waiting() if task.body["ingestion"] == late]
    lane.tasks.finish(judged.name)  # delivered when the other file is loaded
    lane.run()
    assert lane.ingestion(first).state == "loaded"
    lane.deliver(judged)
    lane.run()
    assert [row["colour"] for row in rows(lane, "evolving")] == ["red", "blue"]
    assert lane.ingestion(late).schema_version == 1
    assert lane.verify("evolving")


def test_recomputing_under_an_older_contract_keeps_newer_columns(lane: InlineLane) -> None:
    old = lane.drop("sales/old.csv", write_sales([(1, "a", 1, "2026-02-01")]))
    newer = sales_contract("sales", version="2.0.0") + (
        "      - name: colour\n        logicalType: string\n"
    )
    publish_contract(lane.platform, newer, "v2")
    lane.drop("sales/new.csv", b"id,name,amount,changed,colour\n1,a,2,2026-01-01,red\n")
    assert rows(lane)[0]["colour"] is None
    retract_ingestion(lane.platform, old.id)
    lane.run()
    assert rows(lane)[0]["colour"] == "red"


def test_more_ingestions_than_fit_one_commit_are_loaded_in_several_groups(
    lane: InlineLane,
) -> None:
    count = MOST_MEMBERS + 5
    for number in range(count):
        lane.announce(lane.put(f"sales/{number}.csv", write_sales([(number, "a", 1, "")])))
    lane.run()
    assert len(rows(lane)) == count
    head = lane.platform.log.head("dataset/sales")
    assert head.projection["loads"] == 2
    assert head.projection["open_group"] is None


def test_a_full_group_of_replays_and_copies_closes_in_one_commit(lane: InlineLane) -> None:
    ids = []
    for number in range(MOST_MEMBERS):
        text = write_sales([(number, "a", 1, "")])
        ids.append(lane.announce(lane.put(f"sales/{number}.csv", text)))
        lane.announce(lane.put(f"copies/../sales/{number}.csv", text))
        lane.announce(lane.put(f"sales/copy-{number}.csv", text))
    lane.run()
    replays = [replay_ingestion(lane.platform, each) for each in ids]
    lane.run()
    assert {lane.ingestion(each).state for each in replays} == {"loaded"}
    for each in replays:
        retract_ingestion(lane.platform, each)
    lane.run()
    assert {lane.ingestion(each).state for each in replays} == {"retracted"}


def test_a_group_of_very_wide_files_closes_in_one_commit(lane: InlineLane) -> None:
    """What a file brought stands in its projection, which closing the group writes again."""
    ids = [
        lane.announce(lane.put(f"sales/{n}.csv", write_sales([(n, "a", 1, "")]))) for n in range(12)
    ]
    lane.run_until("load")
    for each in ids:
        changes = Changes(lane.platform)
        changes.add(f"ingestion/{each}", NewEvent("accepted", {"detail": "x" * 900_000}))
        assert changes.commit()
    lane.run()
    assert {lane.ingestion(each).state for each in ids} == {"loaded"}
    assert len(rows(lane)) == 12
    assert lane.platform.log.head("dataset/sales").projection["loads"] == 3
    replays = [replay_ingestion(lane.platform, each) for each in ids]
    lane.run()
    assert {lane.ingestion(each).state for each in replays} == {"loaded"}


def test_a_build_of_a_mart_that_outlives_its_function_does_not_replace_a_newer_one(
    lane: InlineLane,
) -> None:
    warehouse = lane.platform.warehouse
    build, belated = warehouse.replace_table, list[Callable[[], object]]()

    def lose_the_first(*given, **named):  # type: ignore[no-untyped-def]
        if belated:
            return build(*given, **named)
        belated.append(lambda: build(*given, **named))
        raise BackendUnavailable("warehouse", "build", "its answer is lost")

    warehouse.replace_table = lose_the_first  # type: ignore[method-assign]
    publish_mart(
        lane.platform, "sums", "-- materialize: table\nSELECT COUNT(*) AS n FROM curated.sales"
    )
    lane.announce(lane.put("sales/a.csv", write_sales([(1, "a", 1, "")])))
    lane.run(tolerate=TransientError)
    assert warehouse.preview("marts", "sums", 9) == [{"n": 1}]
    with pytest.raises(BuildOvertaken):
        belated[0]()
    lane.drop("sales/b.csv", write_sales([(2, "b", 1, "")]))
    assert warehouse.preview("marts", "sums", 9) == [{"n": 2}]


def test_a_fault_after_publishing_ends_in_loaded_not_in_failed(lane: InlineLane) -> None:
    commits = lane.platform.log.commit
    refused = 0

    def fail_to_close(appends, *arguments, **named):  # type: ignore[no-untyped-def]
        nonlocal refused
        closing = any(e.type in ("closed", "published") for a in appends for e in a.events)
        if closing and refused < lane.platform.settings.max_attempts + 2:
            refused += 1
            raise BackendUnavailable("log", "commit", "made to fail")
        return commits(appends, *arguments, **named)

    lane.platform.log.commit = fail_to_close  # type: ignore[method-assign]
    ingestion = lane.announce(lane.put("sales/a.csv", write_sales([(1, "a", 1, "")])))
    lane.run(tolerate=TransientError)
    assert refused == lane.platform.settings.max_attempts + 2
    assert lane.ingestion(ingestion).state == "loaded"
    assert len(rows(lane)) == 1


def test_rows_that_a_group_loaded_before_it_was_given_up_do_not_count_twice(
    lane: InlineLane,
) -> None:
    files = [write_sales([(n, "a", n, "2026-01-01")]) for n in range(3)]
    ids = [lane.announce(lane.put(f"sales/{n}.csv", text)) for n, text in enumerate(files)]
    outage = BackendUnavailable("the warehouse", "publish", "it is away for long")
    interrupt(lane.platform, "warehouse", "publish", outage, lane.platform.settings.max_attempts)
    lane.run(tolerate=BackendUnavailable)
    assert [lane.ingestion(each).state for each in ids] == ["loaded"] * 3
    assert len(rows(lane)) == lane.platform.warehouse.count_rows("history", "rows_sales") == 3


def test_copies_under_another_name_keep_the_order_of_uploads(lane: InlineLane) -> None:
    a, b = write_sales([(1, "a", 1, "")]), write_sales([(1, "b", 2, "")])
    for dataset, order in (("inorder", (0, 1, 2)), ("late", (0, 2, 1)), ("first", (2, 1, 0))):
        publish_contract(lane.platform, sales_contract(dataset), dataset)
        puts = [
            lane.put(f"{dataset}/p.csv", a),
            lane.put(f"{dataset}/p.csv", b),
            lane.put(f"{dataset}/q.csv", a),
        ]
        for index in order:
            lane.announce(puts[index])
            lane.run()
        assert [row["name"] for row in rows(lane, dataset)] == ["a"], dataset


def test_a_file_without_a_header_is_unreadable_and_its_first_row_stays_private(
    lane: InlineLane,
) -> None:
    dropped = lane.drop("sales/bare.csv", b"1,Jane Roe,5,2026-01-01\n2,John Doe,6,2026-01-01\n")
    assert (dropped.state, dropped.reason) == ("rejected", "unreadable")
    assert dropped.detail is not None
    assert "none of the contract's columns is in row 1, read with" in dropped.detail
    for document in (dropped.quality, dropped.drift, dropped.lineage):
        assert document is not None
        with lane.platform.objects.open(ref_of("reports", document)) as stream:
            assert b"Jane" not in stream.read()
