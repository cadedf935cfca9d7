"""The contracts' reference: each dialect property's own example reads a file that needs it."""

from __future__ import annotations

import io
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.alias_generators import to_camel

from eventpulse.contracts.contract import Dialect
from eventpulse.drift.verdict import match_header
from eventpulse.errors import FileUnreadable
from eventpulse.formats import open_reader
from eventpulse.odcs import read_contract
from eventpulse.odcs.custom import SCHEMA_PROPERTIES
from eventpulse.rows.validation import RowChecker
from tests.unit.formats.workbooks import write_workbook

GUIDE = (Path(__file__).parents[3] / "contracts" / "README.md").read_text("utf-8")
SNIFFED = {"format", "delimiter"}
"""What is found without a word of the contract, by the file's name and by the fields' names."""

FIELDS: list[dict[str, Any]] = [
    {"name": "name", "logicalType": "string"},
    {"name": "price", "logicalType": "number"},
]


def example_of(heading: str) -> Any:
    section = GUIDE.split(f"{heading}\n", 1)[1]
    [example] = yaml.safe_load(section.split("```yaml\n", 1)[1].split("```", 1)[0])
    return example


def read_rows(
    name: str, data: bytes, custom: list[Any], properties: list[Any] | None = None
) -> list[dict[str, Any]]:
    """The typed rows of a file under a contract with these custom properties."""
    document = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "reference",
        "version": "1.0.0",
        "status": "active",
        "schema": [
            {"name": "sales", "properties": properties or FIELDS, "customProperties": custom}
        ],
    }
    contract = read_contract(yaml.safe_dump(document), "reference")
    reader = open_reader(io.BytesIO(data), name, contract.dialect, contract.fields)
    positions = match_header(contract, reader.header).positions
    checker = RowChecker(contract, reader.header, positions)
    return [row for batch in reader for row in checker.check(batch).rows.to_pylist()]


def add_sheet(book: Any) -> None:
    sheet = book.create_sheet("Sales 2024")
    for row in (["name", "price"], ["pencil", 1.5]):
        sheet.append(row)


PENCIL = [{"name": "pencil", "price": 1.5}]
FILES: dict[str, tuple[str, bytes, list[dict[str, Any]]]] = {
    "format": ("export", b"name,price\npencil,1.5\n", PENCIL),
    "delimiter": ("a.csv", b"name;price;a,b,c\npencil;1.5;x\n", PENCIL),
    "quote": ("a.csv", b"name,price\n'pen,cil',1.5\n", [{"name": "pen,cil", "price": 1.5}]),
    "escape": (
        "a.csv",
        b'name,price\n"a \\"B\\" pencil",1.5\n',
        [{"name": 'a "B" pencil', "price": 1.5}],
    ),
    "encoding": (
        "a.csv",
        "name,price\n„pencil“,1.5\n".encode("cp1252"),
        [{"name": "„pencil“", "price": 1.5}],
    ),
    "nullMarkers": (
        "a.csv",
        b"name,price\npencil,-\nNA,1.5\n,\n",
        [
            {"name": "pencil", "price": None},
            {"name": None, "price": 1.5},
            {"name": None, "price": None},
        ],
    ),
    "decimalMark": ("a.csv", b'name,price\npencil,"1,5"\n', PENCIL),
    "headerRow": ("a.csv", b"price,name\nof,May\nname,price\npencil,1.5\n", PENCIL),
    "comment": ("a.csv", b"#name,price\nname,price\n# dear,9\npencil,1.5\n", PENCIL),
    "sheet": (
        "a.xlsx",
        write_workbook([["name", "price"], ["wrong", 9]], add_sheet),
        PENCIL,
    ),
}


def test_every_dialect_property_has_a_file() -> None:
    assert sorted(FILES) == sorted(to_camel(each.name) for each in fields(Dialect))
    assert set(FILES) <= set(SCHEMA_PROPERTIES)


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_example_of_a_dialect_property_reads_a_file_that_needs_it(name: str) -> None:
    file, data, expected = FILES[name]
    assert read_rows(file, data, [example_of(f"### `{name}`")]) == expected


@pytest.mark.parametrize("name", sorted(set(FILES) - SNIFFED))
def test_the_same_file_reads_otherwise_without_it(name: str) -> None:
    file, data, expected = FILES[name]
    try:
        found = read_rows(file, data, [])
    except FileUnreadable:
        return
    assert found != expected


def test_the_example_of_a_nested_value_is_read() -> None:
    data = b'{"name": "pencil", "position": {"lat": 47.5, "lon": 8}}'
    field = example_of("## How files are read")
    assert read_rows("a.ndjson", data, [], [FIELDS[0], field]) == [
        {"name": "pencil", "latitude": 47.5}
    ]
