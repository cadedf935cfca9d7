"""CSV as RFC 4180 has it, in the contract's dialect or the one that its header shows.

A cell that is not UTF-8 or goes on after its closing quote, or a row with too many or too few
cells, makes its row malformed and nothing else. Memory is bounded by the block size, not by the
file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from eventpulse.contracts.contract import Dialect, Field
from eventpulse.errors import EventPulseError, FileUnreadable
from eventpulse.formats.batches import (
    DialectReport,
    MalformedRow,
    TextBatch,
    refuse_empty,
    refuse_repeated,
)
from eventpulse.formats.decoding import GARBLED, OVERSIZED, UNDECODABLE, Utf8Text
from eventpulse.formats.lines import BlockFile, Throttled, cut_long_lines, drop_comments
from eventpulse.formats.quoting import QuoteCheck, Quoting
from eventpulse.formats.repeated import REPEATED_TEXT, find_substring, repeats, spell_out
from eventpulse.formats.sniffing import DELIMITERS, HeaderLine, find_header, split_cells
from eventpulse.formats.unpacking import Unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

Fault = tuple[str, str]
"""What is wrong, and what to do."""

BLOCK_BYTES = 8 << 20
_PIECE_BYTES = BLOCK_BYTES - (64 << 10)
"""Read at a time: with what was left of a line before, this still is one block."""
_BLOCKS = 4
"""In memory at once: parsing holds two or three of them."""
HEADER_BYTES = 1 << 20
MALFORMED_BYTES = 128 << 20
"""How much of malformed rows may pile up before a good one comes."""
DOUBTS: dict[str, Fault] = {
    OVERSIZED: (
        f"has more than {BLOCK_BYTES >> 20} MiB in one line",
        "Look for a quote or a line end that is missing, or shorten the cell.",
    ),
    "\0": ("has a NUL character", "Remove the character."),
}
"""What makes a cell no text, beside bytes that its encoding does not have."""
_SAMPLE_BYTES = 64 << 10
"""Of the first rows, by which it is judged whose texts repeat."""
_RAGGED = "Quote cells that hold the delimiter, and fill in what is missing."
_GOES_ON = "has text after its closing quote"
_DOUBLE_QUOTES = (
    "Write quotes that belong to a cell twice, or declare the file's `escape` character in the "
    "contract."
)
_ESCAPE_QUOTES = "Write quotes that belong to a cell twice, or escape them."
_BACKSLASH = (
    "It looks as if backslash was the escape character: declare `escape` in the contract, or write "
    "quotes that belong to a cell twice."
)
_ROW_OVERHEAD = 250
"""What a malformed row takes beside its text, in bytes."""


class CsvReader:
    """RFC 4180 with the contract's dialect."""

    omits_nulls: ClassVar = False

    def __init__(
        self, stream: Unpacked, name: str, dialect: Dialect, fields: Sequence[Field]
    ) -> None:
        self._name = name
        self._contract_fields = fields
        self._declared = dialect
        self._text = Utf8Text(stream, name, dialect.encoding, _PIECE_BYTES)
        self._doubts = {
            **DOUBTS,
            UNDECODABLE: (
                f"is not {self._text.encoding.upper()}",
                "Save the file in UTF-8, or declare its `encoding` (cp1252, say) in the contract.",
            ),
        }
        self._records = _RecordNumbers()
        pieces = iter(self._text)
        ahead = _read_ahead(pieces)
        if not ahead.strip():
            raise refuse_empty(name)
        delimiters = (dialect.delimiter,) if dialect.delimiter else DELIMITERS
        quoting = Quoting(
            dialect.quote.encode(),
            frozenset(each.encode() for each in delimiters),
            dialect.comment.encode() if dialect.comment else None,
            dialect.escape.encode() if dialect.escape else None,
        )
        line = find_header(ahead, dialect, quoting, fields)
        if line.end >= HEADER_BYTES:
            raise self._not_text("its header does not end")
        self._delimiter = line.delimiter
        delimiter = line.delimiter.encode()
        quoting = replace(quoting, delimiters=frozenset([delimiter]))
        self.header = self._parse_header(line)
        rest: Iterator[bytes] = chain([ahead[line.end :]], pieces)
        if quoting.comment is not None:
            rest = drop_comments(rest, quoting, BLOCK_BYTES)
        self._repeating = self._find_repeating(ahead[line.end : line.end + _SAMPLE_BYTES])
        lines = cut_long_lines(rest, BLOCK_BYTES - 2, quoting, delimiter)
        self._quotes = QuoteCheck(lines, quoting, delimiter)
        self._mark, self._marks_met = self._quotes.mark.decode(), 0
        self._double_quotes = _DOUBLE_QUOTES if dialect.escape is None else _ESCAPE_QUOTES
        signs = [sign.encode() for sign in self._doubts]
        self._rest = BlockFile(iter(self._quotes), signs)
        self._throttled = Throttled(self._rest, _BLOCKS)
        self._malformed_bytes = 0
        sniffed = {
            "delimiter": dialect.delimiter is None,
            "encoding": self._text.sniffed,
            "header_row": dialect.header_row is None and line.row > 1,
        }
        self.dialect: DialectReport = {
            "format": "csv",
            "delimiter": self._delimiter,
            "quote": dialect.quote,
            **({"escape": dialect.escape} if dialect.escape else {}),
            "encoding": self._text.encoding,
            "header_row": line.row,
            "compression": "gzip" if stream.packed else "none",
            "sniffed": [each for each, found in sniffed.items() if found],
        }

    def _parse_header(self, line: HeaderLine) -> list[str]:
        if any(ord(c) < 32 and c not in f"\t\r\n{self._delimiter}" for c in line.text):
            raise self._not_text("its header has control characters")
        if UNDECODABLE in line.text:
            raise self._not_text(
                f"its header is not {self._text.encoding.upper()}",
                ", or declare its `encoding` (such as cp1252) in the contract",
            )
        header = line.cells
        if not header and line.text.strip():
            raise FileUnreadable(
                self._name,
                f"its header in row {line.row} cannot be split: a cell in quotes goes on after the "
                "closing one, or is never closed.",
                _DOUBLE_QUOTES,
            )
        if not header:
            raise FileUnreadable(
                self._name,
                f"there is no header in row {line.row}.",
                "Name the columns in that row.",
            )
        refuse_repeated(self._name, header, self._contract_fields)
        return header

    def _not_text(self, problem: str, otherwise: str = "") -> FileUnreadable:
        return FileUnreadable(
            self._name,
            f"this is not a text file: {problem}.",
            f"Export the data as CSV in UTF-8 and upload it again{otherwise}.",
        )

    def __iter__(self) -> Iterator[TextBatch]:
        malformed: list[MalformedRow] = []
        reader = self._open(malformed)
        if reader is not None:
            with reader:
                try:
                    yield from self._read_batches(reader, malformed)
                finally:
                    self._throttled.let_go()
            self._check_end()
        if malformed:
            empty = [pa.array([], pa.string())] * len(self.header)
            yield TextBatch(pa.array([], pa.int64()), empty, malformed)

    def _read_batches(
        self, reader: pa.RecordBatchReader, malformed: list[MalformedRow]
    ) -> Iterator[TextBatch]:
        """Every batch with the malformed rows that stand before its end; those after the last good
        row stay in `malformed`."""
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except (pa.ArrowInvalid, OSError) as error:
                raise self._broken(error, malformed) from error
            # The parser may be a block ahead of the batch that it hands out.
            numbers = self._records.take(len(batch), [row.record for row in malformed])
            last = numbers[-1].as_py() if len(numbers) else 0
            due = [row for row in malformed if row.record < last]
            malformed[:] = malformed[len(due) :]
            self._malformed_bytes = sum(_ROW_OVERHEAD + len(row.text) for row in malformed)
            yield self._take_text(batch, numbers, due)

    def _check_end(self) -> None:
        """Raises FileUnreadable when a quote swallowed the end of the file: the parser takes an
        open one for a closed one, and drops an escape character that escapes nothing."""
        if self._quotes.open:
            raise FileUnreadable(
                self._name,
                "a quote is opened and never closed, so that its last rows cannot be told apart.",
                _BACKSLASH
                if self._quotes.backslashes and self._declared.escape is None
                else "Close it, double quotes that belong to a cell, and upload the file again.",
            )
        if self._quotes.dangling:
            raise FileUnreadable(
                self._name,
                f"it ends with its escape character {self._declared.escape!r}, which escapes "
                "nothing there.",
                "Look whether its end was cut off, and upload it again.",
            )

    def _open(self, malformed: list[MalformedRow]) -> pa.RecordBatchReader | None:
        """A reader that has split the first block; None where there is none."""
        types = [REPEATED_TEXT if each else pa.string() for each in self._repeating]
        try:
            return pa_csv.open_csv(
                pa.PythonFile(self._throttled, mode="r"),
                **self._describe(types, lambda row: self._skip(row, malformed)),
            )
        except (pa.ArrowInvalid, OSError) as error:
            if "Empty CSV file" in str(error):
                return None
            raise self._broken(error, malformed) from error

    def _describe(
        self, types: Sequence[pa.DataType], on_invalid: Callable[[pa_csv.InvalidRow], str]
    ) -> dict[str, Any]:
        """What pyarrow is told of the file."""
        names = [f"c{index}" for index in range(len(types))]
        return {
            "read_options": pa_csv.ReadOptions(
                use_threads=False, column_names=names, block_size=BLOCK_BYTES
            ),
            "parse_options": pa_csv.ParseOptions(
                delimiter=self._delimiter,
                quote_char=self._declared.quote,
                escape_char=self._declared.escape or False,
                newlines_in_values=True,
                invalid_row_handler=on_invalid,
            ),
            "convert_options": pa_csv.ConvertOptions(
                column_types=dict(zip(names, types, strict=True)), check_utf8=False
            ),
        }

    def _find_repeating(self, sample: bytes) -> list[bool]:
        """Whose texts repeat in the first rows: these are read as dictionary arrays, each text
        once a block, which costs less than to read cells and to compare them afterwards."""
        whole = pa.BufferReader(sample[: sample.rfind(b"\n") + 1])
        described = self._describe([pa.string()] * len(self.header), lambda _: "skip")
        try:
            first = pa_csv.read_csv(whole, **described)
        except pa.ArrowInvalid:  # the reader proper finds the words for it
            return [False] * len(self.header)
        return [repeats(column.combine_chunks()) for column in first.columns]

    def _broken(self, error: Exception, malformed: Sequence[MalformedRow]) -> EventPulseError:
        self._throttled.give_up()
        if self._rest.error is not None:
            return self._rest.error
        if self._malformed_bytes > MALFORMED_BYTES:
            return FileUnreadable(
                self._name,
                f"{len(malformed)} rows on end cannot be split into the {len(self.header)} cells "
                f"of the header (the last one: {malformed[-1].problem}).",
                f"Look whether its delimiter is {self._delimiter!r}."
                if malformed[-1].remedy == _RAGGED
                else malformed[-1].remedy,
            )
        return FileUnreadable(
            self._name,
            f"somewhere after record {self._records.last} there is a row of more than "
            f"{BLOCK_BYTES >> 20} MiB."
            if "straddling" in str(error)
            else f"the CSV cannot be split into rows ({error}).",
            "Look for a quote that is opened and never closed.",
        )

    def _skip(self, row: pa_csv.InvalidRow, malformed: list[MalformedRow]) -> str:
        text = _clean(row.text.replace(self._mark, ""))
        problem = f"the row has {row.actual_columns} cells and the header {row.expected_columns}"
        remedy = self._suggest(text, _RAGGED)
        if marks := row.text.count(self._mark):
            self._marks_met += marks
            problem = f"{self._name_cell(row.text.partition(self._mark)[0])} {_GOES_ON}"
            remedy = self._suggest(text, self._double_quotes)
        elif OVERSIZED in row.text:
            problem, remedy = DOUBTS[OVERSIZED]
            problem = f"the row {problem}"
        malformed.append(MalformedRow(row.number, text, problem, remedy))
        self._malformed_bytes += _ROW_OVERHEAD + len(text)
        return "skip" if self._malformed_bytes <= MALFORMED_BYTES else "error"

    def _name_cell(self, begin: str) -> str:
        """What the last cell of a row's beginning is called."""
        cells = len(split_cells(begin, self._delimiter, self._declared))
        named = 0 < cells <= len(self.header)
        return f"the cell in column {self.header[cells - 1]!r}" if named else "a cell"

    def _suggest(self, text: str, remedy: str) -> str:
        escaped = f"\\{self._declared.quote}" in text and self._declared.escape is None
        return _BACKSLASH if escaped else remedy

    def _take_text(
        self, batch: pa.RecordBatch, numbers: pa.Array, malformed: list[MalformedRow]
    ) -> TextBatch:
        """The batch, without the rows in which a cell is no text: those are malformed."""
        doubts = dict(self._doubts) if self._rest.doubtful else {}
        if self._quotes.marks != self._marks_met:  # in this batch, or in what is read ahead
            doubts[GARBLED] = (_GOES_ON, self._double_quotes)
        broken = self._find_broken(batch.columns, doubts) if doubts else {}
        if not broken:
            return TextBatch(numbers, batch.columns, malformed)
        columns = [spell_out(column) for column in batch.columns]
        good = pa.array([row not in broken for row in range(len(numbers))], pa.bool_())
        for row, (problem, remedy) in broken.items():
            joined = self._delimiter.join(column[row].as_py() for column in columns)
            self._marks_met += joined.count(self._mark)
            text = _clean(joined.replace(self._mark, self._declared.quote))
            told = self._suggest(text, remedy) if remedy == self._double_quotes else remedy
            malformed.append(MalformedRow(numbers[row].as_py(), text, problem, told))
        rows = sorted(malformed, key=lambda row: row.record)
        return TextBatch(numbers.filter(good), [c.filter(good) for c in columns], rows)

    def _find_broken(
        self, columns: Sequence[pa.Array], doubts: Mapping[str, Fault]
    ) -> dict[int, Fault]:
        """The rows that have a cell which is no text, and what is wrong with the first one."""
        broken: dict[int, Fault] = {}
        for name, column in zip(self.header, columns, strict=True):
            for sign, (problem, remedy) in doubts.items():
                for row in find_substring(column, sign):
                    broken.setdefault(row, (f"the cell in column {name!r} {problem}", remedy))
        return broken


def _clean(text: str) -> str:
    return text.replace(UNDECODABLE, "").replace(OVERSIZED, " …")


class _RecordNumbers:
    """Numbers for the good records, given the numbers of the malformed ones met so far."""

    def __init__(self) -> None:
        self._next = 1

    @property
    def last(self) -> int:
        return self._next - 1

    def take(self, count: int, malformed: list[int]) -> pa.Array:
        skipped = {number for number in malformed if number >= self._next}
        if not skipped or min(skipped) >= self._next + count:
            numbers = np.arange(self._next, self._next + count, dtype=np.int64)
            self._next += count
            return pa.array(numbers)
        taken: list[int] = []
        while len(taken) < count:
            if self._next not in skipped:
                taken.append(self._next)
            self._next += 1
        return pa.array(taken, pa.int64())


def _read_ahead(pieces: Iterable[bytes]) -> bytes:
    parts: list[bytes] = []
    size = 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size >= HEADER_BYTES:
            break
    return b"".join(parts)
