"""The gzip shell around a file, known by its bytes and not by its name."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import zlib
from typing import BinaryIO, cast

from eventpulse.errors import FileUnreadable

MAX_EXPANSION = 200
"""How many bytes one byte of a compressed file may become."""
FREE_EXPANSION = 64 << 20
"""How many bytes any compressed file may become."""
MAX_SEEKABLE = 128 << 20
"""How much is unpacked of formats that are not read from the beginning to the end."""
_PIECE_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


def expansion_limit(packed: int) -> int:
    """How many bytes `packed` compressed bytes may become before the file counts as a bomb."""
    return max(FREE_EXPANSION, packed * MAX_EXPANSION)


def refuse_bomb(name: str) -> FileUnreadable:
    return FileUnreadable(
        name,
        f"its compressed data grows to more than {MAX_EXPANSION} times its size, as that of a "
        "decompression bomb does.",
        "If the data is real, send it uncompressed or in several files.",
    )


class Unpacked(io.RawIOBase):
    """The stream without its gzip shell, if it has one. Raises FileUnreadable where the shell is
    broken or expands beyond reason."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        magic = stream.read(2)
        self._name = name
        self._inner: BinaryIO = stream
        self._left = self._most = 0
        self.packed = magic == _GZIP_MAGIC
        if self.packed:
            self._most = expansion_limit(stream.seek(0, os.SEEK_END))
            self._left = self._most
            self._inner = gzip.GzipFile(fileobj=stream)  # type: ignore[assignment]
        stream.seek(0)

    def readable(self) -> bool:
        return True

    def rewind(self) -> None:
        """Begin again."""
        self._inner.seek(0)
        self._left = self._most

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._inner.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FileUnreadable(
                self._name,
                f"its gzip data is damaged or incomplete ({error}).",
                "Compress and upload the file again.",
            ) from error
        if self.packed:
            self._left -= len(data)
            if self._left < 0:
                raise refuse_bomb(self._name)
        return data

    def read_fully(self, size: int) -> bytes:
        """Exactly `size` bytes before the end."""
        parts: list[bytes] = []
        while size > 0 and (part := self.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def unpack_to_seek(stream: BinaryIO, name: str) -> BinaryIO:
    """The stream itself or, if it has a gzip shell, a temporary file of what is in it.

    A temporary file may be memory, so it is bounded. Raises FileUnreadable.
    """
    unpacked = Unpacked(stream, name)
    if not unpacked.packed:
        return stream
    whole = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - goes with the last reference
    while piece := unpacked.read(_PIECE_BYTES):
        whole.write(piece)
        if whole.tell() > MAX_SEEKABLE:
            raise FileUnreadable(
                name,
                f"there are more than {MAX_SEEKABLE >> 20} MiB in its gzip shell.",
                "Send it without gzip; the format compresses by itself.",
            )
    return whole
