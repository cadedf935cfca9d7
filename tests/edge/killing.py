"""Kills a real agent again and again, and keeps the books. `nox -s chaos` can use it with a real
server: it needs only the URL and what arrived."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]


class KilledAgent:
    """One device's agent in a process of its own, on a folder that stays."""

    def __init__(
        self, folder: Path, url: str, *, device: str, claim_code: str, cap: int = 512 << 20
    ) -> None:
        self.folder = folder
        self.device = device
        self.kills = 0
        self._claim_code = claim_code
        self._accepted = folder / "accepted.log"
        self._log = folder / "agent.log"
        self._config = folder / "config.toml"
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(
            f'device = "{device}"\n'
            f'server = "{url}"\n'
            f'state = "{folder}/state"\n'
            "heartbeat_seconds = 1\n"
            "[spool]\n"
            f"cap_bytes = {cap}\n"
            "sync_seconds = 0.02\n"
            "seal_seconds = 0.2\n"
            "[[sensors]]\n"
            'name = "air"\ntype = "simulated"\ninterval = 0.004\nseed = 1\nfaults = 0.02\n'
            "[sensors.limits.temperature]\n"
            "above = 900\n"
            "[[sensors]]\n"
            'name = "soil"\ntype = "simulated"\ninterval = 0.05\nseed = 2\n'
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.edge.counting_agent",
                    str(self._config),
                    str(self._accepted),
                ],
                cwd=ROOT,
                stderr=log,
                env={**os.environ, "EVENTPULSE_EDGE_CLAIM_CODE": self._claim_code},
            )

    def kill(self) -> None:
        assert self.process is not None
        assert self.process.poll() is None, f"it ended by itself: {self._read_log()}"
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.kills += 1

    def stop(self) -> int:
        """End it kindly; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def accepted(self) -> dict[str, int]:
        """Per epoch the last number that the spool accepted."""
        lasts: dict[str, int] = defaultdict(int)
        if self._accepted.exists():
            for line in self._accepted.read_text().splitlines():
                epoch, last = line.split()
                lasts[epoch] = max(lasts[epoch], int(last))
        return dict(lasts)

    def await_acceptance(self, draw: random.Random, timeout: float = 60.0) -> None:
        """Until a run has accepted something, and then for a random moment more."""
        assert self.process is not None
        before = self._size()
        pause = threading.Event()
        for _ in range(int(timeout / 0.01)):
            if self._size() > before:
                pause.wait(draw.uniform(0, 0.3))
                return
            if self.process.poll() is not None:
                raise AssertionError(f"it ended by itself: {self._read_log()}")
            pause.wait(0.01)
        raise AssertionError(f"nothing was accepted: {self._read_log()}")

    def status(self) -> dict[str, object]:
        document = json.loads((self.folder / "state" / "status.json").read_text())
        assert isinstance(document, dict)
        return document

    def spool_files(self) -> list[Path]:
        root = self.folder / "state" / "spool"
        return [
            path
            for folder in ("open", "sealed", "alarms", "sending", "gaps")
            for path in (root / folder).rglob("*")
            if path.is_file()
        ]

    def _read_log(self) -> str:
        return self._log.read_text()[-3000:]

    def _size(self) -> int:
        return self._accepted.stat().st_size if self._accepted.exists() else 0
