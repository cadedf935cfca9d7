"""Where the files of a spool are, and what their names say. Pure.

LOCK                                    held by the one agent that may write
mark.<number>.<epoch>.<last>            the newest number of the newest epoch that was delivered
open/<number>.<epoch>.<first>.log       the segment that is being written
open/<number>.<epoch>.<first>-<last>.log    closed ones that wait to be sealed
gaps/<number>.<epoch>.<first>-<last>.log    what was dropped: one gap event each
sealed/<number / 1000>/<batch>          batches that wait, the oldest readings first
alarms/<batch>                          batches that overtake them
sending/<batch>                         what the server may know of: never dropped
isolated/<batch>                        events that the server refused, for a human
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from eventpulse_edge.batches import Batch
from eventpulse_edge.events import GapReason
from eventpulse_edge.segments import Header

BUCKET = 1_000

_RAW = re.compile(r"^(\d{9})\.([0-9a-f]{16})\.(\d{12})(?:-(\d{12}))?(\.alarm)?\.log$")
_MARK = re.compile(r"^mark\.(\d{9})\.([0-9a-f]{16})\.(\d+)$")


@dataclass(slots=True)
class Raw:
    """A segment file. `last` is None while only reading it can tell; `reason` is for gaps of which
    it is known."""

    number: int
    epoch: str
    first: int
    last: int | None
    path: Path
    size: int
    alarm: bool = False
    header: Header | None = None
    reason: GapReason | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    number: int
    epoch: str
    last: int

    @property
    def name(self) -> str:
        return f"mark.{self.number:09d}.{self.epoch}.{self.last}"


class Layout:
    """The paths of one spool."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = root / "LOCK"
        self.open = root / "open"
        self.gaps = root / "gaps"
        self.sealed = root / "sealed"
        self.alarms = root / "alarms"
        self.sending = root / "sending"
        self.isolated = root / "isolated"

    @property
    def folders(self) -> tuple[Path, ...]:
        return self.open, self.gaps, self.sealed, self.alarms, self.sending, self.isolated

    def raw_path(self, number: int, epoch: str, first: int) -> Path:
        return self.open / f"{number:09d}.{epoch}.{first:012d}.log"

    def closed_path(self, raw: Raw) -> Path:
        name = f"{raw.number:09d}.{raw.epoch}.{raw.first:012d}-{raw.last:012d}"
        return self.open / f"{name}{'.alarm' if raw.alarm else ''}.log"

    def gap_path(self, number: int, epoch: str, first: int, last: int) -> Path:
        return self.gaps / f"{number:09d}.{epoch}.{first:012d}-{last:012d}.log"

    def batch_path(self, batch: Batch) -> Path:
        """Where a batch waits."""
        if batch.alarm:
            return self.alarms / batch.name
        return self.sealed / f"{batch.number // BUCKET:06d}" / batch.name


def parse_raw(folder: Path, name: str, size: int) -> Raw | None:
    """None for any other file."""
    found = _RAW.match(name)
    if found is None:
        return None
    number, epoch, first, last, alarm = found.groups()
    return Raw(
        int(number),
        epoch,
        int(first),
        None if last is None else int(last),
        folder / name,
        size,
        alarm is not None,
    )


def parse_mark(name: str) -> Mark | None:
    """None for any other file."""
    found = _MARK.match(name)
    return None if found is None else Mark(int(found[1]), found[2], int(found[3]))
