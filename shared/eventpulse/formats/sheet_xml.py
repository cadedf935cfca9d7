"""The rows of a sheet's XML, one by one, in memory that does not grow with the sheet.

Two tokenisers give the same rows. What every common program writes is taken apart by two regular
expressions, four times as fast as an XML parser calls back; each row must match as a whole. From
the first row that does not, or the end of the rows, expat takes over. No document type is allowed,
so that there are no entities to expand.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from itertools import chain

from eventpulse.formats.xml import (
    PLAIN_TEXT,
    TEXT,
    XmlBroken,
    XmlParser,
    XmlTooLarge,
    normalise,
)

MAX_ROW_BYTES = 64 << 20
_HEAD_BYTES = 1 << 20
_ROWS_BEGIN = b"<sheetData>"


RawCell = tuple[bytes, bytes, bytes, bytes, bytes, bytes]
"""A cell as the XML has it, in UTF-8 without entities: the letters of its reference, the number of
its style, its type, something if it has a formula, its value, and its inline text."""

Row = tuple[int, list[RawCell], int]
"""The row's number (from 1), its cells, and about how many bytes they take."""

_CELL = (
    rb'<c(?: r="([A-Z]{1,3})[0-9]{1,7}")?(?: s="([0-9]{1,6})")?(?: t="([a-zA-Z]+)")?(?: ?/>|>'
    rb"(<f[^<>]*/>|<f[^<>]*>" + TEXT + rb"</f>)?"
    rb"(?:<v>(" + TEXT + rb")</v>|<v ?/>|<is>" + PLAIN_TEXT + rb"</is>)?</c>)"
)
_CELLS = re.compile(_CELL)
_ROW = re.compile(
    rb"(?:\s*<row(?: [^<>]*)?/>)*\s*<row((?: [^<>]*[^<>/])?)>(?:"
    + re.sub(rb"\((?!\?)", rb"(?:", _CELL)
    + rb")*"
)
_ROW_NUMBER = re.compile(rb' r="([0-9]{1,7})"')
_YES = ("1", "true")


class SheetXml:
    """The rows of one sheet. What it counts is complete when it has been read to its end.

    Iterating raises XmlBroken.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._handlers = _RowHandlers()
        self._number = 0
        self.hidden_rows = self.hidden_columns = self.merged_ranges = 0

    def __iter__(self) -> Iterator[Row]:
        rest, plain = self._read_head()
        if plain:
            rest = yield from self._read_fast(rest)
        for piece in chain([rest], self._pieces):
            yield from self._parse(piece)
        yield from self._parse(b"", final=True)

    def _read_head(self) -> tuple[bytes, bool]:
        """Gives the parser what stands before the rows. What was read behind that, and whether
        rows begin there."""
        head = b""
        for piece in self._pieces:
            head += piece
            end = head.find(_ROWS_BEGIN) + len(_ROWS_BEGIN)
            if end >= len(_ROWS_BEGIN):
                list(self._parse(head[:end]))
                return head[end:], self._handlers.in_rows and self._handlers.parser.utf8
            if len(head) > _HEAD_BYTES:
                break
        return head, False

    def _read_fast(self, data: bytes) -> Generator[Row, None, bytes]:
        """Rows as long as they are plain; what is left for the parser."""
        while True:
            start = 0
            while (end := data.find(b"</row>", start)) >= 0:
                row = self._match(data[start:end])
                if row is None:
                    return data[start:]
                yield row
                start = end + len(b"</row>")
            data = data[start:]
            piece = next(self._pieces, None)
            if piece is None or data.lstrip().startswith(b"</") or len(data) > MAX_ROW_BYTES:
                return data + (piece or b"")
            data += piece

    def _match(self, text: bytes) -> Row | None:
        found = _ROW.fullmatch(text)
        if found is None:
            return None
        attributes = found[1]
        cells = _CELLS.findall(text)
        if b"&" in text or b"\r" in text:
            cells = [(*each[:4], normalise(each[4]), normalise(each[5])) for each in cells]
        number = _ROW_NUMBER.search(attributes)
        if b"hidden" in attributes:
            self.hidden_rows += b' hidden="1"' in attributes or b' hidden="true"' in attributes
        return self._count(int(number[1]) if number else 0), cells, len(text)

    def _count(self, number: int) -> int:
        """The row's number, one more than the last one's where it has none."""
        number = number or self._number + 1
        if number <= self._number:
            raise XmlBroken(f"its row {number} follows its row {self._number}")
        self._number = number
        return number

    def _parse(self, piece: bytes, final: bool = False) -> Iterator[Row]:
        handlers = self._handlers
        handlers.parser.feed(piece, final)
        for number, hidden, cells in handlers.take():
            self.hidden_rows += hidden
            yield self._count(number), cells, sum(sum(map(len, each)) for each in cells)
        self.hidden_columns, self.merged_ranges = handlers.hidden_columns, handlers.merged_ranges


class _RowHandlers:
    """What the parser calls back."""

    def __init__(self) -> None:
        names = ("sheetData", "row", "c", "v", "t", "f", "rPh", "col", "mergeCell")
        self.parser = XmlParser(names, self._start, self._end)
        self.in_rows = False
        self.hidden_columns = self.merged_ranges = 0
        self._rows: list[tuple[int, bool, list[RawCell]]] = []
        self._row: dict[str, str] = {}
        self._cells: list[RawCell] = []
        self._cell: dict[str, str] = {}
        self._texts: dict[str, list[str]] = {}
        self._phonetic = False
        self._size = 0

    def take(self) -> list[tuple[int, bool, list[RawCell]]]:
        rows, self._rows = self._rows, []
        return rows

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name in ("v", "t", "f"):
            if not self._phonetic:
                text = self._texts.setdefault(name, [])
                self.parser.listen(lambda data: self._add(text, data))
        elif name == "c":
            self._cell, self._texts = attributes, {}
        elif name == "row":
            self._row, self._cells, self._size = attributes, [], 0
        elif name == "rPh":
            self._phonetic = True
        elif name == "sheetData":
            self.in_rows = True
        elif name == "mergeCell":
            self.merged_ranges += 1
        elif name == "col" and attributes.get("hidden") in _YES:
            first, last = (_number(attributes.get(each)) for each in ("min", "max"))
            self.hidden_columns += max(last - first + 1, 0)

    def _add(self, text: list[str], data: str) -> None:
        self._size += len(data)
        if self._size > MAX_ROW_BYTES:
            raise XmlTooLarge(f"one of its rows has more than {MAX_ROW_BYTES >> 20} MiB")
        text.append(data)

    def _end(self, name: str) -> None:
        if name in ("v", "t", "f"):
            self.parser.listen(None)
        elif name == "rPh":
            self._phonetic = False
        elif name == "c":
            self._cells.append(self._finish_cell())
        elif name == "row":
            hidden = self._row.get("hidden") in _YES
            self._rows.append((_number(self._row.get("r")), hidden, self._cells))
        elif name == "sheetData":
            self.in_rows = False

    def _finish_cell(self) -> RawCell:
        found = self._cell
        column = found.get("r", "").rstrip("0123456789")
        parts = {name: "".join(text).encode() for name, text in self._texts.items()}
        return (
            column.encode(),
            found.get("s", "").encode(),
            found.get("t", "").encode(),
            b"f" if "f" in parts else b"",
            parts.get("v", b""),
            parts.get("t", b""),
        )


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else 0
