"""Who calls: a device, by the key that it enrolled. Nothing else of a request says who it is."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import flask

from eventpulse.api.auth import Principal
from eventpulse.device_api.tokens import (
    REQUEST_CLAIMS,
    check_request,
    invalid_token,
    peek,
    signed_at,
    verify,
)
from eventpulse.errors import RateLimited, RequestRefused, SettingInvalid
from eventpulse.fleet.devices import Device
from eventpulse.pipeline.fleet.state import Remembered
from eventpulse.platform import Platform
from eventpulse.settings import Settings

DEVICE_SECONDS = 20.0
"""How long an instance goes by what it read of a device: a revocation takes no longer to count."""

_devices: Remembered[Device | None] = Remembered(DEVICE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePrincipal(Principal):
    """A device that has proved who it is; `signed` is when it signed the request."""

    device: Device
    kid: str
    signed: str


def sign_in(request: flask.Request, platform: Platform) -> DevicePrincipal:
    """Raises RequestRefused (401 for a token, 403 for a device or key), RateLimited."""
    now = platform.clock()
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise invalid_token("Send a device's token as `Authorization: Bearer …`.", now)
    claimed = peek(token.strip(), now)
    device = find_device(platform, claimed.device, claimed.kid)
    key = device.find_key(claimed.kid)
    if key is None:
        detail = f"The device {device.id} has no key {claimed.kid!r}."
        raise RequestRefused(403, "key_unknown", "The key is not known", detail)
    claims = verify(
        token.strip(), key.public_key, REQUEST_CLAIMS, audience=own_url(platform.settings), now=now
    )
    check_request(claims, request.method, request.path, body=request.get_data(), now=now)
    if device.state == "revoked":
        raise RequestRefused(
            403,
            "device_revoked",
            "The device is revoked",
            f"{device.id} was revoked at {device.revoked_at}: {device.revoked_reason}",
        )
    find_limiter(platform).take(device.id, platform.settings.device_rate)
    return DevicePrincipal(
        actor=f"device:{device.id}", device=device, kid=claimed.kid, signed=signed_at(claims)
    )


def find_device(platform: Platform, device_id: str, kid: str) -> Device:
    """As this instance knows it; read again at once for a key that it does not know."""

    def read() -> Device | None:
        head = platform.log.head(f"device/{device_id}")
        return Device.model_validate(head.projection) if head.version else None

    device = _devices.get(platform, device_id, read)
    if device is None or device.find_key(kid) is None:
        _devices.forget(platform, device_id)
        device = _devices.get(platform, device_id, read)
    if device is None:
        detail = f"There is no device {device_id!r}."
        raise RequestRefused(403, "device_unknown", "The device is not known", detail)
    return device


def forget_device(platform: Platform, device_id: str) -> None:
    """Have this instance read a device again that it has just changed."""
    _devices.forget(platform, device_id)


def own_url(settings: Settings) -> str:
    """The address that devices know this platform by. Raises SettingInvalid without one: a token
    must name the platform that it is for."""
    if not settings.edge_url:
        expected = "the address under which devices reach this platform"
        raise SettingInvalid("EVENTPULSE_EDGE_URL", "", expected)
    return settings.edge_url.rstrip("/")


class RateLimiter:
    """A bucket of tokens a device, in this instance: it guards the instance, and is as exact as
    there are instances. What costs something durable (a batch) is counted in the log besides."""

    def __init__(self, most_devices: int = 100_000) -> None:
        self._most = most_devices
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, device: str, rate: int) -> None:
        """Raises RateLimited when the device has made `rate` requests within a minute."""
        now = time.monotonic()
        with self._lock:
            tokens, at = self._buckets.get(device, (float(rate), now))
            tokens = min(float(rate), tokens + (now - at) * rate / 60)
            if len(self._buckets) >= self._most and device not in self._buckets:
                self._buckets.clear()
            self._buckets[device] = (max(tokens - 1, 0) if tokens >= 1 else tokens, now)
        if tokens < 1:
            wait = (1 - tokens) * 60 / rate
            detail = f"A device makes at most {rate} requests a minute."
            raise RateLimited(detail, retry_after=max(wait, 1.0))


_limiters: WeakKeyDictionary[Platform, RateLimiter] = WeakKeyDictionary()


def find_limiter(platform: Platform) -> RateLimiter:
    """That of this instance; a process that serves several platforms has one for each."""
    found = _limiters.get(platform)
    return found if found is not None else _limiters.setdefault(platform, RateLimiter())
