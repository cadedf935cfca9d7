"""The spool: what a sensor measured is kept here until the cloud has receipted it.

Invariants, which the tests tear at:

1. *Accepted* is what `commit` returned for: written and synced, file and folder. Accepted events
   survive SIGKILL and power cuts at any moment.
2. Each event has a number; the numbers of an epoch run 1, 2, 3 … without holes. A number stands for
   an event or lies in a gap, whose event has the gap's first number. So nothing is lost in silence:
   not by a cap, a full disk, damaged bytes or a refusal.
3. A batch's bytes and name never change. What is asked for again is sent again.
4. A batch leaves the disk only with a receipt that names its content, or when a gap that stands for
   it is on disk.
5. Each change to the files is one atomic rename; recovery.py settles what was half done.
6. Durable data never gives way to data that is not: with a full disk, new events wait in memory
   (bounded) and the oldest of *those* become a gap.

Layout of the folders: layout.py; of a segment: segments.py; of a batch: batches.py.

Threads: samplers call `put`, the committer `commit` and `maintain`, the uploader everything else.
`put` never waits for a disk.
"""

from __future__ import annotations

import errno
import logging
import secrets
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from eventpulse_edge.batches import (
    Batch,
    Row,
    hash_sha256,
    mend_rows,
    pack_rows,
    read_rows,
    rebuild,
    renumber_rows,
    split_rows,
)
from eventpulse_edge.clock import Timeline
from eventpulse_edge.contract import EMPTY, Contract
from eventpulse_edge.events import Event, GapReason, make_gap
from eventpulse_edge.files import AppendFile, Files, disk_size, write_atomically
from eventpulse_edge.holdings import Holdings
from eventpulse_edge.layout import Layout, Mark, Raw, parse_mark, parse_raw
from eventpulse_edge.pending import Pending, PendingEvents
from eventpulse_edge.records import frame
from eventpulse_edge.recovery import recover
from eventpulse_edge.sealing import Sealer
from eventpulse_edge.segments import (
    Header,
    Note,
    Predecessor,
    encode_event,
    encode_header,
    encode_note,
)

WALL_STEP = 0.5
"""A wall clock that moved by so many seconds against the monotonic one has jumped."""
SEAL_SLICE = 0.5
"""For how many seconds sealing may keep the committer from committing."""

_log = logging.getLogger("eventpulse.edge.spool")

_FAULTS: dict[int, GapReason] = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "read_only",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """`cap` in bytes on disk; a segment is sealed at `seal_seconds`, `segment_bytes` or
    `segment_events`; `memory_events` wait for a disk that does not take them."""

    cap: int = 512 << 20
    seal_seconds: float = 300.0
    segment_bytes: int = 1 << 20
    segment_events: int = 5_000
    memory_events: int = 5_000


@dataclass(frozen=True, slots=True)
class SpoolState:
    """How the spool is; `events` with those in memory; `fault` while the disk refuses."""

    epoch: str
    next_seq: int
    bytes: int
    cap: int
    events: int
    batches: int
    isolated: int
    dropped: int
    lost: int
    torn_bytes: int
    fault: GapReason | None


@dataclass(slots=True)
class _Segment:
    """The segment that is being written."""

    raw: Raw
    file: AppendFile
    began: float
    note: Note
    events: int = 0


class Spool:
    """One device's spool, of which there may be one writer at a time."""

    def __init__(
        self,
        folder: Path,
        files: Files,
        timeline: Timeline,
        *,
        device: str,
        firmware: str,
        limits: Limits | None = None,
        floor: float = 0.0,
    ) -> None:
        """Touches no disk yet. `floor`: a time that has passed for sure, in seconds since 1970."""
        self.epoch = secrets.token_hex(8)
        self.contract: Contract | None = EMPTY
        """What readings must keep; while None, it is not known yet and nothing is sealed."""
        self.limits = limits or Limits()
        self.fault: GapReason | None = None
        self._files = files
        self._layout = Layout(folder)
        self._timeline = timeline
        self._device = device
        self._firmware = firmware
        self._floor = floor
        self._holdings = Holdings(files, self._layout)
        self._sealer = Sealer(files, self._layout, timeline, device)
        self._writing = threading.Lock()
        self._shelf = threading.RLock()
        """Guards segments, gaps and batches; taken after `_writing`."""
        self._opened = False
        self._pending = PendingEvents(self.epoch, timeline.clock, self.limits.memory_events)
        self._segment: _Segment | None = None
        self._raws: list[Raw] = []
        self._gaps: list[Raw] = []
        self._mark: Mark | None = None
        self._number = 0
        self._predecessor: Predecessor | None = None
        self._flush = False
        self._durable = 0
        self._dropped = self._lost = self._torn = 0

    # --- Putting and committing ------------------------------------------------------------------

    def put(self, event: Event) -> int:
        """Number an event and take it into memory; `commit` makes it durable.

        ValueError when it is no JSON or greater than 8 KiB: then no number was used.
        """
        return self._pending.put(event, self.fault)

    def open(self) -> None:
        """Recover what is on disk. `commit` does it when it was not done; may raise OSError."""
        with self._writing, self._shelf:
            self._open()

    def commit(self) -> int:
        """Make durable what was put, and return the number up to which all is; may raise OSError.

        After an OSError everything is still in memory, and `fault` says why.
        """
        with self._writing:
            batch: list[Pending] = []
            try:
                with self._shelf:
                    self._open()
                batch = self._pending.take()
                if batch:
                    self._durable = self._append(batch)
            except OSError as error:
                self._pending.give_back(batch)
                self._note_fault(error)
                raise
            self.fault = None
            return self._durable

    def _note_fault(self, error: OSError) -> None:
        self.fault = _FAULTS.get(error.errno or 0, "disk_error")

    def _open(self) -> None:
        if self._opened:
            return
        self._files.make_folder(self._layout.root)
        found = recover(self._files, self._layout, self._holdings)
        self._raws, self._gaps, self._mark = found.raws, found.gaps, found.mark
        self._number, self._predecessor = found.number, found.predecessor
        self._sealer.references.update(found.references)
        self._torn += found.torn_bytes
        if found.predecessor is not None:
            self._set_mark(Mark(found.number, *found.predecessor))
        self._opened = True
        fields = {
            "epoch": self.epoch,
            "predecessor": found.predecessor,
            "batches": self._holdings.batches,
            "segments": len(found.raws),
            "torn_bytes": found.torn_bytes,
            "damaged_bytes": found.damaged_bytes,
        }
        _log.info("spool recovered", extra={"fields": fields})

    def _append(self, batch: Sequence[Pending]) -> int:
        """One write and one sync for the whole group; the last number of it."""
        segment = self._segment
        firsts, lasts, alarms, payloads, checked = zip(*batch, strict=True)
        note = self._make_note(set(checked))
        head = b""
        if segment is None:
            segment = self._begin(firsts[0], note)
            assert segment.raw.header is not None
            head = encode_header(segment.raw.header)
        elif _differs(note, segment.note):
            head = encode_note(note)
        data = head + b"".join(map(frame, payloads))
        try:
            segment.file.write(data)
            segment.file.sync()
            if self._segment is None:
                self._files.sync_folder(self._layout.open)
        except OSError:
            self._abandon(segment)
            raise
        self._segment = segment
        segment.note = note
        segment.events += len(batch)
        segment.raw.size += len(data)
        segment.raw.last = lasts[-1]
        segment.raw.alarm = segment.raw.alarm or any(alarms)
        return segment.raw.last

    def _make_note(self, checked: Collection[str | None]) -> Note:
        """`checked`: the contracts that a group's events were held against."""
        clock = self._timeline.clock
        mono = clock.mono()
        contract = next(iter(checked)) if len(checked) == 1 else None
        return Note(mono, round(clock.wall() - mono, 3), self._timeline.reference, contract)

    def _begin(self, first: int, note: Note) -> _Segment:
        number = self._number + 1
        path = self._layout.raw_path(number, self.epoch, first)
        file = self._files.create(path, reserve=True)
        self._number = number
        raw = Raw(number, self.epoch, first, None, path, 0, header=self._make_header(first, note))
        return _Segment(raw, file, note.mono, note)

    def _make_header(self, first: int, note: Note) -> Header:
        return Header(
            device=self._device,
            epoch=self.epoch,
            first=first,
            predecessor=self._predecessor,
            boot=self._timeline.clock.boot_id,
            firmware=self._firmware,
            floor=self._floor,
            note=note,
        )

    def _abandon(self, segment: _Segment) -> None:
        """Nothing is sure about a file after a failed write: its durable part counts, and what
        was to be written goes into the next one, under the same numbers."""
        with suppress(OSError):
            segment.file.close()
        if segment.raw.last is None:
            with suppress(OSError):
                self._files.unlink(segment.raw.path)
        else:
            self._shelve(segment.raw)
        self._segment = None

    def _shelve(self, raw: Raw) -> None:
        """Let a closed segment wait, under a name that says where it ends if the disk lets us."""
        path = self._layout.closed_path(raw)
        with self._shelf:
            with suppress(OSError):
                self._files.replace(raw.path, path)
                raw.path = path
            self._raws.append(raw)

    # --- Sealing and the cap ---------------------------------------------------------------------

    def flush(self) -> None:
        """Seal what is open at the next `maintain`, however young it is."""
        self._flush = True

    def maintain(self) -> None:
        """Seal what is due, and keep below the cap; may raise OSError."""
        with self._writing:
            if not self._opened:
                return
            try:
                self._close_due()
                self._seal_closed()
                self._keep_below_cap()
            except OSError as error:
                self._note_fault(error)
                raise

    def _close_due(self) -> None:
        segment = self._segment
        if segment is None or segment.raw.last is None:
            self._flush = False
            return
        age = self._timeline.clock.mono() - segment.began
        if (
            self._flush
            or segment.raw.alarm
            or age >= self.limits.seal_seconds
            or segment.raw.size >= self.limits.segment_bytes
            or segment.events >= self.limits.segment_events
        ):
            self._flush = False
            self._segment = None
            self._shelve(segment.raw)
            segment.file.close()

    def _seal_closed(self) -> None:
        """Oldest first, for a moment: committing must not wait long."""
        clock, contract = self._timeline.clock, self.contract
        began = clock.mono()
        while self._raws and contract is not None and clock.mono() - began < SEAL_SLICE:
            raw = self._raws[0]
            if not self._sealer.can_place(raw):
                return
            sealed = self._sealer.seal(raw, self._layout.batch_path, contract)
            with self._shelf:
                self._raws.pop(0)
                if sealed is not None:
                    self._holdings.add(sealed.batch, sealed.size)
                    self._lost += sealed.lost

    def _keep_below_cap(self) -> None:
        with self._shelf:
            while self._bytes() > self.limits.cap and self._drop_oldest():
                pass

    def _bytes(self) -> int:
        raws = [*self._raws, *self._gaps]
        if self._segment is not None:
            raws.append(self._segment.raw)
        return self._holdings.bytes + sum(disk_size(raw.size) for raw in raws)

    def _drop_oldest(self) -> bool:
        """Put a gap in the place of the oldest readings; of alarms when nothing else is left."""
        batch = self._holdings.oldest(alarms=False)
        raw = next((each for each in self._raws if not each.alarm), None)
        if batch is None and raw is None:
            batch = self._holdings.oldest(alarms=True)
            raw = self._raws[0] if self._raws and batch is None else None
        if batch is not None and (raw is None or batch[1].number < raw.number):
            path, oldest = batch
            size = self._files.size(path)
            self._put_gap(oldest, "cap")
            self._holdings.drop(path, oldest, size)
            self._dropped += oldest.rows
            return True
        if raw is None:
            return False
        assert raw.last is not None
        self._put_gap(raw, "cap")
        self._files.unlink(raw.path)
        self._raws.remove(raw)
        self._dropped += raw.last - raw.first + 1
        return True

    def _put_gap(self, dropped: Batch | Raw, reason: GapReason) -> None:
        """Make a gap durable before what it stands for is removed; one with the gap before it."""
        assert dropped.last is not None
        first = dropped.first
        merged = next((g for g in self._gaps if g.reason == reason and _adjoin(g, dropped)), None)
        if merged is not None:
            first = merged.first
        before = dropped.predecessor if isinstance(dropped, Batch) else _predecessor_of(dropped)
        note = self._make_note(())
        header = replace(self._make_header(first, note), epoch=dropped.epoch, predecessor=before)
        event = make_gap(dropped.epoch, first, dropped.last, reason, note.mono)
        content = encode_header(header) + frame(encode_event(first, event))
        path = self._layout.gap_path(dropped.number, dropped.epoch, first, dropped.last)
        write_atomically(self._files, path, content)
        if merged is not None:
            self._files.unlink(merged.path)
            self._gaps.remove(merged)
        gap = parse_raw(path.parent, path.name, len(content))
        assert gap is not None
        gap.header, gap.reason = header, reason
        self._gaps.append(gap)

    # --- Sending ---------------------------------------------------------------------------------

    def next_batch(self) -> Batch | None:
        """What is to be sent now: alarms, then gaps, then the oldest readings. May raise OSError.

        The same one again until it was removed, unless an alarm came.
        """
        with self._shelf:
            if not self._opened:
                return None
            gap = next((each for each in self._gaps if self._sealer.can_place(each)), None)
            found = self._holdings.take_next(None if gap is None else gap.path)
            if not isinstance(found, Path):
                return found
            assert gap is not None
            sealed = self._sealer.seal(gap, self._sending_path, self.contract or EMPTY)
            self._gaps.remove(gap)
            if sealed is None:
                return None
            self._holdings.add(sealed.batch, sealed.size)
            return sealed.batch

    def _sending_path(self, batch: Batch) -> Path:
        return self._layout.sending / batch.name

    def read(self, batch: Batch) -> bytes | None:
        """The bytes of a batch as its name promises; None when its file is damaged.

        A damaged batch is mended: what can be read of it stands in its place, with gaps.
        """
        content = self._holdings.read(batch)
        if hash_sha256(content) == batch.sha256:
            return content
        with self._shelf:
            rows = mend_rows(batch, read_rows(content))
            _log.error(
                "a batch is damaged on disk",
                extra={"fields": {"batch": batch.name, "rows_left": len(rows)}},
            )
            if rows:
                self._replace(batch, len(content), [rows])
            else:
                self._put_gap(batch, "corrupt")
                self._holdings.discard(batch, len(content))
            self._lost += max(batch.rows - sum(row["kind"] != "gap" for row in rows), 0)
        return None

    def remove(self, batch: Batch, size: int) -> None:
        """It was receipted: forget it, but for its last number."""
        with self._shelf:
            self._remember(batch)
            self._holdings.discard(batch, size)

    def split(self, batch: Batch, content: bytes, detail: str) -> None:
        """It was refused: put its halves in its place, or set the one event apart."""
        with self._shelf:
            rows = list(read_rows(content))
            if len(rows) > 1:
                self._replace(batch, len(content), split_rows(rows))
                return
            _log.error(
                "the server refuses an event: it is set apart",
                extra={"fields": {"batch": batch.name, "detail": detail, "event": rows[:1]}},
            )
            self._holdings.isolate(batch, content)
            if rows and rows[0]["kind"] != "gap":
                self._put_gap(batch, "isolated")
            self._remember(batch)
            self._holdings.discard(batch, len(content))

    def renumber(self, batch: Batch, content: bytes) -> None:
        """Another device has used its numbers: give its events an epoch of their own."""
        with self._shelf:
            self._remember(batch)
            self._replace(batch, len(content), [renumber_rows(batch, read_rows(content))])

    def _replace(self, batch: Batch, size: int, parts: Sequence[list[Row]]) -> None:
        for rows in parts:
            content, sha256, _ = pack_rows(rows)
            part = rebuild(batch, rows, sha256)
            if part == batch:  # mended to what it was
                self._holdings.forget(batch, size)
                size = 0
            self._holdings.put_sending(part, content)
        if size:
            self._holdings.discard(batch, size)

    def _remember(self, batch: Batch) -> None:
        """Keep the last number of this epoch, also when nothing else is left of it."""
        if batch.epoch == self.epoch and (
            self._mark is None or self._mark.epoch != self.epoch or batch.last > self._mark.last
        ):
            self._set_mark(Mark(batch.number, batch.epoch, batch.last))

    def _set_mark(self, mark: Mark) -> None:
        if mark == self._mark:
            return
        path = self._layout.root / mark.name
        if not any(entry.name == mark.name for entry in self._files.list(self._layout.root)):
            self._files.create(path).close()
        self._files.sync_folder(self._layout.root)
        for entry in list(self._files.list(self._layout.root)):
            if parse_mark(entry.name) is not None and entry.name != mark.name:
                self._files.unlink(self._layout.root / entry.name)
        self._mark = mark

    # --- Settings and looking --------------------------------------------------------------------

    def set_seal_seconds(self, seconds: float) -> None:
        self.limits = replace(self.limits, seal_seconds=seconds)

    def find_oldest(self) -> str | None:
        """When the oldest event that waits in a batch was, as it stands in its row."""
        with self._shelf:
            try:
                return self._holdings.find_oldest() if self._opened else None
            except OSError:
                return None

    def state(self) -> SpoolState:
        with self._shelf:
            raws = [*self._raws, *([self._segment.raw] if self._segment else [])]
            return SpoolState(
                epoch=self.epoch,
                next_seq=self._pending.next_seq,
                bytes=self._bytes(),
                cap=self.limits.cap,
                events=self._holdings.rows
                + len(self._pending)
                + len(self._gaps)
                + sum((raw.last or raw.first - 1) - raw.first + 1 for raw in raws),
                batches=self._holdings.batches,
                isolated=self._holdings.isolated,
                dropped=self._dropped + self._pending.shed,
                lost=self._lost,
                torn_bytes=self._torn,
                fault=self.fault,
            )

    def close(self) -> None:
        """Commit and leave; may raise OSError."""
        try:
            self.commit()
        finally:
            if self._segment is not None:
                self._segment.file.close()
                self._segment = None


def _differs(note: Note, before: Note) -> bool:
    same = (note.reference, note.contract) == (before.reference, before.contract)
    return not same or abs(note.wall - before.wall) > WALL_STEP


def _predecessor_of(raw: Raw) -> Predecessor | None:
    return None if raw.header is None else raw.header.predecessor


def _adjoin(gap: Raw, dropped: Batch | Raw) -> bool:
    return gap.epoch == dropped.epoch and gap.last == dropped.first - 1
