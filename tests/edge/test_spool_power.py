"""Power cuts at every change to the disk, and at random: what was accepted is there, each once."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse_edge.events import Event
from eventpulse_edge.spool import Limits, Spool
from tests.edge.accounts import Cloud, deliver
from tests.edge.conftest import Device
from tests.edge.disk import PowerCut
from tests.properties import examples

SMALL = Limits(cap=1 << 20, seal_seconds=10, segment_events=7, memory_events=50)


class Life:
    """A device that samples a counter, and remembers what its spool accepted."""

    def __init__(self, limits: Limits = SMALL) -> None:
        self.device = Device(limits)
        self.cloud = Cloud()
        self.accepted: dict[tuple[str, int], int] = {}
        self.uncommitted: dict[int, int] = {}
        self.value = 0
        self.spool: Spool | None = None

    def begin(self) -> Spool:
        if self.spool is None:
            self.spool = self.device.start()
            self.spool.open()
        return self.spool

    def put(self, count: int = 1, *, alarm: bool = False) -> None:
        spool = self.begin()
        for _ in range(count):
            self.value += 1
            event = Event("reading", self.device.clock.mono(), {"counter": self.value}, "s", alarm)
            self.uncommitted[spool.put(event)] = self.value
            self.device.clock.advance(1)

    def commit(self) -> None:
        durable = self.begin().commit()
        for seq in [each for each in self.uncommitted if each <= durable]:
            self.accepted[self.begin().epoch, seq] = self.uncommitted.pop(seq)

    def maintain(self) -> None:
        self.begin().maintain()

    def deliver(self) -> None:
        deliver(self.begin(), self.cloud, 2)

    def crash(self, seed: int) -> None:
        self.spool = None
        self.uncommitted = {}
        self.device.disk.cut_power(random.Random(seed))
        self.device.reboot()

    def finish(self) -> None:
        """Deliver everything, and check the books."""
        spool = self.begin()
        self.commit()
        spool.flush()
        spool.maintain()
        deliver(spool, self.cloud)
        self.cloud.check()
        found = {
            (row["epoch"], row["seq"]): row["counter"] for row in self.cloud.readings().values()
        }
        assert len(found) == len(set(found.values())), "an event came twice"
        gaps = self.cloud.gaps()
        for (epoch, seq), value in self.accepted.items():
            dropped = any(epoch == e and first <= seq <= last for e, first, last, _ in gaps)
            assert dropped or found.get((epoch, seq)) == value, f"accepted and lost: {epoch}/{seq}"


def run_scenario(life: Life) -> None:
    """A little of everything that changes files."""
    for round_ in range(3):
        life.put(5)
        life.commit()
        life.maintain()
        life.put(4, alarm=round_ == 1)
        life.commit()
        life.maintain()
        life.deliver()
        life.put(2)
        life.commit()


def count_changes() -> int:
    life = Life()
    life.begin()
    life.device.disk.changes_left = 10**9
    run_scenario(life)
    return 10**9 - life.device.disk.changes_left


@pytest.mark.parametrize("seed", range(3))
def test_power_may_go_before_any_change_to_the_disk(seed: int) -> None:
    changes = count_changes()
    assert changes > 50
    for at in range(changes):
        life = Life()
        life.device.disk.changes_left = at
        with pytest.raises(PowerCut):
            run_scenario(life)
        life.crash(seed * 1_000_003 + at)
        life.put(3)
        life.commit()
        life.finish()


@pytest.mark.parametrize("at_recovery", range(12))
def test_power_may_go_again_while_recovering(at_recovery: int) -> None:
    for at in range(10, count_changes(), 7):
        life = Life()
        life.device.disk.changes_left = at
        with pytest.raises(PowerCut):
            run_scenario(life)
        life.crash(at)
        life.device.disk.changes_left = at_recovery
        try:
            life.put(3)
            life.commit()
        except PowerCut:
            life.crash(at + 1)
        life.device.disk.changes_left = None
        life.finish()


STEPS: dict[str, Callable[[Life], None]] = {
    "put": lambda life: life.put(3),
    "alarm": lambda life: life.put(1, alarm=True),
    "commit": Life.commit,
    "maintain": Life.maintain,
    "deliver": Life.deliver,
}


@examples(150)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(sorted(STEPS)),
            st.tuples(st.just("crash"), st.integers(0, 2**32)),
            st.tuples(st.just("cut"), st.integers(0, 30)),
        ),
        max_size=60,
    )
)
def test_any_history_with_power_cuts_balances(history: list[str | tuple[str, int]]) -> None:
    life = Life()
    for step in history:
        try:
            if isinstance(step, str):
                STEPS[step](life)
            elif step[0] == "crash":
                life.crash(step[1])
            else:
                life.device.disk.changes_left = step[1]
        except PowerCut:
            life.crash(len(history))
    life.device.disk.changes_left = None
    life.finish()


@examples(60)
@given(st.lists(st.integers(1, 40), min_size=3, max_size=25), st.integers(0, 2**32))
def test_beyond_the_cap_with_power_cuts_each_number_is_an_event_or_in_a_gap(
    cuts: list[int], seed: int
) -> None:
    life = Life(Limits(cap=6 * 4096, seal_seconds=10, segment_events=4, memory_events=50))
    for number, cut in enumerate(cuts):
        life.device.disk.changes_left = cut
        try:
            for _ in range(6):
                life.put(3)
                life.commit()
                life.maintain()
            life.deliver()
        except PowerCut:
            life.crash(seed + number)
    life.device.disk.changes_left = None
    life.finish()
