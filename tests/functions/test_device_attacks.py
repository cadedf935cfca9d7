"""Attacks on the devices' function, each with the status it is answered with."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventpulse.fleet.batches import MOST_PIECES
from eventpulse.fleet.devices import DeviceConfig
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.pipeline.fleet.commands import queue_command
from eventpulse.pipeline.fleet.enrolment import create_device, issue_claim_code, revoke_device
from eventpulse.settings import Settings
from tests.device import EPOCH, KeyPair, Signer, digest, encode, reading, seal, seal_bytes
from tests.functions.answers import problem
from tests.functions.fleet import (
    CONTRACT,
    EDGE_URL,
    LANES,
    FieldDevice,
    enroll,
    enrolled_device,
    put,
)
from tests.functions.harness import Cloud, client_of

HEARTBEAT = "/api/edge/heartbeat"


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings() -> Settings:
    return Settings(edge_url=EDGE_URL)


@pytest.fixture
def device(cloud: Cloud) -> FieldDevice:
    cloud.publish(CONTRACT.read_text())
    return enrolled_device(cloud)


@pytest.fixture
def other(cloud: Cloud, device: FieldDevice) -> FieldDevice:
    return enrolled_device(cloud, "station-0002")


def rows(device: FieldDevice, first: int = 1, last: int = 3) -> list[dict[str, Any]]:
    return [reading(device.id, seq) for seq in range(first, last + 1)]


def beat() -> bytes:
    return json.dumps({"at": "2026-03-01T08:00:00.000000Z", "epoch": EPOCH}).encode()


def send(token: str, **headers: str) -> Any:
    sent = {"Content-Type": "application/json", **headers}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    return client_of("devices").post(HEARTBEAT, data=beat(), headers=sent)


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400])
def test_a_heartbeat_with_a_number_that_is_none_is_refused(
    device: FieldDevice, value: float
) -> None:
    spool = {"bytes": value, "cap": 1}
    assert 400 <= device.heartbeat(battery=value, spool=spool).status_code < 500
    assert device.heartbeat().status_code == 200


# --- Tokens --------------------------------------------------------------------------------------


def unsigned(device: FieldDevice) -> str:
    claims = device.signer.claims("POST", HEARTBEAT, beat())
    header = {"alg": "none", "typ": "JWT", "kid": device.signer.key.kid}
    parts = [encode(json.dumps(each).encode()) for each in (header, claims)]
    return ".".join([*parts, ""])


def signed_with_the_public_key(device: FieldDevice) -> str:
    """HS256 with public bytes, for a verifier that takes the algorithm from the token."""
    claims = device.signer.claims("POST", HEARTBEAT, beat())
    header = {"alg": "HS256", "typ": "JWT", "kid": device.signer.key.kid}
    text = ".".join(encode(json.dumps(each).encode()) for each in (header, claims))
    secret = device.signer.key.public.model_dump_json().encode()
    return f"{text}.{encode(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def signed_by_a_stranger(device: FieldDevice) -> str:
    claims = device.signer.claims("POST", HEARTBEAT, beat())
    return KeyPair().sign(claims, kid=device.signer.key.kid)


def with_the_key_in_its_header(device: FieldDevice) -> str:
    key = KeyPair()
    claims = device.signer.claims("POST", HEARTBEAT, beat())
    return key.sign(claims, kid=device.signer.key.kid, jwk=key.public.model_dump())


def with_one_claim(name: str, value: Any) -> Callable[[FieldDevice], str]:
    def make(device: FieldDevice) -> str:
        claims = device.signer.claims("POST", HEARTBEAT, beat())
        claims[name] = value(claims) if callable(value) else value
        return device.signer.key.sign(claims)

    return make


def without_claim(name: str) -> Callable[[FieldDevice], str]:
    def make(device: FieldDevice) -> str:
        claims = device.signer.claims("POST", HEARTBEAT, beat())
        del claims[name]
        return device.signer.key.sign(claims)

    return make


FORGED: dict[str, Callable[[FieldDevice], str]] = {
    "no token": lambda _: "",
    "no JWT": lambda _: "abc.def.ghi",
    "endless": lambda _: "a" * 100_000,
    "alg none": unsigned,
    "alg confusion": signed_with_the_public_key,
    "another signature": signed_by_a_stranger,
    "a key of its own": with_the_key_in_its_header,
    "another audience": with_one_claim("aud", "https://elsewhere.test"),
    "another issuer": with_one_claim("iss", "station-0002"),
    "another path": with_one_claim("htu", "/api/edge/batches"),
    "another method": with_one_claim("htm", "GET"),
    "another body": with_one_claim("bh", digest(b"{}")),
    "too long a life": with_one_claim("exp", lambda claims: claims["iat"] + 301),
    "ends before it begins": with_one_claim("exp", lambda claims: claims["iat"] - 1),
    "a time that is no number": with_one_claim("iat", "now"),
    "an endless time": with_one_claim("exp", float("inf")),
    **{f"no {name}": without_claim(name) for name in ("iss", "aud", "iat", "exp", "jti", "bh")},
}


@pytest.mark.parametrize("attack", FORGED)
def test_a_forged_token_is_401(device: FieldDevice, attack: str) -> None:
    refused = send(FORGED[attack](device))
    body = problem(refused, 401, "token_invalid")
    assert datetime.fromisoformat(body["now"]).tzinfo is not None
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert device.presence().heartbeat is None


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_token_of_another_time_is_401(device: FieldDevice, minutes: int) -> None:
    now = datetime.now(UTC).timestamp() + minutes * 60
    problem(device.heartbeat(iat=now, exp=now + 60), 401, "token_expired")


def test_thirty_seconds_of_skew_are_let_pass(device: FieldDevice) -> None:
    now = datetime.now(UTC).timestamp()
    assert device.heartbeat(iat=now + 25, exp=now + 60).status_code == 200
    assert device.heartbeat(iat=now - 120, exp=now - 25).status_code == 200


def test_the_key_of_another_device_is_403(device: FieldDevice, other: FieldDevice) -> None:
    device.signer.key = other.signer.key
    problem(device.heartbeat(), 403, "key_unknown")


def test_a_device_that_does_not_exist_is_403(device: FieldDevice) -> None:
    device.signer.device = "station-9999"
    problem(device.heartbeat(), 403, "device_unknown")


@pytest.mark.parametrize(
    "header",
    [
        "X-Device-Id",
        "X-Forwarded-User",
        "X-Goog-Authenticated-User-Email",
        "X-Goog-IAP-JWT-Assertion",
        "X-CloudTasks-TaskName",
    ],
)
def test_no_header_says_who_calls(device: FieldDevice, header: str) -> None:
    problem(send("", **{header: device.id}), 401, "token_invalid")


def test_an_operators_token_is_no_devices(device: FieldDevice) -> None:
    problem(send("the operator's token"), 401, "token_invalid")


def test_a_device_is_no_operator(device: FieldDevice) -> None:
    headers = device.signer.headers("GET", "/api/ingestions", b"")
    answer = client_of("api").get(
        "/api/ingestions", headers=headers, environ_base={"REMOTE_ADDR": "10.0.0.1"}
    )
    assert answer.status_code in (401, 403)


# --- Enrolment -----------------------------------------------------------------------------------


@pytest.fixture
def waiting(cloud: Cloud) -> tuple[FieldDevice, str]:
    """A device that is not enrolled yet, and its code."""
    code = create_device(cloud.platform, "station-0003", "", DeviceConfig()).code
    return FieldDevice(cloud, Signer("station-0003", EDGE_URL)), code


def test_a_guessed_claim_code_is_403_and_the_sixth_guess_429(
    waiting: tuple[FieldDevice, str],
) -> None:
    field, code = waiting
    for _ in range(5):
        problem(enroll(field, "aaaa-bbbb-cccc-dddd"), 403, "claim_refused")
    problem(enroll(field, "aaaa-bbbb-cccc-dddd"), 429, "claim_locked")
    problem(enroll(field, code), 429, "claim_locked")
    fresh = issue_claim_code(field.cloud.platform, field.id).code
    problem(enroll(field, code), 403, "claim_refused")
    assert enroll(field, fresh).status_code == 200


def test_a_used_claim_code_is_403_for_another_key(waiting: tuple[FieldDevice, str]) -> None:
    field, code = waiting
    assert enroll(field, code).status_code == 200
    problem(enroll(field, code, KeyPair()), 403, "claim_refused")
    assert field.heartbeat().status_code == 200


def test_an_expired_claim_code_is_403(waiting: tuple[FieldDevice, str]) -> None:
    field, code = waiting
    later = datetime.now(UTC) + timedelta(hours=24, minutes=1)
    field.cloud.platform.clock = lambda: later
    moment = {"iat": later.timestamp(), "exp": later.timestamp() + 60}
    problem(enroll(field, code, **moment), 403, "claim_refused")


def test_a_claim_code_of_another_device_is_403_and_unknown_devices_look_alike(
    cloud: Cloud, waiting: tuple[FieldDevice, str]
) -> None:
    _, code = waiting
    create_device(cloud.platform, "station-0004", "", DeviceConfig())
    known = FieldDevice(cloud, Signer("station-0004", EDGE_URL))
    unknown = FieldDevice(cloud, Signer("station-0005", EDGE_URL))
    first, second = (problem(enroll(each, code), 403, "claim_refused") for each in (known, unknown))
    for each in (first, second):
        each.pop("request_id")
    assert first == second


def test_a_proof_for_another_code_key_or_place_is_401(waiting: tuple[FieldDevice, str]) -> None:
    field, code = waiting
    problem(enroll(field, code, cch=digest(b"another code")), 401, "token_invalid")
    problem(enroll(field, code, aud="https://elsewhere.test"), 401, "token_invalid")
    problem(enroll(field, code, sub="station-0001"), 401, "token_invalid")
    stolen = field.signer.enrolment(code)
    stolen["public_key"] = KeyPair().public.model_dump()
    answer = client_of("devices").post("/api/edge/enroll", json=stolen)
    problem(answer, 401, "token_invalid")


def test_a_point_that_is_not_on_the_curve_is_401(waiting: tuple[FieldDevice, str]) -> None:
    field, code = waiting
    sent = field.signer.enrolment(code)
    sent["public_key"] = {**sent["public_key"], "y": encode(bytes(31) + b"\x01")}
    problem(client_of("devices").post("/api/edge/enroll", json=sent), 401, "token_invalid")


def test_a_proof_of_rotation_must_be_by_the_key_in_use(device: FieldDevice) -> None:
    new = KeyPair()
    for changes in ({"by": new.kid}, {"sub": "station-0002"}):
        sent = device.signer.rotation(new, **changes)
        problem(device.call("POST", "/api/edge/keys", sent), 401, "token_invalid")


# --- Objects -------------------------------------------------------------------------------------


def test_a_url_puts_its_own_object_only(device: FieldDevice, other: FieldDevice) -> None:
    batch = seal(rows(device), first=1, last=3)
    claimed = device.claim(batch).json
    assert claimed is not None
    aimed = {**claimed, "url": claimed["url"].replace(device.id, other.id)}
    assert device.put(aimed, batch.content).status_code == 403
    assert device.put(claimed, batch.content + b"more").status_code == 400
    assert device.put(claimed, bytes(len(batch.content))).status_code == 400
    free = {**claimed, "headers": {**claimed["headers"], "x-goog-if-generation-match": "1"}}
    assert device.put(free, batch.content).status_code == 403
    assert device.put(claimed, batch.content).status_code == 200
    assert device.put(claimed, batch.content).status_code == 412


def test_the_batch_of_another_device_cannot_be_committed(
    device: FieldDevice, other: FieldDevice
) -> None:
    batch = seal(rows(other), first=1, last=3)
    other.send(batch)
    problem(device.commit(batch), 409, "not_uploaded")


def test_a_replayed_commit_answers_the_same_and_changes_nothing(device: FieldDevice) -> None:
    batch = seal(rows(device), first=1, last=3)
    device.deliver(batch)
    data = json.dumps(batch.commit).encode()
    headers = device.signer.headers("POST", batch.commit_path, data)
    log = device.cloud.platform.log
    before = log.head(device.batch(batch).stream)
    answers = [
        client_of("devices").post(batch.commit_path, data=data, headers=headers).json
        for _ in range(3)
    ]
    assert answers[0] is not None
    assert answers[0]["state"] == "committed"
    assert answers == [answers[0]] * 3
    assert log.head(device.batch(batch).stream) == before


def test_a_commit_of_another_content_is_422(device: FieldDevice) -> None:
    batch = seal(rows(device), first=1, last=3)
    device.send(batch)
    sent = {"sha256": "0" * 64}
    problem(device.call("POST", batch.commit_path, sent), 422, "content_differs")


def test_a_body_beyond_the_limit_is_413(device: FieldDevice) -> None:
    sent = {"padding": "x" * (65 << 10)}
    answer = device.call("POST", "/api/edge/batches", sent)
    assert answer.status_code == 413


def ingestion_of(device: FieldDevice, batch: Any) -> Ingestion:
    landed = device.batch(batch)
    assert landed.state == "diverted"
    head = device.cloud.platform.log.head(f"ingestion/{landed.ingestion}")
    return Ingestion.model_validate(head.projection)


def test_a_decompression_bomb_is_rejected_as_unreadable(device: FieldDevice) -> None:
    line = json.dumps(reading(device.id, 1)).encode() + b"\n"
    bomb = gzip.compress(line + b" \n" * (20 << 20))
    batch = seal_bytes(bomb, first=1, last=1)
    device.deliver(batch)
    device.cloud.run()
    ingestion = ingestion_of(device, batch)
    assert (ingestion.state, ingestion.reason) == ("rejected", "unreadable")
    assert "33,554,432" in (ingestion.detail or "")
    assert device.epoch().missing == ()
    assert device.epoch().landed == ()


@pytest.mark.parametrize(
    "content",
    [b"no gzip at all", gzip.compress(b"{}", mtime=0)[:-4]],
    ids=["no gzip", "cut off"],
)
def test_a_damaged_batch_is_rejected_as_unreadable(device: FieldDevice, content: bytes) -> None:
    batch = seal_bytes(content, first=1, last=1)
    device.deliver(batch)
    device.cloud.run()
    ingestion = ingestion_of(device, batch)
    assert (ingestion.state, ingestion.reason) == ("rejected", "unreadable")


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "gap", "gap_epoch": "a/b", "gap_first": 1, "gap_last": 2},
        {"kind": "gap", "gap_epoch": "a" * 500, "gap_first": 1, "gap_last": 2},
        {"kind": "gap", "gap_epoch": "a\ud800", "gap_first": 1, "gap_last": 2},
        {"kind": "gap", "gap_epoch": "0" * 16, "gap_first": 1, "gap_last": 10**400},
        {"temperature": 10**400},
        {"recorded_at": "1\ud800"},
        {"seq": 10**400},
    ],
    ids=["path", "long", "surrogate", "endless", "huge", "time", "number"],
)
def test_a_batch_lands_whatever_its_lines_claim(
    device: FieldDevice, values: dict[str, Any]
) -> None:
    device.deliver(seal([*rows(device, 1, 2), {**rows(device)[2], **values}], first=1, last=3))
    assert device.epoch().landed in (((1, 2),), ((1, 3),))
    assert device.heartbeat().status_code == 200


def test_an_epoch_in_more_pieces_than_a_document_holds_still_lands(device: FieldDevice) -> None:
    for first in range(1, 3 * MOST_PIECES, MOST_PIECES):
        last = first + MOST_PIECES - 1
        scattered = [reading(device.id, seq) for seq in range(first, last, 2)]
        batch = seal(scattered, first=first, last=last, count=MOST_PIECES // 2)
        device.deliver(batch)
    epoch = device.epoch()
    assert len(epoch.landed) == MOST_PIECES
    assert epoch.missing[-1] == (2 * MOST_PIECES, 3 * MOST_PIECES - 1)  # beyond, as missing
    assert device.batch(batch).state == "landed"


def test_what_a_revoked_device_still_uploads_is_rejected(device: FieldDevice) -> None:
    batch = seal(rows(device), first=1, last=3)
    claimed = device.claim(batch).json
    assert claimed is not None
    revoke_device(device.cloud.platform, device.id, "stolen")
    assert put(device.cloud, claimed, batch.content).status_code == 200  # its URL is still good
    device.cloud.announce(device.stored(claimed["object"]))
    device.cloud.run()
    ingestion = ingestion_of(device, batch)
    assert (ingestion.state, ingestion.reason) == ("rejected", "revoked")
    assert "stolen" in (ingestion.detail or "")
    assert device.epoch().landed == ()


def test_a_revoked_device_is_403_once_the_instance_reads_it_again(device: FieldDevice) -> None:
    from eventpulse.device_api.sign_in import DEVICE_SECONDS, forget_device

    assert device.heartbeat().status_code == 200
    revoke_device(device.cloud.platform, device.id, "stolen")
    assert DEVICE_SECONDS <= 60
    forget_device(device.cloud.platform, device.id)
    problem(device.heartbeat(), 403, "device_revoked")


def test_an_unknown_command_type_is_422_and_reaches_no_device(device: FieldDevice) -> None:
    from eventpulse.errors import RequestRefused

    platform = device.cloud.platform
    for type_, arguments in (
        ("shell", {"command": "rm -rf /"}),
        ("set_interval", {"sensor": "room", "seconds": 0}),
        ("ping", {"host": "elsewhere"}),
    ):
        with pytest.raises(RequestRefused) as refused:
            queue_command(platform, device.id, type_, arguments, lifetime=timedelta(hours=1))  # type: ignore[arg-type]
        assert refused.value.status == 422
    assert device.call("GET", "/api/edge/commands").json == {"commands": []}


def test_a_command_of_another_device_does_not_exist(
    device: FieldDevice, other: FieldDevice
) -> None:
    platform = device.cloud.platform
    command = queue_command(platform, other.id, "ping", {}, lifetime=timedelta(hours=1))
    sent = {"status": "succeeded", "expected_version": 1, "result": None}
    answer = device.call("POST", f"/api/edge/commands/{command.id}", sent)
    problem(answer, 404, "command_not_found")
