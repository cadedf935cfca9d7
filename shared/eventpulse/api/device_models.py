"""What the API answers and takes about devices, as pydantic models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from eventpulse.api.models import Answer, Limit, Moment, Request
from eventpulse.fleet.commands import CommandStatus
from eventpulse.fleet.devices import DEVICE_ID, DeviceConfig, DeviceState, DeviceStatus, Heartbeat


class DeviceFilter(Request):
    state: DeviceState | None = None
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")
    limit: Limit = 50


class NewDevice(Request):
    """A device to provision; `id` is its name for ever."""

    id: str = Field(pattern=DEVICE_ID)
    name: str = Field("", max_length=200)
    heartbeat_seconds: int = Field(60, ge=1, le=86_400)
    seal_seconds: int = Field(300, ge=1, le=86_400)


class DeviceSummary(Answer):
    """`status` follows from the heartbeat policy, and `basis` says how. `alerts` are those open."""

    id: str
    name: str
    state: DeviceState
    status: DeviceStatus
    basis: str
    last_seen: str | None
    firmware: str | None
    battery: float | None
    spooled_events: int | None
    clock_offset: float | None
    epoch: str | None
    alerts: list[str]
    commands_pending: int
    created_at: str
    enrolled_at: str | None
    revoked_at: str | None


class DevicePage(Answer):
    devices: list[DeviceSummary]
    next_cursor: str | None


class KeyAnswer(Answer):
    kid: str
    created: str
    last_used: str | None


class KeyList(Answer):
    device: str
    keys: list[KeyAnswer]


class OpenClaim(Answer):
    """A claim code that was not used yet; the code itself was shown once."""

    expires: str
    tries_left: int


class DeviceAnswer(DeviceSummary):
    """`heartbeat` is the last one, as the device sent it."""

    config: DeviceConfig
    keys: list[KeyAnswer]
    claim: OpenClaim | None
    revoked_reason: str | None
    heartbeat: Heartbeat | None


class ClaimCodeAnswer(Answer):
    """`claim_code` is shown this once; it works for one key until `expires`, for five tries."""

    device: str
    claim_code: str
    expires: str


class Revocation(Request):
    reason: str = Field(min_length=1, max_length=500)


class Configuration(Request):
    heartbeat_seconds: int = Field(ge=1, le=86_400)
    seal_seconds: int = Field(ge=1, le=86_400)


# --- Telemetry -----------------------------------------------------------------------------------


class SeriesQuery(Request):
    """Without `since`, the day before `until`; without `until`, now."""

    column: str = Field("temperature", pattern=r"^[a-z_][a-z0-9_]{0,127}$")
    since: Moment | None = None
    until: Moment | None = None
    points: int = Field(300, ge=1, le=2_000, description="At most so many, evenly spaced.")


class SeriesPoint(Answer):
    """One step of time: how many values it holds, and their mean and extremes."""

    at: str
    count: int
    mean: float | None
    least: float | None
    greatest: float | None


class Series(Answer):
    """`step_seconds` is the width of a point; steps without a value are left out."""

    device: str
    column: str
    since: str
    until: str
    step_seconds: int
    points: list[SeriesPoint]


class EpochGaps(Answer):
    """One start of the agent: which of its events came, which the device gave up (for want of room,
    or damaged on its disk), and which did neither."""

    epoch: str
    first_seen: str
    known_last: int
    landed: int
    given_up: list[tuple[int, int]]
    given_up_count: int
    missing: list[tuple[int, int]]
    missing_count: int
    missing_since: str | None
    predecessor: str | None
    successors: list[str]


class PageQuery(Request):
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")
    limit: Limit = 50


class GapsQuery(PageQuery):
    all: bool = Field(
        False, description="Epochs of which nothing is missing and nothing was given up, too."
    )


class GapPage(Answer):
    device: str
    epochs: list[EpochGaps]
    next_cursor: str | None


class BatchAnswer(Answer):
    """A batch, and the ingestion that reads it."""

    epoch: str
    first: int
    last: int
    state: Literal["claimed", "lapsed", "void", "landed", "diverted", "bundled"]
    object: str
    bytes: int
    rows: int | None
    alarm: bool
    claimed_at: str
    landed_at: str | None
    ingestion: str | None
    problem: str | None


class BatchPage(Answer):
    device: str
    batches: list[BatchAnswer]
    next_cursor: str | None


# --- Alerts --------------------------------------------------------------------------------------


class AlertFilter(Request):
    device: str | None = None
    state: Literal["open", "closed"] | None = None
    cursor: str | None = None
    limit: Limit = 50


class AlertAnswer(Answer):
    """`times` counts how often it was opened."""

    device: str
    rule: str
    state: Literal["open", "closed"]
    detail: str
    value: float | None
    opened_at: str
    closed_at: str | None
    times: int


class AlertPage(Answer):
    alerts: list[AlertAnswer]
    next_cursor: str | None


# --- Commands and history ------------------------------------------------------------------------


class NewCommand(Request):
    """`type` is one of ping, flush, set_interval, rotate_key and restart_agent."""

    type: str
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    lifetime_seconds: int = Field(86_400, ge=1, le=30 * 86_400)


class CommandAnswer(Answer):
    id: str
    device: str
    type: str
    arguments: dict[str, JsonValue]
    status: CommandStatus
    version: int
    result: dict[str, JsonValue] | None
    created_at: str
    expires: str
    updated_at: str


class CommandPage(Answer):
    device: str
    commands: list[CommandAnswer]
    next_cursor: str | None


class DeviceEvent(Answer):
    """A fact about the device, its alerts or its commands; `about` names whose it is."""

    about: str
    type: str
    at: str
    data: dict[str, JsonValue]
    cause: dict[str, str]


class DeviceTimeline(Answer):
    device: str
    events: list[DeviceEvent]
