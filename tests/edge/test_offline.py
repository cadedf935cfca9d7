"""Seven days without a network, on an accelerated clock: within the cap nothing is lost, beyond it
the oldest readings are, and the gaps say exactly which."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventpulse_edge.backoff import Backoff
from eventpulse_edge.committer import Committer
from eventpulse_edge.contract import EMPTY
from eventpulse_edge.sampler import Limit, Sampler
from eventpulse_edge.sensors.simulated import SimulatedSensor
from eventpulse_edge.spool import Limits
from eventpulse_edge.uploader import Uploader
from tests.edge.clocks import ManualClock
from tests.edge.fake_server import Before, FakeServer
from tests.edge.station import Station

DAY = 86_400
STEP = 60.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Iterator[FakeServer]:
    with FakeServer(lambda: clock.true) as server:
        yield server


class Field(Station):
    """A station with a sensor, whose threads' steps are taken in turn."""

    def equip(self, **limits: Limit) -> None:
        self.spool.limits = Limits(segment_events=60, seal_seconds=2 * DAY)
        self.uploader = Uploader(
            self.spool, self.client, backoff=Backoff(random.Random(1), most=DAY / 24)
        )
        self.committer = Committer(self.spool, self.timeline)
        self.sampler = Sampler(
            "air",
            SimulatedSensor(seed=3),
            interval=STEP,
            clock=self.clock,
            contract=lambda: EMPTY,
            put=self.committer.put,
            limits=limits,
        )
        self.offline = False
        self.next_try = 0.0

    def live(self, seconds: float) -> None:
        """Sample, commit, and try to send whenever the uploader would."""
        end = self.clock.true + seconds
        while self.clock.true < end:
            self.sampler.sample()
            self.committer.step()
            while self.clock.true >= self.next_try:
                if self.offline:
                    self.server.arm("any", Before("cut"))
                pause = self.uploader.step()
                self.server._faults["any"].clear()
                if pause > 0:
                    self.next_try = self.clock.true + pause
            self.clock.advance(STEP)


@pytest.fixture
def field(server: FakeServer, clock: ManualClock, tmp_path: Path) -> Field:
    station = Field(server, clock, tmp_path)
    station.enroll()
    station.equip()
    return station


def test_seven_days_within_the_cap_lose_nothing_and_drain_while_sampling(field: Field) -> None:
    field.live(3_600)
    field.offline = True
    field.live(7 * DAY)
    waiting = field.spool.state()
    assert waiting.events > 7 * DAY / STEP * 0.99
    assert waiting.dropped == 0
    assert waiting.bytes < waiting.cap
    field.offline = False
    field.next_try = 0.0
    before = field.sampler.samples
    field.live(3_600)
    assert field.sampler.samples - before == 3_600 / STEP  # at its rate while it drained
    field.spool.flush()
    field.live(STEP * 2)
    lasts = field.server.cloud.check()
    assert field.server.cloud.gaps() == []
    readings = field.server.cloud.readings()
    state = field.spool.state()
    assert len(readings) == lasts[field.spool.epoch] == state.next_seq - 1 - state.events
    assert len(readings) > (7 * DAY + 7_200) / STEP - 65


def test_seven_days_beyond_the_cap_lose_the_oldest_readings_with_an_exact_gap(
    field: Field,
) -> None:
    field.spool.limits = dataclasses.replace(field.spool.limits, cap=256 << 10)
    field.offline = True
    field.live(7 * DAY)
    assert field.spool.state().bytes <= 256 << 10
    field.sampler._limits = {"temperature": Limit(above=-100)}
    field.live(STEP)
    field.offline = False
    field.next_try = 0.0
    sent = len(field.server.cloud.order)
    field.live(600)
    field.spool.flush()
    field.live(STEP * 2)
    cloud = field.server.cloud
    assert cloud.order[sent].alarm, "the alarm overtakes the backlog"
    lasts = cloud.check()
    numbers = sorted(row["seq"] for row in cloud.readings().values())
    gaps = [(first, last) for _, first, last, reason in cloud.gaps() if reason == "cap"]
    assert len(gaps) == len(cloud.gaps()) <= 2
    dropped = sum(last - first + 1 for first, last in gaps)
    assert len(numbers) + dropped == lasts[field.spool.epoch]
    assert numbers[-1] - dropped > 1_000
    oldest_kept = [n for n in numbers if n > max(last for _, last in gaps)]
    assert oldest_kept == list(range(oldest_kept[0], numbers[-1] + 1))
    assert field.spool.state().dropped == dropped
