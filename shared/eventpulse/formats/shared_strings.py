"""The texts that a workbook's cells point to, in one Arrow array: no object per text."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import chain

import pyarrow as pa

from eventpulse.formats.xml import (
    PLAIN_TEXT,
    XmlBroken,
    XmlParser,
    XmlTooLarge,
    normalise,
    resolve_escapes,
)

_HEAD = re.compile(rb"<sst(?: [^<>]*[^<>/])?>")
_HEAD_BYTES = 1 << 20
_ITEM = re.compile(rb"\s*<si>" + PLAIN_TEXT + rb"</si>")


def read_shared_strings(pieces: Iterator[bytes], longest: int) -> pa.Array:
    """As one string array. Raises XmlBroken, and XmlTooLarge when it would take more than
    `longest` bytes."""
    handlers = _TextHandlers(_TextTable(longest))
    rest, plain = _read_head(pieces, handlers)
    if plain:
        rest = _read_fast(rest, pieces, handlers.table)
    for piece in chain([rest], pieces):
        handlers.parser.feed(piece)
    handlers.parser.feed(b"", final=True)
    return handlers.table.to_arrow()


def _read_head(pieces: Iterator[bytes], handlers: _TextHandlers) -> tuple[bytes, bool]:
    head = b""
    for piece in pieces:
        head += piece
        found = _HEAD.search(head)
        if found is not None:
            handlers.parser.feed(head[: found.end()])
            return head[found.end() :], handlers.in_table and handlers.parser.utf8
        if len(head) > _HEAD_BYTES:
            break
    return head, False


def _read_fast(data: bytes, pieces: Iterator[bytes], table: _TextTable) -> bytes:
    """Takes items as long as they are plain; what is left for the parser."""
    while True:
        start = 0
        while (found := _ITEM.match(data, start)) is not None:
            table.add(normalise(found[1]))
            start = found.end()
        data = data[start:]
        if b"</si>" in data or data.lstrip().startswith(b"</") or len(data) > table.longest:
            return data
        piece = next(pieces, None)
        if piece is None:
            return data
        data += piece


class _TextTable:
    def __init__(self, longest: int) -> None:
        self.longest = longest
        self._data = bytearray()
        self._offsets = array("i", [0])

    def add(self, text: bytes) -> None:
        self._data += resolve_escapes(text)
        self._offsets.append(len(self._data))
        self.check(len(self._data) + 4 * len(self._offsets))

    def check(self, size: int) -> None:
        if size > self.longest:
            raise XmlTooLarge(f"its texts take more than {self.longest >> 20} MiB")

    def to_arrow(self) -> pa.Array:
        buffers = [None, pa.py_buffer(self._offsets), pa.py_buffer(self._data)]
        texts = pa.Array.from_buffers(pa.string(), len(self._offsets) - 1, buffers)
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid as error:
            raise XmlBroken("its texts are not UTF-8") from error
        return texts


class _TextHandlers:
    """What the parser calls back."""

    def __init__(self, table: _TextTable) -> None:
        self.table = table
        self.parser = XmlParser(("sst", "si", "t", "rPh"), self._start, self._end)
        self.in_table = False
        self._parts: list[str] = []
        self._size = 0
        self._phonetic = False

    def _start(self, name: str, _: dict[str, str]) -> None:
        if name == "si":
            self._parts, self._size = [], 0
        elif name == "rPh":
            self._phonetic = True
        elif name == "t" and not self._phonetic:
            self.parser.listen(self._add)
        elif name == "sst":
            self.in_table = True

    def _add(self, text: str) -> None:
        self._size += len(text)
        self.table.check(self._size)
        self._parts.append(text)

    def _end(self, name: str) -> None:
        if name == "t":
            self.parser.listen(None)
        elif name == "rPh":
            self._phonetic = False
        elif name == "si":
            self.table.add("".join(self._parts).encode())
