"""Child processes: started, awaited, started again when they end by themselves, stopped.

Invariants:
- no child outlives this process, however it ends (`leash`);
- a child that was ready and then ended without being told to is started again, at once the first
  time, then with a growing delay;
- all children are started by one thread, which lives until the last of them has ended: the kernel
  watches the thread that started a child, not its process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from eventpulse.local import leash

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 5.0
LOG_TAIL_BYTES = 2000


class StartFailed(RuntimeError):
    """A program did not become ready: `name`, the reason, and the end of its log."""

    def __init__(self, name: str, reason: str, log: Path | None = None) -> None:
        tail = read_tail(log) if log else ""
        super().__init__(f"{name} did not start: {reason}\n{tail}".rstrip())
        self.name = name


@dataclass(frozen=True)
class Program:
    """What to run. `stop` ends it in good order, `orphaned` is sent when this process is gone.

    `environment` is all that it sees; `user` is who root becomes first (`leash.become`).
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    stop: signal.Signals = signal.SIGTERM
    orphaned: signal.Signals = signal.SIGKILL
    stop_seconds: float = 10.0
    user: str | None = None
    pass_fds: Sequence[int] = ()


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    ready: bool = False
    restarts: int = 0


class Children:
    """The children of one stack, by the names of their programs."""

    def __init__(self) -> None:
        self._children: dict[str, _Child] = {}
        self._lock = threading.RLock()
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="children")
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="children-watch", daemon=True)
        self._watcher.start()

    def start(self, program: Program, is_ready: Callable[[], bool], seconds: float = 60.0) -> None:
        """Start a program and wait until `is_ready`. Raises StartFailed, leaving nothing."""
        child = _Child(program, self._spawn(program))
        with self._lock:
            self._children[program.name] = child
        try:
            self._await_ready(child, is_ready, time.monotonic() + seconds)
        except BaseException:
            self.stop(program.name)
            raise
        child.ready = True

    def stop(self, name: str) -> None:
        """Stop a child and wait until it has ended; one that does not is killed."""
        with self._lock:
            child = self._children.pop(name, None)
        if child is None:
            return
        child.process.send_signal(child.program.stop)
        try:
            child.process.wait(child.program.stop_seconds)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop in time and is killed", name)
            child.process.kill()
            child.process.wait()

    def pid(self, name: str) -> int:
        """The process id of a child, as it runs now."""
        return self._children[name].process.pid

    def close(self) -> None:
        """Stop them all, the last started first."""
        self._stopping.set()
        self._watcher.join()
        for name in reversed(list(self._children)):
            self.stop(name)
        self._starter.shutdown()

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        return self._starter.submit(_spawn, program).result()

    def _await_ready(self, child: _Child, is_ready: Callable[[], bool], deadline: float) -> None:
        program = child.program
        while not is_ready():
            code = child.process.poll()
            if code is not None:
                raise StartFailed(program.name, f"it ended with status {code}", program.log)
            if time.monotonic() > deadline:
                raise StartFailed(program.name, "it was not ready in time", program.log)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(LOOK_SECONDS / 4)

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            with self._lock:
                for child in self._children.values():
                    if child.ready and child.process.poll() is not None:
                        self._restart(child)

    def _restart(self, child: _Child) -> None:
        lived = time.monotonic() - child.started
        delay = min(LONGEST_DELAY_SECONDS, LOOK_SECONDS * 2**child.restarts)
        if child.restarts and lived < delay:
            return
        child.restarts = 0 if lived > 2 * LONGEST_DELAY_SECONDS else child.restarts + 1
        code = child.process.returncode
        logger.warning(
            "%s ended by itself (status %s) and is started again", child.program.name, code
        )
        child.process = self._spawn(child.program)
        child.started = time.monotonic()


def leashed(command: Sequence[str], orphaned: signal.Signals, user: str | None) -> list[str]:
    """The command, sent `orphaned` when the thread that starts it is gone, run as `user`."""
    leash_it = [sys.executable, "-IS", leash.__file__, str(os.getpid()), str(int(orphaned))]
    return [*leash_it, user or "", *command]


def _spawn(program: Program) -> subprocess.Popen[bytes]:
    command = leashed(program.command, program.orphaned, program.user)
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with open_log(program.log) as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(program.environment),
            cwd="/",
            pass_fds=program.pass_fds,
            # Its own session: Ctrl-C in a terminal is for this process to pass on, in order.
            start_new_session=True,
        )


def open_log(path: Path) -> BinaryIO:
    """A log to append to, that only its owner reads: it may tell of what files hold."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def read_tail(log: Path) -> str:
    """The end of a log; nothing when there is none."""
    if not log.exists():
        return ""
    return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
