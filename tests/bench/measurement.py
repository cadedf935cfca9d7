"""How a figure is measured: each run in a process of its own, ours and its peers in turn.

A run is `python -m tests.bench.runs NAME …`, which prints one JSON object when it is done: `wall`
and `cpu` (user and system, all threads) of what is measured, without starting up and importing,
and whatever else it has to say. `rss` is the process's peak memory, `scratch` the most that its
temporary folder held. A run that says `skipped` is left out with its reason.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_POLLED_SECONDS = 0.05


@dataclass(frozen=True)
class Run:
    """One process: seconds, bytes."""

    wall: float
    cpu: float
    rss: int
    scratch: int
    said: Mapping[str, Any]


@dataclass
class Peer:
    """All runs of one contender; `skipped` says why there are none."""

    name: str
    runs: list[Run] = field(default_factory=list)
    skipped: str | None = None

    def median(self, of: str) -> float:
        return statistics.median(getattr(run, of) for run in self.runs)

    def least(self, of: str) -> float:
        return float(min(getattr(run, of) for run in self.runs))


class RunFailed(Exception):
    """A run that ended with an error."""


def run_alone(*arguments: str, python: str = sys.executable) -> Run | str:
    """One run; the reason when it was skipped. Raises RunFailed."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [python, "-m", "tests.bench.runs", *arguments],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": scratch},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with _Watch(Path(scratch)) as watch:
            output, _ = process.communicate()
        if process.returncode:
            errors.seek(0)
            raise RunFailed(f"{' '.join(arguments)}: {errors.read()[-2000:]}")
    said = json.loads(output.splitlines()[-1])
    if "skipped" in said:
        return str(said["skipped"])
    return Run(said.pop("wall"), said.pop("cpu"), said.pop("rss"), watch.most, said)


class _Watch:
    """The most bytes that a folder's files take together while the context is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most = 0

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(_POLLED_SECONDS):
            size = 0
            for folder, _, names in os.walk(self._folder):
                for name in names:
                    try:
                        size += os.stat(Path(folder, name)).st_blocks * 512
                    except FileNotFoundError:
                        continue  # removed meanwhile
            self.most = max(self.most, size)


def run_in_turn(contenders: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Peer]:
    """Run each of them once a round, so that a machine whose speed drifts slows all."""
    peers = {name: Peer(name) for name in contenders}
    for _ in range(rounds):
        for name, arguments in contenders.items():
            if peers[name].skipped is not None:
                continue
            ran = run_alone(*arguments)
            if isinstance(ran, str):
                peers[name].skipped = ran
            else:
                peers[name].runs.append(ran)
    return peers


def compare(ours: Peer, others: Sequence[Peer], of: str) -> tuple[float, float]:
    """Our time over the best of the others': the median of the rounds' ratios, and that of each
    contender's best round."""
    present = [peer for peer in others if peer.runs]
    rounds = [
        getattr(run, of) / min(getattr(peer.runs[nth], of) for peer in present)
        for nth, run in enumerate(ours.runs)
    ]
    return statistics.median(rounds), ours.least(of) / min(peer.least(of) for peer in present)
