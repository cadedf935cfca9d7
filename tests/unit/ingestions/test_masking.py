"""What may be shown of a quarantined row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from eventpulse.contracts.contract import Contract, Field
from eventpulse.ingestions.masking import mask_record

SECRET = "Ada Lovelace"
CONTRACT = Contract(
    dataset="people",
    version="1.0.0",
    sha256="",
    fields=(
        Field("number", "integer", classification="internal"),
        Field("name", header="Full name", aliases=("who",), classification="personal"),
        Field("born", "date", classification="restricted"),
    ),
)
OPEN = Contract("people", "1.0.0", "", (Field("number", "integer"),))


def record(row: Mapping[str, str | None], *failures: tuple[str, str, str | None, str]) -> Any:
    names = ("column", "rule", "value", "message")
    return {
        "record": 7,
        "row": row,
        "failures": [dict(zip(names, each, strict=True)) for each in failures],
    }


def test_a_contract_that_classifies_nothing_shows_everything() -> None:
    whole = record({"x": SECRET}, ("number", "logicalType", SECRET, "wrong"))

    assert mask_record(OPEN, whole) == whole


def test_classified_cells_are_masked_under_every_name_of_their_column() -> None:
    row = {"number": "1", "Full name": SECRET, "who": SECRET, "born": "1815-12-10"}

    shown = mask_record(CONTRACT, record(row))["row"]

    assert shown == {"number": "1", "Full name": "•••", "who": "•••", "born": "•••"}


def test_an_empty_cell_stays_empty() -> None:
    assert mask_record(CONTRACT, record({"who": None}))["row"] == {"who": None}


def test_columns_that_the_contract_does_not_know_may_hold_anything() -> None:
    assert mask_record(CONTRACT, record({"surname": SECRET}))["row"] == {"surname": "•••"}


def test_a_row_that_could_not_be_split_may_hold_anything() -> None:
    malformed = record({"": f"1,{SECRET}"}, ("", "malformed", None, "2 cells instead of 3."))

    shown = mask_record(CONTRACT, malformed)

    assert shown["row"] == {"": "•••"}
    assert shown["failures"][0]["message"] == "2 cells instead of 3."


def test_messages_do_not_tell_what_values_hide() -> None:
    failures = [
        ("born", "logicalType", SECRET, f"born='{SECRET}' is not a date."),
        ("name", "required", None, "name is empty and must have a value."),
        ("name", "unique", None, f"name={SECRET} stands in an earlier row of this file."),
        ("number+name", "primaryKey", None, f"number=1, name={SECRET} stands in an earlier row."),
        ("number", "minimum", "-1", "number='-1' is less than the minimum 0."),
    ]

    shown = mask_record(CONTRACT, record({}, *failures))["failures"]

    assert SECRET not in json.dumps(shown)
    assert [each["value"] for each in shown] == ["•••", None, None, None, "-1"]
    assert shown[0]["message"] == "born='•••' is not a date (for example 2026-01-31)."
    assert shown[3]["message"].startswith("number and name: the same key stands in an earlier row")
    assert shown[4]["message"] == "number='-1' is less than the minimum 0."
