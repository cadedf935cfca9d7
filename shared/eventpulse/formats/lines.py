"""What happens to a CSV's text before it is split into cells: long lines are cut, comments go.

Both work on pieces of UTF-8 of any length, and know whether a line stands inside quotes.
"""

from __future__ import annotations

import atexit
import io
import re
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np

from eventpulse.errors import EventPulseError
from eventpulse.formats.decoding import OVERSIZED
from eventpulse.formats.quoting import Quoting

_KEPT_BYTES = 200
_FAREWELL_SECONDS = 10.0


def drop_comments(pieces: Iterable[bytes], quoting: Quoting, longest: int) -> Iterator[bytes]:
    """The text without the lines that start with the comment character outside of quotes."""
    comment = quoting.comment
    assert comment is not None
    line = re.compile(rb"^" + re.escape(comment) + rb"[^\n]*\n", re.MULTILINE)
    carry = b""
    for piece in pieces:
        data = carry + piece
        if quoting.concerns(data) or data.count(b"\r") != data.count(b"\r\n"):
            kept, end = _drop_records(data, quoting, comment)
        else:
            end = data.rfind(b"\n") + 1
            kept = line.sub(b"", data[:end])
        carry = data[end:]
        if len(carry) > longest:  # the parser tells what is wrong with such a record
            kept, carry = kept + carry, b""
        yield kept
    if not carry.startswith(comment):
        yield carry


def _drop_records(data: bytes, quoting: Quoting, comment: bytes) -> tuple[bytes, int]:
    kept: list[bytes] = []
    start = 0
    while (end := quoting.find_record_end(data, start)) >= 0:
        if data.endswith(b"\r") and end == len(data):
            break  # half of a Windows line end, perhaps
        if not data.startswith(comment, start):
            kept.append(data[start:end])
        start = end
    return b"".join(kept), start


def cut_long_lines(
    pieces: Iterable[bytes], longest: int, quoting: Quoting, delimiter: bytes
) -> Iterator[bytes]:
    """The text, with every line of more than `longest` bytes cut to a few and marked OVERSIZED.

    A cut line opens or closes as many quotes as it did, so that the lines around it stay what they
    are. It has no quotes of its own otherwise.
    """
    head = b""  # of a line that has begun and is not too long yet
    cut: _CutLine | None = None
    for data in pieces:
        start = 0
        out: list[bytes | memoryview] = []
        while True:
            if cut is not None:
                end = _find_line_end(data, start, len(data))
                cut.add(data[start : end if end >= 0 else len(data)])
                if end < 0:
                    break
                out.append(cut.close())
                cut, start = None, end
            last = _find_last_line_end(data, start, start + longest + 1 - len(head))
            if last >= 0:
                out += [head, memoryview(data)[start:last]]
                head, start = b"", last
            elif len(head) + len(data) - start > longest:
                cut = _CutLine(quoting, delimiter, min(_KEPT_BYTES, longest // 4))
                cut.add(head)
                head = b""
            else:
                head += data[start:]
                break
        yield b"".join(out)
    if cut is not None:
        yield cut.close()
    yield head


class _CutLine:
    def __init__(self, quoting: Quoting, delimiter: bytes, keep: int) -> None:
        self._quoting, self._delimiter, self._keep = quoting, delimiter, keep
        self._kept = self._dangling = b""
        self._quotes = 0

    def add(self, part: bytes) -> None:
        quote, escape = self._quoting.quote, self._quoting.escape
        part = self._quoting.hide_escaped(self._dangling + part)
        self._dangling = b""
        if escape is not None and part.endswith(escape):
            part, self._dangling = part[:-1], escape
        self._quotes += part.count(quote)
        if len(self._kept) < self._keep:
            begin = part[: 2 * self._keep].replace(quote, b"")
            self._kept = (self._kept + begin)[: self._keep]

    def close(self) -> bytes:
        kept = self._kept.decode(errors="ignore").encode() + OVERSIZED.encode()
        # Inside quotes the delimiter is text and the quote closes; outside, it begins a cell.
        odd = self._delimiter + self._quoting.quote if self._quotes % 2 else b""
        return kept + odd + self._dangling


def _find_line_end(data: bytes, start: int, stop: int) -> int:
    """Where the line that begins at `start` ends, before its line end."""
    ends = [at for at in (data.find(b"\n", start, stop), data.find(b"\r", start, stop)) if at >= 0]
    return min(ends, default=-1)


def _find_last_line_end(data: bytes, start: int, stop: int) -> int:
    """Just after the last line end between two places; -1 without any."""
    last = data.rfind(b"\n", start, stop)
    return max(last, data.rfind(b"\r", max(last, start), stop)) + 1 or -1


class BlockFile(io.RawIOBase):
    """Pieces as a file whose reads return what they ask for, or nearly as much in one piece.

    What a read returns is a block to the parser, and a record may not be longer than two blocks.
    `doubtful`: one of the `signs` came by. `error`: why a read failed, because pyarrow hides it.
    """

    def __init__(self, pieces: Iterator[bytes], signs: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._signs = signs
        self._first_bytes = {sign[:1] for sign in signs}
        self.doubtful = False
        self._ready = b""
        self.error: EventPulseError | None = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, missing = [self._ready], size - len(self._ready)
        while missing > 0:
            piece = self._next()
            if piece is None:
                break
            if not self._ready and len(parts) == 1 and size - size // 16 <= len(piece) <= size:
                self._note(piece)
                return piece  # large enough as it is, and not copied
            parts.append(piece)
            missing -= len(piece)
            self._note(piece)
        whole = b"".join(parts)
        self._ready = whole[size:]
        return whole[:size]

    def _note(self, piece: bytes) -> None:
        # Searching for several bytes costs more than splitting the cells; for one, next to none.
        if not self.doubtful and any(first in piece for first in self._first_bytes):
            self.doubtful = any(sign in piece for sign in self._signs)

    def _next(self) -> bytes | None:
        try:
            return next(self._pieces, None)
        except EventPulseError as error:
            self.error = error
            raise OSError(str(error)) from error


class Throttled(io.RawIOBase):
    """A file of which only so many blocks are in memory: reading waits until one of them is freed.

    By itself pyarrow reads 32 blocks ahead, however slowly they are taken. `let_go` ends the
    waiting, so that a reader that is closed early leaves no thread that waits for it; and so does
    the end of the process, which a thread must not meet here.
    """

    def __init__(self, file: BlockFile, blocks: int) -> None:
        self._file = file
        self._places = _Places(blocks)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> Any:
        data = b""
        try:
            data = self._file.read(size) if self._places.take() else b""
        finally:
            if not data:
                self._places.read_last()
        if not data:
            return data
        block = np.frombuffer(data, np.uint8)  # unlike bytes, it tells when it is freed
        weakref.finalize(block, self._places.give_back).atexit = False
        return block

    def give_up(self) -> None:
        """Nobody will read on."""
        self._places.read_last()

    def let_go(self) -> None:
        self._places.end()


class _Places:
    """Places for blocks. The garbage collector may give one back in the middle of anything:
    SimpleQueue is made for that."""

    def __init__(self, blocks: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        self._reader: int | None = None
        self._ended = self._was_last = False
        for _ in range(blocks):
            self._free.put(None)
        _ALL.add(self)

    def take(self) -> bool:
        """Wait for a place; False when the waiting has ended."""
        self._reader = threading.get_ident()
        self._free.get()
        return not self._ended

    def give_back(self) -> None:
        self._free.put(None)

    def read_last(self) -> None:
        """No read follows the one that is under way."""
        self._was_last = True
        self._free.put(None)

    def end(self) -> None:
        """Let the thread that reads go."""
        self._ended = True
        self._free.put(None)

    def is_read(self) -> bool:
        """Whether a thread reads, or will. It has no frame once it has left."""
        if self._reader is None:
            return False
        return not self._was_last or self._reader in sys._current_frames()


_ALL: weakref.WeakSet[_Places] = weakref.WeakSet()


@atexit.register
def _see_threads_off() -> None:
    """A thread that is in Python when the interpreter ends, or comes then, aborts the process.

    These are pyarrow's, so that they cannot be joined; but they read until they are told that the
    file has ended.
    """
    left = list(_ALL)
    for places in left:
        places.end()
    latest = time.monotonic() + _FAREWELL_SECONDS
    while any(places.is_read() for places in left) and time.monotonic() < latest:
        time.sleep(0.001)
