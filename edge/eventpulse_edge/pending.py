"""Events that have a number and are not on disk yet. Their memory is bounded; nothing waits here.

Beyond the bound the oldest become a gap, so that their numbers stay accounted for. Alarms stay.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from eventpulse_edge.clock import Clock
from eventpulse_edge.events import Event, GapReason, Numbered, make_gap
from eventpulse_edge.segments import encode_event

MAX_EVENT = 8 << 10


class Pending(NamedTuple):
    """An encoded event, the last number that it accounts for, and the contract it was checked
    against."""

    seq: int
    last: int
    alarm: bool
    record: bytes
    checked: str | None


class PendingEvents:
    """Numbers the events of an epoch, and holds them until they are taken to be written."""

    def __init__(self, epoch: str, clock: Clock, limit: int) -> None:
        self._epoch = epoch
        self._clock = clock
        self._limit = limit
        self._lock = threading.Lock()
        """Never held while a disk is waited for."""
        self._events: list[Pending] = []
        self.next_seq = 1
        self.shed = 0
        """How many events became gaps."""

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event, fault: GapReason | None) -> int:
        """The event's number. `fault`: why the disk takes nothing, if it does not."""
        with self._lock:
            seq = self.next_seq
            record = encode_event(Numbered(seq, event))
            if len(record) > MAX_EVENT:
                raise ValueError(f"an event of {len(record)} bytes: at most {MAX_EVENT} are kept")
            self.next_seq = seq + 1
            self._events.append(Pending(seq, seq, event.alarm, record, event.checked))
            if len(self._events) > self._limit:
                self._shed_oldest(fault or "overload")
            return seq

    def take(self) -> list[Pending]:
        with self._lock:
            taken, self._events = self._events, []
            return taken

    def give_back(self, taken: Sequence[Pending]) -> None:
        """They could not be written: they wait on, before those that came since."""
        with self._lock:
            self._events[:0] = taken

    def _shed_oldest(self, reason: GapReason) -> None:
        """A tenth at once, so that a full memory does not shift at every event."""
        count = max(len(self._events) // 10, 2)
        kept: list[Pending] = []
        run: list[Pending] = []
        for each in (*self._events[:count], None):
            if each is not None and not each.alarm:
                run.append(each)
                continue
            if run:
                kept.append(self._make_gap(run[0], run[-1].last, reason))
                self.shed += sum(1 for one in run if one.seq == one.last)
                run = []
            if each is not None:
                kept.append(each)
        self._events[:count] = kept

    def _make_gap(self, first: Pending, last: int, reason: GapReason) -> Pending:
        gap = make_gap(self._epoch, first.seq, last, reason, self._clock.mono())
        record = encode_event(Numbered(first.seq, gap))
        return Pending(first.seq, last, False, record, first.checked)
