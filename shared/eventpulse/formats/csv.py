"""CSV as RFC 4180 has it, in the contract's dialect or the one that its header shows.

A cell that is not UTF-8, or a row with too many or too few cells, makes its row malformed and
nothing else. Memory is bounded by the block size, not by the file.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
from eventpulse.formats.decoding import OVERSIZED, UNDECODABLE, Utf8Text
from eventpulse.formats.lines import BlockFile, Quoting, Throttled, cut_long_lines, drop_comments
from eventpulse.formats.repeated import REPEATED_TEXT, repeats, spell_out
from eventpulse.formats.sniffing import DELIMITERS, HeaderLine, find_header
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
        self._quote = dialect.quote
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
        )
        line = find_header(ahead, dialect, quoting, fields)
        if line.end >= HEADER_BYTES:
            raise self._not_text("its header does not end")
        self._delimiter = line.delimiter
        self.header = self._parse_header(line)
        rest: Iterator[bytes] = chain([ahead[line.end :]], pieces)
        if quoting.comment is not None:
            rest = drop_comments(rest, quoting, BLOCK_BYTES)
        self._repeating = self._find_repeating(ahead[line.end : line.end + _SAMPLE_BYTES])
        self._rest = BlockFile(
            cut_long_lines(rest, BLOCK_BYTES - 2, quoting.quote, self._delimiter.encode()),
            [sign.encode() for sign in self._doubts],
        )
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
            "quote": self._quote,
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
        reader = self._open(lambda row: self._skip(row, malformed))
        if reader is not None:
            with reader:
                try:
                    last = yield from self._read_batches(reader, malformed)
                finally:
                    self._throttled.let_go()
            self._check_last(last, malformed)
        if malformed:
            empty = [pa.array([], pa.string())] * len(self.header)
            yield TextBatch(pa.array([], pa.int64()), empty, malformed)

    def _read_batches(
        self, reader: pa.RecordBatchReader, malformed: list[MalformedRow]
    ) -> Generator[TextBatch, None, str]:
        """Every batch with the malformed rows that stand before its end; those after the last good
        row stay in `malformed`. Returns that row's last cell."""
        last_cell = ""
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return last_cell
            except (pa.ArrowInvalid, OSError) as error:
                raise self._broken(error, malformed) from error
            # The parser may be a block ahead of the batch that it hands out.
            numbers = self._records.take(len(batch), [row.record for row in malformed])
            last = numbers[-1].as_py() if len(numbers) else 0
            due = [row for row in malformed if row.record < last]
            malformed[:] = malformed[len(due) :]
            self._malformed_bytes = sum(_ROW_OVERHEAD + len(row.text) for row in malformed)
            if len(numbers):
                last_cell = batch.columns[-1][-1].as_py()
            yield self._take_text(batch, numbers, due)

    def _check_last(self, cell: str, malformed: Sequence[MalformedRow]) -> None:
        """Raises FileUnreadable when a quote swallowed the end of the file.

        The parser takes an open quote at the end for a closed one. The record that it stands in
        then has a line end inside a cell, and does not end with a quote.
        """
        if malformed:
            text = malformed[-1].text
            open_ = _has_line_end(text) and text.count(self._quote) % 2 == 1
        else:
            open_ = _has_line_end(cell) and self._rest.last != self._quote.encode()
        if open_:
            raise FileUnreadable(
                self._name,
                "a quote is opened and never closed, so that its last rows cannot be told apart.",
                "Close it, double quotes that belong to a cell, and upload the file again.",
            )

    def _open(self, on_invalid: Callable[[pa_csv.InvalidRow], str]) -> pa.RecordBatchReader | None:
        types = [REPEATED_TEXT if each else pa.string() for each in self._repeating]
        try:
            return pa_csv.open_csv(
                pa.PythonFile(self._throttled, mode="r"), **self._describe(types, on_invalid)
            )
        except (pa.ArrowInvalid, OSError) as error:
            if "Empty CSV file" in str(error):
                return None
            raise self._broken(error, ()) from error

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
                quote_char=self._quote,
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
        if self._rest.error is not None:
            return self._rest.error
        if self._malformed_bytes > MALFORMED_BYTES:
            return FileUnreadable(
                self._name,
                f"{len(malformed)} rows on end do not have the {len(self.header)} cells of the "
                f"header (the last one: {malformed[-1].problem}).",
                f"Look whether its delimiter is {self._delimiter!r}.",
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
        text = _clean(row.text)
        problem = f"the row has {row.actual_columns} cells and the header {row.expected_columns}"
        remedy = _RAGGED
        if OVERSIZED in row.text:
            problem, remedy = DOUBTS[OVERSIZED]
            problem = f"the row {problem}"
        malformed.append(MalformedRow(row.number, text, problem, remedy))
        self._malformed_bytes += _ROW_OVERHEAD + len(text)
        return "skip" if self._malformed_bytes <= MALFORMED_BYTES else "error"

    def _take_text(
        self, batch: pa.RecordBatch, numbers: pa.Array, malformed: list[MalformedRow]
    ) -> TextBatch:
        """The batch, without the rows in which a cell is no text: those are malformed."""
        if not self._rest.doubtful:
            return TextBatch(numbers, batch.columns, malformed)
        columns = [spell_out(column) for column in batch.columns]
        broken = self._find_broken(columns)
        good = pa.array([row not in broken for row in range(len(numbers))], pa.bool_())
        for row, fault in broken.items():
            text = _clean(self._delimiter.join(column[row].as_py() for column in columns))
            malformed.append(MalformedRow(numbers[row].as_py(), text, *fault))
        rows = sorted(malformed, key=lambda row: row.record)
        return TextBatch(numbers.filter(good), [c.filter(good) for c in columns], rows)

    def _find_broken(self, columns: Sequence[pa.Array]) -> dict[int, Fault]:
        """The rows that have a cell which is no text, and what is wrong with the first one."""
        broken: dict[int, Fault] = {}
        for name, column in zip(self.header, columns, strict=True):
            for sign, (problem, remedy) in self._doubts.items():
                for row in pc.indices_nonzero(pc.match_substring(column, sign)).to_pylist():
                    broken.setdefault(row, (f"the cell in column {name!r} {problem}", remedy))
        return broken


def _clean(text: str) -> str:
    return text.replace(UNDECODABLE, "").replace(OVERSIZED, " …")


def _has_line_end(text: str) -> bool:
    return "\n" in text or "\r" in text


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
