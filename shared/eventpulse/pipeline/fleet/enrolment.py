"""Provisioning devices: created with a claim code, enrolled with a key, rotated, revoked."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass

from eventpulse.errors import RequestRefused
from eventpulse.fleet.devices import (
    CLAIM_LIFETIME,
    MOST_KEYS,
    ClaimCode,
    Device,
    DeviceConfig,
    DeviceKey,
    PublicKey,
    hash_claim_code,
    judge_claim,
    offline_time,
    thumbprint,
)
from eventpulse.pipeline.fleet.state import device_in
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import Event, Json, NewEvent
from eventpulse.values import format_time

CODE_BYTES = 10


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A device, and the claim code that is shown this once."""

    device: Device
    code: str
    expires: str


def create_device(
    platform: Platform, device_id: str, name: str, config: DeviceConfig, *, action: str = ""
) -> Provisioned:
    """Raises RequestRefused (409) when the device exists. The same action again, whose answer was
    lost, has a new code in place of the one that nobody saw: a code is kept as a hash."""
    changes = Changes(platform)
    stream = f"device/{device_id}"
    code, claim = _make_claim(platform)
    if changes.head(stream).version:
        if action and _is_made_by(action, device_in(changes, device_id), platform.log.read(stream)):
            return issue_claim_code(platform, device_id)
        raise _exists(device_id)
    created: dict[str, Json] = {"name": name, **({"action": action} if action else {})}
    changes.add(stream, NewEvent("created", created))
    if config != DeviceConfig():
        changes.add(stream, NewEvent("configured", {"config": config.model_dump()}))
    changes.add(stream, NewEvent("claim.issued", {"claim": claim.model_dump(mode="json")}))
    if not changes.commit():
        raise _exists(device_id)
    return Provisioned(device_in(changes, device_id), code, claim.expires)


def _is_made_by(action: str, device: Device, events: list[Event]) -> bool:
    """Whether this action made the device, and no code of it was used."""
    return device.state == "created" and events[0].data.get("action") == action


def issue_claim_code(platform: Platform, device_id: str) -> Provisioned:
    """A new code in place of the last one. A device that uses it drops the keys it had."""
    code, claim = _make_claim(platform)
    while True:
        changes = Changes(platform)
        device = device_in(changes, device_id)
        issued = NewEvent("claim.issued", {"claim": claim.model_dump(mode="json")})
        changes.add(device.stream, issued)
        if changes.commit():
            return Provisioned(device_in(changes, device_id), code, claim.expires)


def _make_claim(platform: Platform) -> tuple[str, ClaimCode]:
    text = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode().lower()
    code = "-".join(text[at : at + 4] for at in range(0, len(text), 4))
    salt = secrets.token_hex(16)
    expires = format_time(platform.clock() + CLAIM_LIFETIME)
    return code, ClaimCode(hash=hash_claim_code(code, salt), salt=salt, expires=expires)


def _exists(device_id: str) -> RequestRefused:
    return RequestRefused(
        409,
        "device_exists",
        "A device of this id exists",
        f"{device_id!r} was created before. Give it a new claim code with POST "
        f"/api/devices/{device_id}/claim-code, or choose another id.",
    )


def enroll_device(
    platform: Platform, device_id: str, code: str, public_key: PublicKey, firmware: str
) -> Device:
    """Bind a key to a device with its claim code; the same code and key again changes nothing.

    Raises RequestRefused: 403 `claim_refused` for a code that is wrong, used, expired or of a
    device that does not exist, all alike; 429 `claim_locked` after too many tries.
    """
    kid = thumbprint(public_key)
    while True:
        changes = Changes(platform)
        stream = f"device/{device_id}"
        if not changes.projection(stream):
            raise _claim_refused()
        device = device_in(changes, device_id)
        verdict = judge_claim(device, code, kid, platform.clock())
        if verdict == "again":
            return device
        if verdict == "locked":
            raise RequestRefused(
                429,
                "claim_locked",
                "Too many tries",
                "The claim code was tried too often. Ask an operator for a new one.",
            )
        if verdict == "refused":
            counts = device.claim is not None and device.claim.used_by is None
            if counts:
                changes.add(stream, NewEvent("claim.refused"))
            if counts and not changes.commit():
                continue
            raise _claim_refused()
        _bind(platform, changes, device, public_key, firmware)
        if changes.commit():
            return device_in(changes, device_id)


def _bind(
    platform: Platform, changes: Changes, device: Device, public_key: PublicKey, firmware: str
) -> None:
    now = format_time(platform.clock())
    key = DeviceKey(kid=thumbprint(public_key), public_key=public_key, created=now)
    enrolled: dict[str, Json] = {"key": key.model_dump(mode="json"), "firmware": firmware}
    changes.add(device.stream, NewEvent("enrolled", enrolled))
    due = offline_time(now, device.config.heartbeat_seconds)
    changes.add(f"presence/{device.id}", NewEvent("appeared", {"offline_due": due}))


def _claim_refused() -> RequestRefused:
    return RequestRefused(
        403,
        "claim_refused",
        "The claim code is not accepted",
        "It is wrong, was used, or has expired. Ask an operator for a new one.",
    )


def add_key(platform: Platform, device_id: str, public_key: PublicKey) -> Device:
    """Raises RequestRefused (409) when the device has as many keys as it may."""
    kid = thumbprint(public_key)
    while True:
        changes = Changes(platform)
        device = device_in(changes, device_id)
        if device.find_key(kid) is not None:
            return device
        if len(device.keys) >= MOST_KEYS:
            raise RequestRefused(
                409,
                "too_many_keys",
                "The device has too many keys",
                f"A device has at most {MOST_KEYS}; delete one first.",
            )
        key = DeviceKey(kid=kid, public_key=public_key, created=format_time(platform.clock()))
        changes.add(device.stream, NewEvent("key.added", {"key": key.model_dump(mode="json")}))
        if changes.commit():
            return device_in(changes, device_id)


def remove_key(platform: Platform, device_id: str, kid: str, *, used: str | None = None) -> Device:
    """Removing one that is gone changes nothing. Raises RequestRefused (409) for the key `used`."""
    if kid == used:
        raise RequestRefused(
            409,
            "key_in_use",
            "This key signs the request",
            "A device cannot remove the key that it signs with; sign with another one.",
        )
    while True:
        changes = Changes(platform)
        device = device_in(changes, device_id)
        if device.find_key(kid) is None:
            return device
        changes.add(device.stream, NewEvent("key.removed", {"kid": kid}))
        if changes.commit():
            return device_in(changes, device_id)


def revoke_device(platform: Platform, device_id: str, reason: str) -> Device:
    """What it uploads from now on is rejected; it may come back with a new claim code only."""
    while True:
        changes = Changes(platform)
        device = device_in(changes, device_id)
        if device.state == "revoked":
            return device
        changes.add(device.stream, NewEvent("revoked", {"reason": reason}))
        watched: dict[str, Json] = {"offline_due": None}
        changes.add(f"presence/{device_id}", NewEvent("alerts.changed", watched))
        if changes.commit():
            return device_in(changes, device_id)


def configure_device(
    platform: Platform, device_id: str, heartbeat_seconds: int, seal_seconds: int
) -> Device:
    """What the device is told with its next heartbeat."""
    while True:
        changes = Changes(platform)
        device = device_in(changes, device_id)
        wanted = DeviceConfig(
            version=device.config.version + 1,
            heartbeat_seconds=heartbeat_seconds,
            seal_seconds=seal_seconds,
        )
        if wanted.model_copy(update={"version": device.config.version}) == device.config:
            return device
        changes.add(device.stream, NewEvent("configured", {"config": wanted.model_dump()}))
        if changes.commit():
            return device_in(changes, device_id)
