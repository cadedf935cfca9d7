"""What the quotes of a CSV open and close, as the parser that splits its cells takes them.

A quote opens at the start of a cell only: `5" pipe` is a plain cell. The parser takes what follows
a closing quote for the rest of the cell, so that `"a \\"b\\" c"` is read as other text than was
meant, in silence. Such cells are marked before it splits them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from eventpulse.formats.decoding import GARBLED

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

_LINE_END = re.compile(rb"\r\n|\r|\n")

# Over a letter for each quote: `e` is followed by the end of a cell, `q` by a quote, `o` by text.
_QUOTED = rb"[EQO](?:[qQ].)*+"
_RIGHT = re.compile(rb"(?:[eqo]|%s[eE])*+" % _QUOTED)
"""Quotes in plain cells, and cells in quotes that end with the closing one."""
_GARBLED = re.compile(rb"%s[oO]" % _QUOTED)


@dataclass(frozen=True)
class Quoting:
    """How cells are set apart. `delimiters` are those after which a quote opens a cell; after the
    `escape` character the next one is text, whatever it is, in quotes and outside of them."""

    quote: bytes
    delimiters: frozenset[bytes]
    comment: bytes | None = None
    escape: bytes | None = None
    _token: re.Pattern[bytes] = field(init=False)
    _escaped: re.Pattern[bytes] | None = field(init=False)

    def __post_init__(self) -> None:
        escaped = re.escape(self.escape) + rb"(?s:.)" if self.escape else None
        token = (rb"(?P<escaped>%s)|" % escaped if escaped else b"") + _LINE_END.pattern
        object.__setattr__(self, "_token", re.compile(token + rb"|" + re.escape(self.quote)))
        object.__setattr__(self, "_escaped", re.compile(escaped) if escaped else None)

    def find_record_end(self, data: bytes, start: int) -> int:
        """Just after the line end that is not inside quotes; -1 when there is none. A comment ends
        with its line."""
        if self.comment is not None and data.startswith(self.comment, start):
            line_end = _LINE_END.search(data, start)
            return line_end.end() if line_end else -1
        quoted = False
        closed, escaped = start, -1
        for found in self._token.finditer(data, start):
            at = found.start()
            if found.lastgroup:
                escaped = found.end()
            elif found[0] != self.quote:
                if not quoted:
                    return found.end()
            elif quoted:
                quoted, closed = False, found.end()
            else:
                quoted = at == closed or (data[at - 1 : at] in self.delimiters and at != escaped)
        return -1

    def concerns(self, data: bytes) -> bool:
        """Whether some character of the data is more than text."""
        return self.quote in data or (self.escape is not None and self.escape in data)

    def hide_escaped(self, data: bytes) -> bytes:
        """As many bytes, each escape character and what it escapes blotted out. One that ends the
        data stays: what it escapes is still to come."""
        return data if self._escaped is None else self._escaped.sub(b"\0\0", data)


class QuoteCheck:
    """Marks the cells in which text follows the closing quote, in pieces of any length.

    GARBLED and a delimiter are put in between, so that the row has a cell too many and is handed
    out as it stands. `marks` counts them. `open`: the text ends inside quotes; `dangling`: it ends
    with an escape character. `backslashes`: one stands before a quote somewhere.
    """

    def __init__(self, pieces: Iterable[bytes], quoting: Quoting, delimiter: bytes) -> None:
        self._pieces = pieces
        self._quoting = quoting
        self.mark = GARBLED.encode() + delimiter
        self._quote = quoting.quote[0]
        ends = [*delimiter, *b"\r\n"]
        self._may_adjoin = np.zeros(256, bool)
        self._may_adjoin[[*ends, self._quote]] = True
        # A letter for each quote: what comes next, in capitals where a cell would start with it.
        self._next = np.full(256, ord("o"), np.uint8)
        self._next[ends] = ord("e")
        self._next[self._quote] = ord("q")
        self._starts = np.zeros(256, np.uint8)
        self._starts[ends] = ord("a") - ord("A")
        self._before = ord("\n")
        self.open = self.dangling = self.backslashes = False
        self.marks = 0

    def __iter__(self) -> Iterator[bytes]:
        held = b""  # what the next byte decides
        for piece in self._pieces:
            data = held + piece
            if not self._quoting.concerns(data):
                held, self._before = b"", data[-1] if data else self._before
                yield data
                continue
            if not self.backslashes and b"\\" in data:
                self.backslashes = b"\\" + self._quoting.quote in data
            plain = self._quoting.hide_escaped(data)
            end = self._find_decided(plain)
            yield self._check(data[:end], plain)
            held, self._before = data[end:], plain[end - 1] if end else self._before
        self.dangling = held == self._quoting.escape
        yield self._check(held, held + b"\n")

    def _find_decided(self, plain: bytes) -> int:
        """How much can be told without the next byte: all but the quotes at the end."""
        if self._quoting.escape is not None and plain.endswith(self._quoting.escape):
            return len(plain) - 1
        return len(plain.rstrip(self._quoting.quote))

    def _check(self, data: bytes, plain: bytes) -> bytes:
        """The data with its marks. `plain` has the byte after each quote of it."""
        text = np.frombuffer(plain, np.uint8)
        quotes = np.flatnonzero(text[: len(data)] == self._quote)
        if not len(quotes) or self._stand_right(text, quotes):
            return data
        before = text.take(quotes - 1, mode="wrap")
        if quotes[0] == 0:
            before[0] = self._before
        letters = self._next.take(text.take(quotes + 1)) - self._starts.take(before)
        parts: list[memoryview | bytes] = []
        start = 0
        for nth in self._find_garbled(letters.tobytes()):
            end = int(quotes[nth]) + 1
            parts += [memoryview(data)[start:end], self.mark]
            start = end
            self.marks += 1
        return b"".join([*parts, memoryview(data)[start:]])

    def _stand_right(self, text: Bytes, quotes: Places) -> bool:
        """Whether every other quote opens a cell and the next one closes it; a doubled quote closes
        and opens again. Then no cell is garbled, and no quote stands in a plain one."""
        opening, closing = quotes[self.open :: 2], quotes[1 - self.open :: 2]
        before = text.take(opening - 1, mode="wrap")
        if len(opening) and opening[0] == 0:
            before[0] = self._before
        after = text.take(closing + 1)
        right = bool(self._may_adjoin.take(before).all() and self._may_adjoin.take(after).all())
        if right:
            self.open ^= len(quotes) % 2 == 1
        return right

    def _find_garbled(self, letters: bytes) -> Iterator[int]:
        """Which quotes close a cell that goes on."""
        opened = b"O" * self.open
        letters, at = opened + letters, 0
        while right := _RIGHT.match(letters, at):
            garbled = _GARBLED.match(letters, right.end())
            if garbled is None:
                self.open = right.end() < len(letters)
                break
            at = garbled.end()
            yield at - 1 - len(opened)
