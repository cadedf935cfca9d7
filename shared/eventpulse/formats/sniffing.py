"""Where a CSV file's header stands and what its delimiter is, when the contract does not say."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

from eventpulse.contracts.contract import Dialect, Field
from eventpulse.formats.quoting import Quoting

DELIMITERS = (",", ";", "\t", "|")
SNIFFED_ROWS = 30
"""How far down a header is looked for."""


@dataclass(frozen=True, slots=True)
class HeaderLine:
    """The header's text and cells, its row (1-based, comments aside), the offset of what follows
    it, and the delimiter."""

    text: str
    cells: list[str]
    row: int
    end: int
    delimiter: str


def find_header(
    ahead: bytes, dialect: Dialect, quoting: Quoting, fields: Sequence[Field]
) -> HeaderLine:
    """The header, in the first bytes of a file.

    It is the row that the dialect declares or, if that is blank, the first one below that is not.
    Where none is declared and the first row names none of the contract's fields, it is the first of
    30 rows that names most of them: what stands above is a preamble. Without a contract it is the
    first row, unless that is no half as wide as most (`_guess_header`).
    """

    def read_lines() -> Iterator[HeaderLine]:
        for row, text, end in _read_rows(ahead, quoting):
            if text.strip():
                delimiter = dialect.delimiter or sniff_delimiter(text, dialect, fields)
                cells = split_cells(text, delimiter, dialect)
                yield HeaderLine(text, cells, row, end, delimiter)

    found = choose_header(read_lines(), dialect.header_row, fields)
    declared = dialect.header_row or 1
    return found or HeaderLine("", [], declared, len(ahead), dialect.delimiter or ",")


class _Header(Protocol):
    @property
    def row(self) -> int: ...

    @property
    def cells(self) -> list[str]: ...


Candidate = TypeVar("Candidate", bound=_Header)


def choose_header(
    candidates: Iterable[Candidate], declared: int | None, fields: Sequence[Field]
) -> Candidate | None:
    """The header among the rows that are not blank; None when there is none."""
    if declared is None and not fields:
        return _guess_header(list(islice(candidates, SNIFFED_ROWS)))
    first: Candidate | None = None
    for found in candidates:
        if declared is not None:
            if found.row >= declared:
                return found
            continue
        named = count_named(fields, found.cells)
        if (named and first is None) or 2 * named > len(fields):
            return found
        first = first or found
        if found.row > SNIFFED_ROWS:
            break
    return first


def _guess_header(rows: Sequence[Candidate]) -> Candidate | None:
    """Without a contract: the first row, or below a preamble the first that could name the columns.

    A preamble is at most half as wide as most rows are; names are different texts and no numbers.
    """
    if not rows:
        return None
    usual, _ = Counter(len(row.cells) for row in rows).most_common(1)[0]
    if 2 * len(rows[0].cells) > usual:
        return rows[0]
    return next((row for row in rows if len(row.cells) >= usual and _are_names(row)), rows[0])


def _are_names(row: _Header) -> bool:
    cells = row.cells
    return len(set(cells)) == len(cells) and not any(map(_UNNAMED.fullmatch, cells))


_UNNAMED = re.compile(r"[\d\s.,:/+-]*")
"""Nothing, a number, a date or a time."""


def _read_rows(ahead: bytes, quoting: Quoting) -> Iterator[tuple[int, str, int]]:
    """Rows with their number and the offset of what follows, the last one perhaps cut off."""
    start, row = 0, 0
    while start < len(ahead):
        end = quoting.find_record_end(ahead, start)
        end = end if end >= 0 else len(ahead)
        if quoting.comment is None or not ahead.startswith(quoting.comment, start):
            row += 1
            yield row, ahead[start:end].decode("utf-8", "replace").rstrip("\r\n"), end
        start = end


def split_cells(text: str, delimiter: str, dialect: Dialect) -> list[str]:
    """The trimmed cells of a header; none when it cannot be split, as where text follows a closing
    quote."""
    quote, escape = dialect.quote, dialect.escape
    try:
        cells = next(
            csv.reader([text], delimiter=delimiter, quotechar=quote, escapechar=escape, strict=True)
        )
    except csv.Error:
        return []
    return [cell.strip() for cell in cells]


def count_named(fields: Sequence[Field], header: Sequence[str]) -> int:
    """How many of the fields a header names."""
    return sum(not set(header).isdisjoint(each.headers) for each in fields)


def sniff_delimiter(text: str, dialect: Dialect, fields: Sequence[Field]) -> str:
    """The delimiter under which the header names most of the fields, then has most cells."""

    def score(delimiter: str) -> tuple[int, int]:
        cells = split_cells(text, delimiter, dialect)
        return count_named(fields, cells), len(cells)

    return max((each for each in DELIMITERS if each != dialect.quote), key=score)
