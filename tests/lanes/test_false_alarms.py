"""What other tools take for drift and is none: each under a policy that freezes every change."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import openpyxl
import pytest

from eventpulse.drift.verdict import DriftVerdict
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.odcs import read_contract
from eventpulse.pipeline.documents import read_json
from eventpulse.pipeline.proposals import accept_proposal
from eventpulse.pipeline.registry import publish_contract
from tests.inline import InlineLane, inline_lane

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: test-shops
version: 1.0.0
status: active
schema:
  - name: shops
    customProperties:
      - property: driftPolicy
        value: fail
      - property: nullMarkers
        value: ["", "NA"]
    properties:
      - name: id
        logicalType: integer
        primaryKey: true
        required: true
      - name: staff
        logicalType: integer
      - name: rating
        logicalType: number
      - name: zip
        logicalType: string
      - name: opened
        logicalType: date
      - name: active
        logicalType: boolean
"""

BEFORE = """\
id,staff,rating,zip,opened,active
1,5,5,00501,2024-01-31,true
2,6,4,10001,2024-02-29,false
"""

SILENT = {
    "an integer column gains one null": BEFORE.replace("1,5,5", "3,,5").replace("2,6", "4,6"),
    "an integer column gains one marked null": BEFORE.replace("1,5,5", "3,NA,5"),
    "a column goes empty": "id,staff,rating,zip,opened,active\n3,,,,,\n4,,,,,\n",
    "a column goes all markers": "id,staff,rating,zip,opened,active\n3,NA,NA,NA,NA,NA\n",
    "5 then 3.7": BEFORE.replace("5,00501", "3.7,00501"),
    "3.7 then 5": BEFORE.replace("4,10001", "4.25,10001"),
    "columns in another order": "zip,active,id,opened,rating,staff\n00501,true,3,2024-01-31,5,5\n",
    "a byte order mark": "\ufeff" + BEFORE,
    "white space around headers": BEFORE.replace("staff,", " staff ,"),
    "white space around numbers": BEFORE.replace("1,5,5", "3, 5,5 "),
    "codes that are all numbers": BEFORE.replace("00501", "90210"),
    "codes that hold letters": BEFORE.replace("00501", "EC1A 1BB"),
    "another case of true": BEFORE.replace("true", "TRUE").replace("false", "False"),
    "quoted numbers": BEFORE.replace("1,5,5", '3,"5","5"'),
    "CRLF": BEFORE.replace("\n", "\r\n"),
    "one row": "id,staff,rating,zip,opened,active\n3,5,5,00501,2024-01-31,true\n",
    "no row": "id,staff,rating,zip,opened,active\n",
}


@pytest.fixture
def lane(tmp_path: Path, postgres_url: str) -> Iterator[InlineLane]:
    with inline_lane(tmp_path, postgres_url) as lane:
        publish_contract(lane.platform, CONTRACT, "shops")
        yield lane


def verdict_of(lane: InlineLane, ingestion: Ingestion) -> DriftVerdict:
    assert ingestion.drift is not None, ingestion.detail
    return DriftVerdict.model_validate(read_json(lane.platform, "reports", ingestion.drift))


def test_what_is_no_drift_is_silent(lane: InlineLane) -> None:
    assert lane.drop("shops/before.csv", BEFORE.encode()).state == "loaded"
    found = {}
    for number, (why, text) in enumerate(SILENT.items()):
        after = lane.drop(f"shops/{number}.csv", text.encode())
        verdict = verdict_of(lane, after)
        found[why] = (after.state, verdict.outcome, verdict.changes, after.proposal)
    assert found == dict.fromkeys(SILENT, ("loaded", "accepted", [], None))


LINES = {
    "every key": b'{"id": 1, "staff": 5, "rating": 5.5, "zip": "00501", "active": true}\n',
    "keys that no line has": b'{"id": 2}\n{"id": 3, "zip": "10001"}\n',
    "keys that come back": b'{"id": 4, "rating": 1}\n',
    "keys of null": b'{"id": 5, "staff": null, "zip": null}\n',
}


def test_lines_that_leave_out_what_is_null_have_lost_no_column(lane: InlineLane) -> None:
    """JSON lines have no header: a key that is nowhere is a column without values."""
    found = {}
    for number, (why, lines) in enumerate(LINES.items()):
        after = lane.drop(f"shops/{number}.ndjson", lines)
        found[why] = (after.state, verdict_of(lane, after).changes, after.proposal)
    assert found == dict.fromkeys(LINES, ("loaded", [], None))
    without = lane.drop("shops/without.ndjson", b'{"staff": 5}\n')
    assert (without.state, without.reason) == ("rejected", "drift")
    (gone,) = verdict_of(lane, without).changes
    assert (gone.kind, gone.column) == ("removed", "id")


def write_workbook(*rows: list[object]) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize("declared", [[], ["%d.%m.%Y"]], ids=["ISO", "declared"])
def test_the_same_date_in_csv_and_in_a_workbook_is_one_date(
    lane: InlineLane, declared: list[str]
) -> None:
    text = CONTRACT.replace("shops", "dated")
    if declared:
        text = text.replace(
            "logicalType: date",
            "logicalType: date\n        customProperties:\n"
            f"          - property: dateFormats\n            value: {declared}",
        )
    publish_contract(lane.platform, text, "dated")
    day = date(2024, 1, 31)
    written = day.strftime(declared[0]) if declared else day.isoformat()
    before = BEFORE.replace("2024-01-31", written).replace("2024-02-29", written)
    assert lane.drop("dated/before.csv", before.encode()).state == "loaded"
    header = list(BEFORE.split("\n", 1)[0].split(","))
    book = write_workbook(header, [3, 5, 5.0, "00501", day, True], [4, 6, 4, "10001", day, False])
    after = lane.drop("dated/after.xlsx", book)
    assert (after.state, verdict_of(lane, after).changes) == ("loaded", []), after.detail
    found = lane.platform.warehouse.preview("curated", "dated", 10)
    assert {each["opened"] for each in found} == {"2024-01-31"}
    assert len(found) == 4


def test_what_the_baseline_was_made_of_does_not_matter(lane: InlineLane) -> None:
    """A first file of which a column was empty is no promise that it stays so."""
    empty = "id,staff,rating,zip,opened,active\n1,,,,,\n"
    assert lane.drop("shops/before.csv", empty.encode()).state == "loaded"
    after = lane.drop("shops/after.csv", BEFORE.encode())
    assert (after.state, verdict_of(lane, after).changes) == ("loaded", [])


def test_a_drafted_contract_is_as_silent(lane: InlineLane) -> None:
    first = lane.drop("towns/a.csv", b"id,n,at\n1,5,2024-01-31\n2,3.7,2024-02-29\n")
    assert first.proposal is not None
    text = accept_proposal(lane.platform, first.proposal).text
    lane.run()
    kinds = {each.name: each.type for each in read_contract(text, "draft").fields}
    assert kinds == {"id": "integer", "n": "number", "at": "date"}
    for number, row in enumerate(("3,7,2024-03-01", "4,,", "5,1e3,2024-12-31")):
        after = lane.drop(f"towns/{number}.csv", f"id,n,at\n{row}\n".encode())
        assert (after.state, verdict_of(lane, after).changes) == ("loaded", []), row
