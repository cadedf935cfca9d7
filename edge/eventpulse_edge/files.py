"""The file operations that the spool is made of, behind one small interface.

Tests put a disk in its place that tears writes, forgets what was not synced, and is full.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

BLOCK = 4096
"""Files take whole blocks: many small ones are more than the sum of their bytes."""
RESERVE = 64 << 10
"""Set aside at once, as zeros, for a file that grows in small steps: a sync then writes data alone.
A new length or a new block has it write the file system's journal too: more bytes than the data."""
_ZEROS = bytes(BLOCK)


class Entry(NamedTuple):
    name: str
    size: int


class AppendFile(Protocol):
    """A file that only grows."""

    def write(self, data: bytes) -> None:
        """Append all of it, or raise OSError: part of it may then stand in the file."""
        ...

    def sync(self) -> None:
        """Return when what was written survives a power cut. After an OSError, nothing is sure."""
        ...

    def close(self) -> None:
        """Without a sync; what was set aside and not used is given back."""
        ...


class Files(Protocol):
    """Every method may raise OSError."""

    def create(self, path: Path, *, reserve: bool = False) -> AppendFile:
        """A new file, whose name `sync_folder` makes durable; FileExistsError when it exists.

        `reserve`: it will grow in small steps. Until it is closed it may then end in zeros.
        """
        ...

    def open(self, path: Path) -> BinaryIO:
        """A reader; FileNotFoundError when there is none."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Rename atomically, in place of what was there."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove; no error when it is gone."""
        ...

    def make_folder(self, path: Path) -> None:
        """With its parents, durably; no error when it is there."""
        ...

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder; no error when it is gone or not empty."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Return when the names in a folder survive a power cut."""
        ...

    def list(self, path: Path) -> Iterator[Entry]:
        """Files and folders in no order; nothing when there is no such folder."""
        ...

    def size(self, path: Path) -> int:
        """In bytes; FileNotFoundError when there is none."""
        ...


class _OsAppendFile:
    def __init__(self, descriptor: int, reserve: bool) -> None:
        self._descriptor = descriptor
        self._reserve = reserve
        self._written = self._reserved = 0

    def write(self, data: bytes) -> None:
        if self._reserve and self._written + len(data) > self._reserved:
            self._set_aside(len(data))
        view = memoryview(data)
        while view:
            count = os.write(self._descriptor, view)
            self._written += count
            view = view[count:]

    def _set_aside(self, size: int) -> None:
        """It only saves time: a disk that has no more is found out by what is written."""
        start = disk_size(self._written)
        self._reserved = start + max(RESERVE, disk_size(size))
        try:
            for at in range(start, self._reserved, BLOCK):
                os.pwrite(self._descriptor, _ZEROS, at)
        except OSError:
            self._reserve = False

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        try:
            if self._reserved:
                os.ftruncate(self._descriptor, self._written)
        finally:
            os.close(self._descriptor)


class OsFiles:
    """The machine's own files."""

    def create(self, path: Path, *, reserve: bool = False) -> AppendFile:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return _OsAppendFile(os.open(path, flags, 0o600), reserve)

    def open(self, path: Path) -> BinaryIO:
        return path.open("rb")

    def replace(self, source: Path, target: Path) -> None:
        source.replace(target)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        if path.is_dir():
            return
        self.make_folder(path.parent)
        path.mkdir(0o700, exist_ok=True)
        self.sync_folder(path.parent)

    def remove_folder(self, path: Path) -> None:
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if not any(path.iterdir()):
                raise

    def sync_folder(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def list(self, path: Path) -> Iterator[Entry]:
        try:
            entries = os.scandir(path)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                yield Entry(entry.name, entry.stat().st_size)

    def size(self, path: Path) -> int:
        return path.stat().st_size


def write_atomically(files: Files, path: Path, content: bytes) -> None:
    """The file appears whole and durable, or not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    files.unlink(temporary)
    file = files.create(temporary)
    try:
        file.write(content)
        file.sync()
    finally:
        file.close()
    files.replace(temporary, path)
    files.sync_folder(path.parent)


def disk_size(size: int) -> int:
    """What a file of so many bytes takes on disk."""
    return -(-size // BLOCK) * BLOCK
