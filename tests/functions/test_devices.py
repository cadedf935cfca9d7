"""The devices' function: enrolment, batches, heartbeats, commands, keys, contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventpulse.fleet.devices import Device, DeviceConfig
from eventpulse.pipeline.fleet.commands import cancel_command, queue_command
from eventpulse.pipeline.fleet.enrolment import (
    configure_device,
    create_device,
    issue_claim_code,
    revoke_device,
)
from eventpulse.pipeline.sweep import sweep
from eventpulse.settings import Settings
from tests.device import EPOCH, KeyPair, Signer, reading, seal
from tests.functions.answers import problem
from tests.functions.fleet import CONTRACT, EDGE_URL, FieldDevice, enroll, enrolled_device
from tests.functions.harness import Cloud, client_of

OTHER_EPOCH = "00aa11bb22cc33dd"
THIRD_EPOCH = "0123456789abcdef"


@pytest.fixture
def settings() -> Settings:
    return Settings(edge_url=EDGE_URL, device_rate=600)


@pytest.fixture
def device(cloud: Cloud) -> FieldDevice:
    cloud.publish(CONTRACT.read_text())
    return enrolled_device(cloud)


def events(device: FieldDevice, first: int, last: int, **values: Any) -> list[dict[str, Any]]:
    return [reading(device.id, seq, **values) for seq in range(first, last + 1)]


# --- Enrolment -----------------------------------------------------------------------------------


def test_anyone_may_ask_the_time(cloud: Cloud) -> None:
    answer = client_of("devices").get("/api/edge/time")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json is not None
    now = datetime.fromisoformat(answer.json["now"])
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_claim_code_binds_a_key_once_and_the_same_again_is_answered_again(cloud: Cloud) -> None:
    code = create_device(cloud.platform, "station-1", "On the roof", DeviceConfig()).code
    field = FieldDevice(cloud, Signer("station-1", EDGE_URL))
    first, again = enroll(field, code), enroll(field, code)
    assert first.json is not None
    assert again.json is not None
    assert first.json["kid"] == again.json["kid"] == field.signer.key.kid
    assert first.json["audience"] == EDGE_URL
    assert first.json["config"] == {"version": 1, "heartbeat_seconds": 60, "seal_seconds": 300}
    problem(enroll(field, code, KeyPair()), 403, "claim_refused")
    assert cloud.platform.log.head("device/station-1").version == 3


def test_a_new_claim_code_brings_a_revoked_device_back_with_its_new_key_only(
    device: FieldDevice,
) -> None:
    platform = device.cloud.platform
    revoke_device(platform, device.id, "stolen")
    code = issue_claim_code(platform, device.id).code
    fresh = FieldDevice(device.cloud, Signer(device.id, EDGE_URL))
    assert enroll(fresh, code).status_code == 200
    assert fresh.heartbeat().status_code == 200
    problem(device.heartbeat(), 403, "key_unknown")


# --- Batches -------------------------------------------------------------------------------------


def test_a_batch_is_claimed_uploaded_and_committed(device: FieldDevice) -> None:
    batch = seal(events(device, 1, 3), first=1, last=3)
    claimed = device.claim(batch).json
    assert claimed is not None
    assert claimed["object"] == (
        f"edge_telemetry/station-0001/{EPOCH}/000000000001-000000000003-"
        f"{batch.claim['sha256']}.ndjson.gz"
    )
    problem(device.commit(batch), 409, "not_uploaded")
    assert device.put(claimed, batch.content).status_code == 200
    receipt = device.commit(batch).json
    assert receipt == device.commit(batch).json == device.claim(batch).json
    assert receipt is not None
    assert receipt["state"] == "committed"
    assert receipt["receipt"]["sha256"] == batch.claim["sha256"]
    assert receipt["receipt"]["bytes"] == len(batch.content)


def test_the_same_claim_again_answers_the_same_object_with_a_fresh_url(device: FieldDevice) -> None:
    batch = seal(events(device, 1, 3), first=1, last=3)
    first, again = device.claim(batch).json, device.claim(batch).json
    assert first is not None
    assert again is not None
    assert first["object"] == again["object"]
    assert device.put(again, batch.content).status_code == 200
    assert device.put(first, batch.content).status_code == 412
    assert device.batch(batch).claims == 2


def test_other_content_under_a_claimed_range_is_a_conflict(device: FieldDevice) -> None:
    batch = seal(events(device, 1, 3), first=1, last=3)
    device.claim(batch)
    other = seal(events(device, 1, 2), first=1, last=2)
    refused = problem(device.claim(other), 409, "batch_conflict")
    assert refused["sha256"] == batch.claim["sha256"]


def test_bytes_that_someone_else_stored_are_refused_and_make_room(device: FieldDevice) -> None:
    batch = seal(events(device, 1, 3), first=1, last=3)
    claimed = device.claim(batch).json
    assert claimed is not None
    device.cloud.put(claimed["object"], b"something else")
    problem(device.commit(batch), 422, "content_differs")
    assert device.batch(batch).state == "void"
    assert device.send(batch)["sha256"] == batch.claim["sha256"]
    halves = seal(events(device, 1, 1), first=1, last=1)
    problem(device.claim(halves), 409, "batch_conflict")


@pytest.mark.parametrize(
    "changes",
    [
        {"last": 0},
        {"count": 4},
        {"count": 0},
        {"epoch": "../../x"},
        {"first": "1"},
        {"md5": "short"},
        {"sha256": "AB"},
        {"content_type": "text/html"},
        {"prev_last": 1},
        {"epoch_predecessor": {"epoch": EPOCH, "last": 1}},
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(
    device: FieldDevice, changes: dict[str, Any]
) -> None:
    batch = seal(events(device, 1, 3), first=1, last=3)
    batch.claim.update(changes)
    refused = problem(device.claim(batch), 422, "request_invalid")
    assert refused["retryable"] is False


@pytest.mark.parametrize("changes", [{"count": 5_001, "last": 5_001}, {"bytes": (4 << 20) + 1}])
def test_a_batch_beyond_the_limits_is_too_large(
    device: FieldDevice, changes: dict[str, Any]
) -> None:
    batch = seal(events(device, 1, 3), first=1, last=3)
    batch.claim.update(changes)
    problem(device.claim(batch), 413, "batch_too_large")


def test_a_member_that_is_not_known_here_is_ignored(device: FieldDevice) -> None:
    batch = seal(events(device, 1, 3), first=1, last=3, colour="blue")
    assert device.claim(batch).status_code == 200


def test_a_path_that_names_no_batch_is_not_found(device: FieldDevice) -> None:
    for path in (f"{EPOCH}/01-3", f"{EPOCH}/1-x", "nothex/1-3"):
        answer = device.call("POST", f"/api/edge/batches/{path}/commit", {"sha256": "0" * 64})
        problem(answer, 404, "not_found")


# --- What is missing -----------------------------------------------------------------------------


def test_an_epoch_knows_exactly_what_is_missing(device: FieldDevice) -> None:
    device.deliver(seal(events(device, 1, 3), first=1, last=3))
    device.deliver(seal(events(device, 7, 9), first=7, last=9))
    assert device.epoch().missing == ((4, 6),)
    gap = reading(device.id, 10, kind="gap", gap_epoch=EPOCH, gap_first=4, gap_last=5, reason="cap")
    device.deliver(seal([gap], first=10, last=10))
    assert device.epoch().missing == ((6, 6),)
    device.deliver(seal(events(device, 6, 6), first=6, last=6))
    epoch = device.epoch()
    assert (epoch.missing, epoch.missing_count, epoch.has_missing) == ((), 0, False)
    assert epoch.dropped == ((4, 5),)


def test_the_next_epoch_tells_how_far_the_one_before_it_went(device: FieldDevice) -> None:
    device.deliver(seal(events(device, 1, 3), first=1, last=3))
    before = {"epoch": EPOCH, "last": 5}
    rows = [reading(device.id, 1, OTHER_EPOCH)]
    device.deliver(seal(rows, first=1, last=1, epoch=OTHER_EPOCH, epoch_predecessor=before))
    assert device.epoch().missing == ((4, 5),)
    assert device.epoch(OTHER_EPOCH).missing == ()


def test_numbers_that_a_batch_promises_and_does_not_hold_are_missing(device: FieldDevice) -> None:
    rows = [*events(device, 1, 1), *events(device, 3, 3)]
    device.deliver(seal(rows, first=1, last=3, count=2))
    assert device.epoch().missing == ((2, 2),)


def test_a_claim_of_which_nothing_came_is_missing_once_its_url_has_expired(
    device: FieldDevice,
) -> None:
    platform = device.cloud.platform
    device.deliver(seal(events(device, 1, 3), first=1, last=3))
    batch = seal(events(device, 4, 6), first=4, last=6)
    device.claim(batch)
    sweep(platform)
    assert device.epoch().missing == ()
    travel(platform, minutes=20)
    assert sweep(platform).claims == 1
    assert device.batch(batch).state == "lapsed"
    assert device.epoch().missing == ((4, 6),)
    assert sweep(platform).claims == 0
    travel(platform)
    device.deliver(batch)
    assert device.epoch().missing == ()


def test_sweep_lands_a_batch_that_was_never_announced(device: FieldDevice) -> None:
    platform = device.cloud.platform
    batch = seal(events(device, 1, 3), first=1, last=3)
    device.send(batch)
    travel(platform, minutes=6)  # its URL is still good, but its event is late
    assert sweep(platform).objects == 1
    assert device.batch(batch).has_landed
    assert device.epoch().landed == ((1, 3),)
    travel(platform, minutes=20)
    swept = sweep(platform)
    assert (swept.objects, swept.claims) == (0, 0)


def test_however_many_batches_have_landed_sweep_asks_for_them_together(
    device: FieldDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first in range(1, 9):
        device.deliver(seal(events(device, first, first), first=first, last=first))
    log, asked = device.cloud.platform.log, []
    for name in ("head", "heads"):
        reads = getattr(log, name)
        monkeypatch.setattr(log, name, lambda given, r=reads: asked.append(given) or r(given))
    travel(device.cloud.platform, minutes=6)
    assert sweep(device.cloud.platform).objects == 0
    assert [len(each) for each in asked if "batch/" in each[0]] == [8]


def travel(platform: Any, **ahead: int) -> None:
    """Move the platform's clock; without arguments, back to now."""
    platform.clock = lambda: datetime.now(UTC) + timedelta(**ahead)


# --- Heartbeats ----------------------------------------------------------------------------------


def test_a_heartbeat_answers_the_config_only_when_the_device_has_another(
    device: FieldDevice,
) -> None:
    first = device.heartbeat().json
    assert first is not None
    assert "config" not in first
    assert (first["commands_pending"], first["contract_version"]) == (0, "1.2.0")
    configure_device(device.cloud.platform, device.id, heartbeat_seconds=30, seal_seconds=60)
    forget(device)
    second = device.heartbeat().json
    assert second is not None
    assert second["config"] == {"version": 2, "heartbeat_seconds": 30, "seal_seconds": 60}


def test_a_device_that_knows_no_config_yet_is_told_it(device: FieldDevice) -> None:
    answer = device.heartbeat(config_version=None, contract_version=None, battery=None).json
    assert answer is not None
    assert answer["config"]["version"] == 1


def test_heartbeats_write_no_events_while_nothing_changes(device: FieldDevice) -> None:
    device.heartbeat()
    version = device.cloud.platform.log.head(f"presence/{device.id}").version
    for _ in range(3):
        device.heartbeat(battery=80.0)
    head = device.cloud.platform.log.head(f"presence/{device.id}")
    assert head.version == version
    assert device.presence().heartbeat.battery == 80.0  # type: ignore[union-attr]


def forget(device: FieldDevice) -> None:
    """What an instance does after at most DEVICE_SECONDS."""
    from eventpulse.device_api.sign_in import forget_device

    forget_device(device.cloud.platform, device.id)


# --- Commands ------------------------------------------------------------------------------------


def test_a_command_goes_from_queued_to_its_end_with_an_event_for_each_state(
    device: FieldDevice,
) -> None:
    platform = device.cloud.platform
    arguments = {"sensor": "room", "seconds": 10}
    command = queue_command(
        platform, device.id, "set_interval", arguments, lifetime=timedelta(hours=1)
    )
    forget(device)
    assert device.heartbeat().json["commands_pending"] == 1  # type: ignore[index]
    listed = device.call("GET", "/api/edge/commands").json
    assert listed is not None
    (first,) = listed["commands"]
    assert (first["status"], first["version"], first["arguments"]) == ("delivered", 2, arguments)
    assert device.call("GET", "/api/edge/commands").json == listed
    for version, status in ((2, "acked"), (3, "running"), (4, "succeeded")):
        answer = report(device, command.id, status, version, {"ok": True})
        assert answer.json == {"id": command.id, "status": status, "version": version + 1}
    assert report(device, command.id, "succeeded", 4, {"ok": True}).status_code == 200
    assert device.call("GET", "/api/edge/commands").json == {"commands": []}
    told = [event.type for event in platform.log.read(command.stream)]
    assert told == ["queued", "delivered", "acked", "running", "succeeded"]
    own = [event.type for event in platform.log.read(f"device/{device.id}")]
    assert own[-2:] == ["command.queued", "command.ended"]


def report(device: FieldDevice, command: str, status: str, version: int, result: Any = None) -> Any:
    sent = {"status": status, "expected_version": version, "result": result}
    return device.call("POST", f"/api/edge/commands/{command}", sent)


def test_a_report_on_another_version_is_a_conflict_that_holds_the_command(
    device: FieldDevice,
) -> None:
    platform = device.cloud.platform
    command = queue_command(platform, device.id, "ping", {}, lifetime=timedelta(hours=1))
    device.call("GET", "/api/edge/commands")
    cancel_command(platform, device.id, command.id)
    refused = problem(report(device, command.id, "acked", 2), 409, "version_conflict")
    assert refused["command"]["status"] == "cancelled"


def test_a_command_expires_and_frees_its_device(device: FieldDevice) -> None:
    platform = device.cloud.platform
    command = queue_command(platform, device.id, "ping", {}, lifetime=timedelta(minutes=1))
    travel(platform, minutes=2)
    assert sweep(platform).commands == 1
    travel(platform)
    assert device.call("GET", "/api/edge/commands").json == {"commands": []}
    refused = problem(report(device, command.id, "succeeded", 1), 409, "version_conflict")
    assert refused["command"]["status"] == "expired"
    head = platform.log.head(f"device/{device.id}")
    assert Device.model_validate(head.projection).commands == ()


# --- Keys and contract ---------------------------------------------------------------------------


def test_a_key_is_rotated_with_an_overlap(device: FieldDevice) -> None:
    old, new = device.signer.key, KeyPair()
    added = device.call("POST", "/api/edge/keys", device.signer.rotation(new))
    assert added.json is not None
    assert [each["kid"] for each in added.json["keys"]] == [old.kid, new.kid]
    assert device.heartbeat().status_code == 200
    problem(device.call("DELETE", f"/api/edge/keys/{old.kid}"), 409, "key_in_use")
    device.signer.key = new
    removed = device.call("DELETE", f"/api/edge/keys/{old.kid}")
    assert removed.json is not None
    assert [each["kid"] for each in removed.json["keys"]] == [new.kid]
    assert device.call("DELETE", f"/api/edge/keys/{old.kid}").status_code == 200
    device.signer.key = old
    problem(device.heartbeat(), 403, "key_unknown")


def test_a_device_has_at_most_three_keys_and_the_same_again_is_none(device: FieldDevice) -> None:
    second = KeyPair()
    for key in (second, second, KeyPair()):
        sent = device.signer.rotation(key)
        assert device.call("POST", "/api/edge/keys", sent).status_code == 200
    sent = device.signer.rotation(KeyPair())
    problem(device.call("POST", "/api/edge/keys", sent), 409, "too_many_keys")


def test_the_contract_is_told_in_odcs_words_and_only_when_it_is_another(
    device: FieldDevice,
) -> None:
    answer = device.call("GET", "/api/edge/contract")
    assert answer.json is not None
    assert answer.json["dataset"] == "edge_telemetry"
    properties = {each["name"]: each for each in answer.json["properties"]}
    assert properties["temperature"]["logicalTypeOptions"] == {"minimum": -60.0, "maximum": 85.0}
    assert properties["seq"] == {
        "name": "seq",
        "logicalType": "integer",
        "required": True,
        "logicalTypeOptions": {"minimum": 1},
    }
    assert properties["kind"]["logicalTypeOptions"] == {"enum": ["reading", "gap", "error"]}
    path, headers = "/api/edge/contract", device.signer.headers("GET", "/api/edge/contract", b"")
    headers["If-None-Match"] = answer.headers["ETag"]
    again = client_of("devices").get(path, headers=headers)
    assert (again.status_code, again.data) == (304, b"")


def test_an_instance_counts_requests_and_the_log_counts_batches(
    cloud: Cloud, device: FieldDevice
) -> None:
    from dataclasses import replace

    cloud.platform.settings = replace(cloud.platform.settings, device_rate=6)
    for first in (1, 2, 3):
        device.claim(seal(events(device, first, first), first=first, last=first))
    refused = device.claim(seal(events(device, 4, 4), first=4, last=4))
    body = problem(refused, 429, "rate_limited")
    assert body["retryable"] is True
    assert int(refused.headers["Retry-After"]) == 15
    for _ in range(12):  # more than are granted anew while they come, however slowly
        last = device.heartbeat()
    problem(last, 429, "rate_limited")


def test_the_page_that_the_devices_are_written_against_names_every_endpoint() -> None:
    from eventpulse.device_api.server import ENDPOINTS

    page = (Path(__file__).parents[2] / "edge" / "PROTOCOL.md").read_text()
    for endpoint in ENDPOINTS:
        path = endpoint.path.removeprefix("/api/edge")
        assert f"{endpoint.method} {path}" in page, endpoint.path
