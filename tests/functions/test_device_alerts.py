"""Alerts of devices: opened and closed on arrival and by sweep, with their history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventpulse.fleet.alerts import Alert
from eventpulse.fleet.devices import Device, judge_status
from eventpulse.pipeline.sweep import sweep
from eventpulse.settings import Settings
from tests.device import EPOCH, reading, seal
from tests.functions.fleet import CONTRACT, EDGE_URL, FieldDevice, enrolled_device
from tests.functions.harness import Cloud

LATER_EPOCH = "00aa11bb22cc33dd"
THIRD_EPOCH = "0123456789abcdef"


@pytest.fixture
def settings() -> Settings:
    return Settings(edge_url=EDGE_URL)


@pytest.fixture
def device(cloud: Cloud) -> FieldDevice:
    cloud.publish(CONTRACT.read_text())
    return enrolled_device(cloud)


def alert(device: FieldDevice, rule: str) -> Alert:
    head = device.cloud.platform.log.head(f"alert/{device.id}.{rule}")
    return Alert.model_validate(head.projection)


def history(device: FieldDevice, rule: str) -> list[str]:
    events = device.cloud.platform.log.read(f"alert/{device.id}.{rule}")
    return [event.type for event in events]


def travel(device: FieldDevice, **ahead: int) -> None:
    device.cloud.platform.clock = lambda: datetime.now(UTC) + timedelta(**ahead)


FULL = {"bytes": 850, "cap": 1000, "events": 9, "batches": 1, "oldest": None}
EASIER = {**FULL, "bytes": 780}
EMPTY = {**FULL, "bytes": 10, "events": 0}


@pytest.mark.parametrize(
    ("rule", "bad", "between", "good"),
    [
        ("battery", {"battery": 19.0}, {"battery": 22.0}, {"battery": 30.0}),
        ("clock_off", {"clock_offset": -1200.0}, {"clock_offset": 301.0}, {"clock_offset": 1.0}),
        ("spool_filling", {"spool": FULL}, {"spool": EASIER}, {"spool": EMPTY}),
    ],
)
def test_a_heartbeat_opens_an_alert_once_and_closes_it_when_all_is_well(
    device: FieldDevice,
    rule: str,
    bad: dict[str, Any],
    between: dict[str, Any],
    good: dict[str, Any],
) -> None:
    for values in (bad, bad, between):
        assert device.heartbeat(**values).status_code == 200
    assert alert(device, rule).state == "open"
    assert device.presence().alerts == (rule,)
    device.heartbeat(**good)
    assert history(device, rule) == ["opened", "closed"]
    assert device.presence().alerts == ()
    device.heartbeat(**bad)
    assert (alert(device, rule).state, alert(device, rule).times) == ("open", 2)


def test_silence_makes_a_device_late_and_offline_and_a_heartbeat_brings_it_back(
    device: FieldDevice,
) -> None:
    platform = device.cloud.platform
    device.heartbeat()

    def status() -> str:
        held = Device.model_validate(platform.log.head(f"device/{device.id}").projection)
        return judge_status(held, device.presence(), platform.clock())[0]

    assert status() == "online"
    travel(device, seconds=120)
    assert status() == "late"
    assert sweep(platform).alerts == 0
    travel(device, seconds=300)
    assert status() == "offline"
    assert (sweep(platform).alerts, sweep(platform).alerts) == (1, 0)
    assert alert(device, "offline").state == "open"
    assert "Last heartbeat" in alert(device, "offline").detail
    travel(device)
    device.heartbeat()
    assert history(device, "offline") == ["opened", "closed"]


def test_a_device_that_never_speaks_is_noticed_too(device: FieldDevice) -> None:
    travel(device, minutes=10)
    assert sweep(device.cloud.platform).alerts == 1
    assert "no heartbeat came yet" in alert(device, "offline").detail


def test_a_value_beyond_its_limit_alerts_and_a_late_batch_changes_nothing(
    device: FieldDevice,
) -> None:
    def send(seq: int, minute: int, temperature: float) -> None:
        at = f"2026-03-01T09:{minute:02}:00.000000Z"
        row = reading(device.id, seq, recorded_at=at, temperature=temperature)
        device.deliver(seal([row], first=seq, last=seq))

    rule = "threshold:temperature:above"
    send(2, 20, 61.0)
    assert alert(device, rule).detail.startswith("temperature was 61, above 60")
    send(1, 10, 20.0)
    assert alert(device, rule).state == "open"
    send(3, 30, 20.0)
    assert history(device, rule) == ["opened", "closed"]


def test_a_missing_range_alerts_once_the_device_holds_nothing_back(device: FieldDevice) -> None:
    platform = device.cloud.platform
    rows = [reading(device.id, seq) for seq in range(1, 10)]
    device.deliver(seal(rows[:3], first=1, last=3))
    device.deliver(seal(rows[6:], first=7, last=9))
    travel(device, minutes=20)
    device.heartbeat(spool={**EMPTY, "events": 3})
    sweep(platform)
    assert history(device, "missing_range") == []
    device.heartbeat(spool=EMPTY)
    sweep(platform)
    found = alert(device, "missing_range")
    assert found.value == 3
    assert "4-6" in found.detail
    assert sweep(platform).alerts == 0
    device.deliver(seal(rows[3:6], first=4, last=6))
    assert history(device, "missing_range") == ["opened", "closed"]


# --- Clones --------------------------------------------------------------------------------------


def test_two_epochs_that_follow_one_mean_a_clone_and_both_keep_their_data(
    device: FieldDevice,
) -> None:
    device.deliver(seal([reading(device.id, 1)], first=1, last=1))
    before = {"epoch": EPOCH, "last": 1}
    for number, epoch in enumerate((LATER_EPOCH, THIRD_EPOCH)):
        assert history(device, "cloned") == []
        rows = [reading(device.id, 1, epoch, temperature=20.0 + number)]
        device.deliver(seal(rows, first=1, last=1, epoch=epoch, epoch_predecessor=before))
    assert history(device, "cloned") == ["opened"]
    assert LATER_EPOCH in alert(device, "cloned").detail
    assert device.epoch(LATER_EPOCH).landed == device.epoch(THIRD_EPOCH).landed == ((1, 1),)


def test_an_epoch_that_speaks_again_after_the_next_one_means_a_clone(device: FieldDevice) -> None:
    start = datetime.now(UTC).timestamp()
    for second, epoch in ((0, EPOCH), (1, LATER_EPOCH), (2, LATER_EPOCH)):
        device.heartbeat(epoch, iat=start + second, exp=start + 60)
    assert history(device, "cloned") == []
    assert device.presence().epoch == LATER_EPOCH
    device.heartbeat(EPOCH, iat=start + 3, exp=start + 60)
    assert history(device, "cloned") == ["opened"]
    device.heartbeat(LATER_EPOCH, iat=start + 4, exp=start + 60)
    assert alert(device, "cloned").state == "open"


def test_a_heartbeat_that_was_overtaken_by_the_next_start_is_no_clone(
    device: FieldDevice,
) -> None:
    start = datetime.now(UTC).timestamp()
    device.heartbeat(EPOCH, iat=start, exp=start + 60)
    device.heartbeat(LATER_EPOCH, iat=start + 2, exp=start + 60)
    device.heartbeat(EPOCH, iat=start + 1, exp=start + 60)
    assert history(device, "cloned") == []
    assert device.presence().epoch == LATER_EPOCH
