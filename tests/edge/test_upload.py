"""The uploader against a real HTTP server that fails at every point: exactly once, for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventpulse_edge.clock import Reference
from eventpulse_edge.server import Rejected, Unreachable
from tests.edge.clocks import ManualClock
from tests.edge.fake_server import After, Before, FakeServer, Fault, What
from tests.edge.station import Station


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Iterator[FakeServer]:
    with FakeServer(lambda: clock.true) as server:
        yield server


@pytest.fixture
def station(server: FakeServer, clock: ManualClock, tmp_path: Path) -> Station:
    station = Station(server, clock, tmp_path)
    station.enroll()
    return station


def check(station: Station, events: int) -> None:
    """Exactly once, and nothing left."""
    assert station.server.cloud.check() == {station.spool.epoch: events}
    assert station.counters() == list(range(1, events + 1))
    assert set(station.server.puts.values()) <= {1}
    state = station.spool.state()
    assert (state.batches, state.events) == (0, 0)


def test_what_is_put_arrives_once(station: Station) -> None:
    station.put(25)
    station.seal()
    assert station.upload() == []
    check(station, 25)


WHATS: tuple[What, ...] = (
    "cut",
    "half",
    "html",
    "redirect",
    "garbage",
    404,
    408,
    429,
    500,
    502,
    503,
)


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize("kind", [Before, After])
@pytest.mark.parametrize("point", ["batches", "put", "commit"])
def test_a_fault_at_any_point_delays_and_changes_nothing(
    station: Station, point: str, kind: type[Before] | type[After], what: What
) -> None:
    station.put(25)
    station.seal()
    station.server.arm(point, kind(what), kind(what))
    station.put(5)
    station.seal()
    station.upload()
    assert station.server.armed() == 0
    check(station, 30)


def test_any_order_of_faults_ends_in_exactly_once(station: Station) -> None:
    faults: list[Fault] = [kind(what) for what in WHATS for kind in (Before, After)]
    station.server.arm("any", *faults * 3)
    for _ in range(10):
        station.put(10)
        station.seal()
    station.upload(500)
    assert station.server.armed() == 0
    check(station, 100)


def test_retry_after_is_waited_out(station: Station) -> None:
    for status, seconds in ((429, 37), (503, 90)):
        station.server.arm("batches", Before(status, {"Retry-After": str(seconds)}))
        station.put(1)
        station.seal()
        assert station.uploader.step() >= seconds
        assert station.uploader.problem is not None
        station.upload()
    check(station, 2)


def test_pauses_grow_with_full_jitter_and_stay_bounded(station: Station) -> None:
    station.put(1)
    station.seal()
    station.server.arm("batches", *[Before(500)] * 40)
    pauses = station.upload()
    assert len(pauses) == 40
    assert max(pauses) <= 300
    assert max(pauses[:3]) <= 4
    assert min(pauses[10:]) < 100 < max(pauses[10:])


def test_an_expired_url_is_claimed_anew(station: Station) -> None:
    station.put(5)
    station.seal()
    station.server.url_seconds = -1
    assert station.uploader.step() > 0
    station.server.url_seconds = 600
    station.upload()
    check(station, 5)


def test_an_upload_that_is_there_already_is_committed(station: Station) -> None:
    station.put(5)
    station.seal()
    station.server.arm("put", After("cut"))
    assert station.uploader.step() > 0
    assert len(station.server.objects) == 1
    assert station.uploader.step() == 0
    check(station, 5)


def test_a_captive_portal_that_answers_the_upload_is_found_out(station: Station) -> None:
    station.put(5)
    station.seal()
    station.server.arm("put", Before("html"))
    assert station.uploader.step() > 0
    assert "not_uploaded" in str(station.uploader.problem)
    station.upload()
    check(station, 5)


def test_the_agent_may_restart_after_any_answer_was_lost(station: Station) -> None:
    for point in ("batches", "put", "commit"):
        for kind in (Before, After):
            station.put(5)
            station.seal()
            station.server.arm(point, kind("cut"))
            station.uploader.step()
            station.spool.close()
            station.start()
            station.spool.open()
            station.clock.advance(1)
    station.upload()
    station.server.cloud.check()
    assert len(station.counters()) == 30
    assert set(station.server.puts.values()) == {1}


def test_a_refused_event_is_found_by_halving_and_set_apart(station: Station) -> None:
    station.server.refuse_row = lambda row: row.get("counter") == 13
    station.limits = station.spool.limits
    station.put(40)
    station.seal()
    station.upload()
    assert station.counters() == [n for n in range(1, 41) if n != 13]
    assert station.server.cloud.gaps() == [(station.spool.epoch, 13, 13, "isolated")]
    station.server.cloud.check()
    (kept,) = (station.folder / "spool" / "isolated").iterdir()
    assert ".000000000013-000000000013." in kept.name
    assert station.spool.state().isolated == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_only_the_servers_own_final_word_is_held_against_a_batch(
    station: Station, status: int
) -> None:
    """A problem that may pass is a fault of the network, and so is a proxy's page."""
    station.put(5)
    station.seal()
    station.server.arm("batches", Before(status), Before("html"))
    station.upload()
    assert station.spool.state().isolated == 0
    check(station, 5)


def test_a_cloned_device_keeps_both_copies_of_the_data(
    station: Station, server: FakeServer, clock: ManualClock, tmp_path: Path
) -> None:
    """A machine was copied while it ran: both go on numbering in one epoch."""
    clone = Station(server, clock, tmp_path / "clone")
    clone.store, clone.contracts = station.store, station.contracts
    clone.start()
    clone.spool.epoch = station.spool.epoch
    clone.spool._pending._epoch = station.spool.epoch
    station.put(5)
    station.seal()
    station.upload()
    clock.advance(100)
    clone.put(5)
    clone.seal()
    clone.upload()
    assert server.conflicts == 1
    assert station.counters() == sorted([1, 2, 3, 4, 5] * 2)
    assert len({row["epoch"] for row in server.cloud.rows}) == 2


def test_bytes_that_the_store_holds_wrongly_arrive_under_another_epoch(station: Station) -> None:
    station.put(5)
    station.seal()
    station.server.arm("put", After("cut"))
    station.uploader.step()
    (name,) = station.server.objects
    station.server.objects[name] = b"not what was sent"
    station.upload()
    assert station.counters() == [1, 2, 3, 4, 5]
    assert station.spool.state().events == 0


class OneWait(threading.Event):
    """Ends a run at its first wait, and remembers how long that was to be."""

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds = timeout
        self.set()
        return True


def test_an_alarm_does_not_cut_short_what_the_server_asked_for(station: Station) -> None:
    station.put(1)
    station.seal()
    station.server.arm("batches", Before(429, {"Retry-After": "30"}))
    station.uploader.wake()
    stop = OneWait()
    station.uploader.run(stop)
    assert stop.seconds is not None
    assert stop.seconds >= 30


def test_a_revoked_device_keeps_its_data_and_asks_again_rarely(station: Station) -> None:
    station.server.revoked = True
    station.put(5)
    station.seal()
    assert station.uploader.step() >= 600
    assert "device_revoked" in str(station.uploader.problem)
    station.server.revoked = False
    station.upload()
    check(station, 5)


def test_an_alarm_overtakes_a_backlog_that_cannot_be_sent(station: Station) -> None:
    for _ in range(3):
        station.put(10)
        station.seal()
    station.server.arm("batches", Before(500))
    station.uploader.step()
    station.put(1, alarm=True)
    station.seal()
    station.upload()
    assert station.server.cloud.order[0].alarm
    check(station, 31)


# --- Time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-1_200.0, 1_200.0, -3_600.0, 86_400.0])
def test_a_token_refused_for_its_time_is_signed_again_by_the_servers(
    station: Station, off: float
) -> None:
    wrong = Reference(station.clock.mono(), station.clock.true + off, 0.001)
    station.timeline.observe(wrong, replace=True)
    station.put(5)
    station.seal()
    assert station.uploader.step() == 0
    check(station, 5)
    now = station.timeline.now()
    assert now is not None
    assert abs(now.utc - station.clock.true) <= now.bound


def test_without_a_clock_the_server_is_asked_first(station: Station) -> None:
    station.clock.reboot(wall_error=-station.clock.true)  # 1970
    station.start()
    station.put(5)
    station.seal()
    assert station.spool.state().batches == 0
    station.upload()
    check(station, 5)
    for row in station.server.cloud.rows:
        assert row["clock"] == "corrected"
        assert row["recorded_at"].startswith("2026-03-01T08:00:0")


def test_a_portal_in_the_way_of_the_time_is_no_clock(station: Station) -> None:
    station.start()
    for what in ("html", "garbage", "redirect", 503):
        station.server.arm("time", Before(what))
        with pytest.raises(Unreachable):
            station.client.fetch_time()
    assert station.timeline.now() is None


def test_a_server_that_never_believes_us_is_asked_rarely(station: Station) -> None:
    station.server.audience = "https://elsewhere"
    with pytest.raises(Rejected):
        station.client.call("GET", "/contract")
