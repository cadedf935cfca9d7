"""Batches: sealed files of gzip NDJSON, whose bytes and name never change again. Pure.

A batch is several gzip members of about 32 KiB of text, each with its own checksum: a damaged byte
costs one member, never the batch. Its name says all that a claim needs:

    <number>.<epoch>.<first>-<last>.<rows><a|r>.<predecessor>-<last>.<sha256>.ndjson.gz

`number` orders the batches of a device on its disk; `a` is for batches with an alarm.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from eventpulse_edge.clock import Stamp, format_time
from eventpulse_edge.encoding import encode_json
from eventpulse_edge.events import Numbered, Scalar
from eventpulse_edge.segments import Header, Predecessor

Row = dict[str, Scalar]

MEMBER_BYTES = 32 << 10
LEVEL = 6
"""Level 9 takes three times as long for a tenth less."""
MAX_ROWS = 5_000
MAX_BYTES = 4 << 20
MAX_TEXT = 32 << 20

COLUMNS = (
    "event_id",
    "device_id",
    "epoch",
    "seq",
    "recorded_at",
    "firmware",
    "kind",
    "sensor",
    "clock",
    "clock_bound",
    "alarm",
)
"""What every row has, contract or not."""

_MAGIC = b"\x1f\x8b\x08"
_NAME = re.compile(
    r"^(\d{9})\.([0-9a-f]{16})\.(\d{12})-(\d{12})\.(\d+)([ar])"
    r"\.(none|([0-9a-f]{16})-(\d+))\.([0-9a-f]{64})\.ndjson\.gz$"
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch's name says."""

    number: int
    epoch: str
    first: int
    last: int
    rows: int
    alarm: bool
    predecessor: Predecessor | None
    sha256: str

    @property
    def name(self) -> str:
        before = self.predecessor
        return (
            f"{self.number:09d}.{self.epoch}.{self.first:012d}-{self.last:012d}"
            f".{self.rows}{'a' if self.alarm else 'r'}"
            f".{f'{before.epoch}-{before.last}' if before else 'none'}.{self.sha256}.ndjson.gz"
        )

    @property
    def range(self) -> tuple[str, int, int]:
        return self.epoch, self.first, self.last

    def holds(self, other: Batch) -> bool:
        """Whether the other's numbers are some of this one's, not all."""
        return (
            self.epoch == other.epoch
            and self.first <= other.first
            and other.last <= self.last
            and self.range != other.range
        )


def parse_name(name: str) -> Batch | None:
    """None for any other file."""
    found = _NAME.match(name)
    if found is None:
        return None
    number, epoch, first, last, rows, alarm, none, before, before_last, sha256 = found.groups()
    predecessor = None if none == "none" else Predecessor(before, int(before_last))
    return Batch(
        int(number), epoch, int(first), int(last), int(rows), alarm == "a", predecessor, sha256
    )


def make_row(numbered: Numbered, header: Header, stamp: Stamp, columns: Sequence[str]) -> Row:
    """An event as a row: every column, null where it has no value, and its own ones after them."""
    seq, event = numbered
    row: Row = dict.fromkeys(columns)
    row.update(event.values)
    row.update(
        event_id=f"{header.device}/{header.epoch}/{seq}",
        device_id=header.device,
        epoch=header.epoch,
        seq=seq,
        recorded_at=format_time(stamp.utc),
        firmware=header.firmware or None,
        kind=event.kind,
        sensor=event.sensor,
        clock=stamp.state,
        clock_bound=round(stamp.bound, 3),
        alarm=event.alarm or event.values.get("alarm") is True,
    )
    return row


def encode_row(row: Row) -> bytes:
    return encode_json(row) + b"\n"


class MemberWriter:
    """Packs rows into gzip members and writes them out; `sha256` is of what was written."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self._text: list[bytes] = []
        self._size = 0
        self.rows = 0

    def add(self, row: Row) -> None:
        line = encode_row(row)
        self._text.append(line)
        self._size += len(line)
        self.rows += 1
        if self._size >= MEMBER_BYTES:
            self._flush()

    def finish(self) -> str:
        if self._text:
            self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        member = gzip.compress(b"".join(self._text), LEVEL, mtime=0)
        self._text, self._size = [], 0
        self._hash.update(member)
        self._write(member)


def pack_rows(rows: Iterable[Row]) -> tuple[bytes, str, int]:
    """The batch's bytes, their sha256, and how many rows it has."""
    parts: list[bytes] = []
    writer = MemberWriter(parts.append)
    for row in rows:
        writer.add(row)
    sha256 = writer.finish()
    return b"".join(parts), sha256, writer.rows


def hash_sha256(content: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def hash_md5(content: bytes) -> str:
    """Base64, as object stores write it."""
    return b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def read_rows(content: bytes) -> Iterator[Row]:
    """The rows of every member that is whole; damaged ones are passed over."""
    view = memoryview(content)
    at = 0
    while at < len(view):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            text = unpacker.decompress(view[at:], MAX_TEXT)
        except zlib.error:
            text = b""
        if unpacker.eof:
            at = len(view) - len(unpacker.unused_data)
            yield from (json.loads(line) for line in text.splitlines())
            continue
        at = content.find(_MAGIC, at + 1)
        if at < 0:
            return


def mend_rows(batch: Batch, rows: Iterable[Row]) -> list[Row]:
    """The rows of a damaged batch, with a gap wherever numbers are missing.

    Empty when none is left: then nothing says when they were.
    """
    kept = [row for row in rows if batch.first <= _seq(row) <= batch.last]
    mended: list[Row] = []
    expected = batch.first
    for row in kept:
        if _seq(row) > expected:
            mended.append(_gap_row(row, expected, _seq(row) - 1))
        mended.append(row)
        expected = _row_end(row) + 1
    if kept and expected <= batch.last:
        mended.append(_gap_row(kept[-1], expected, batch.last))
    return mended


def _gap_row(beside: Row, first: int, last: int) -> Row:
    row: Row = dict.fromkeys(beside)
    same = ("device_id", "epoch", "recorded_at", "firmware", "clock", "clock_bound")
    row.update({name: beside[name] for name in same})
    row.update(
        event_id=f"{beside['device_id']}/{beside['epoch']}/{first}",
        seq=first,
        kind="gap",
        alarm=False,
        gap_epoch=beside["epoch"],
        gap_first=first,
        gap_last=last,
        reason="corrupt",
    )
    return row


def split_rows(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Two halves of a batch of two rows or more."""
    middle = len(rows) // 2
    return list(rows[:middle]), list(rows[middle:])


def renumber_rows(batch: Batch, rows: Iterable[Row]) -> list[Row]:
    """The same events under an epoch of their own, which follows from the batch's content."""
    epoch = hashlib.sha256(batch.name.encode()).hexdigest()[:16]
    renumbered = []
    for seq, row in enumerate(rows, start=1):
        event_id = f"{row['device_id']}/{epoch}/{seq}"
        renumbered.append({**row, "event_id": event_id, "epoch": epoch, "seq": seq})
    return renumbered


def rebuild(batch: Batch, rows: Sequence[Row], sha256: str) -> Batch:
    """The batch of these rows, which come from another one."""
    epoch = str(rows[0]["epoch"])
    if epoch != batch.epoch:  # it follows no other epoch, and comes before all others
        batch = replace(batch, epoch=epoch, number=0, predecessor=None)
    return replace(
        batch,
        first=_seq(rows[0]),
        last=_row_end(rows[-1]),
        rows=len(rows),
        sha256=sha256,
        alarm=any(row.get("alarm") for row in rows),
    )


def _seq(row: Mapping[str, Scalar]) -> int:
    seq = row["seq"]
    if not isinstance(seq, int):
        raise TypeError(f"seq is {seq!r}")
    return seq


def _row_end(row: Row) -> int:
    last = row.get("gap_last")
    same = row["kind"] == "gap" and row.get("gap_epoch") == row["epoch"]
    return max(_seq(row), last) if same and isinstance(last, int) else _seq(row)
