"""What the cloud may ask of a device: the types of a table, nothing else. There is no shell.

Each command stands in a journal before its effect, with its result before the cloud is told: one
that is delivered twice answers the same. One that was cut is done again, which all of them can be.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from eventpulse_edge.files import OsFiles, write_atomically
from eventpulse_edge.server import Refused, Server

Status = Literal["acked", "running", "succeeded", "failed"]
Result = dict[str, Any]

ENDS = frozenset({"succeeded", "failed", "cancelled", "expired"})
MAX_JOURNAL = 200
_KINDS: dict[str, type | tuple[type, ...]] = {"text": str, "number": (int, float)}

_log = logging.getLogger("eventpulse.edge.commands")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a command; `least` and `most` are for numbers."""

    kind: Literal["text", "number"]
    least: float = float("-inf")
    most: float = float("inf")


SCHEMAS: Mapping[str, Mapping[str, Argument]] = {
    "ping": {},
    "flush": {},
    "set_interval": {
        "sensor": Argument("text"),
        "seconds": Argument("number", 1, 86_400),
    },
    "rotate_key": {},
    "restart_agent": {},
}
"""The types that there are, and their arguments, all required."""


class CommandFailed(Exception):
    """It cannot be done; the message becomes the result."""


class Restart(Exception):
    """The process is to end; the command succeeds when the next one finds it in the journal."""


Handler = Callable[[Mapping[str, Any]], Result]


def check_arguments(kind: str, arguments: object) -> Mapping[str, Any]:
    """The arguments, if they are those of the type; CommandFailed otherwise."""
    schema = SCHEMAS.get(kind)
    if schema is None:
        raise CommandFailed(f"this agent knows no command {kind!r}; it knows {', '.join(SCHEMAS)}")
    given = {} if arguments is None else arguments
    if not isinstance(given, dict) or set(given) != set(schema):
        wanted = ", ".join(schema) or "none"
        raise CommandFailed(f"the arguments of {kind} are: {wanted}; given: {given!r}")
    for name, rule in schema.items():
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, _KINDS[rule.kind]):
            raise CommandFailed(f"{name} is {value!r}; it must be a {rule.kind}")
        if isinstance(value, int | float) and not rule.least <= value <= rule.most:
            raise CommandFailed(
                f"{name} is {value!r}; it must be from {rule.least:g} to {rule.most:g}"
            )
    return given


class Journal:
    """What became of each command, in one small file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = OsFiles()
        self._entries: dict[str, dict[str, Any]] | None = None

    def get(self, command: str) -> Mapping[str, Any] | None:
        return self._load().get(command)

    def set(self, command: str, entry: Mapping[str, Any]) -> None:
        """Durable on return; the oldest entries go."""
        entries = self._load()
        entries.pop(command, None)
        entries[command] = dict(entry)
        while len(entries) > MAX_JOURNAL:
            entries.pop(next(iter(entries)))
        self._files.make_folder(self._path.parent)
        write_atomically(self._files, self._path, json.dumps(entries).encode())

    def _load(self) -> dict[str, dict[str, Any]]:
        if self._entries is None:
            try:
                document = json.loads(self._path.read_text())
                if not isinstance(document, dict):
                    raise ValueError("it is no JSON object")
                self._entries = document
            except FileNotFoundError:
                self._entries = {}
            except ValueError as error:
                _log.error(
                    "the journal of commands is damaged: begun anew",
                    extra={"fields": {"file": str(self._path), "error": str(error)}},
                )
                self._entries = {}
        return self._entries


class Commands:
    """Fetches commands and does them. `run_id` tells this run of the agent from others."""

    def __init__(
        self, server: Server, journal: Journal, handlers: Mapping[str, Handler], run_id: str
    ) -> None:
        self._server = server
        self._journal = journal
        self._handlers = handlers
        self._run_id = run_id

    def step(self) -> int:
        """Do what is asked; how many commands there were. Raises ServerError, Restart."""
        listed = self._server.call("GET", "/commands").document.get("commands", [])
        for command in listed:
            self._do(command)
        return len(listed)

    def _do(self, command: Mapping[str, Any]) -> None:
        name, kind = str(command["id"]), str(command.get("type"))
        version: int | None = int(command["version"])
        entry = self._journal.get(name)
        if entry is None:
            version = self._report(name, version, "acked", {})
            if version is None:  # cancelled or expired by now
                return
            self._journal.set(name, {"state": "running", "run": self._run_id})
            version = self._report(name, version, "running", {})
            entry = self._run(name, kind, command)
        elif entry["state"] == "running" and kind == "restart_agent":
            if entry["run"] == self._run_id:
                raise Restart
            entry = self._end(name, "succeeded", {"epoch": self._run_id})
        elif entry["state"] == "running":
            entry = self._run(name, kind, command)
        self._report(name, version, entry["state"], entry.get("result", {}))

    def _run(self, name: str, kind: str, command: Mapping[str, Any]) -> Mapping[str, Any]:
        _log.info("command", extra={"fields": {"command": name, "type": kind}})
        try:
            arguments = check_arguments(kind, command.get("arguments"))
            result = self._handlers[kind](arguments)
        except CommandFailed as error:
            return self._end(name, "failed", {"error": str(error)})
        return self._end(name, "succeeded", result)

    def _end(self, name: str, state: Status, result: Result) -> Mapping[str, Any]:
        entry = {"state": state, "result": result}
        self._journal.set(name, entry)
        return entry

    def _report(self, name: str, version: int | None, status: Status, result: Result) -> int | None:
        """The version after it; None when the command is at an end already.

        A conflict means that the cloud has moved on, or that an answer was lost: go on from there.
        """
        if version is None:
            return None
        body = {"status": status, "expected_version": version, "result": result}
        try:
            answer = self._server.call("POST", f"/commands/{name}", body).document
        except Refused as error:
            present = error.problem.get("command")
            if error.code != "version_conflict" or not isinstance(present, dict):
                raise
            if present.get("status") in ENDS:
                return None
            body["expected_version"] = int(present["version"])
            answer = self._server.call("POST", f"/commands/{name}", body).document
        return int(answer["version"])
