"""One table in every format: the same rows come out, typed alike, refused alike."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import Contract, Dialect, Field, FieldOptions
from eventpulse.drift.verdict import match_header
from eventpulse.formats import open_reader
from eventpulse.rows.validation import RowChecker
from tests.properties import examples
from tests.unit.formats.workbooks import share_texts, write_workbook

Row = Mapping[str, Any]

MOMENT = "%d.%m.%Y %H:%M:%S"
FIELDS = (
    Field("id", "integer", key_position=1),
    Field("zip", "string"),
    Field("share", "number", options=FieldOptions(maximum="1000000")),
    Field("price", "number", precision=12, scale=2),
    Field("sold", "date", formats=("%d.%m.%Y",)),
    Field("seen", "timestamp", formats=(MOMENT,)),
    Field("open", "boolean"),
)
TYPES = pa.schema(
    [
        ("id", pa.int64()),
        ("zip", pa.string()),
        ("share", pa.float64()),
        ("price", pa.decimal128(12, 2)),
        ("sold", pa.date32()),
        ("seen", pa.timestamp("s", "UTC")),
        ("open", pa.bool_()),
    ]
)


def contract_with(mark: str) -> Contract:
    fields = tuple(
        Field(**{**{k: getattr(f, k) for k in Field.__slots__}, "decimal_mark": mark})
        if f.type == "number"
        else f
        for f in FIELDS
    )
    return Contract("sales", "1.0.0", "", fields, dialect=Dialect(decimal_mark=mark))


def as_text(value: Any, mark: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}".replace(".", mark)
    if isinstance(value, Decimal):
        return str(value).replace(".", mark)
    if isinstance(value, datetime):
        return value.strftime(MOMENT)
    return value.strftime("%d.%m.%Y") if isinstance(value, date) else str(value)


def write_csv(rows: list[Row], mark: str, encoding: str, delimiter: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(TYPES.names)
    writer.writerows([[as_text(row[name], mark) for name in TYPES.names] for row in rows])
    return out.getvalue().encode(encoding)


def write_xlsx(rows: list[Row]) -> bytes:
    def cell(value: Any) -> Any:
        return value.replace(tzinfo=None) if isinstance(value, datetime) else value

    return write_workbook(
        [TYPES.names, *([cell(row[name]) for name in TYPES.names] for row in rows)]
    )


def write_ndjson(rows: list[Row]) -> bytes:
    def value(each: Any) -> Any:
        return float(each) if isinstance(each, Decimal) else each

    def other(each: Any) -> str:
        return as_text(each, ".")

    lines = ({name: value(each) for name, each in row.items()} for row in rows)
    return "\n".join(json.dumps(line, default=other) for line in lines).encode()


def write_parquet(rows: list[Row]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], TYPES), out, row_group_size=7)
    return out.getvalue()


WRITERS: Mapping[str, Callable[[list[Row], str], bytes]] = {
    "a.csv": lambda rows, mark: write_csv(rows, mark, "utf-8", ","),
    "b.csv": lambda rows, mark: write_csv(rows, mark, "utf-16", ";"),
    "c.csv.gz": lambda rows, mark: gzip.compress(write_csv(rows, mark, "utf-8-sig", "\t")),
    "d.xlsx": lambda rows, mark: write_xlsx(rows),
    "e.xlsx": lambda rows, mark: share_texts(write_xlsx(rows)),
    "f.ndjson": lambda rows, mark: write_ndjson(rows),
    "g.ndjson.gz": lambda rows, mark: gzip.compress(write_ndjson(rows)),
    "h.parquet": lambda rows, mark: write_parquet(rows),
}


def read(name: str, data: bytes, contract: Contract) -> tuple[list[Row], list[Any]]:
    """Accepted rows, and why the others were refused."""
    reader = open_reader(io.BytesIO(data), name, contract.dialect, contract.fields)
    positions = match_header(contract, reader.header).positions
    checker = RowChecker(contract, reader.header, positions)
    accepted: list[Row] = []
    refused: list[Any] = []
    for batch in reader:
        checked = checker.check(batch)
        accepted += checked.rows.to_pylist()
        refused += [
            (row.record, sorted((f.column, f.rule, f.message) for f in row.failures))
            for row in checked.refused
        ]
    return accepted, refused


_TEXTS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=6)
_ROWS = st.fixed_dictionaries(
    {
        "zip": st.none() | _TEXTS | st.sampled_from(["00501", "1e5", "TRUE", "45292"]),
        "share": st.none() | st.integers(-(10**7), 10**7).map(lambda n: n / 100),
        "price": st.none() | st.integers(-(10**9), 10**9).map(lambda n: Decimal(n) / 100),
        "sold": st.none() | st.dates(date(1900, 3, 1), date(2199, 12, 31)),
        "seen": st.none()
        | st.datetimes(datetime(1900, 3, 1), datetime(2199, 12, 31)).map(
            lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
        ),
        "open": st.none() | st.booleans(),
    }
)


@examples(15)
@given(st.lists(_ROWS, max_size=15), st.sampled_from([".", ","]))
def test_every_format_gives_the_same_rows(rows: list[dict[str, Any]], mark: str) -> None:
    table = [{"id": number, **row} for number, row in enumerate(rows, start=1)]
    contract = contract_with(mark)
    limit = 1_000_000
    for name, write in WRITERS.items():
        if not table and "ndjson" in name:
            continue  # a file without lines has no keys
        accepted, refused = read(name, write(table, mark), contract)
        good = [row for row in table if row["share"] is None or row["share"] <= limit]
        assert accepted == good, name
        bad = [row["id"] for row in table if row not in good]
        assert [record for record, _ in refused] == bad, name


@pytest.mark.parametrize("mark", [".", ","])
def test_every_format_refuses_alike(mark: str) -> None:
    """The same words too, but for numbers that a format writes in another way."""
    good = dict.fromkeys(TYPES.names)
    table = [
        {**good, "id": 1, "share": 1.5},
        {**good, "id": 2, "share": 2_000_000.5},
        {**good, "id": 1, "zip": "again"},
        {**good, "zip": "no key"},
    ]
    found = {
        name: read(name, write(table, mark), contract_with(mark))[1]
        for name, write in WRITERS.items()
    }
    first = found["a.csv"]
    assert [record for record, _ in first] == [2, 3, 4]
    assert first[0][1][0][2] == f"share='2000000{mark}5' is more than the maximum 1000000."
    assert found == dict.fromkeys(WRITERS, first)
