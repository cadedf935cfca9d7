"""Times are right within their bound, whatever the wall clock shows; order is by number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse_edge.clock import (
    Reference,
    SystemClock,
    Timeline,
    estimate,
    format_time,
    parse_time,
    place,
)
from eventpulse_edge.events import Event
from eventpulse_edge.spool import Spool
from tests.edge.accounts import Cloud, deliver
from tests.edge.clocks import ManualClock
from tests.edge.conftest import ROOT, Device


def put(device: Device, spool: Spool) -> float:
    """An event now; the true time."""
    device.clock.advance(10)
    spool.put(Event("reading", device.clock.mono(), {"true": device.clock.true}, "s"))
    return device.clock.true


def deliver_all(spool: Spool) -> Cloud:
    spool.commit()
    spool.flush()
    spool.maintain()
    cloud = Cloud()
    deliver(spool, cloud)
    cloud.check()
    return cloud


def check_times(cloud: Cloud) -> list[dict[str, object]]:
    """Each time is right within its bound; the rows in the order of their numbers."""
    rows = sorted(cloud.rows, key=lambda row: row["true"])
    for row in rows:
        told = parse_time(row["recorded_at"]).timestamp()
        assert abs(told - row["true"]) <= row["clock_bound"] + 0.001, row
    return rows


def test_a_boot_in_1970_is_corrected_once_the_server_was_reached(device: Device) -> None:
    device.reboot(know_time=False)
    device.clock.wall_error = -device.clock.true
    spool = device.start()
    for _ in range(5):
        put(device, spool)
    spool.commit()
    spool.flush()
    spool.maintain()
    assert spool.next_batch() is None
    device.know_time()
    put(device, spool)
    rows = check_times(deliver_all(spool))
    assert {row["clock"] for row in rows} == {"corrected"}
    assert max(float(str(row["clock_bound"])) for row in rows) < 0.1
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -86_400.0])
def test_jumps_of_the_wall_clock_move_no_event(device: Device, jump: float) -> None:
    spool = device.start()
    for _ in range(3):
        put(device, spool)
        spool.commit()
    device.clock.wall_error += jump
    for _ in range(3):
        put(device, spool)
        spool.commit()
    device.clock.wall_error -= jump
    put(device, spool)
    rows = check_times(deliver_all(spool))
    states = [row["clock"] for row in rows]
    assert states == ["synchronised"] * 3 + ["corrected"] * 3 + ["synchronised"]


def test_a_clock_twenty_minutes_off_is_corrected(device: Device) -> None:
    device.clock.wall_error = -1200
    spool = device.start()
    for _ in range(3):
        put(device, spool)
    rows = check_times(deliver_all(spool))
    assert {row["clock"] for row in rows} == {"corrected"}
    assert device.timeline.offset() == pytest.approx(1200, abs=0.1)


def test_a_boot_that_never_had_a_reference_is_placed_between_its_neighbours(
    device: Device,
) -> None:
    spool = device.start()
    put(device, spool)
    spool.commit()
    floor = device.clock.true
    device.reboot(know_time=False, off=600)
    device.clock.wall_error = -device.clock.true
    spool = Spool(
        ROOT,
        device.disk,
        device.timeline,
        device="station-0001",
        firmware="0.1.0",
        floor=floor,
    )
    for _ in range(3):
        put(device, spool)
    spool.commit()
    device.reboot(off=300)
    spool = device.start()
    put(device, spool)
    rows = check_times(deliver_all(spool))
    assert [row["clock"] for row in rows] == ["synchronised", *["estimated"] * 3, "corrected"]
    assert 450 <= float(str(rows[2]["clock_bound"])) <= 960


def test_a_plausible_wall_clock_is_believed_within_the_limits(device: Device) -> None:
    now = device.clock.true
    right = estimate(100.0, now - 1000, now + 1000, now - 100.0)
    assert (right.utc, right.bound) == (now, 1000)
    wrong = estimate(100.0, now - 1000, now + 1000, -100.0)
    assert wrong.utc == pytest.approx(now + 50)
    assert wrong.bound == pytest.approx(950)


def test_references_of_an_earlier_run_in_the_same_boot_still_count(device: Device) -> None:
    spool = device.start()
    put(device, spool)
    spool.commit()
    device.timeline = Timeline(device.clock)
    spool = device.start()
    spool.open()
    put(device, spool)
    spool.commit()
    device.know_time()
    rows = check_times(deliver_all(spool))
    assert len(rows) == 2


@given(
    st.floats(0, 10),
    st.floats(0, 10),
    st.floats(-5, 5),
    st.floats(0, 1e6),
)
def test_the_server_was_read_somewhere_in_the_round_trip(
    there: float, back: float, skew: float, later: float
) -> None:
    clock = ManualClock()
    timeline = Timeline(clock)
    sent = clock.mono()
    clock.advance(there)
    server = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=clock.true)
    clock.advance(back)
    timeline.observe_server(server, sent, clock.mono())
    clock.advance(later)
    now = timeline.now()
    assert now is not None
    assert abs(now.utc - clock.true) <= now.bound


def test_a_better_reference_replaces_an_aged_one_and_a_worse_does_not() -> None:
    clock = ManualClock()
    timeline = Timeline(clock)
    first = Reference(clock.mono(), clock.true, 0.05)
    assert timeline.observe(first)
    assert not timeline.observe(Reference(clock.mono(), clock.true, 0.5))
    clock.advance(86_400)
    assert timeline.observe(Reference(clock.mono(), clock.true, 0.5))


def test_a_system_clock_counts_only_while_it_says_that_it_is_synchronised() -> None:
    clock = ManualClock()
    timeline = Timeline(clock)
    assert not timeline.observe_system()
    clock.bound = 0.02
    assert timeline.observe_system()
    now = timeline.now()
    assert now is not None
    assert now.state == "synchronised"


def test_the_machines_clocks_can_be_read() -> None:
    clock = SystemClock()
    assert clock.mono() <= clock.mono()
    assert len(clock.boot_id) == 36
    bound = clock.synchronised()
    assert bound is None or bound > 0


def test_times_are_written_in_utc_with_six_decimals() -> None:
    assert format_time(1_772_352_000.25) == "2026-03-01T08:00:00.250000Z"
    assert format_time(0) == "1970-01-01T00:00:00.000000Z"
    with pytest.raises(ValueError, match="zone"):
        parse_time("2026-03-01T08:00:00")


def test_a_time_far_from_its_reference_is_less_sure() -> None:
    reference = Reference(0.0, 1_000.0, 0.1)
    assert place(10_000.0, reference, None).bound == pytest.approx(2.1)
    assert place(-10_000.0, reference, None).bound == pytest.approx(2.1)
