"""Makes the bad files of tests/cases/bad_input that are large, or no text: one function a case."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from tests.unit.formats.workbooks import SHEET, change_parts, replace_in, write_workbook

HEADER = ("id", "name", "price", "units", "sold")


def write_rows(first: int, last: int) -> bytes:
    """Good rows as CSV, with these ids."""
    lines = [f"{n},name {n},{n}.5,{n},2026-01-31" for n in range(first, last + 1)]
    return ("\n".join([",".join(HEADER), *lines]) + "\n").encode()


def write_book(first: int, last: int) -> bytes:
    rows = [[n, f"name {n}", n + 0.5, n, "2026-01-31"] for n in range(first, last + 1)]
    return write_workbook([HEADER, *rows])


def binary_garbage() -> bytes:
    return b"\x7fELF\x02\x01\x01\x00" + random.Random(7).randbytes(4_000)


def workbook_named_csv() -> bytes:
    return write_book(1, 3)


def truncated_gzip() -> bytes:
    return gzip.compress(write_rows(1, 2_000), mtime=0)[:-600]


def gzip_bomb() -> bytes:
    """100 MB of blank lines behind a row, in 100 KB."""
    return gzip.compress(write_rows(1, 1) + b"\n" * 100_000_000, mtime=0)


def truncated_workbook() -> bytes:
    book = write_book(1, 500)
    return book[: len(book) // 2]


def protected_workbook() -> bytes:
    """The head of a compound file, and the name of the stream that holds an encrypted package."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
    return head + "EncryptedPackage".encode("utf-16-le") + bytes(480)


def old_workbook() -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "Workbook".encode("utf-16-le")


def workbook_bomb() -> bytes:
    """A sheet of 100 MB in 100 KB."""
    blank = replace_in(SHEET, b"</sheetData>", b" " * 100_000_000 + b"</sheetData>")
    return change_parts(write_book(1, 3), blank)


def entity_bomb() -> bytes:
    names = [f"a{n}" for n in range(12)]
    entities = [f'<!ENTITY {a} "{f"&{b};" * 10}">' for a, b in zip(names[1:], names, strict=False)]
    text = f'<!DOCTYPE x [<!ENTITY a0 "ha">{"".join(entities)}]>'
    bomb = f'<?xml version="1.0"?>{text}<worksheet><sheetData>&a11;</sheetData></worksheet>'
    return change_parts(write_book(1, 3), {SHEET: bomb.encode()})


def archive_named_workbook() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("data.csv"), write_rows(1, 3))
    return out.getvalue()


def workbook_with_errors() -> bytes:
    rows = [[1101, "a", 1.5, 1, "2026-01-31"], [1102, "#DIV/0!", 2.5, 2, "2026-01-31"]]
    unstored = [1103, "c", "=1+1", 3, "2026-01-31"]
    good = [[n, "e", 1, 1, "2026-01-31"] for n in range(1105, 1108)]
    return write_workbook([HEADER, *rows, unstored, [1104, "d", *([None] * 3), "beyond"], *good])


def ten_thousand_columns() -> bytes:
    more = [f"extra_{n}" for n in range(10_000 - len(HEADER))]
    row = ["1201", "a", "1.5", "1", "2026-01-31", *(["x"] * len(more))]
    return "\n".join([",".join([*HEADER, *more]), ",".join(row), ""]).encode()


def huge_cell() -> bytes:
    """A cell of 50 MB between two good rows."""
    first, last = write_rows(1301, 1301), write_rows(1303, 1303).partition(b"\n")[2]
    return first + b'1302,"' + b"x" * 50_000_000 + b'",1.5,1,2026-01-31\n' + last


def invalid_utf8() -> bytes:
    good = write_rows(1401, 1403)
    return good.replace(b"name 1402", b"na\xffme")


def nul_bytes() -> bytes:
    return write_rows(1501, 1503).replace(b"name 1502", b"na\x00me")


def latin1_header() -> bytes:
    return b"id,Gr\xf6\xdfe\n1,2\n"


def truncated_parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2], "name": ["a", "b"]}), out)
    return out.getvalue()[:-20]


MAKERS: Mapping[str, Callable[[], bytes]] = {
    make.__name__: make
    for make in (
        archive_named_workbook,
        binary_garbage,
        entity_bomb,
        gzip_bomb,
        huge_cell,
        invalid_utf8,
        latin1_header,
        nul_bytes,
        old_workbook,
        protected_workbook,
        ten_thousand_columns,
        truncated_gzip,
        truncated_parquet,
        truncated_workbook,
        workbook_bomb,
        workbook_named_csv,
        workbook_with_errors,
    )
}
