"""What operators ask of devices, and what happened to them: commands, alerts, timelines."""

from __future__ import annotations

from datetime import timedelta

from eventpulse.api.device_models import (
    AlertAnswer,
    AlertFilter,
    AlertPage,
    CommandAnswer,
    CommandPage,
    DeviceEvent,
    DeviceTimeline,
    NewCommand,
    PageQuery,
)
from eventpulse.api.endpoints import Call
from eventpulse.errors import RequestRefused
from eventpulse.fleet.alerts import Alert, Finding, alert_stream, query_alerts
from eventpulse.fleet.commands import Command, query_commands
from eventpulse.pipeline.fleet.commands import cancel_command, queue_command
from eventpulse.pipeline.fleet.state import apply_findings, device_in
from eventpulse.pipeline.streams import Changes
from eventpulse.values import format_time

MOST_SHOWN = 100
"""Commands and alerts of one device whose events a timeline shows."""


def post_command(call: Call) -> CommandAnswer:
    wanted: NewCommand = call.body
    command = queue_command(
        call.platform,
        call.path["id"],
        wanted.type,
        wanted.arguments,
        lifetime=timedelta(seconds=wanted.lifetime_seconds),
        key=call.action,
    )
    return _show(command)


def list_commands(call: Call) -> CommandPage:
    wanted: PageQuery = call.query
    device = device_in(Changes(call.platform), call.path["id"])
    query = query_commands(device.id)
    page = call.platform.log.query(query, limit=wanted.limit, cursor=wanted.cursor)
    commands = [Command.model_validate(head.projection) for head in page.heads]
    return CommandPage(
        device=device.id,
        commands=[_show(each) for each in commands],
        next_cursor=page.cursor,
    )


def post_cancellation(call: Call) -> CommandAnswer:
    return _show(cancel_command(call.platform, call.path["id"], call.path["command"]))


def _show(command: Command) -> CommandAnswer:
    return CommandAnswer.model_validate(command.model_dump())


# --- Alerts --------------------------------------------------------------------------------------


def list_alerts(call: Call) -> AlertPage:
    wanted: AlertFilter = call.query
    query = query_alerts(device=wanted.device, state=wanted.state)
    page = call.platform.log.query(query, limit=wanted.limit, cursor=wanted.cursor)
    alerts = [Alert.model_validate(head.projection) for head in page.heads]
    return AlertPage(
        alerts=[AlertAnswer.model_validate(each.model_dump()) for each in alerts],
        next_cursor=page.cursor,
    )


def post_alert_closing(call: Call) -> AlertAnswer:
    """A clone that was dealt with closes by no measurement; another cause opens it again."""
    device, rule = call.path["id"], call.path["rule"]
    stream = alert_stream(device, rule)
    while True:
        changes = Changes(call.platform)
        changes.fetch(stream, f"presence/{device}")
        if not changes.projection(stream):
            detail = f"There never was an alert {rule!r} of the device {device!r}."
            raise RequestRefused(404, "alert_not_found", "No such alert", detail)
        apply_findings(changes, device, [Finding(rule)])
        if changes.commit():
            return AlertAnswer.model_validate(dict(changes.projection(stream)))


# --- History -------------------------------------------------------------------------------------


def get_device_timeline(call: Call) -> DeviceTimeline:
    """Every fact about a device and the newest of its commands and alerts, oldest first."""
    log = call.platform.log
    device = device_in(Changes(call.platform), call.path["id"])
    newest = [
        *log.query(query_commands(device.id), limit=MOST_SHOWN).heads,
        *log.query(query_alerts(device=device.id), limit=MOST_SHOWN).heads,
    ]
    streams = [device.stream, f"presence/{device.id}", *(head.stream for head in newest)]
    events = sorted(
        (event for stream in streams for event in log.read(stream)),
        key=lambda event: (event.at, event.stream, event.version),
    )
    return DeviceTimeline(
        device=device.id,
        events=[
            DeviceEvent(
                about=event.stream,
                type=event.type,
                at=format_time(event.at),
                data={k: v for k, v in event.data.items() if k != "claim"},
                cause=dict(event.cause),
            )
            for event in events
        ],
    )
