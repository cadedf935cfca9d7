"""The operators' API about devices."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from eventpulse.api.device_routes import DEVICE_ENDPOINTS
from eventpulse.api.openapi import openapi_document
from eventpulse.settings import Settings
from tests.device import EPOCH, Signer, reading, seal
from tests.functions.answers import get, problem
from tests.functions.fleet import CONTRACT, EDGE_URL, FieldDevice, enroll, enrolled_device
from tests.functions.harness import Cloud
from tests.functions.test_api_requests import check_schema


@pytest.fixture
def settings() -> Settings:
    return Settings(edge_url=EDGE_URL, bundle_most_seconds=0)


@pytest.fixture
def device(cloud: Cloud) -> FieldDevice:
    cloud.publish(CONTRACT.read_text())
    return enrolled_device(cloud)


def post(api: FlaskClient, path: str, body: Any = None, status: int = 200) -> Any:
    answer = api.post(path, json=body) if body is not None else api.post(path)
    assert answer.status_code == status, answer.text
    return answer.json


def test_a_device_is_provisioned_enrolled_revoked_and_provisioned_again(
    cloud: Cloud, api: FlaskClient
) -> None:
    made = post(api, "/api/devices", {"id": "station-9", "name": "Roof"}, 201)
    assert made["claim_code"].count("-") == 3
    problem(api.post("/api/devices", json={"id": "station-9"}), 409, "device_exists")
    waiting = get(api, "/api/devices/station-9")
    assert (waiting["status"], waiting["claim"]["tries_left"]) == ("provisioned", 5)
    field = FieldDevice(cloud, Signer("station-9", EDGE_URL))
    assert enroll(field, made["claim_code"]).status_code == 200
    field.heartbeat()
    shown = get(api, "/api/devices/station-9")
    assert (shown["status"], shown["claim"], shown["battery"]) == ("online", None, 90.0)
    assert shown["keys"][0]["last_used"] is not None
    revoked = post(api, "/api/devices/station-9/revoke", {"reason": "stolen"})
    assert revoked["status"] == "revoked"
    assert "stolen" in revoked["basis"]
    again = post(api, "/api/devices/station-9/claim-code", status=201)
    assert again["claim_code"] != made["claim_code"]


def test_no_answer_and_no_event_shows_a_claim_code_again(cloud: Cloud, api: FlaskClient) -> None:
    code = post(api, "/api/devices", {"id": "station-9"}, 201)["claim_code"]
    shown = [api.get(f"/api/devices/station-9{each}").text for each in ("", "/timeline")]
    audit = api.get("/api/audit").text
    events = [str(event) for event in cloud.platform.log.read("device/station-9")]
    assert not [each for each in (*shown, audit, *events) if code in each]


def test_devices_are_listed_with_their_status_and_its_basis(
    device: FieldDevice, api: FlaskClient
) -> None:
    enrolled_device(device.cloud, "station-0002").heartbeat(battery=3.0)
    first = get(api, "/api/devices", limit=1)
    assert [each["id"] for each in first["devices"]] == ["station-0001"]
    assert first["devices"][0]["status"] == "late"
    (second,) = get(api, "/api/devices", cursor=first["next_cursor"])["devices"]
    assert (second["status"], second["alerts"]) == ("online", ["battery"])
    assert second["basis"].startswith("Last heartbeat")
    (alert,) = get(api, "/api/alerts", state="open")["alerts"]
    assert (alert["device"], alert["rule"]) == ("station-0002", "battery")
    assert get(api, "/api/alerts", device="station-0001")["alerts"] == []


def test_gaps_and_batches_say_exactly_what_came(device: FieldDevice, api: FlaskClient) -> None:
    rows = [reading(device.id, seq) for seq in range(1, 10)]
    device.deliver(seal(rows[:3], first=1, last=3))
    device.deliver(seal(rows[6:], first=7, last=9))
    device.cloud.run()
    (epoch,) = get(api, "/api/devices/station-0001/gaps")["epochs"]
    assert (epoch["epoch"], epoch["missing"], epoch["landed"]) == (EPOCH, [[4, 6]], 6)
    batches = get(api, "/api/devices/station-0001/batches")["batches"]
    assert [(each["first"], each["state"]) for each in batches] == [(7, "bundled"), (1, "bundled")]
    ingestion = get(api, f"/api/ingestions/{batches[0]['ingestion']}")
    assert ingestion["state"] == "loaded"
    device.deliver(seal(rows[3:6], first=4, last=6))
    assert get(api, "/api/devices/station-0001/gaps")["epochs"] == []
    (whole,) = get(api, "/api/devices/station-0001/gaps", all=True)["epochs"]
    assert whole["landed"] == 9


def test_provisioning_again_with_its_key_makes_one_device_and_a_code_that_works(
    cloud: Cloud, api: FlaskClient
) -> None:
    sent = {"id": "station-0009", "name": "On the roof"}
    path, key = "/api/devices", {"Idempotency-Key": "one"}
    first = api.post(path, json=sent, headers=key)
    again = api.post(path, json=sent, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    problem(api.post(path, json=sent), 409, "device_exists")
    problem(api.post(path, json=sent, headers={"Idempotency-Key": "two"}), 409, "device_exists")
    assert again.json is not None
    field = FieldDevice(cloud, Signer("station-0009", EDGE_URL))
    assert enroll(field, again.json["claim_code"]).status_code == 200
    problem(api.post(path, json=sent, headers=key), 409, "device_exists")


def test_what_a_device_gave_up_is_told_as_well(device: FieldDevice, api: FlaskClient) -> None:
    gap = reading(device.id, 2, kind="gap", gap_epoch=EPOCH, gap_first=2, gap_last=4, reason="cap")
    rows = [reading(device.id, seq) for seq in (1, 5)]
    device.deliver(seal([rows[0], gap, rows[1]], first=1, last=5))
    (epoch,) = get(api, "/api/devices/station-0001/gaps")["epochs"]
    assert (epoch["given_up"], epoch["given_up_count"]) == ([[2, 4]], 3)
    assert (epoch["landed"], epoch["missing"], epoch["missing_since"]) == (2, [], None)


def test_a_series_is_down_sampled_where_the_rows_are(device: FieldDevice, api: FlaskClient) -> None:
    rows = [
        reading(
            device.id,
            seq,
            recorded_at=f"2026-03-01T08:{seq // 2:02}:{30 * (seq % 2):02}.000000Z",
            temperature=float(seq),
        )
        for seq in range(1, 41)
    ]
    device.deliver(seal(rows, first=1, last=40))
    device.cloud.run()
    path = "/api/devices/station-0001/series"
    span = {"since": "2026-03-01T08:00:00Z", "until": "2026-03-01T09:00:00Z"}
    series = get(api, path, points=12, **span)
    assert series["step_seconds"] == 300
    first = series["points"][0]
    assert (first["at"], first["count"]) == ("2026-03-01T08:00:00.000000Z", 9)
    assert (first["mean"], first["least"], first["greatest"]) == (5.0, 1.0, 9.0)
    assert sum(each["count"] for each in series["points"]) == 40
    assert get(api, path, points=1, **span)["step_seconds"] == 3600
    fine = get(api, path, points=2000, **span)
    assert (fine["step_seconds"], len(fine["points"])) == (5, 40)
    long = {"points": 1, "since": "2026-02-27", "until": "2026-03-02"}
    assert (
        "ask for less"
        in problem(api.get(path, query_string=long), 422, "invalid_request")["detail"]
    )
    problem(api.get(path, query_string={"column": "device_id"}), 422, "invalid_request")
    problem(api.get(path, query_string={"column": "a`; DROP"}), 422, "invalid_request")
    problem(api.get("/api/devices/nobody/series"), 404, "device_not_found")


def test_a_command_is_given_followed_and_cancelled(device: FieldDevice, api: FlaskClient) -> None:
    path = "/api/devices/station-0001/commands"
    sent = {"type": "set_interval", "arguments": {"sensor": "room", "seconds": 5}}
    made = api.post(path, json=sent, headers={"Idempotency-Key": "one"}).json
    again = api.post(path, json=sent, headers={"Idempotency-Key": "one"}).json
    assert made is not None
    assert again is not None
    assert (made["id"], made["status"]) == (again["id"], "queued")
    (listed,) = get(api, path)["commands"]
    assert listed["arguments"] == sent["arguments"]
    assert post(api, f"{path}/{made['id']}/cancel")["status"] == "cancelled"
    problem(api.post(path, json={"type": "shell"}), 422, "unknown_command")
    wrong = {"type": "set_interval", "arguments": {"sensor": "room", "seconds": 0}}
    assert problem(api.post(path, json=wrong), 422, "invalid_request")["problems"]


def test_keys_are_listed_and_removed(device: FieldDevice, api: FlaskClient) -> None:
    kid = device.signer.key.kid
    (key,) = get(api, "/api/devices/station-0001/keys")["keys"]
    assert key["kid"] == kid
    answer = post(api, f"/api/devices/station-0001/keys/{kid}/remove")
    assert answer == {"device": "station-0001", "keys": []}


def test_a_timeline_and_the_audit_tell_who_did_what(device: FieldDevice, api: FlaskClient) -> None:
    device.heartbeat(battery=3.0)
    post(api, "/api/devices/station-0001/config", {"heartbeat_seconds": 30, "seal_seconds": 60})
    events = get(api, "/api/devices/station-0001/timeline")["events"]
    told = [(each["about"].partition("/")[0], each["type"]) for each in events]
    assert told[:3] == [("device", "created"), ("device", "claim.issued"), ("device", "enrolled")]
    assert ("alert", "opened") in told
    assert told[-1] == ("device", "configured")
    assert events[-1]["cause"]["actor"] == "local"
    (action,) = get(api, "/api/audit", subject="device/station-0001")["actions"]
    assert (action["action"], action["actor"]) == ("post_configuration", "local")


def test_a_clone_that_was_dealt_with_is_closed_by_an_operator(
    device: FieldDevice, api: FlaskClient
) -> None:
    before = {"epoch": EPOCH, "last": 0}
    for epoch in ("00aa11bb22cc33dd", "0123456789abcdef"):
        rows = [reading(device.id, 1, epoch)]
        device.send(seal(rows, first=1, last=1, epoch=epoch, epoch_predecessor=before))
    path = "/api/devices/station-0001/alerts/cloned/close"
    assert post(api, path)["state"] == "closed"
    assert get(api, "/api/devices/station-0001")["alerts"] == []
    problem(api.post("/api/devices/station-0001/alerts/other/close"), 404, "alert_not_found")


SENT: dict[str, dict[str, Any]] = {
    "/api/devices": {"id": "station-9"},
    "/api/devices/{id}/config": {"heartbeat_seconds": 30, "seal_seconds": 60},
    "/api/devices/{id}/commands": {"type": "ping"},
    "/api/devices/{id}/revoke": {"reason": "stolen"},
}


def test_every_endpoint_about_devices_answers_what_the_document_says(
    device: FieldDevice, api: FlaskClient
) -> None:
    device.deliver(seal([reading(device.id, 2)], first=2, last=2))
    device.heartbeat(battery=3.0)
    command = post(api, "/api/devices/station-0001/commands", {"type": "flush"}, 201)["id"]
    document = openapi_document()
    ordered = sorted(DEVICE_ENDPOINTS, key=lambda each: each.path.endswith("revoke"))
    for endpoint in ordered:
        values = {"id": device.id, "rule": "battery", "command": command, "kid": "none"}
        body = SENT.get(endpoint.path) if endpoint.method == "POST" else None
        path = endpoint.path.format_map(values)
        answer = (
            api.open(path, method=endpoint.method, json=body)
            if body
            else api.open(path, method=endpoint.method)
        )
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        assert answer.status_code == endpoint.status, (path, answer.text)
        check_schema(document, operation["responses"][str(endpoint.status)], answer.json)
        if "{id}" in endpoint.path and body is None:
            unknown = endpoint.path.format_map({**values, "id": "nobody"})
            refused = api.open(unknown, method=endpoint.method)
            problem(refused, 404, refused.json["code"])  # type: ignore[index]
