"""Every drift mode for every kind of change, through the real steps: what becomes of the file, of
its rows, of the table and of the accepted schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from eventpulse.contracts.contract import DRIFT_KINDS, DRIFT_MODES, DriftKind, DriftMode
from eventpulse.drift.accepted_schema import AcceptedSchema
from eventpulse.drift.verdict import DriftVerdict
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.ingestions.loading import DatasetState
from eventpulse.pipeline.documents import read_json
from eventpulse.pipeline.registry import publish_contract
from eventpulse.pipeline.validate import read_refused
from tests.inline import InlineLane, inline_lane

HEADER = "id,amount,day,note,label"
BEFORE = f"{HEADER}\n1,10,2026-01-01,first,a\n2,20,2026-01-02,second,b\n"


def goods_contract(version: str = "1.0.0", invalid: int = 70, **modes: str) -> str:
    policy = "".join(f"\n          {kind}: {mode}" for kind, mode in modes.items())
    return f"""
apiVersion: v3.1.0
kind: DataContract
id: test-goods
version: {version}
status: active
schema:
  - name: goods
    customProperties:
      - property: maxInvalidPercent
        value: {invalid}
      - property: driftPolicy
        value:{policy or " warn"}
    properties:
      - name: id
        logicalType: integer
        primaryKey: true
        primaryKeyPosition: 1
        required: true
      - name: amount
        logicalType: integer
      - name: day
        logicalType: date
      - name: note
        logicalType: string
      - name: label
        logicalType: string
        required: true
"""


@dataclass(frozen=True)
class Case:
    """A file after BEFORE, and what one mode makes of it. `rows` are the curated rows of the file
    (ids from 3), `refused` its quarantined ids; both empty for a rejected file."""

    kind: DriftKind
    mode: DriftMode
    file: str
    state: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    schema: dict[str, Any] = field(default_factory=dict)
    told: str = ""


def row(id_: int, **values: Any) -> dict[str, Any]:
    return {"id": id_, "amount": 1, "day": "2026-02-01", "note": "n", "label": "l", **values}


ADDED = f"{HEADER},Net price\n3,1,2026-02-01,n,l,9.50\n4,1,2026-02-01,n,l,\n"
REMOVED = "id,amount,day,label\n3,1,2026-02-01,l\n4,1,2026-02-01,l\n"
RENAMED = "id,amount,day,Note,label\n3,1,2026-02-01,first,l\n4,1,2026-02-01,,l\n"
RETYPED = f"{HEADER}\n3,1.5,2026-02-01,n,l\n4,2.5,2026-02-01,n,l\n5,1,2026-02-01,n,l\n"
EMPTIED = f"{HEADER}\n3,1,2026-02-01,n,\n4,1,2026-02-01,n,\n5,1,2026-02-01,n,l\n"
NO_NOTE = [row(3, note=None), row(4, note=None)]

CASES = [
    Case(
        "added",
        "evolve",
        ADDED,
        "loaded",
        [row(3, net_price="9.50"), row(4, net_price=None)],
        schema={"evolved": [("net_price", "Net price")]},
        told="a nullable text column 'net_price' is added to the table",
    ),
    Case("added", "freeze", ADDED, "rejected", told="does not know the column 'Net price'"),
    Case("added", "discard_row", ADDED, "loaded", [row(4)], ["3"], told="rows with a value in"),
    Case("added", "discard_value", ADDED, "loaded", [row(3), row(4)], told="are not loaded"),
    Case("removed", "evolve", REMOVED, "loaded", NO_NOTE, told="may stay away from now on"),
    Case("removed", "freeze", REMOVED, "rejected", told="the column 'note' is gone"),
    Case("removed", "discard_row", REMOVED, "rejected", told="refuses rows without it"),
    Case("removed", "discard_value", REMOVED, "loaded", NO_NOTE, told="'note' is read as empty"),
    Case(
        "renamed",
        "evolve",
        RENAMED,
        "loaded",
        [row(3, note="first"), row(4, note=None)],
        schema={"renamed": [("note", "Note")]},
        told="'note' is read from 'Note' from now on",
    ),
    Case("renamed", "freeze", RENAMED, "rejected", told="accept the rename, or send it as 'note'"),
    Case(
        "renamed",
        "discard_row",
        RENAMED,
        "loaded",
        [row(4, note=None)],
        ["3"],
        told="rows with a value in 'Note' are not loaded",
    ),
    Case(
        "renamed",
        "discard_value",
        RENAMED,
        "loaded",
        NO_NOTE,
        told="the values of 'Note' are not loaded, and 'note' is empty",
    ),
    Case(
        "retyped",
        "evolve",
        RETYPED,
        "loaded",
        [row(3, amount=1.5), row(4, amount=2.5), row(5, amount=1.0)],
        schema={"widened": [("amount", "number")]},
        told="the table's column becomes number",
    ),
    Case("retyped", "freeze", RETYPED, "rejected", told="the policy refuses that"),
    Case("retyped", "discard_row", RETYPED, "loaded", [row(5)], ["3", "4"], told="are refused"),
    Case(
        "retyped",
        "discard_value",
        RETYPED,
        "loaded",
        [row(3, amount=None), row(4, amount=None), row(5)],
        told="those values are dropped and their rows kept",
    ),
    Case(
        "nullability",
        "evolve",
        EMPTIED,
        "loaded",
        [row(3, label=None), row(4, label=None), row(5)],
        schema={"relaxed": ["label"]},
        told="it is optional from now on",
    ),
    Case("nullability", "freeze", EMPTIED, "rejected", told="the policy refuses that"),
    Case("nullability", "discard_row", EMPTIED, "loaded", [row(5)], ["3", "4"], told="are refused"),
    Case(
        "nullability",
        "discard_value",
        EMPTIED,
        "loaded",
        [row(3, label=None), row(4, label=None), row(5)],
        told="they are loaded without it",
    ),
]


@pytest.fixture
def lane(tmp_path: Path, postgres_url: str) -> Iterator[InlineLane]:
    with inline_lane(tmp_path, postgres_url) as lane:
        yield lane


def open_goods(lane: InlineLane, **modes: Any) -> Ingestion:
    publish_contract(lane.platform, goods_contract(**modes), "goods")
    before = lane.drop("goods/before.csv", BEFORE.encode())
    assert before.state == "loaded"
    return before


def rows_of(lane: InlineLane, ingestion: Ingestion) -> list[dict[str, Any]]:
    found = lane.platform.warehouse.preview("curated", "goods", 100)
    ours = [row for row in found if row["_ingestion_id"] == ingestion.id]
    bare = [{name: value for name, value in row.items() if name[0] != "_"} for row in ours]
    return sorted(bare, key=lambda row: row["id"])


def schema_of(lane: InlineLane) -> AcceptedSchema:
    head = lane.platform.log.head("dataset/goods")
    return DatasetState.model_validate(head.projection).table_schema


def verdict_of(lane: InlineLane, ingestion: Ingestion) -> DriftVerdict:
    assert ingestion.drift is not None
    return DriftVerdict.model_validate(read_json(lane.platform, "reports", ingestion.drift))


def refused_ids(lane: InlineLane, ingestion: Ingestion) -> list[str]:
    if ingestion.quarantine is None:
        return []
    return [each["row"]["id"] for each in read_refused(lane.platform, ingestion.quarantine)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind} {case.mode}")
def test_each_mode_acts_on_each_kind_of_change(lane: InlineLane, case: Case) -> None:
    open_goods(lane, **{case.kind: case.mode})
    baseline = schema_of(lane)
    after = lane.drop("goods/after.csv", case.file.encode())
    assert after.state == case.state, after.detail
    verdict = verdict_of(lane, after)
    [change] = verdict.changes
    assert (change.kind, change.mode) == (case.kind, case.mode)
    assert case.told in change.effect
    assert case.told in verdict.message
    assert change.seen
    assert verdict.patch, "the contract that would accept the file"
    if case.state == "rejected":
        assert after.reason == "drift"
        assert verdict.outcome == "rejected"
        assert schema_of(lane) == baseline, "a rejected file moves nothing"
        assert rows_of(lane, after) == []
        return
    assert verdict.outcome == ("evolved" if case.mode == "evolve" else "accepted")
    assert rows_of(lane, after) == case.rows
    assert refused_ids(lane, after) == case.refused
    schema = schema_of(lane)
    assert {
        "evolved": [(each.name, each.header) for each in schema.evolved],
        "widened": [(each.name, each.type) for each in schema.widened],
        "relaxed": [each.name for each in schema.relaxed],
        "renamed": [(each.name, each.header) for each in schema.renamed],
    } == {"evolved": [], "widened": [], "relaxed": [], "renamed": [], **case.schema}
    assert after.schema_version == schema.version
    assert lane.verify("goods"), "the table follows from raw objects"


def test_no_kind_and_no_mode_is_left_out() -> None:
    covered = {(case.kind, case.mode) for case in CASES}
    assert covered == {(kind, mode) for kind in DRIFT_KINDS for mode in DRIFT_MODES}


def test_a_header_that_decides_is_judged_before_any_row(lane: InlineLane) -> None:
    open_goods(lane, added="freeze")
    broken = f"{HEADER},extra\n".encode() + b'3,"never closed'
    after = lane.drop("goods/after.csv", broken)
    assert (after.state, after.reason, after.rows_read) == ("rejected", "drift", 0)
    assert after.quarantine is None


def test_the_changes_of_one_file_are_taken_over_together(lane: InlineLane) -> None:
    open_goods(lane, added="evolve", retyped="evolve", nullability="evolve")
    text = f"{HEADER},colour\n3,1.5,2026-02-01,n,,red\n4,2.5,2026-02-01,n,,blue\n"
    after = lane.drop("goods/after.csv", text.encode())
    assert after.state == "loaded"
    events = [event.type for event in lane.platform.log.read(after.stream)]
    assert events.count("returned") == 1
    assert [(each.kind, each.column) for each in verdict_of(lane, after).changes] == [
        ("added", "colour"),
        ("retyped", "amount"),
        ("nullability", "label"),
    ]
    assert rows_of(lane, after) == [
        row(3, amount=1.5, label=None, colour="red"),
        row(4, amount=2.5, label=None, colour="blue"),
    ]
    again = lane.drop("goods/again.csv", text.replace("\n3,", "\n5,").encode())
    assert verdict_of(lane, again).changes == [], "what was accepted is no news"


def test_a_file_that_fails_its_quality_takes_nothing_over(lane: InlineLane) -> None:
    open_goods(lane, added="evolve", retyped="evolve", invalid=10)
    baseline = schema_of(lane)
    bad = "".join(f"{n},1.5,2026-02-01,n,{'l' * (n > 4)},red\n" for n in range(3, 9))
    after = lane.drop("goods/after.csv", f"{HEADER},colour\n{bad}".encode())
    assert after.state == "rejected"
    assert schema_of(lane) == baseline
    good = lane.drop("goods/good.csv", f"{HEADER}\n3,1,2026-02-01,n,l\n".encode())
    assert rows_of(lane, good) == [row(3)]


def test_a_column_grows_from_date_to_timestamp_to_text(lane: InlineLane) -> None:
    before = open_goods(lane, retyped="evolve")
    moments = f"{HEADER}\n3,1,2026-02-01T08:00:00Z,n,l\n4,1,2026-02-01T09:30:00+01:00,n,l\n"
    mixed = moments + "5,1,2026-02-01,n,l\n"
    after = lane.drop("goods/moments.csv", mixed.encode())
    assert [each["day"] for each in rows_of(lane, after)] == [
        "2026-02-01T08:00:00.000000Z",
        "2026-02-01T08:30:00.000000Z",
        "2026-02-01T00:00:00.000000Z",
    ]
    words = f"{HEADER}\n6,1,soon,n,l\n7,1,later,n,l\n"
    last = lane.drop("goods/words.csv", words.encode())
    assert [each["day"] for each in rows_of(lane, last)] == ["soon", "later"]
    assert [each["day"] for each in rows_of(lane, before)] == [
        "2026-01-01T00:00:00.000000Z",
        "2026-01-02T00:00:00.000000Z",
    ]
    assert lane.verify("goods")


def test_rows_that_wait_while_a_column_grows_are_staged_again(lane: InlineLane) -> None:
    open_goods(lane, retyped="evolve")
    waiting = lane.announce(lane.put("goods/w.csv", f"{HEADER}\n8,007,2026-03-01,n,l\n".encode()))
    growing = lane.announce(lane.put("goods/g.csv", f"{HEADER}\n9,x,2026-03-01,n,l\n".encode()))
    held = None
    while True:
        due = [task for task in lane.tasks.waiting() if task.function != "load"]
        if not due:
            break
        for task in due:
            lane.deliver(task)
            lane.tasks.finish(task.name)
        held = lane.ingestion(waiting)
    assert held is not None
    assert held.state == lane.ingestion(growing).state == "accepted"
    lane.run()
    assert rows_of(lane, lane.ingestion(waiting)) == [row(8, amount="007", day="2026-03-01")]
    assert rows_of(lane, lane.ingestion(growing)) == [row(9, amount="x", day="2026-03-01")]
    assert lane.verify("goods")


def test_a_view_on_a_column_that_grows_is_made_again(lane: InlineLane) -> None:
    open_goods(lane, retyped="evolve")
    lane.platform.warehouse.replace_view("notes", "SELECT id, amount FROM curated.goods")
    lane.platform.warehouse.replace_view("sums", "SELECT SUM(amount) AS s FROM curated.goods")
    lane.drop("goods/after.csv", f"{HEADER}\n3,many,2026-02-01,n,l\n".encode())
    found = lane.platform.warehouse.preview("marts", "notes", 10)
    assert sorted(str(each["amount"]) for each in found) == ["10", "20", "many"]
    assert lane.platform.warehouse.preview("marts", "sums", 10) == [], "it cannot add up text"


def test_the_breaker_says_what_drift_refused(lane: InlineLane) -> None:
    open_goods(lane, retyped="discard_row", invalid=5)
    after = lane.drop("goods/after.csv", RETYPED.encode())
    assert (after.state, after.reason) == ("rejected", "quality")
    assert after.detail is not None
    assert after.detail.startswith("most of 'amount' reads as number, not integer; those rows")
