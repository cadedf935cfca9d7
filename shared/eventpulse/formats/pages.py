"""What the pages of a Parquet file will take in memory, by their own headers.

The file's metadata says how large its columns are, but a page is unpacked by what its header says:
up to 2 GiB, whatever the metadata claim. So the headers are read beforehand, of those codecs with
which a few bytes may become very many. Where they begin is read here too: pyarrow ends the process
when it is asked about a column whose statistics contradict its type.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO

from eventpulse.errors import FileUnreadable
from eventpulse.formats.unpacking import refuse_bomb

MOST_PAGE_BYTES = 256 << 20
"""Writers make pages of about 1 MiB; a reader holds one of each column."""
BOUNDED_CODECS = frozenset({0, 1, 5, 7})
"""Uncompressed, Snappy, LZ4 and LZ4_RAW: a byte becomes 255 at most, which the metadata's sizes and
the limit for them bound."""
_SKIPPED_BYTES = 1 << 20
_FOOTER_END = 8
"""The footer's length and `PAR1`."""
_ROW_GROUPS, _COLUMNS, _COLUMN = 4, 1, 3
_CODEC, _SIZE, _DATA_PAGE_OFFSET, _DICTIONARY_OFFSET = 4, 7, 9, 11
"""Fields of FileMetaData, RowGroup and ColumnChunk, and of the ColumnMetaData in that."""
_LONGEST_VARINT = 10
_DEEPEST = 8
# The types of Thrift's compact protocol.
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = (
    (1, 2),
    3,
    (4, 5, 6),
    7,
    8,
    (9, 10),
    12,
)


def check_pages(stream: BinaryIO, name: str, limit: int) -> None:
    """Read the headers of a file's pages, from its beginning to its end.

    Raises FileUnreadable where a page is too large, all together are larger than `limit`, or a
    header cannot be read.
    """
    total = 0
    for start, size in _list_chunks(stream, name):
        stream.seek(start)
        header, left = _Header(stream), size
        while left > 0:
            try:
                page, packed = header.read_sizes()
            except ValueError as error:
                raise _damaged(name) from error
            total += page
            if page > MOST_PAGE_BYTES:
                raise FileUnreadable(
                    name,
                    f"it has a page of {page >> 20} MiB; {MOST_PAGE_BYTES >> 20} MiB are allowed.",
                    "Write it with smaller pages or row groups.",
                )
            if total > limit:
                raise refuse_bomb(name)
            left -= header.length + packed
            _skip(stream, min(packed, max(left + packed, 0)))


def _list_chunks(stream: BinaryIO, name: str) -> list[tuple[int, int]]:
    """Where the pages of each column's part begin, in order, and how many bytes they take; but for
    those of codecs that are bounded."""
    end = stream.seek(-_FOOTER_END, os.SEEK_END)
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(max(end - length, 0))
    chunks = []
    try:
        for chunk in _Footer(io.BytesIO(stream.read(length)), length).read_chunks():
            if chunk[_CODEC] not in BOUNDED_CODECS:
                first = chunk[_DATA_PAGE_OFFSET]
                chunks.append((min(chunk.get(_DICTIONARY_OFFSET) or first, first), chunk[_SIZE]))
    except (ValueError, KeyError) as error:
        raise _damaged(name) from error
    return sorted(chunks)


def _damaged(name: str) -> FileUnreadable:
    return FileUnreadable(
        name,
        "this is no complete Parquet file: a header in it cannot be read.",
        "Write and upload it again.",
    )


def _skip(stream: BinaryIO, size: int) -> None:
    """By reading on: a seek would be a request of its own where the file is far away."""
    while size > 0 and (part := stream.read(min(size, _SKIPPED_BYTES))):
        size -= len(part)


class _Thrift:
    """What Parquet's structures are written in, field by field. Everything raises ValueError."""

    def __init__(self, stream: BinaryIO, longest: int = _SKIPPED_BYTES) -> None:
        """`longest` bounds what is read in one piece."""
        self._stream = stream
        self._longest = longest
        self.length = 0
        """Bytes that were read."""

    def _read_structure(self) -> dict[int, int]:
        """The whole numbers of a structure, by their fields."""
        numbers: dict[int, int] = {}
        for field, kind in self._read_fields():
            if kind in _INTEGERS:
                numbers[field] = self._read_integer()
            else:
                self._pass(kind, _DEEPEST)
        return numbers

    def _read_structures(self, wanted: int) -> Iterator[None]:
        """Once before each structure of the list in a field; the others are passed over."""
        for field, kind in self._read_fields():
            if field == wanted and kind in _LISTS:
                first = self._read(1)[0]
                if first & 15 != _STRUCT:
                    raise ValueError("a list of something else")
                for _ in range(self._read_varint() if first >> 4 == 15 else first >> 4):
                    yield
            else:
                self._pass(kind, _DEEPEST)

    def _read_fields(self) -> Iterator[tuple[int, int]]:
        field = 0
        while (first := self._read(1)[0]) != 0:
            step, kind = first >> 4, first & 15
            field = field + step if step else self._read_integer()
            yield field, kind

    def _pass(self, kind: int, deepest: int) -> None:
        if not deepest:
            raise ValueError("structures within structures")
        if kind in _INTEGERS:
            self._read_varint()
        elif kind == _BYTE:
            self._read(1)
        elif kind == _DOUBLE:
            self._read(8)
        elif kind == _BINARY:
            self._read(self._read_varint())
        elif kind == _STRUCT:
            for _, inner in self._read_fields():
                self._pass(inner, deepest - 1)
        elif kind in _LISTS:
            first = self._read(1)[0]
            for _ in range(self._read_varint() if first >> 4 == 15 else first >> 4):
                self._pass(_BYTE if first & 15 in _BOOLEANS else first & 15, deepest - 1)
        elif kind not in _BOOLEANS:
            raise ValueError(f"no type {kind}")

    def _read_integer(self) -> int:
        word = self._read_varint()
        return (word >> 1) ^ -(word & 1)

    def _read_varint(self) -> int:
        word = 0
        for place in range(_LONGEST_VARINT):
            byte = self._read(1)[0]
            word |= (byte & 127) << (7 * place)
            if byte < 128:
                return word
        raise ValueError("a number without an end")

    def _read(self, size: int) -> bytes:
        if size > self._longest:
            raise ValueError("a page's header that is larger than a page")
        data = self._stream.read(size)
        if len(data) < size:
            raise ValueError("the end of the file")
        self.length += size
        return data


class _Header(_Thrift):
    """PageHeader: its fields 2 and 3 are the page's sizes, unpacked and packed. `length` is that of
    the header itself."""

    def read_sizes(self) -> tuple[int, int]:
        self.length = 0
        sizes = self._read_structure()
        if min(sizes.get(2, -1), sizes.get(3, -1)) < 0:
            raise ValueError("a page without sizes")
        return sizes[2], sizes[3]


class _Footer(_Thrift):
    """FileMetaData, of which the parts of columns are read."""

    def read_chunks(self) -> Iterator[dict[int, int]]:
        """The numbers of each ColumnMetaData."""
        for _group in self._read_structures(_ROW_GROUPS):
            for _chunk in self._read_structures(_COLUMNS):
                for field, kind in self._read_fields():
                    if field == _COLUMN and kind == _STRUCT:
                        yield self._read_structure()
                    else:
                        self._pass(kind, _DEEPEST)
