"""From a function's start to its first answer, against a bare functions-framework hello."""

from __future__ import annotations

import http.client
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.figures import Figure
from tests.smoke.bundles import BUNDLED, DIST, install

HELLO = "hello"
LIGHT = frozenset({"land", "devices"})
LIGHT_BAR, BAR = 2.0, 4.0
_HELLO = """import functions_framework

@functions_framework.http
def hello(request):
    return "hello"
"""
_UNREACHED = "postgresql://nobody@127.0.0.1:1/none"
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "EVENTPULSE_OBJECTS": "file:///nowhere",
    "EVENTPULSE_STATE": _UNREACHED,
    "EVENTPULSE_WAREHOUSE": _UNREACHED,
    "EVENTPULSE_TASKS": _UNREACHED,
    "TASK_TOKEN": "a token that nobody sends",
}
"""Every store is named and none is reached: the first request is turned away at the door."""


def bench_starts(rounds: int) -> list[Figure]:
    """Every function of dist/ in its own environment; hello in that of `land`."""
    if not DIST.exists():
        return [Figure("starts", "all", None, "s", note="no bundles: run nox -s package first")]
    with tempfile.TemporaryDirectory() as folder:
        pythons = {name: install(name, Path(folder)) for name in BUNDLED}
        sources = {name: DIST / name / "main.py" for name in BUNDLED}
        sources[HELLO] = Path(folder) / "hello.py"
        sources[HELLO].write_text(_HELLO)
        pythons[HELLO] = pythons["land"]
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
        for number in range(rounds + 1):
            for name, source in sources.items():
                measured = time_start(pythons[name], source, name)
                if number:  # the first round fills the caches of bytecode
                    times[name].append(measured)
    bare = [statistics.median(each) for each in zip(*times.pop(HELLO), strict=True)]
    return [
        Figure(
            "starts",
            name,
            statistics.median(wall for wall, _ in measured),
            "s",
            "a bare hello",
            bare[0],
            bar=LIGHT_BAR if name in LIGHT else BAR,
            note=f"CPU ratio {statistics.median(cpu for _, cpu in measured) / bare[1]:.2f}",
            ratio=statistics.median(wall for wall, _ in measured) / bare[0],
        )
        for name, measured in times.items()
    ]


def time_start(python: Path, source: Path, target: str) -> tuple[float, float]:
    """Seconds until the first answer, and the CPU seconds of the whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    with _serve(python, source, target) as port:
        _ask(port)
        wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def _serve(python: Path, source: Path, target: str) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [str(python), "-m", "functions_framework", f"--target={target}"]
    command += [f"--source={source}", "--host=127.0.0.1", f"--port={port}"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, env=ENVIRONMENT) as process:
        try:
            yield port
        finally:
            process.kill()


def _ask(port: int) -> None:
    """One request, tried until somebody listens."""
    deadline = time.monotonic() + 120
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/", body=b"{}", headers=headers)
            connection.getresponse().read()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)
        finally:
            connection.close()


if __name__ == "__main__":
    for figure in bench_starts(3):
        print(figure.name, figure.ratio, figure.note, file=sys.stderr)
