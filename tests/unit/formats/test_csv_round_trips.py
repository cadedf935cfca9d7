"""CSV: any table is read back as it was written, in bounded memory, however it arrives."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventpulse.contracts.contract import Dialect
from eventpulse.formats import csv as formats_csv
from eventpulse.formats import open_reader
from tests.unit.formats.csv_reading import read, rows_of

_CELLS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufdd0"), max_size=12
) | st.text(st.sampled_from(['"', ",", ";", "\n", "\r", " ", "a", "'"]), max_size=12)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    width = draw(st.integers(1, 4))
    return draw(st.lists(st.lists(_CELLS, min_size=width, max_size=width), max_size=40))


@given(
    tables(),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
    st.sampled_from([1024, 8 << 20]),
)
def test_what_python_writes_is_read_back(
    table: list[list[str]], delimiter: str, end: str, quoting: Any, packed: bool, block: int
) -> None:
    if quoting == csv.QUOTE_MINIMAL and end == "\n":
        # Python leaves a lone CR unquoted then, though every reader takes it for a line end.
        table = [[cell.replace("\r", "") for cell in row] for row in table]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow([f"c{n}" for n in range(len(table[0]) if table else 1)])
    writer.writerows(table)
    data = text.getvalue().encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats_csv, "BLOCK_BYTES", block)
        rows = rows_of(
            gzip.compress(data) if packed else data, dialect=Dialect(delimiter=delimiter)
        )
    assert rows == list(enumerate(table, start=1))


@st.composite
def written_tables(draw: st.DrawFn) -> str:
    """A CSV as people make them: quotes where needed or not, rows of any width, all line ends."""
    width = draw(st.integers(1, 3))
    ends = st.sampled_from(["\n", "\r\n", "\r"])
    text = ",".join(f"c{n}" for n in range(width)) + draw(ends)
    for _ in range(draw(st.integers(0, 15))):
        cells = draw(st.lists(_CELLS, min_size=width, max_size=width + draw(st.integers(0, 1))))
        written = []
        for cell in cells:
            needed = any(sign in cell for sign in '",\r\n') or len(cells) == 1 or not cell.strip()
            quoted = '"' + cell.replace('"', '""') + '"'
            written.append(quoted if needed or draw(st.booleans()) else cell)
        text += ",".join(written) + draw(ends) * draw(st.integers(1, 3))
    return text


@given(written_tables(), st.sampled_from([1024, 8 << 20]), st.booleans())
def test_pythons_csv_module_reads_the_same(text: str, block: int, wide: bool) -> None:
    records = [row for row in csv.reader(io.StringIO(text, newline="")) if row][1:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats_csv, "BLOCK_BYTES", block)
        encoding = "utf-16-le" if wide else "utf-8"
        data = ("\ufeff" * wide + text).encode(encoding, "surrogatepass")
        found = read(data, dialect=Dialect(delimiter=","))
    good = {number: row for number, row in enumerate(records, 1) if len(row) == len(found.header)}
    assert dict(found.rows) == good
    ragged = [number for number in range(1, len(records) + 1) if number not in good]
    assert [number for number, *_ in found.malformed] == ragged


_LINES = st.sampled_from(["good", "quoted", "short", "long", "blank", "latin"])


@given(st.lists(_LINES, max_size=80), st.sampled_from([128, 4 << 20]))
@example(["good"] * 12 + ["quoted"] * 7 + ["latin", "short"], 128)  # a block without a good row
def test_every_record_has_its_own_number(kinds: list[str], block: int) -> None:
    written = {
        "good": b"x,y",
        "quoted": b'"x\ny","z"',
        "short": b"x",
        "long": b"x,y,z",
        "blank": b"",
        "latin": b"\xe9,y",
    }
    data = b"a,b\n" + b"".join(written[kind] + b"\n" for kind in kinds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats_csv, "BLOCK_BYTES", block)
        found = read(data)
    records = [kind for kind in kinds if kind != "blank"]
    good = [n for n, kind in enumerate(records, start=1) if kind in ("good", "quoted")]
    assert [number for number, _ in found.rows] == good
    wrong = [n for n in range(1, len(records) + 1) if n not in good]
    assert [number for number, *_ in found.malformed] == wrong


class Endless(io.RawIOBase):
    """A CSV of so many bytes, made as it is read."""

    HEAD, LINE = b"a,b\n", b"12345678,abcdefgh\n"

    def __init__(self, lines: int) -> None:
        self._size = len(self.HEAD) + lines * len(self.LINE)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        assert whence == 0
        self._at = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        start, end = self._at, min(self._at + size, self._size)
        self._at = end
        skipped = max(start - len(self.HEAD), 0) % len(self.LINE)
        lines = self.LINE * ((end - start) // len(self.LINE) + 2)
        whole = self.HEAD[start:] + lines[skipped:]
        return whole[: end - start]


def test_memory_does_not_grow_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the parser reads ahead is counted in blocks, so small blocks make it small."""
    monkeypatch.setattr(formats_csv, "BLOCK_BYTES", 64 << 10)
    monkeypatch.setattr(formats_csv, "_PIECE_BYTES", 60 << 10)

    def peak(lines: int) -> int:
        stream: Any = Endless(lines)
        tracemalloc.start()
        batches = open_reader(stream, "a.csv", Dialect(), ())
        assert sum(len(batch.records) for batch in batches) == lines
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)  # imports what a reader takes
    assert peak(1_000_000) < peak(200_000) + (8 << 20), "14 MB more were read"
