"""Heartbeats: what a device says of itself, the alerts that follow, and what it is told."""

from __future__ import annotations

from eventpulse.fleet.alerts import Finding, judge_heartbeat
from eventpulse.fleet.devices import (
    Device,
    Heartbeat,
    Presence,
    is_foreign_epoch,
    note_heartbeat,
)
from eventpulse.pipeline.fleet.state import apply_findings, fleet_rules, presence_in
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import NewEvent
from eventpulse.values import format_time


def receive_heartbeat(
    platform: Platform, device: Device, beat: Heartbeat, kid: str, signed: str
) -> Presence:
    """Note a heartbeat that was signed at `signed` with the key `kid`."""
    rules = fleet_rules(platform)
    while True:
        changes = Changes(platform)
        before = presence_in(changes, device.id)
        stream = before.stream
        after = note_heartbeat(
            before,
            beat,
            kid,
            signed,
            at=format_time(platform.clock()),
            every_seconds=device.config.heartbeat_seconds,
        )
        if not changes.projection(stream):
            changes.add(stream, NewEvent("appeared"))
        elif after.epoch != before.epoch:
            told = {"epoch": after.epoch, "before": before.epoch, "firmware": beat.firmware}
            changes.add(stream, NewEvent("epoch.changed", told))
        changes.replace(stream, after.model_dump(mode="json"))
        findings = judge_heartbeat(rules, beat, before.alerts)
        if is_foreign_epoch(before, beat, signed):
            findings.append(Finding("cloned", _explain_clone(before, beat)))
        apply_findings(changes, device.id, findings)
        if changes.commit():
            return presence_in(changes, device.id)


def _explain_clone(presence: Presence, beat: Heartbeat) -> str:
    return (
        f"The epoch {beat.epoch} speaks again after {presence.epoch} began: two agents have this "
        "device's key. Both keep their data; provision one of them anew."
    )
