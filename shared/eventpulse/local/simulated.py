"""Simulated devices beside a stack: real agents (`eventpulse-edge`) with simulated sensors.

Each has a folder of its own below the stack's home, with its key and its spool; so it is the same
device at the next start, and delivers then what it could not before.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from eventpulse.errors import RequestRefused
from eventpulse.fleet.devices import Device, DeviceConfig
from eventpulse.local.children import Children, Program, StartFailed
from eventpulse.pipeline.fleet.enrolment import create_device, issue_claim_code
from eventpulse.platform import Platform

CONFIG = DeviceConfig(heartbeat_seconds=5, seal_seconds=5)
AGENT = "eventpulse_edge.cli"
ENROLLED_SECONDS = 60.0


class SimulatedDevices:
    """Agents that run for as long as the context lasts; one that is killed is started again.

    `names` are their ids, `folder` holds a folder of each, `seconds` pass between two readings.
    `servers` are the addresses that devices use instead of `url`.
    """

    def __init__(
        self,
        platform: Platform,
        url: str,
        folder: Path,
        names: list[str],
        *,
        seconds: float = 1.0,
        servers: Mapping[str, str] | None = None,
        config: DeviceConfig = CONFIG,
    ) -> None:
        self.names = names
        self._platform = platform
        self._url = url
        self._folder = folder
        self._seconds = seconds
        self._servers = servers or {}
        self._config = config
        self._children = Children()
        self._running = ExitStack()

    def __enter__(self) -> Self:
        """Provision those that are not yet, and start all."""
        with ExitStack() as starting:
            starting.callback(self._children.close)
            for number, name in enumerate(self.names, 1):
                self._start(number, name)
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def kill(self, name: str) -> None:
        """Cut a device's power; its supervisor starts it again."""
        os.kill(self._children.pid(name), signal.SIGKILL)

    def stop(self, name: str) -> None:
        """Shut a device down in good order."""
        self._children.stop(name)

    def state_of(self, name: str) -> Path:
        """The folder with the device's key, spool and status."""
        return self._folder / name / "state"

    def _start(self, number: int, name: str) -> None:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.toml"
        config.write_text(self._describe(number, name))
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "EVENTPULSE_EDGE_CONFIG": str(config),
        }
        self._enroll(name, environment)
        command = [sys.executable, "-m", AGENT, "run"]
        program = Program(name, command, log=folder / "agent.log", environment=environment)
        self._children.start(program, lambda: True)

    def _enroll(self, name: str, environment: Mapping[str, str]) -> None:
        """Bind the device's key, unless it and the stack know each other. Raises StartFailed."""
        identity = self.state_of(name) / "identity"
        if self._is_enrolled(name) and (identity / "identity.json").exists():
            return
        try:
            code = create_device(self._platform, name, "Simulated", self._config).code
        except RequestRefused:  # it exists, and its folder is gone
            code = issue_claim_code(self._platform, name).code
        shutil.rmtree(identity, ignore_errors=True)
        done = subprocess.run(
            [sys.executable, "-m", AGENT, "enroll"],
            env={
                **environment,
                "EVENTPULSE_EDGE_CLAIM_CODE": code,
                "EVENTPULSE_EDGE_SERVER": self._url,
            },
            capture_output=True,
            text=True,
            timeout=ENROLLED_SECONDS,
            check=False,
        )
        if done.returncode:
            raise StartFailed(name, f"it was not enrolled: {done.stderr.strip()}")

    def _describe(self, number: int, name: str) -> str:
        server = self._servers.get(name, self._url)
        return (
            f'device = "{name}"\nserver = "{server}"\nstate = "{self.state_of(name)}"\n'
            f"heartbeat_seconds = {self._config.heartbeat_seconds}\n"
            f"[spool]\nseal_seconds = {self._config.seal_seconds}\n"
            f'[[sensors]]\nname = "air"\ntype = "simulated"\ninterval = {self._seconds}\n'
            f"seed = {number}\n"
        )

    def _is_enrolled(self, name: str) -> bool:
        projection = self._platform.log.head(f"device/{name}").projection
        return bool(projection) and Device.model_validate(projection).state == "enrolled"
