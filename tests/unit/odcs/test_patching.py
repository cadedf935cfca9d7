"""Patches of contracts as text: only what changes changes, and the result is a contract."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest

from eventpulse.contracts.compatibility import raise_version
from eventpulse.drift.proposals import describe_patch, has_patch
from eventpulse.odcs import read_contract
from eventpulse.odcs.patching import patch_contract, set_status

CONTRACTS = sorted((Path(__file__).parents[3] / "contracts").glob("*.odcs.yaml"))

TEXT = """\
# Whose it is: the shop.
apiVersion: v3.1.0
kind: DataContract
id: shops   # never changes
version: 1.0.0
status: active
schema:
  - name: shops
    customProperties:
      - property: nullMarkers
        value: ["", 'NA']
    properties:
      # The key.
      - name: id
        logicalType: integer
        primaryKey: true
        required: true
      - name: size
        logicalType: integer
        physicalType: BIGINT
        required: true   # for now
        enum:
          - value: 1
            label: small
          - value: 2
      - name: amount
        logicalType: integer
        logicalTypeOptions:
          minimum: 0
          format: i32
      # When it opened.
      - name: opened
        physicalName: Opened on
        logicalType: date
        logicalTypeOptions:
          minimum: "1990-01-01"
        customProperties:
          - property: dateFormats
            value: ["%d.%m.%Y"]
      - name: town
        logicalType: string
        customProperties:
          - property: aliases
            value: [Place]
"""


def replaced(name: str, **parts: Any) -> dict[str, Any]:
    return {"op": "replace", "property": {"name": name, **parts}}


def added(name: str, header: str) -> dict[str, Any]:
    declared = {"name": name, "physicalName": header, "logicalType": "string"}
    return {"op": "add", "property": declared}


def changed_lines(old: str, new: str) -> list[str]:
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm=""))[2:]
    return [line for line in lines if not line.startswith("@@")]


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.name)
def test_a_patch_that_does_nothing_changes_the_version_alone(path: Path) -> None:
    text = path.read_text()
    version = read_contract(text, path.name).version
    assert patch_contract(text, [], version) == text
    after = patch_contract(text, [], raise_version(version, "patch"))
    assert len(changed_lines(text, after)) == 2


CASES: list[tuple[dict[str, Any], list[str]]] = [
    (
        added("colour", "Colour"),
        ["+      - name: colour", "+        physicalName: Colour", "+        logicalType: string"],
    ),
    (
        added("net", "Net\nprice"),
        [
            "+      - name: net",
            '+        physicalName: "Net\\nprice"',
            "+        logicalType: string",
        ],
    ),
    (
        replaced("town", aliases=["Twin\nCity"]),
        ["-            value: [Place]", '+            value: [Place, "Twin\\nCity"]'],
    ),
    (
        replaced("town", aliases=["City"]),
        ["-            value: [Place]", "+            value: [Place, City]"],
    ),
    (
        replaced("id", aliases=["Number"]),
        [
            "+        customProperties:",
            "+          - property: aliases",
            "+            value:",
            "+              - Number",
        ],
    ),
    (
        replaced("size", required=False),
        ["-        required: true   # for now", "+        required: false  # for now"],
    ),
    (
        replaced("amount", logicalType="number"),
        [
            "-        logicalType: integer",
            "+        logicalType: number",
            "-          format: i32",
        ],
    ),
    (
        replaced("opened", logicalType="timestamp"),
        [
            "-        logicalType: date",
            "+        logicalType: timestamp",
            '-          minimum: "1990-01-01"',
            '+          minimum: "1990-01-01T00:00:00Z"',
            "-        customProperties:",
            "-          - property: dateFormats",
            '-            value: ["%d.%m.%Y"]',
        ],
    ),
]


@pytest.mark.parametrize(("operation", "lines"), CASES, ids=lambda case: str(case)[:60])
def test_an_operation_changes_its_own_lines(operation: dict[str, Any], lines: list[str]) -> None:
    after = patch_contract(TEXT, [operation], "2.0.0")
    found = changed_lines(TEXT, after)
    assert found[:2] == ["-version: 1.0.0", "+version: 2.0.0"]
    assert sorted(found[2:]) == sorted(lines)
    assert has_patch(read_contract(after, "patched"), [operation])
    assert not has_patch(read_contract(TEXT, "before"), [operation])
    assert patch_contract(after, [operation], "2.0.0") == after, "again changes nothing"


@pytest.mark.parametrize("name", ["size", "amount", "opened", "id"])
def test_whatever_becomes_text_loses_what_text_cannot_have(name: str) -> None:
    after = patch_contract(TEXT, [replaced(name, logicalType="string")], "2.0.0")
    field = next(f for f in read_contract(after, "patched").fields if f.name == name)
    assert (field.type, field.formats, field.options.minimum) == ("string", (), None)
    if name == "size":
        assert field.options.enum == ("1", "2")


def test_a_column_is_removed_with_what_belongs_to_it() -> None:
    operation = {"op": "remove", "property": {"name": "amount"}}
    after = patch_contract(TEXT, [operation], "2.0.0")
    assert "amount" not in after
    assert "# The key." in after
    assert "# When it opened." in after
    assert has_patch(read_contract(after, "patched"), [operation])
    assert patch_contract(after, [operation], "2.0.0") == after


def test_comments_and_quotes_stay() -> None:
    after = patch_contract(TEXT, [added("colour", "Colour")], "1.1.0")
    for kept in ("# Whose it is: the shop.", "# never changes", "# The key.", "# When it opened."):
        assert kept in after
    assert """["", 'NA']""" in after


def test_what_is_not_there_cannot_be_changed() -> None:
    with pytest.raises(KeyError):
        patch_contract(TEXT, [replaced("gone", required=False)], "2.0.0")


def test_a_draft_becomes_active() -> None:
    draft = TEXT.replace("status: active", "status: draft")
    assert set_status(draft, "active") == TEXT


def test_a_patch_is_told_in_words() -> None:
    patch = [
        added("colour", "Colour"),
        {"op": "remove", "property": {"name": "amount"}},
        replaced("town", aliases=["City"]),
        replaced("size", logicalType="number"),
        replaced("size", required=False),
    ]
    assert describe_patch(patch) == (
        "add the column colour (string, header 'Colour'); remove the column amount; "
        "read town from the header 'City' too; change the type of size to number; "
        "make size optional"
    )
