"""XLSX: one sheet of a workbook, row by row.

A merged range's value stands in its first cell, and the others are empty. Hidden rows and columns
are read like all others. Formulas count by their stored results. Rows are numbered from the first
one below the header, empty ones included, so that a record's number plus the header's row is the
row that a spreadsheet program shows; empty rows are no records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from string import ascii_uppercase
from typing import BinaryIO, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.contract import Dialect, Field
from eventpulse.errors import FileUnreadable
from eventpulse.formats.batches import (
    DialectReport,
    MalformedRow,
    TextBatch,
    assign_fields,
    refuse_repeated,
)
from eventpulse.formats.cells import NO_CELL, CellTypes, Fault, read_column
from eventpulse.formats.sheet_xml import RawCell, Row, SheetXml
from eventpulse.formats.sniffing import choose_header
from eventpulse.formats.workbook import Sheet, Workbook
from eventpulse.formats.xml import XmlBroken

BATCH_ROWS = 8_192
BATCH_BYTES = 16 << 20
MAX_COLUMNS = 16_384
"""More a sheet cannot have."""


@dataclass(frozen=True, slots=True)
class _HeaderRow:
    row: int
    cells: list[str]


class XlsxReader:
    """One sheet of the workbook, by name or the first one that is visible."""

    omits_nulls: ClassVar = False

    def __init__(
        self, stream: BinaryIO, name: str, dialect: Dialect, fields: Sequence[Field]
    ) -> None:
        self._name = name
        self._book = Workbook(stream, name)
        self._sheet = _choose_sheet(self._book, dialect.sheet)
        self._types = CellTypes(
            self._book.read_styles(),
            self._book.read_shared_strings(),
            self._book.epoch,
            dialect.decimal_mark,
            frozenset(dialect.null_markers),
        )
        self._xml = SheetXml(self._book.read_pieces(self._sheet.part))
        self._rows = iter(self._xml)
        self._ahead: list[Row] = []
        header = self._find_header(dialect, fields)
        self.header = header.cells
        self._header_row = header.row
        refuse_repeated(name, self.header, fields)
        self._fields = assign_fields(fields, self.header)
        sniffed = {
            "sheet": dialect.sheet is None and len(self._book.sheets) > 1,
            "header_row": dialect.header_row is None and header.row > 1,
        }
        self.dialect: DialectReport = {
            "format": "xlsx",
            "sheet": self._sheet.name,
            "sheets": [each.name for each in self._book.sheets],
            "header_row": header.row,
            "epoch": self._book.epoch,
            "sniffed": [each for each, found in sniffed.items() if found],
        }

    def __iter__(self) -> Iterator[TextBatch]:
        with self._book.faults(self._sheet.part):
            waiting: list[Row] = []
            size = 0
            for row in chain(self._ahead, self._rows):
                if row[0] <= self._header_row:
                    continue
                waiting.append(row)
                size += row[2]
                if len(waiting) >= BATCH_ROWS or size >= BATCH_BYTES:
                    yield self._make_batch(waiting)
                    waiting, size = [], 0
            if waiting:
                yield self._make_batch(waiting)
        counts = {
            "hidden_rows": self._xml.hidden_rows,
            "hidden_columns": self._xml.hidden_columns,
            "merged_ranges": self._xml.merged_ranges,
        }
        self.dialect.update({each: count for each, count in counts.items() if count})

    def _find_header(self, dialect: Dialect, fields: Sequence[Field]) -> _HeaderRow:
        with self._book.faults(self._sheet.part):
            found = choose_header(self._read_header_rows(), dialect.header_row, fields)
        if found is None and not self._ahead:
            raise FileUnreadable(
                self._name,
                f"the sheet {self._sheet.name!r} is empty.",
                "Upload it again with a header and rows, or name another sheet in the contract.",
            )
        if found is None or not any(found.cells):
            raise FileUnreadable(
                self._name,
                f"there is no header in row {dialect.header_row or 1} of the sheet "
                f"{self._sheet.name!r}.",
                "Name the columns in that row.",
            )
        return found

    def _read_header_rows(self) -> Iterator[_HeaderRow]:
        """Rows with a value, as headers; they are kept to be read again."""
        for row in self._rows:
            self._ahead.append(row)
            cells = _place_cells(row[1], MAX_COLUMNS)
            texts = [read_column([cell], self._types, None).text[0].as_py() or "" for cell in cells]
            header = [text.strip() for text in texts]
            while header and not header[-1]:
                header.pop()
            if header:
                yield _HeaderRow(row[0], header)

    def _make_batch(self, rows: Sequence[Row]) -> TextBatch:
        width = len(self.header)
        numbers = np.array([number - self._header_row for number, *_ in rows], dtype=np.int64)
        problems: dict[int, Fault] = {}
        placed: list[list[RawCell]] = []
        for index, (_, cells, _) in enumerate(rows):
            line = cells if _fills(cells, width) else _place_cells(cells, MAX_COLUMNS)
            if len(line) != width:
                beyond = next((n for n, c in enumerate(line[width:]) if c[4] or c[5]), None)
                if beyond is not None:
                    letters = name_column(width + beyond)
                    problem = f"there is a value in column {letters}, which has no header"
                    problems[index] = problem, "Name the column, or empty the cell."
                line = line[:width] + [NO_CELL] * (width - len(line))
            placed.append(line)
        columns: list[pa.Array] = []
        for position, cells_of in enumerate(zip(*placed, strict=True)):
            read = read_column(cells_of, self._types, self._fields[position])
            columns.append(read.text)
            for index, (problem, remedy) in read.problems.items():
                cell = f"{name_column(position)}{rows[index][0]}"
                problems.setdefault(index, (f"the cell {cell} {problem}", remedy))
        return self._finish_batch(pa.array(numbers), columns, problems)

    def _finish_batch(
        self, numbers: pa.Array, columns: list[pa.Array], problems: dict[int, Fault]
    ) -> TextBatch:
        """The batch without empty and malformed rows."""
        good = np.zeros(len(numbers), dtype=bool)
        for column in columns:
            filled = pc.fill_null(pc.not_equal(column, ""), False)
            good |= filled.to_numpy(zero_copy_only=False)
        malformed: list[MalformedRow] = []
        for index in sorted(problems):
            text = "\t".join(column[index].as_py() or "" for column in columns)
            malformed.append(MalformedRow(numbers[index].as_py(), text, *problems[index]))
            good[index] = False
        if not good.all():
            mask = pa.array(good)
            numbers, columns = numbers.filter(mask), [each.filter(mask) for each in columns]
        return TextBatch(numbers, columns, malformed, self._sheet.name)


def _choose_sheet(book: Workbook, wanted: str | None) -> Sheet:
    if wanted is None:
        visible = [each for each in book.sheets if each.visible]
        return (visible or book.sheets)[0]
    found = next((each for each in book.sheets if each.name == wanted), None)
    if found is None:
        raise FileUnreadable(
            book.name,
            f"there is no sheet {wanted!r}; there are "
            f"{', '.join(repr(each.name) for each in book.sheets)}.",
            "Name the sheet as the contract does.",
        )
    return found


# --- Columns -------------------------------------------------------------------------------------


def name_column(index: int) -> str:
    """The letters of a column, counted from 0: A, B … Z, AA."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = ascii_uppercase[rest] + letters
    return letters


_LETTERS = [name_column(index).encode() for index in range(MAX_COLUMNS)]
_INDEX = {letters: index for index, letters in enumerate(_LETTERS)}


def _fills(cells: list[RawCell], width: int) -> bool:
    """Whether the cells are those of the first `width` columns, in order."""
    return len(cells) == width and [cell[0] for cell in cells] == _LETTERS[:width]


def _place_cells(cells: list[RawCell], most: int) -> list[RawCell]:
    """Each cell at its column, with empty ones between. Raises XmlBroken."""
    line: list[RawCell] = []
    for cell in cells:
        index = _INDEX.get(cell[0], -1) if cell[0] else len(line)
        if not len(line) <= index < most:
            raise XmlBroken("the cells of a row are out of order")
        line += [NO_CELL] * (index - len(line))
        line.append(cell)
    return line
