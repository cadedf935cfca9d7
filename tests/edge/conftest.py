"""What the agent's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventpulse_edge.clock import Reference, Timeline
from eventpulse_edge.spool import Limits, Spool
from tests.edge.clocks import TRUE_START, ManualClock
from tests.edge.disk import ModelDisk

ROOT = Path("/spool")


class Device:
    """A device whose agent can be started again and again on one disk."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.disk = ModelDisk()
        self.disk.names[Path("/")] = self.disk.durable[Path("/")] = None
        self.clock = ManualClock(TRUE_START)
        self.timeline = Timeline(self.clock)
        self.limits = limits or Limits()
        self.know_time()

    def know_time(self) -> None:
        self.timeline.observe(Reference(self.clock.mono(), self.clock.true, 0.05))

    def start(self) -> Spool:
        return Spool(
            ROOT,
            self.disk,
            self.timeline,
            device="station-0001",
            firmware="0.1.0",
            limits=self.limits,
        )

    def reboot(self, *, know_time: bool = True, off: float = 5.0) -> None:
        self.clock.reboot(off=off)
        self.timeline = Timeline(self.clock)
        if know_time:
            self.know_time()


@pytest.fixture
def device() -> Device:
    return Device()
