"""A disk to tear at: it knows what was synced, and can lose power, be full or read-only.

Names follow an ordered journal: a power cut keeps a prefix of the changes since the last sync of a
folder. Contents keep what was synced, and any part of what was appended after it, perhaps followed
by zeros, as file systems that grow a file before its data arrives leave it. What was set aside is
written in place, block by block in any order: a block that did not arrive holds zeros.
"""

from __future__ import annotations

import errno
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from eventpulse_edge.files import Entry

SET_ASIDE = 100
BLOCK = 64


@dataclass(eq=False)
class Inode:
    data: bytearray = field(default_factory=bytearray)
    synced: int = 0
    set_aside: bool = False

    def read(self) -> bytes:
        return bytes(self.data) + bytes(SET_ASIDE if self.set_aside else 0)


Change = tuple[Path | None, Path | None, Inode | None]
"""What a name change removes, adds, and the file it adds (None: a folder)."""


class ModelDisk:
    """Implements Files. `room`: bytes that still fit; `refuse`: errno of every change."""

    def __init__(self) -> None:
        self.names: dict[Path, Inode | None] = {}
        self.durable: dict[Path, Inode | None] = {}
        self.journal: list[Change] = []
        self.room: int | None = None
        self.refuse: int | None = None
        self.fail_syncs = 0
        self.synced_bytes = 0
        self.dead = False
        self.changes_left: int | None = None
        """The power goes before so many more changes; None: never."""

    # --- Files -----------------------------------------------------------------------------------

    def create(self, path: Path, *, reserve: bool = False) -> ModelFile:
        self._change()
        if path in self.names:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        self._need_folder(path.parent)
        inode = Inode(set_aside=reserve)
        self._apply((None, path, inode))
        return ModelFile(self, inode)

    def open(self, path: Path) -> BinaryIO:
        self._alive()
        inode = self.names.get(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "missing", str(path))
        return io.BytesIO(inode.read())

    def replace(self, source: Path, target: Path) -> None:
        self._change()
        inode = self.names.get(source)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "missing", str(source))
        self._need_folder(target.parent)
        self._apply((source, target, inode))

    def unlink(self, path: Path) -> None:
        if path in self.names:
            self._change()
            self._apply((path, None, None))

    def make_folder(self, path: Path) -> None:
        if path not in self.names:
            self._change()
            if path != path.parent:
                self.make_folder(path.parent)
            self._apply((None, path, None))
            self._commit()

    def remove_folder(self, path: Path) -> None:
        if path in self.names and not any(self.list(path)):
            self._change()
            self._apply((path, None, None))

    def sync_folder(self, path: Path) -> None:
        self._change()
        self._need_folder(path)
        self._commit()

    def list(self, path: Path) -> Iterator[Entry]:
        self._alive()
        found = [
            Entry(each.name, len(inode.read()) if inode else 0)
            for each, inode in self.names.items()
            if each.parent == path and each != path
        ]
        return iter(found)

    def size(self, path: Path) -> int:
        with self.open(path) as file:
            return len(file.read())

    # --- Faults ----------------------------------------------------------------------------------

    def cut_power(self, draw: random.Random) -> None:
        """Forget what was not synced, or a part of it; the disk is as after the next boot."""
        kept = draw.randint(0, len(self.journal))
        for change in self.journal[:kept]:
            _change_names(self.durable, change)
        self.journal = []
        self.names = dict(self.durable)
        for inode in {id(i): i for i in self.names.values() if i is not None}.values():
            whole = len(inode.data)
            reached = draw.randint(inode.synced, whole)
            zeros = draw.choice((0, 0, whole - reached))
            if inode.set_aside and inode.synced:  # its first sync made its length durable
                _lose_blocks(inode, draw)
            else:
                inode.data = inode.data[:reached] + bytearray(zeros)
            inode.synced = len(inode.data)
        self.dead = False
        self.changes_left = None
        self.room = self.refuse = None
        self.fail_syncs = 0

    def _alive(self) -> None:
        if self.dead:
            raise PowerCut

    def _change(self) -> None:
        self._alive()
        if self.changes_left is not None:
            if self.changes_left == 0:
                self.dead = True
                raise PowerCut
            self.changes_left -= 1
        if self.refuse is not None:
            raise OSError(self.refuse, "refused")

    def _need_folder(self, path: Path) -> None:
        if self.names.get(path, self) is not None:
            raise FileNotFoundError(errno.ENOENT, "no folder", str(path))

    def _apply(self, change: Change) -> None:
        _change_names(self.names, change)
        self.journal.append(change)

    def _commit(self) -> None:
        for change in self.journal:
            _change_names(self.durable, change)
        self.journal = []


class PowerCut(BaseException):
    """The machine stopped here. No code of the agent's may catch it."""


class ModelFile:
    def __init__(self, disk: ModelDisk, inode: Inode) -> None:
        self._disk = disk
        self._inode = inode

    def write(self, data: bytes) -> None:
        self._disk._change()
        room = self._disk.room
        if room is not None and len(data) > room:
            self._inode.data += data[:room]
            self._disk.room = 0
            raise OSError(errno.ENOSPC, "full")
        if room is not None:
            self._disk.room = room - len(data)
        self._inode.data += data

    def sync(self) -> None:
        self._disk._change()
        if self._disk.fail_syncs:
            self._disk.fail_syncs -= 1
            raise OSError(errno.EIO, "failed")
        self._disk.synced_bytes += len(self._inode.data) - self._inode.synced
        self._inode.synced = len(self._inode.data)

    def close(self) -> None:
        self._disk._alive()
        self._inode.set_aside = False


def _lose_blocks(inode: Inode, draw: random.Random) -> None:
    """Put zeros in the place of some blocks of what was not synced."""
    for start in range(inode.synced // BLOCK * BLOCK, len(inode.data), BLOCK):
        if draw.random() < 0.5:
            lost = slice(max(start, inode.synced), min(start + BLOCK, len(inode.data)))
            inode.data[lost] = bytes(lost.stop - lost.start)


def _change_names(names: dict[Path, Inode | None], change: Change) -> None:
    removed, added, inode = change
    if removed is not None:
        names.pop(removed, None)
    if added is not None:
        names[added] = inode
