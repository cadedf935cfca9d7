"""Commands: queued by operators, delivered to devices, reported on, and over in time."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta

from pydantic import JsonValue, ValidationError

from eventpulse.errors import RequestRefused
from eventpulse.fleet.commands import TYPES, Command, Reported
from eventpulse.fleet.devices import MOST_PENDING_COMMANDS
from eventpulse.pipeline.fleet.state import device_in
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import Json, NewEvent
from eventpulse.values import derive_id, format_time


def queue_command(
    platform: Platform,
    device_id: str,
    type_: str,
    arguments: Mapping[str, JsonValue],
    *,
    lifetime: timedelta,
    key: str = "",
) -> Command:
    """Ask something of a device; `key` makes asking again the same command.

    Raises RequestRefused: 404, 409 for a revoked device or too many commands, 422 for a type that
    is not on the list or arguments that are not as its schema says.
    """
    checked = check_arguments(type_, arguments)
    identity = derive_id("command", device_id, key) if key else str(uuid.uuid4())
    stream = f"command/{identity}"
    while True:
        changes = Changes(platform)
        changes.fetch(f"device/{device_id}", stream)
        device = device_in(changes, device_id)
        if changes.projection(stream):
            return Command.model_validate(changes.projection(stream))
        if device.state == "revoked":
            detail = f"{device_id} is revoked and asks for no commands any more."
            raise RequestRefused(409, "device_revoked", "The device is revoked", detail)
        if len(device.commands) >= MOST_PENDING_COMMANDS:
            detail = f"{len(device.commands)} commands wait for {device_id}; cancel some first."
            raise RequestRefused(409, "too_many_commands", "Too many commands wait", detail)
        queued: dict[str, Json] = {
            "device": device_id,
            "type": type_,
            "arguments": checked,
            "expires": format_time(platform.clock() + lifetime),
        }
        changes.add(stream, NewEvent("queued", queued))
        changes.add(device.stream, NewEvent("command.queued", {"command": identity}))
        if changes.commit():
            return Command.model_validate(changes.projection(stream))


def check_arguments(type_: str, arguments: Mapping[str, JsonValue]) -> dict[str, Json]:
    """Raises RequestRefused (422) for what is not on the list."""
    model = TYPES.get(type_)
    if model is None:
        known = ", ".join(TYPES)
        detail = f"{type_!r} is no command that a device may be given. Known are {known}."
        raise RequestRefused(422, "unknown_command", "No such command", detail, types=list(TYPES))
    try:
        return model.model_validate(dict(arguments)).model_dump(mode="json")
    except ValidationError as error:
        problems = [
            f"{'.'.join(['arguments', *map(str, each['loc'])])}: {each['msg']}"
            for each in error.errors(include_url=False)
        ]
        raise RequestRefused(
            422,
            "invalid_request",
            "Invalid arguments",
            f"{'; '.join(problems)}.",
            problems=problems,
        ) from error


def deliver_commands(platform: Platform, device_id: str) -> list[Command]:
    """The commands that are at no end, oldest first; those that were queued are delivered now."""
    while True:
        changes = Changes(platform)
        device = device_in(changes, device_id)
        streams = [f"command/{each}" for each in device.commands]
        changes.fetch(*streams)
        commands = [Command.model_validate(changes.projection(each)) for each in streams]
        moved = False
        for command in commands:
            if command.is_overdue(platform.clock()):
                end_command(changes, command, "expired")
                moved = True
            elif command.status == "queued":
                changes.add(command.stream, NewEvent("delivered"))
                moved = True
        if not moved or changes.commit():
            now = [Command.model_validate(changes.projection(each)) for each in streams]
            return [each for each in now if not each.has_ended]


def report_command(
    platform: Platform,
    device_id: str,
    command_id: str,
    status: Reported,
    *,
    expected_version: int,
    result: Mapping[str, JsonValue] | None,
) -> Command:
    """How far a device is. Saying again what is known is no conflict.

    Raises RequestRefused: 404, 409 `version_conflict` with the present `command`.
    """
    while True:
        changes = Changes(platform)
        command = command_in(changes, command_id, device_id)
        if command.status == status and command.result == result:
            return command
        if command.is_overdue(platform.clock()):
            end_command(changes, command, "expired")
            if not changes.commit():
                continue
            raise _version_conflict(command_in(changes, command_id, device_id), status)
        if command.version != expected_version or not command.may_become(status):
            raise _version_conflict(command, status)
        end_command(changes, command, status, result)
        if changes.commit():
            return command_in(changes, command_id, device_id)


def cancel_command(platform: Platform, device_id: str, command_id: str) -> Command:
    """Take a command back that is at no end yet. Raises RequestRefused (404, 409)."""
    while True:
        changes = Changes(platform)
        command = command_in(changes, command_id, device_id)
        if command.status == "cancelled":
            return command
        if command.has_ended:
            detail = f"It has {command.status} already."
            raise RequestRefused(409, "command_ended", "The command is at an end", detail)
        end_command(changes, command, "cancelled")
        if changes.commit():
            return command_in(changes, command_id, device_id)


def expire_command(platform: Platform, command: Command) -> bool:
    """True when this call has expired it."""
    changes = Changes(platform)
    now = command_in(changes, command.id, command.device)
    if not now.is_overdue(platform.clock()):
        return False
    end_command(changes, now, "expired")
    return changes.commit()


def end_command(
    changes: Changes,
    command: Command,
    status: str,
    result: Mapping[str, JsonValue] | None = None,
) -> None:
    """Move a command on; when that is an end, its device need not ask for it any more."""
    data: dict[str, Json] = {} if result is None else {"result": dict(result)}
    changes.add(command.stream, NewEvent(status, data))
    if Command.model_validate(changes.projection(command.stream)).has_ended:
        ended: dict[str, Json] = {"command": command.id, "status": status}
        changes.add(f"device/{command.device}", NewEvent("command.ended", ended))


def command_in(changes: Changes, command_id: str, device_id: str) -> Command:
    """Another device's command does not exist for this one. Raises RequestRefused (404)."""
    projection = changes.projection(f"command/{command_id}")
    if projection.get("device") != device_id:
        detail = f"The device {device_id} was never given a command {command_id!r}."
        raise RequestRefused(404, "command_not_found", "No such command", detail)
    return Command.model_validate(projection)


def _version_conflict(command: Command, status: str) -> RequestRefused:
    return RequestRefused(
        409,
        "version_conflict",
        "The command has moved on",
        f"It is {command.status} at version {command.version} and cannot become {status} from "
        "there. Go on from what it is.",
        command=command.model_dump(mode="json"),
    )
