"""Commands to devices, shaped like AWS IoT Jobs: states, types, decisions. Pure.

A command is delivered at least once and its id is idempotent on the device; every report names the
version that it goes on from. Its types are a closed list with a schema each: there is no shell.

    queued ──▶ delivered ──▶ acked ──▶ running ──▶ succeeded | failed
    any of those not at an end: expired (its time is over), cancelled (an operator takes it back)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, get_args

from pydantic import Field, JsonValue

from eventpulse.ports import Json, NewEvent, Query
from eventpulse.values import Value, parse_time

CommandStatus = Literal[
    "queued", "delivered", "acked", "running", "succeeded", "failed", "expired", "cancelled"
]
Reported = Literal["acked", "running", "succeeded", "failed"]
ENDED: frozenset[CommandStatus] = frozenset({"succeeded", "failed", "expired", "cancelled"})
REPORTED: tuple[Reported, ...] = get_args(Reported)

NEXT: Mapping[CommandStatus, frozenset[str]] = {
    "queued": frozenset({"delivered", "acked", "expired", "cancelled"}),
    "delivered": frozenset({"acked", "running", "succeeded", "failed", "expired", "cancelled"}),
    "acked": frozenset({"running", "succeeded", "failed", "expired", "cancelled"}),
    "running": frozenset({"succeeded", "failed", "expired", "cancelled"}),
}
"""Where each state may go; a state that is not here is an end."""


class NoArguments(Value):
    """The command says it all."""


class SetInterval(Value):
    sensor: str = Field(min_length=1, max_length=100)
    seconds: int = Field(ge=1, le=86_400)


TYPES: Mapping[str, type[Value]] = {
    "ping": NoArguments,
    "flush": NoArguments,
    "set_interval": SetInterval,
    "rotate_key": NoArguments,
    "restart_agent": NoArguments,
}
"""Every command that a device may be given, and what its arguments must be."""


class Command(Value):
    """The projection of `command/<id>`. `version` counts its events."""

    id: str
    device: str
    type: str
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    status: CommandStatus = "queued"
    version: int = 0
    result: dict[str, JsonValue] | None = None
    created_at: str = ""
    expires: str = ""
    updated_at: str = ""

    @property
    def stream(self) -> str:
        return f"command/{self.id}"

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    def is_overdue(self, now: datetime) -> bool:
        return not self.has_ended and parse_time(self.expires) <= now

    def may_become(self, status: str) -> bool:
        return status in NEXT.get(self.status, frozenset())


def project_command(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    """`queued` begins it; every other event is the state that it moves to, with its result."""
    before = dict(projection)
    if event.type == "queued":
        before = {**event.data, "id": stream.partition("/")[2], "created_at": at}
    changed = {
        "status": event.type,
        "version": int(before.get("version", 0) or 0) + 1,  # type: ignore[arg-type]
        "updated_at": at,
    }
    if "result" in event.data:
        changed["result"] = event.data["result"]
    return Command.model_validate({**before, **changed}).model_dump(mode="json")


def query_commands(device: str) -> Query:
    """A device's commands, newest first."""
    return Query("command", (("device", "==", device),), (("created_at", "desc"),))


def query_overdue(now: str) -> Query:
    """Commands whose time is over and that are at no end."""
    alive = [each for each in get_args(CommandStatus) if each not in ENDED]
    return Query(
        "command",
        (("status", "in", alive), ("expires", "<=", now)),
        (("expires", "asc"),),
    )


def declared_queries() -> list[Query]:
    return [query_commands("a"), query_overdue("2026")]
