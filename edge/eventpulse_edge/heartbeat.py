"""The heartbeat: how the device is, and whatever the cloud has for it: configuration, contract,
commands."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eventpulse_edge.backoff import Backoff
from eventpulse_edge.commands import CommandFailed, Commands
from eventpulse_edge.contract import EMPTY, Contract, parse_contract
from eventpulse_edge.files import OsFiles, write_atomically
from eventpulse_edge.server import Refused, Server, Unreachable

_log = logging.getLogger("eventpulse.edge.heartbeat")


class ContractCache:
    """The contract that readings are checked against, kept for the next start.

    `contract` is None until the server told it, or that none is published (then it is `EMPTY`).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = OsFiles()
        self.contract: Contract | None = None
        self.etag: str | None = None

    @property
    def version(self) -> str | None:
        return None if self.contract is None else self.contract.version

    def load(self) -> Contract | None:
        """The cached one; None when nothing is known, or the file is damaged."""
        try:
            document = json.loads(self._path.read_text())
            self.contract = _read(document["contract"])
            self.etag = document["etag"]
        except FileNotFoundError:
            _log.warning("no contract cached: readings wait for one")
        except (ValueError, KeyError, TypeError) as error:
            _log.error("the cached contract is damaged", extra={"fields": {"error": str(error)}})
        return self.contract

    def store(self, document: Mapping[str, Any] | None, etag: str | None = None) -> Contract:
        """Take in a new one, or that there is none; ValueError, KeyError or TypeError when it
        cannot be read."""
        contract = _read(document)
        self._files.make_folder(self._path.parent)
        content = json.dumps({"etag": etag, "contract": document}).encode()
        write_atomically(self._files, self._path, content)
        self.contract, self.etag = contract, etag
        return contract


def _read(document: Mapping[str, Any] | None) -> Contract:
    return EMPTY if document is None else parse_contract(document)


class Heartbeat:
    """One thread's work. `describe` makes the document, `configure` takes a new configuration."""

    def __init__(
        self,
        server: Server,
        *,
        describe: Callable[[], dict[str, Any]],
        configure: Callable[[Mapping[str, Any]], None],
        contracts: ContractCache,
        learn: Callable[[Contract], None],
        commands: Commands,
        enroll: Callable[[], None],
        finish_rotation: Callable[[], None],
        seconds: float = 60.0,
        backoff: Backoff | None = None,
    ) -> None:
        """`learn` takes a contract; `enroll` and `finish_rotation` do so if there is need."""
        self._server = server
        self._describe = describe
        self._configure = configure
        self._contracts = contracts
        self._learn = learn
        self._commands = commands
        self._enroll = enroll
        self._finish_rotation = finish_rotation
        self._backoff = backoff or Backoff(most=seconds)
        self._wake = threading.Event()
        self.seconds = seconds
        self.problem: str | None = None
        self.beats = 0

    def wake(self) -> None:
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Until told to stop; raises Restart when a command asks for it."""
        while not stop.is_set():
            self._wake.wait(self.step())
            self._wake.clear()
        self._server.close()

    def step(self) -> float:
        """One heartbeat; how many seconds to wait then. Raises Restart."""
        try:
            self._beat()
        except Unreachable as error:
            self._note_problem(str(error))
            return self._backoff.fail(error.retry_after)
        except (Refused, OSError, KeyError, TypeError, ValueError) as error:
            self._note_problem(f"{type(error).__name__}: {error}")
            return self._backoff.fail(self.seconds)
        self.problem = None
        self._backoff.succeed()
        self.beats += 1
        return self.seconds

    def _note_problem(self, problem: str) -> None:
        if self.problem is None:
            _log.warning("no heartbeat", extra={"fields": {"problem": problem}})
        self.problem = problem

    def _beat(self) -> None:
        self._enroll()
        answer = self._server.call("POST", "/heartbeat", self._describe()).document
        config = answer.get("config")
        if isinstance(config, Mapping):
            self._configure(config)
        self._keep_contract(answer.get("contract_version"))
        try:
            self._finish_rotation()
        except CommandFailed as error:
            _log.error("a rotation of keys was given up", extra={"fields": {"error": str(error)}})
        if answer.get("commands_pending"):
            self._commands.step()

    def _keep_contract(self, version: object) -> None:
        """The contract that the server has now; one that is gone there stays."""
        if version is None and self._contracts.contract is None:
            self._learn(self._contracts.store(None))
        if version in (None, self._contracts.version):
            return
        answer = self._server.call("GET", "/contract", etag=self._contracts.etag)
        if answer.status == 304:
            return
        contract = self._contracts.store(answer.document, answer.etag)
        _log.info("contract", extra={"fields": {"version": contract.version}})
        self._learn(contract)
