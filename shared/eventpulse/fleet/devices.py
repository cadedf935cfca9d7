"""A device of the fleet: its states, keys and events, and what its heartbeats say. Pure.

Invariants:
- a device's state is the fold of the events of `device/<id>`; heartbeats, which come each minute
  and change nothing but what is known of the moment, replace the projection of `presence/<id>`;
- a claim code is kept as a hash, works once, for a day and for five tries; each try is an event
  before it is answered, so that tries at once count too;
- the code once used stays bound to the key that used it: the same request again is answered again;
- at most three keys; the keys of a revoked device stay known, so that it can be told so.

    created ──enrolled──▶ enrolled ──revoked──▶ revoked ──(a new claim code)──▶ enrolled
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from eventpulse.ports import Json, NewEvent, Query
from eventpulse.values import Value, format_time, parse_time

DeviceState = Literal["created", "enrolled", "revoked"]
DeviceStatus = Literal["provisioned", "online", "late", "offline", "revoked"]

DEVICE_ID = r"^[a-z0-9][a-z0-9-]{0,62}$"
EPOCH = r"^[0-9a-f]{16}$"
MOST_KEYS = 3
CLAIM_LIFETIME = timedelta(hours=24)
CLAIM_TRIES = 5
MOST_PENDING_COMMANDS = 100

LATE_AFTER = 1.5
OFFLINE_AFTER = 3.0
GRACE = timedelta(seconds=15)
"""A device is late after so many heartbeats' time without one, offline after so many more, and a
little: a heartbeat takes its way, too."""


class PublicKey(Value):
    """A P-256 public key as in RFC 7517; coordinates in base64url."""

    kty: Literal["EC"] = "EC"
    crv: Literal["P-256"] = "P-256"
    x: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$")
    y: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$")


class DeviceKey(Value):
    kid: str
    public_key: PublicKey
    created: str


class ClaimCode(Value):
    """`used_by` is the kid that it was used with."""

    hash: str
    salt: str
    expires: str
    tries_left: int = CLAIM_TRIES
    used_by: str | None = None


class DeviceConfig(Value):
    """What a device is told to do: how often it reports, and how long it collects a batch."""

    version: int = 1
    heartbeat_seconds: int = Field(default=60, ge=1, le=86_400)
    seal_seconds: int = Field(default=300, ge=1, le=86_400)


class Device(Value):
    """The projection of `device/<id>`. `commands` are those not yet at an end, oldest first."""

    id: str
    name: str = ""
    state: DeviceState = "created"
    claim: ClaimCode | None = None
    keys: tuple[DeviceKey, ...] = ()
    config: DeviceConfig = DeviceConfig()
    commands: tuple[str, ...] = ()
    firmware: str | None = None
    created_at: str = ""
    enrolled_at: str | None = None
    revoked_at: str | None = None
    revoked_reason: str | None = None
    updated_at: str = ""

    @property
    def stream(self) -> str:
        return f"device/{self.id}"

    def find_key(self, kid: str) -> DeviceKey | None:
        return next((each for each in self.keys if each.kid == kid), None)

    def is_revoked_at(self, created: str) -> bool:
        """Whether what was created then came from a device that had been revoked."""
        return self.state == "revoked" and self.revoked_at is not None and created > self.revoked_at


def thumbprint(key: PublicKey) -> str:
    """The key's RFC 7638 thumbprint: SHA-256 of its members in order, in base64url."""
    import base64

    text = f'{{"crv":"{key.crv}","kty":"{key.kty}","x":"{key.x}","y":"{key.y}"}}'
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def hash_claim_code(code: str, salt: str) -> str:
    """A code holds 80 random bits, so that one round is enough: nobody can try them all."""
    return hmac.new(salt.encode(), code.encode(), hashlib.sha256).hexdigest()


# --- Events --------------------------------------------------------------------------------------

_Fields = dict[str, Any]


def _enrolled(device: Device, data: _Fields) -> _Fields:
    """A claim code provisions a device anew: the key that it is used with is the only one then."""
    key = data["key"]
    claim = device.claim.model_copy(update={"used_by": key["kid"]}) if device.claim else None
    return {
        "state": "enrolled",
        "claim": claim,
        "keys": [key],
        "firmware": data.get("firmware"),
        "enrolled_at": data["at"],
        "revoked_at": None,
        "revoked_reason": None,
    }


def _claim_refused(device: Device, _data: _Fields) -> _Fields:
    if device.claim is None:
        return {}
    tries = max(device.claim.tries_left - 1, 0)
    return {"claim": device.claim.model_copy(update={"tries_left": tries})}


EVENTS: Mapping[str, Callable[[Device, _Fields], _Fields]] = {
    "created": lambda _d, data: {"name": data["name"], "created_at": data["at"]},
    "claim.issued": lambda _d, data: {"claim": data["claim"]},
    "claim.refused": _claim_refused,
    "enrolled": _enrolled,
    "key.added": lambda d, data: {"keys": [*d.keys, data["key"]]},
    "key.removed": lambda d, data: {"keys": [k for k in d.keys if k.kid != data["kid"]]},
    "revoked": lambda _d, data: {
        "state": "revoked",
        "claim": None,
        "revoked_at": data["at"],
        "revoked_reason": data["reason"],
    },
    "configured": lambda _d, data: {"config": data["config"]},
    "command.queued": lambda d, data: {"commands": [*d.commands, data["command"]]},
    "command.ended": lambda d, data: {
        "commands": [each for each in d.commands if each != data["command"]]
    },
}
"""What each event changes."""


def project_device(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    before = (
        Device.model_validate(projection) if projection else Device(id=stream.partition("/")[2])
    )
    changed = EVENTS[event.type](before, {**event.data, "at": at})
    merged = {**before.model_dump(), **changed, "updated_at": at}
    return Device.model_validate(merged).model_dump(mode="json")


# --- Decisions -----------------------------------------------------------------------------------

ClaimVerdict = Literal["accepted", "again", "refused", "locked"]


def judge_claim(device: Device, code: str, kid: str, now: datetime) -> ClaimVerdict:
    """What a try with a claim code comes to. `again`: this very key used it before."""
    claim = device.claim
    if claim is None:
        return "refused"
    if claim.tries_left <= 0:
        return "locked"
    right = hmac.compare_digest(hash_claim_code(code, claim.salt), claim.hash)
    if not right:
        return "refused"
    if claim.used_by is not None:
        known = claim.used_by == kid and device.find_key(kid) is not None
        return "again" if known and device.state == "enrolled" else "refused"
    return "accepted" if parse_time(claim.expires) > now else "refused"


# --- Presence ------------------------------------------------------------------------------------


Counted = Annotated[int, Field(le=2**63 - 1)]


class Spool(BaseModel):
    """What waits on the device; `oldest` is when the oldest of it was recorded."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    bytes: Counted = 0
    cap: Counted = 0
    events: Counted = 0
    batches: Counted = 0
    oldest: str | None = None
    dropped: Counted = 0
    isolated: Counted = 0


class Heartbeat(BaseModel):
    """What a device says of itself; members that are not known here are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: str
    uptime: float = 0.0
    firmware: str = ""
    epoch: str = Field(pattern=EPOCH)
    next_seq: Counted = Field(1, ge=1)
    boot_id: str = ""
    spool: Spool = Spool()
    battery: float | None = None
    clock_offset: float | None = None
    clock_bound: float | None = None
    config_version: int | None = None
    contract_version: str | None = None


class Presence(Value):
    """The projection of `presence/<id>`: the last heartbeat, and the alerts that are open.

    `epoch_since` is when (by the token's own time) the agent first spoke in the present epoch;
    `left_epochs` are those before it, newest first. `read_until` is the time of the newest reading
    that thresholds were held against. `offline_due` is when silence makes the device offline; None
    once that was noticed.
    """

    device: str
    last_seen: str | None = None
    heartbeat: Heartbeat | None = None
    epoch: str | None = None
    epoch_since: str = ""
    left_epochs: tuple[str, ...] = ()
    key_uses: dict[str, str] = Field(default_factory=dict)
    alerts: tuple[str, ...] = ()
    offline_due: str | None = None
    read_until: str = ""
    updated_at: str = ""

    @property
    def stream(self) -> str:
        return f"presence/{self.device}"


MOST_LEFT_EPOCHS = 20


def note_heartbeat(
    presence: Presence, beat: Heartbeat, kid: str, signed: str, *, at: str, every_seconds: int
) -> Presence:
    """The presence after a heartbeat that was signed at `signed` and came at `at`."""
    moved: _Fields = {}
    if beat.epoch != presence.epoch and not is_foreign_epoch(presence, beat, signed):
        left = [each for each in (presence.epoch, *presence.left_epochs) if each is not None]
        moved = {
            "epoch": beat.epoch,
            "epoch_since": signed,
            "left_epochs": [each for each in left if each != beat.epoch][:MOST_LEFT_EPOCHS],
        }
    if signed < presence.epoch_since and beat.epoch in presence.left_epochs:
        return presence  # it was overtaken by the next start of the agent
    uses = {**presence.key_uses, kid: at}
    newest = sorted(uses, key=uses.__getitem__)[-MOST_KEYS:]
    changed: _Fields = {
        "last_seen": at,
        "heartbeat": beat,
        "key_uses": {each: uses[each] for each in newest},
        "offline_due": offline_time(at, every_seconds),
        "updated_at": at,
        **moved,
    }
    return Presence.model_validate({**presence.model_dump(), **changed})


def is_foreign_epoch(presence: Presence, beat: Heartbeat, signed: str) -> bool:
    """Whether an epoch speaks again after another one began: an agent has one at a time and never
    goes back, so that two agents have the device's key."""
    return beat.epoch in presence.left_epochs and signed > presence.epoch_since


PRESENCE_EVENTS = frozenset({"appeared", "epoch.changed", "alerts.changed"})


def project_presence(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    """Events tell of what changed; what holds at the moment replaces the projection after them."""
    if event.type not in PRESENCE_EVENTS:
        raise KeyError(event.type)
    before = read_presence(projection, stream.partition("/")[2])
    changed = {name: event.data[name] for name in ("alerts", "offline_due") if name in event.data}
    merged = {**before.model_dump(), **changed, "updated_at": at}
    return Presence.model_validate(merged).model_dump(mode="json")


def read_presence(projection: Mapping[str, Json], device: str) -> Presence:
    return Presence.model_validate(projection or {"device": device})


def judge_status(device: Device, presence: Presence, now: datetime) -> tuple[DeviceStatus, str]:
    """How a device is, and the basis of that in words."""
    if device.state == "revoked":
        return "revoked", f"Revoked at {device.revoked_at}: {device.revoked_reason}"
    if device.state == "created":
        return "provisioned", "No key was enrolled yet."
    every = timedelta(seconds=device.config.heartbeat_seconds)
    since = parse_time(presence.last_seen or device.enrolled_at or device.created_at)
    silent = now - since
    if presence.last_seen is None:
        heard = f"Enrolled {_seconds(silent)} ago, and no heartbeat came yet"
    else:
        heard = f"Last heartbeat {_seconds(silent)} ago"
    basis = f"{heard}; one is due every {_seconds(every)}."
    if silent > every * OFFLINE_AFTER + GRACE:
        return "offline", basis
    if silent > every * LATE_AFTER + GRACE or presence.last_seen is None:
        return "late", basis
    return "online", basis


def _seconds(span: timedelta) -> str:
    return f"{max(round(span.total_seconds()), 0):,} s"


def offline_time(heard: str, every_seconds: int) -> str:
    """When a device that was heard then counts as offline, unless it is heard again."""
    silence = timedelta(seconds=every_seconds * OFFLINE_AFTER) + GRACE
    return format_time(parse_time(heard) + silence)


# --- Queries -------------------------------------------------------------------------------------


def query_devices(state: str | None = None) -> Query:
    """Devices by name."""
    where = () if state is None else (("state", "==", state),)
    return Query("device", where, (("id", "asc"),))  # type: ignore[arg-type]


def query_silent(now: str) -> Query:
    """Devices that have been silent for too long, which nobody noticed yet."""
    return Query("presence", (("offline_due", "<", now),), (("offline_due", "asc"),))


def declared_queries() -> list[Query]:
    return [query_devices(), query_devices("enrolled"), query_silent("2026")]
