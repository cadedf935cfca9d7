"""Child processes that say when they are ready and never outlive their parent.

The protocol: a child prints one JSON object on its standard output when it can be used, and
stops on SIGTERM, SIGINT, or, started with ``--supervised``, when its standard input ends. The
parent holds the other end of that pipe, so the kernel closes it however the parent dies.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STOP_SECONDS = 10.0
_ROOT = Path(__file__).resolve().parents[1]


class StartError(RuntimeError):
    """A child did not become ready: ``name``, the reason, and the end of its log."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        super().__init__(f"{name} did not start: {reason}\n{tail}")
        self.name = name


class Child:
    """One supervised process; ``facts`` is what it said when it became ready."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        ready_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [*command, "--supervised"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_make_environment(environment or {}),
                start_new_session=True,
            )
        try:
            self.facts = self._await_ready(time.monotonic() + ready_seconds)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask it to stop, wait, and kill what does not; safe to call twice."""
        self._close_pipes()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, then wait; what it started ends with it."""
        self._process.kill()
        self._close_pipes()
        self._process.wait()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def _await_ready(self, deadline: float) -> dict[str, Any]:
        output = self._process.stdout
        assert output is not None
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(deadline - time.monotonic()):
                    raise StartError(self.name, "it was not ready in time", self._log)
                byte = os.read(output.fileno(), 1)
                if not byte:
                    code = self._process.wait(STOP_SECONDS)
                    raise StartError(self.name, f"it ended with status {code}", self._log)
                line += byte
        facts: dict[str, Any] = json.loads(line)
        return facts


def run_module(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def _make_environment(additions: Mapping[str, str]) -> dict[str, str]:
    """This environment, with this package importable."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **additions}


class ReadyLine:
    """The child's side of the protocol: owns standard output until it has said its line.

    Made first of all: from then on whatever else prints goes to standard error, so that it can
    neither be taken for the line nor fill a pipe that nobody reads.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self._output = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def announce(self, **facts: Any) -> None:
        """Tell the parent that the process can be used, and how."""
        os.write(self._output, json.dumps(facts).encode() + b"\n")
        os.close(self._output)


def make_stop_event(supervised: bool) -> threading.Event:
    """An event that is set by SIGTERM, SIGINT or, when supervised, the parent's end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if supervised:
        threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
    return stop


def wait_for_stop(supervised: bool) -> None:
    """Block the main thread until the process is told to stop."""
    make_stop_event(supervised).wait()


def _watch_parent(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


def find_free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago; for programs that cannot say which one they got."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
