"""Any program that prints readings: one JSON object a line."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence

from eventpulse_edge.sensors.sensor import Measurement, SensorError

MAX_LINE = 16 << 10
MAX_WAITING = 1_000


class ProgramSensor:
    """Runs a command, without a shell.

    `stream`: it runs on and prints when it has something to say, and is started again after it
    ended; otherwise it is run once per reading, for at most `timeout` seconds.
    """

    def __init__(
        self,
        *,
        command: Sequence[str],
        stream: bool = False,
        timeout: float = 30.0,
        mono: Callable[[], float],
    ) -> None:
        self._command = list(command)
        self._stream = stream
        self._timeout = timeout
        self._mono = mono
        self._running: _Running | None = None

    def read(self, now: float) -> Sequence[Measurement | SensorError]:
        if not self._stream:
            return [_parse(now, line) for line in self._run_once()]
        if self._running is None:
            self._running = _Running(self._start(), self._mono)
        found, missed, ended = self._running.take()
        if ended and not found:
            code = self._running.stop()
            self._running = None
            raise SensorError(f"{self._command[0]} ended with status {code}; it is started again")
        parsed = [_parse(mono, line) for mono, line in found]
        if missed:
            parsed.append(SensorError(f"{missed} lines came too fast and were passed over"))
        return parsed

    def close(self) -> None:
        """End the program."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        except OSError as error:
            raise SensorError(f"{self._command[0]}: {error.strerror}") from error

    def _run_once(self) -> list[bytes]:
        try:
            done = subprocess.run(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=self._timeout,
                check=False,
            )
        except OSError as error:
            raise SensorError(f"{self._command[0]}: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise SensorError(
                f"{self._command[0]} did not end within {self._timeout:g} s"
            ) from error
        if done.returncode != 0:
            raise SensorError(f"{self._command[0]} ended with status {done.returncode}")
        return [line for line in done.stdout.splitlines() if line.strip()]


class _Running:
    """A program, and a thread that reads what it prints."""

    def __init__(self, process: subprocess.Popen[bytes], mono: Callable[[], float]) -> None:
        self._process = process
        self._mono = mono
        self._lock = threading.Lock()
        self._lines: deque[tuple[float, bytes]] = deque()
        self._missed = 0
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="program", daemon=True)
        self._thread.start()

    def take(self) -> tuple[list[tuple[float, bytes]], int, bool]:
        """The lines so far, how many were too many, and whether the program has ended."""
        ended = self._ended
        with self._lock:
            found = list(self._lines)
            self._lines.clear()
            missed, self._missed = self._missed, 0
        return found, missed, ended

    def stop(self) -> int:
        self._process.terminate()
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._thread.join()
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while line := stream.readline(MAX_LINE):
                if not line.strip():
                    continue
                with self._lock:
                    if len(self._lines) < MAX_WAITING:
                        self._lines.append((self._mono(), line))
                    else:
                        self._missed += 1
        self._ended = True


def _parse(mono: float, line: bytes) -> Measurement | SensorError:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        return SensorError(f"a line is no JSON ({error}): {line[:80]!r}")
    if not isinstance(document, dict):
        return SensorError(f"a line is no JSON object: {line[:80]!r}")
    return Measurement(mono, document)
