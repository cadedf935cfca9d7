"""Bytes of any encoding become UTF-8 that a parser takes, and what is no text is marked."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping

from eventpulse.errors import FileUnreadable
from eventpulse.formats.unpacking import Unpacked

UNDECODABLE = "\ufdd0"
"""Stands before each byte that is not text of the file's encoding: no text may hold it."""

OVERSIZED = "\ufdd1"
"""Stands at the end of what was left of a line that is too long."""

GARBLED = "\ufdd2"
"""Stands between a closing quote and the text that follows it in its cell."""

SAMPLE_BYTES = 4096
_BYTE_ORDER_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WITHOUT_MARK: Mapping[str, str] = {
    "utf-8-sig": "utf-8",
    "utf-16": "utf-16-le",
    "utf-32": "utf-32-le",
}
"""What an encoding that wants a byte order mark means in a file that has none."""


def detect_encoding(sample: bytes, declared: str | None) -> tuple[str, int, bool]:
    """The encoding, how long the byte order mark is, and whether the file itself told.

    A byte order mark is certain, and so is UTF-16 where every other byte of the beginning is zero;
    they overrule the contract. Without either it is what the contract declares, else UTF-8. The
    8-bit encodings cannot be told apart, so that none of them is ever guessed.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if sample.startswith(mark):
            return encoding, len(mark), encoding != declared
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = sample[offset::2], sample[1 - offset :: 2]
        if zeros and zeros.count(0) >= 0.9 * len(zeros) and 0 not in others:
            return encoding, 0, encoding != declared
    wanted = declared or "utf-8"
    return _WITHOUT_MARK.get(wanted, wanted), 0, False


class Utf8Text:
    """A file's text as pieces of valid UTF-8, without its byte order mark.

    A byte that is no text becomes `UNDECODABLE` and its hexadecimal code, so that no parser
    stumbles over it.
    """

    def __init__(self, stream: Unpacked, name: str, declared: str | None, piece_bytes: int) -> None:
        self._stream = stream
        self._name = name
        self._piece_bytes = piece_bytes
        self._sample = stream.read_fully(SAMPLE_BYTES)
        self.encoding, self._mark, self.sniffed = detect_encoding(self._sample, declared)

    def __iter__(self) -> Iterator[bytes]:
        """From the beginning, once. Raises FileUnreadable."""
        decoder = _Utf8() if self.encoding == "utf-8" else _Other(self.encoding)
        for raw in self._read():
            try:
                piece = decoder.decode(raw)
            except UnicodeError as error:
                raise FileUnreadable(
                    self._name,
                    f"its text cannot be read as {self.encoding} ({error}).",
                    "Save it in UTF-8, or declare its `encoding` in the contract.",
                ) from error
            if piece:
                yield piece

    def _read(self) -> Iterator[bytes]:
        """What the file has, then an empty piece."""
        first, self._sample = self._sample[self._mark :], b""
        if first:
            yield first
        while raw := self._stream.read_fully(self._piece_bytes):
            yield raw  # of the same lengths each time, so that batches are cut alike
        yield b""


class _Utf8:
    """Hands bytes on that are UTF-8 already, without making them anew."""

    def __init__(self) -> None:
        self._cut = b""

    def decode(self, raw: bytes) -> bytes:
        if not self._cut and raw.isascii():
            return raw
        data, ended = self._cut + raw, not raw
        try:
            _, used = codecs.utf_8_decode(data, "strict", ended)
            plain = data[:used]
        except UnicodeDecodeError:
            text, used = codecs.utf_8_decode(data, _MARK_ERRORS, ended)
            plain = text.encode()
        self._cut = data[used:]
        return plain


class _Other:
    def __init__(self, encoding: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)(_MARK_ERRORS)

    def decode(self, raw: bytes) -> bytes:
        return self._decoder.decode(raw, not raw).encode(errors="replace")


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    wrong = error.object[error.start : error.end]
    return "".join(f"{UNDECODABLE}\\x{byte:02x}" for byte in wrong), error.end


_MARK_ERRORS = "eventpulse.mark"
codecs.register_error(_MARK_ERRORS, _mark_undecodable)
