"""The committer: makes events durable in groups, seals batches, keeps the spool below its cap."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from eventpulse_edge.clock import Timeline
from eventpulse_edge.events import Event
from eventpulse_edge.spool import Spool

SYSTEM_CLOCK_SECONDS = 60.0
"""How often the system's clock is asked whether it is synchronised."""

_log = logging.getLogger("eventpulse.edge.committer")


class Committer:
    """One thread's work. `committed` is told the number up to which all is durable."""

    def __init__(
        self,
        spool: Spool,
        timeline: Timeline,
        *,
        sync_seconds: float = 1.0,
        committed: Callable[[int], object] | None = None,
        sealed: Callable[[], object] | None = None,
    ) -> None:
        """`sealed` is called when an alarm waits to be sent."""
        self._spool = spool
        self._timeline = timeline
        self._sync_seconds = sync_seconds
        self._committed = committed
        self._sealed = sealed
        self._wake = threading.Event()
        self._alarm = False
        self._asked = float("-inf")
        self.steps = 0

    def put(self, event: Event) -> int:
        """Take an event in; an alarm is committed at once."""
        seq = self._spool.put(event)
        if event.alarm:
            self._alarm = True
            self._wake.set()
        return seq

    def wake(self) -> None:
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Commit until told to stop, and once more then."""
        while not stop.is_set():
            self._wake.wait(self._sync_seconds)
            self._wake.clear()
            self.step()
        self._spool.flush()
        self.step()

    def step(self) -> bool:
        """Commit and maintain; False while the disk refuses."""
        self._ask_system_clock()
        alarm, self._alarm = self._alarm, False
        before = self._spool.fault
        try:
            durable = self._spool.commit()
            if self._committed is not None:
                self._committed(durable)
            self._spool.maintain()
        except OSError as error:
            if self._spool.fault != before:
                _log.error(
                    "the disk refuses: events wait in memory",
                    extra={"fields": {"fault": self._spool.fault, "error": str(error)}},
                )
            self._alarm = self._alarm or alarm
            return False
        finally:
            self.steps += 1
        if before is not None:
            _log.info("the disk takes events again", extra={"fields": {"fault": before}})
        if alarm and self._sealed is not None:
            self._sealed()
        return True

    def _ask_system_clock(self) -> None:
        now = self._timeline.clock.mono()
        if now - self._asked >= SYSTEM_CLOCK_SECONDS:
            self._asked = now
            self._timeline.observe_system()
