"""Alert rules for devices, and the alerts that they open and close. Pure.

A contract declares the rules (custom properties `alerts` and `alert`). What a heartbeat, a batch or
sweep observes is held against them; only a change is an event, so that `alert/<device>.<rule>` is
the history of that alert.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from eventpulse.fleet.devices import Heartbeat
from eventpulse.ports import Json, NewEvent, Query
from eventpulse.values import Value

Rule = Literal[
    "offline", "missing_range", "battery", "clock_off", "spool_filling", "cloned", "threshold"
]
RELIEF = 5.0
"""A percentage must be better than its limit by so much before its alert closes: no flutter."""


class SensorLimit(Value):
    """A value above or below its limit opens an alert."""

    above: float | None = None
    below: float | None = None


class AlertRules(Value):
    """What a contract declares; None: no such alert. A clone always is one."""

    offline: bool = True
    missing_range_seconds: float | None = Field(900, gt=0)
    battery_percent: float | None = Field(20, ge=0, le=100)
    clock_off_seconds: float | None = Field(300, gt=0)
    spool_percent: float | None = Field(80, gt=0, le=100)
    sensors: dict[str, SensorLimit] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is so: an alert to be open (`detail` says why), or not."""

    rule: str
    detail: str = ""
    value: float | None = None

    @property
    def is_open(self) -> bool:
        return bool(self.detail)


class Alert(Value):
    """The projection of `alert/<device>.<rule>`."""

    device: str
    rule: str
    state: Literal["open", "closed"]
    detail: str
    value: float | None = None
    opened_at: str
    closed_at: str | None = None
    times: int = 1


def alert_stream(device: str, rule: str) -> str:
    return f"alert/{device}.{rule}"


def project_alert(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    """`opened` and `closed`."""
    device, _, rule = stream.partition("/")[2].partition(".")
    before = Alert.model_validate(projection) if projection else None
    if event.type == "opened":
        after = Alert(
            device=device,
            rule=rule,
            state="open",
            detail=str(event.data["detail"]),
            value=event.data.get("value"),  # type: ignore[arg-type]
            opened_at=at,
            times=before.times + 1 if before else 1,
        )
    elif event.type == "closed" and before is not None:
        after = before.model_copy(update={"state": "closed", "closed_at": at})
    else:
        raise KeyError(event.type)
    return after.model_dump(mode="json")


# --- Rules ---------------------------------------------------------------------------------------


def judge_heartbeat(
    rules: AlertRules, beat: Heartbeat, open_alerts: tuple[str, ...]
) -> list[Finding]:
    """What a heartbeat says about the alerts of the device itself."""
    findings = [Finding("offline")]
    if rules.battery_percent is not None and beat.battery is not None:
        limit = rules.battery_percent + (RELIEF if "battery" in open_alerts else 0)
        low = beat.battery < limit
        detail = f"The battery is at {beat.battery:g} %, below {rules.battery_percent:g} %."
        findings.append(Finding("battery", detail if low else "", beat.battery))
    if rules.clock_off_seconds is not None and beat.clock_offset is not None:
        off = abs(beat.clock_offset)
        detail = (
            f"The clock is off by {beat.clock_offset:+,.0f} s, more than "
            f"{rules.clock_off_seconds:,.0f} s; times are corrected."
        )
        found = detail if off > rules.clock_off_seconds else ""
        findings.append(Finding("clock_off", found, beat.clock_offset))
    if rules.spool_percent is not None and beat.spool.cap > 0:
        full = 100 * beat.spool.bytes / beat.spool.cap
        limit = rules.spool_percent - (RELIEF if "spool_filling" in open_alerts else 0)
        detail = (
            f"The spool is {full:.0f} % full ({beat.spool.events:,} events); at 100 % the oldest "
            "readings are dropped."
        )
        findings.append(Finding("spool_filling", detail if full > limit else "", full))
    return findings


def judge_readings(
    rules: AlertRules, extremes: Mapping[str, tuple[float, float, float]]
) -> list[Finding]:
    """What a batch's (least, greatest, last) value of each sensor says about its thresholds."""
    findings = []
    for column, limit in rules.sensors.items():
        if column not in extremes:
            continue
        least, greatest, last = extremes[column]
        sides = [
            ("above", limit.above, greatest, limit.above is not None and greatest > limit.above),
            ("below", limit.below, least, limit.below is not None and least < limit.below),
        ]
        for side, bound, worst, is_past in sides:
            if bound is None:
                continue
            detail = f"{column} was {worst:g}, {side} {bound:g}; its last value is {last:g}."
            # Past its bound and back again within a batch: opened by it, closed by the next one.
            findings.append(Finding(f"threshold:{column}:{side}", detail if is_past else "", worst))
    return findings


def query_alerts(*, device: str | None = None, state: str | None = None) -> Query:
    """Alerts, those opened last first."""
    wanted = (("device", device), ("state", state))
    where = tuple((name, "==", value) for name, value in wanted if value is not None)
    return Query("alert", where, (("opened_at", "desc"),))  # type: ignore[arg-type]


def declared_queries() -> list[Query]:
    return [
        query_alerts(device=device, state=state) for device in (None, "a") for state in (None, "o")
    ]
