"""What is fuzzed: each target reads bytes and may only end as its reader promises.

`python -m tests.fuzz.targets NAME [libFuzzer options] CORPUS` runs one target in this process until
its time is over, or an input breaks a promise.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import atheris
import pyarrow as pa
import pyarrow.parquet as pq

with atheris.instrument_imports(include=["eventpulse"]):
    from eventpulse.contracts.contract import Dialect, Field
    from eventpulse.errors import ContractInvalid, FileUnreadable
    from eventpulse.formats import open_reader
    from eventpulse.odcs import read_contract

from tests.unit.formats.workbooks import SHARED, SHEET, change_parts, share_texts, write_workbook

ROOT = Path(__file__).parents[2]
FIELDS = (
    Field("id", "integer"),
    Field("name"),
    Field("price", "number", decimal_mark=","),
    Field("sold", "date", formats=("%d.%m.%Y",)),
    Field("lat", "number", header="/position/lat"),
)
CSV = Dialect()
COMMENTED = Dialect(comment="#", quote="'", escape="\\", encoding="utf-16", null_markers=("", "NA"))
BOOK = share_texts(write_workbook([["id", "name"], [1, "a"], [2.5, "b & c"], [True, None]]))


@dataclass(frozen=True)
class Target:
    """`run` takes the mutated bytes; `seeds` are what they are mutated from."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def read_file(name: str, dialect: Dialect, data: bytes) -> None:
    """A file ends as unreadable, or as batches whose records are all different and whose columns
    are as long as they are many."""
    seen: set[int] = set()
    refusal = "none"
    try:
        reader = open_reader(io.BytesIO(data), name, dialect, FIELDS)
        for batch in reader:
            numbers = [*batch.records.to_pylist(), *(row.record for row in batch.malformed)]
            assert len(batch.columns) == len(reader.header)
            assert all(len(column) == len(batch.records) for column in batch.columns)
            assert seen.isdisjoint(numbers)
            assert len(set(numbers)) == len(numbers)
            seen.update(numbers)
            for column in batch.columns:
                column.validate(full=True)
    except FileUnreadable as error:
        refusal = error.message
    assert refusal.encode()


def read_part(part: str, data: bytes) -> None:
    """One part of a workbook that is good otherwise."""
    read_file("a.xlsx", CSV, change_parts(BOOK, {part: data}))


def read_document(data: bytes) -> None:
    """A contract is read, or refused with its problems."""
    problems = ["none"]
    try:
        read_contract(data, "a")
    except ContractInvalid as error:
        problems = list(error.fields["problems"])  # type: ignore[call-overload]
    assert problems


def _parquet() -> bytes:
    out = io.BytesIO()
    values: dict[str, tuple[pa.DataType, Any]] = {
        "id": (pa.int64(), 1),
        "name": (pa.string(), "a"),
        "price": (pa.decimal128(9, 2), Decimal("1.50")),
        "sold": (pa.timestamp("ms", "UTC"), datetime(2024, 1, 31, tzinfo=UTC)),
        "day": (pa.date32(), date(2024, 1, 31)),
        "share": (pa.float32(), 0.5),
        "lasted": (pa.duration("us"), timedelta(seconds=1)),
        "kind": (pa.dictionary(pa.int32(), pa.string()), "x"),
        "raw": (pa.binary(), b"x"),
        "tags": (pa.list_(pa.timestamp("us")), [datetime(2024, 1, 31)]),
        "position": (pa.struct([("lat", pa.float64())]), {"lat": 1.5}),
    }
    table = pa.table(
        {name: pa.array([value, None], kind) for name, (kind, value) in values.items()}
    )
    pq.write_table(table, out, compression="none")
    return out.getvalue()


def _part(name: str) -> bytes:
    found: list[bytes] = []

    def take(content: bytes) -> bytes:
        found.append(content)
        return content

    change_parts(BOOK, {name: take})
    return found[0]


def _part_target(name: str) -> Target:
    return Target(partial(read_part, name), (_part(name),))


TARGETS: Mapping[str, Target] = {
    "contract": Target(
        read_document, tuple(path.read_bytes() for path in (ROOT / "contracts").glob("*.yaml"))
    ),
    "csv": Target(
        partial(read_file, "a.csv", CSV),
        (
            b'id,name,price,sold\n1,"a\n""b""",2,31.12.2024\n\n2,c\n',
            "id;name\r\n1;é\r\n".encode("utf-16"),
            b"Report\n\nid\tname\tprice\n1\t\xff\t\x00\n",
        ),
    ),
    "csv_dialect": Target(
        partial(read_file, "a.csv", COMMENTED),
        ("# made\nid,name\n1,'a\n# b'\n#x\n".encode("utf-16-le"), b"id,name\n1,'open\n"),
    ),
    "ndjson": Target(
        partial(read_file, "a.ndjson", CSV),
        (
            b'{"id": 1.50, "name": "\\u00e9", "position": {"lat": 1, "lon": [2]}}\n\n[1]\n',
            b'{"/position/lat": 1, "id": {"a": {"b": null}}}\n',
        ),
    ),
    "parquet": Target(partial(read_file, "a.parquet", CSV), (_parquet(),)),
    "xlsx": Target(partial(read_file, "a.xlsx", CSV), (BOOK,)),
    "xlsx_sheet": _part_target(SHEET),
    "xlsx_texts": _part_target(SHARED),
    "xlsx_styles": _part_target("xl/styles.xml"),
    "xlsx_workbook": _part_target("xl/workbook.xml"),
}


def main() -> None:
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
