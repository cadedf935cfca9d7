"""The sealed batches on disk, in the order in which they leave.

Memory does not grow with them: of the waiting readings, one folder's names at most are held. The
caller holds the spool's lock. Every method may raise OSError, and then changed nothing that counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from eventpulse_edge.batches import Batch, parse_name, read_rows
from eventpulse_edge.files import Files, disk_size, write_atomically
from eventpulse_edge.layout import Layout

MAX_ISOLATED = 1_000

_log = logging.getLogger("eventpulse.edge.spool")


class Holdings:
    """Counts, and where the next batch is."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files = files
        self._layout = layout
        self._waiting: list[tuple[Path, Batch]] = []
        """Of the oldest bucket, oldest last."""
        self._oldest: tuple[str, str | None] | None = None
        self.bytes = 0
        self.rows = 0
        self.batches = 0
        self.isolated = 0

    # --- Reading the folders ---------------------------------------------------------------------

    def scan(self) -> Iterator[tuple[Path, Batch, int]]:
        """Every batch that has still to be delivered, with its size."""
        for folder in (self._layout.sending, self._layout.alarms, *self._buckets()):
            yield from self._scan_folder(folder)

    def count(self) -> None:
        """Take stock anew."""
        self.bytes = self.rows = self.batches = 0
        for _, batch, size in self.scan():
            self._count(batch, size)
        self.isolated = 0
        for entry in self._files.list(self._layout.isolated):
            self.bytes += disk_size(entry.size)
            self.isolated += 1
        self._waiting = []

    def _buckets(self) -> list[Path]:
        names = sorted(entry.name for entry in self._files.list(self._layout.sealed))
        return [self._layout.sealed / name for name in names if name.isdigit()]

    def _scan_folder(self, folder: Path) -> Iterator[tuple[Path, Batch, int]]:
        for entry in self._files.list(folder):
            batch = parse_name(entry.name)
            if batch is not None:
                yield folder / entry.name, batch, entry.size

    def _oldest_in(self, folder: Path) -> tuple[Path, Batch] | None:
        found = [(path, batch) for path, batch, _ in self._scan_folder(folder)]
        return min(found, key=lambda each: each[1].name, default=None)

    def _peek_waiting(self) -> tuple[Path, Batch] | None:
        if self._waiting:
            return self._waiting[-1]
        buckets = self._buckets()
        for bucket in buckets:
            found = [(path, batch) for path, batch, _ in self._scan_folder(bucket)]
            if found:
                self._waiting = sorted(found, key=lambda each: each[1].name, reverse=True)
                return self._waiting[-1]
            if bucket != buckets[-1]:  # something may be on its way into the newest
                self._files.remove_folder(bucket)
        return None

    def find_oldest(self) -> str | None:
        """`recorded_at` of the first row of the oldest batch."""
        sending = [(path, batch) for path, batch, _ in self._scan_folder(self._layout.sending)]
        first = min(sending, key=lambda each: each[1].name, default=None)
        oldest = first or self._peek_waiting() or self._oldest_in(self._layout.alarms)
        if oldest is None:
            return None
        path, batch = oldest
        if self._oldest is None or self._oldest[0] != batch.name:
            with self._files.open(path) as stream:
                row = next(read_rows(stream.read()), None)
            at = None if row is None else row["recorded_at"]
            self._oldest = batch.name, at if isinstance(at, str) else None
        return self._oldest[1]

    # --- Adding and taking -----------------------------------------------------------------------

    def add(self, batch: Batch, size: int) -> None:
        """Note a batch that now stands where it waits."""
        self._count(batch, size)
        path = self._layout.batch_path(batch)
        if self._waiting and path.parent == self._waiting[0][0].parent:
            self._waiting = []  # read anew, so that its place is right

    def take_next(self, gap: Path | None) -> Batch | Path | None:
        """What is to be sent now, moved to where it is never dropped; alarms first.

        `gap`: a gap that waits, which comes before readings: then it is returned as it is.
        """
        sending = sorted((b for _, b, _ in self._scan_folder(self._layout.sending)), key=_order)
        if sending and sending[0].alarm:
            return sending[0]
        alarm = self._oldest_in(self._layout.alarms)
        if alarm is not None:
            return self._move_to_sending(*alarm)
        if sending:
            return sending[0]
        if gap is not None:
            return gap
        waiting = self._peek_waiting()
        if waiting is None:
            return None
        batch = self._move_to_sending(*waiting)
        self._waiting.pop()
        return batch

    def _move_to_sending(self, path: Path, batch: Batch) -> Batch:
        self._files.replace(path, self._layout.sending / batch.name)
        self._files.sync_folder(self._layout.sending)
        return batch

    def read(self, batch: Batch) -> bytes:
        """The bytes of a batch that is being sent."""
        with self._files.open(self._layout.sending / batch.name) as stream:
            return stream.read()

    # --- Removing --------------------------------------------------------------------------------

    def discard(self, batch: Batch, size: int) -> None:
        """Remove a batch that is being sent."""
        self._files.unlink(self._layout.sending / batch.name)
        self.forget(batch, size)

    def put_sending(self, batch: Batch, content: bytes) -> None:
        """Put a part of a batch beside it, among those that are being sent."""
        write_atomically(self._files, self._layout.sending / batch.name, content)
        self._count(batch, len(content))

    def oldest(self, *, alarms: bool) -> tuple[Path, Batch] | None:
        """The batch that is given up first when there is no room."""
        waiting = self._peek_waiting()
        if waiting is None and alarms:
            return self._oldest_in(self._layout.alarms)
        return waiting

    def drop(self, path: Path, batch: Batch, size: int) -> None:
        """Remove a batch that waits; a gap says so already."""
        self._files.unlink(path)
        self.forget(batch, size)
        if self._waiting and self._waiting[-1][0] == path:
            self._waiting.pop()

    def isolate(self, batch: Batch, content: bytes) -> None:
        """Keep a copy for a human: the newest ones."""
        kept = sorted(self._files.list(self._layout.isolated))
        if any(entry.name == batch.name for entry in kept):
            return
        for entry in kept[: max(len(kept) + 1 - MAX_ISOLATED, 0)]:
            _log.warning(
                "an isolated event gives way to newer ones", extra={"fields": {"file": entry.name}}
            )
            self._files.unlink(self._layout.isolated / entry.name)
            self.isolated -= 1
            self.bytes -= disk_size(entry.size)
        write_atomically(self._files, self._layout.isolated / batch.name, content)
        self.isolated += 1
        self.bytes += disk_size(len(content))

    def _count(self, batch: Batch, size: int) -> None:
        self.bytes += disk_size(size)
        self.rows += batch.rows
        self.batches += 1

    def forget(self, batch: Batch, size: int) -> None:
        """Count a batch no more."""
        self.bytes -= disk_size(size)
        self.rows -= batch.rows
        self.batches -= 1


def _order(batch: Batch) -> tuple[bool, str]:
    return not batch.alarm, batch.name
