"""Framed records: lines of text, each with its checksum and length, that can be found again after
any damage. Pure.

    <CRC-32, 8 hex><mark><length, 4 hex> <payload>\\n

The mark is ` ` for an event and `=` for a note (a header, a clock). A payload is JSON, so it holds
no newline. The checksum is of the payload. One damaged byte costs at most its own record:

- in a payload, a checksum or a length: the line fails; the next newline starts the next record. A
  byte that became a newline makes two lines that fail;
- in the newline: the length says where the record ends, and the checksum that it is whole.

A last line without its newline is torn: the write that it belongs to never finished. Zeros at the
end were set aside for more, and are nothing.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

Mark = Literal["event", "note"]

_MARKS: dict[Mark, bytes] = {"event": b" ", "note": b"="}
HEAD = 14
MAX_PAYLOAD = 0xFFFF
_READ = 1 << 16


@dataclass(frozen=True, slots=True)
class Damage:
    """Adjoining bytes that are no record. `events` is how many events they seem to have been."""

    size: int
    events: int
    torn: bool


def frame(payload: bytes, mark: Mark = "event") -> bytes:
    """A payload of at most 64 KiB, without a newline, as a record."""
    return b"%08x%b%04x %b\n" % (crc32(payload), _MARKS[mark], len(payload), payload)


def scan(stream: BinaryIO) -> Iterator[bytes | Damage]:
    """The payloads of a stream of records in order, and what lies damaged between them.

    Memory does not grow with the stream, nor with the damage.
    """
    buffer = b""
    start = 0
    damage = _Damaged()
    while True:
        end = buffer.find(b"\n", start)
        if end < 0:
            rest, block = buffer[start:], stream.read(_READ)
            if block:
                if len(rest) > HEAD + MAX_PAYLOAD:
                    rest = rest.rstrip(b"\0")
                if len(rest) > HEAD + MAX_PAYLOAD:  # no record is so long
                    damage.drop(len(rest))
                    rest = b""
                buffer, start = rest + block, 0
                continue
            buffer, start = rest.rstrip(b"\0"), 0
            end = len(buffer)
            if not buffer:
                break
        payload = None if damage.inside else _find_payload(buffer, start)
        if payload is not None:
            if damage.size:
                yield damage.end()
            yield payload
            start += HEAD + len(payload) + 1
        elif end == len(buffer):
            damage.drop(end - start)
            break
        else:
            damage.add_line(buffer, start, end)
            start = end + 1
    yield from damage.end_of_stream()


class _Damaged:
    """A run of lines that are no records; the last may be torn."""

    def __init__(self) -> None:
        self.size = 0
        self.inside = 0
        """Of a line whose newline was not found yet, what was dropped from the buffer."""
        self._note = False
        self._heads = 0

    def drop(self, size: int) -> None:
        self.inside += size

    def add_line(self, buffer: bytes, start: int, end: int) -> None:
        if not self.inside:
            is_note = _is_note(buffer, start)
            self._note = is_note if not self.size else self._note
            self._heads += not is_note and _seems_head(buffer[start : start + HEAD])
        self.size += self.inside + end + 1 - start
        self.inside = 0

    def end(self) -> Damage:
        found = Damage(self.size, max(self._heads, int(not self._note)), torn=False)
        self.size = self._heads = 0
        return found

    def end_of_stream(self) -> Iterator[Damage]:
        torn = self.inside
        self.inside = 0
        if self.size:
            yield self.end()
        if torn:
            yield Damage(torn, 0, torn=True)


def _seems_head(head: bytes) -> bool:
    """Whether a damaged line begins as records do, but for a byte or two."""
    fits = [byte in b"0123456789abcdef" for byte in head[:8] + head[9:13]]
    return len(head) == HEAD and sum(fits) + (head[13:] == b" ") >= HEAD - 3


def _find_payload(buffer: bytes, start: int) -> bytes | None:
    """That of the record that begins at `start`, if it is whole."""
    try:
        size = int(buffer[start + 9 : start + 13], 16)
        checksum = int(buffer[start : start + 8], 16)
    except ValueError:
        return None
    payload = buffer[start + HEAD : start + HEAD + size]
    return payload if len(payload) == size and crc32(payload) == checksum else None


def _is_note(buffer: bytes, start: int) -> bool:
    return buffer[start + 8 : start + 9] == b"=" or buffer[start + HEAD : start + HEAD + 1] == b"{"
