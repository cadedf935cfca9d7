"""Events that have a number and are not on disk yet. Their memory is bounded; nothing waits here.

Beyond the bound the oldest become a gap, so that their numbers stay accounted for. Alarms stay.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import groupby

from eventpulse_edge.clock import Clock
from eventpulse_edge.events import Event, GapReason, make_gap
from eventpulse_edge.segments import encode_event

MAX_EVENT = 8 << 10

Pending = tuple[int, int, bool, bytes, str | None]
"""Of an event: its number, the last one that it accounts for, whether it is an alarm, its payload,
and the contract it was checked against. A plain tuple, since each event makes one."""


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
            payload = encode_event(seq, event)
            if len(payload) > MAX_EVENT:
                raise ValueError(f"an event of {len(payload)} bytes: at most {MAX_EVENT} are kept")
            self.next_seq = seq + 1
            self._events.append((seq, seq, event.alarm, payload, event.checked))
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
        for alarm, run in groupby(self._events[:count], lambda each: each[2]):
            events = list(run)
            if alarm:
                kept += events
                continue
            kept.append(self._make_gap(events, reason))
            self.shed += sum(first == last for first, last, *_ in events)
        self._events[:count] = kept

    def _make_gap(self, events: Sequence[Pending], reason: GapReason) -> Pending:
        first, _, _, _, checked = events[0]
        _, last, _, _, _ = events[-1]
        gap = make_gap(self._epoch, first, last, reason, self._clock.mono())
        return first, last, False, encode_event(first, gap), checked
