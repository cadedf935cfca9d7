"""What every use case of the fleet reads: a device, its alert rules, the alerts that change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from eventpulse.errors import RequestRefused
from eventpulse.fleet.alerts import AlertRules, Finding, alert_stream
from eventpulse.fleet.batches import DATASET
from eventpulse.fleet.contract import find_rules
from eventpulse.fleet.devices import Device, Presence, read_presence
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import Json, NewEvent

RULES_SECONDS = 30.0
"""How long a process goes by the alert rules that it read last."""

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """A value of each platform under each key, read again after so many seconds. At most `most`
    keys are remembered."""

    def __init__(self, seconds: float, most: int = 10_000) -> None:
        self._seconds, self._most = seconds, most
        self._values: WeakKeyDictionary[Platform, dict[str, tuple[float, Value]]] = (
            WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    def get(self, platform: Platform, key: str, read: Callable[[], Value]) -> Value:
        with self._lock:
            found = self._values.setdefault(platform, {}).get(key)
        if found is not None and time.monotonic() - found[0] < self._seconds:
            return found[1]
        began = time.monotonic()
        value = read()
        with self._lock:
            values = self._values.setdefault(platform, {})
            if len(values) >= self._most:
                values.clear()
            values[key] = (began, value)
        return value

    def forget(self, platform: Platform, key: str) -> None:
        with self._lock:
            self._values.setdefault(platform, {}).pop(key, None)


_entries: Remembered[Mapping[str, Json]] = Remembered(RULES_SECONDS)


def fleet_entry(platform: Platform) -> Mapping[str, Json]:
    """The catalogue's entry of the devices' dataset; empty when it has no contract yet."""
    return _entries.get(
        platform, DATASET, lambda: dict(get_catalogue(platform).entries.get(DATASET, {}))
    )


def fleet_rules(platform: Platform) -> AlertRules:
    return find_rules(fleet_entry(platform))


def device_in(changes: Changes, device_id: str) -> Device:
    """Raises RequestRefused (404)."""
    projection = changes.projection(f"device/{device_id}")
    if not projection:
        raise RequestRefused(
            404,
            "device_not_found",
            "No such device",
            f"There is no device {device_id!r}. List them with GET /api/devices.",
        )
    return Device.model_validate(projection)


def presence_in(changes: Changes, device_id: str) -> Presence:
    return read_presence(changes.projection(f"presence/{device_id}"), device_id)


def apply_findings(changes: Changes, device_id: str, findings: Iterable[Finding]) -> None:
    """Open and close what changed, and note on the presence which alerts are open."""
    presence = presence_in(changes, device_id)
    is_open = dict.fromkeys(presence.alerts)
    for finding in findings:
        stream = alert_stream(device_id, finding.rule)
        if finding.is_open and finding.rule not in is_open:
            opened: dict[str, Json] = {"detail": finding.detail, "value": finding.value}
            changes.add(stream, NewEvent("opened", opened))
            is_open[finding.rule] = None
        elif not finding.is_open and finding.rule in is_open:
            changes.add(stream, NewEvent("closed"))
            del is_open[finding.rule]
    if tuple(is_open) != presence.alerts:
        changes.add(presence.stream, NewEvent("alerts.changed", {"alerts": list(is_open)}))
