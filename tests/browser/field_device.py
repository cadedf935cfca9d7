"""A device that talks to a stack over HTTP as the protocol says, for the browser's tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from eventpulse.values import format_time
from tests.device import EPOCH, BatchFile, Signer, reading, seal


class FieldDevice:
    """Enrols with a claim code, sends readings, reports, and does as it is told."""

    def __init__(self, url: str, device: str) -> None:
        self.url = url
        self.signer = Signer(device, url)
        self.next_seq = 1

    def enroll(self, code: str) -> None:
        answer = requests.post(
            f"{self.url}/api/edge/enroll", json=self.signer.enrolment(code), timeout=30
        )
        assert answer.ok, answer.text

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        data = b"" if body is None else json.dumps(body).encode()
        headers = self.signer.headers(method, path, data)
        answer = requests.request(method, self.url + path, data=data, headers=headers, timeout=30)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def send_readings(self, temperatures: Sequence[float], until: datetime | None = None) -> None:
        """One batch of readings, a minute apart, the last of them at `until`."""
        until = until or datetime.now(UTC)
        events = [
            reading(
                self.signer.device,
                self.next_seq + place,
                recorded_at=format_time(until - timedelta(minutes=len(temperatures) - 1 - place)),
                temperature=temperature,
            )
            for place, temperature in enumerate(temperatures)
        ]
        last = self.next_seq + len(events) - 1
        self._deliver(seal(events, first=self.next_seq, last=last))
        self.next_seq = last + 1

    def _deliver(self, batch: BatchFile) -> None:
        claimed = self.call("POST", "/api/edge/batches", batch.claim)
        sent = requests.put(
            claimed["url"], data=batch.content, headers=claimed["headers"], timeout=30
        )
        assert sent.ok, sent.text
        self.call("POST", batch.commit_path, batch.commit)

    def report(self, battery: float = 87.0) -> None:
        """A heartbeat."""
        self.call(
            "POST",
            "/api/edge/heartbeat",
            {
                "at": format_time(datetime.now(UTC)),
                "uptime": 100.0,
                "firmware": "1.4.0",
                "epoch": EPOCH,
                "next_seq": self.next_seq,
                "boot_id": "b",
                "spool": {"bytes": 10, "cap": 1000, "events": 0, "batches": 0, "oldest": None},
                "battery": battery,
                "clock_offset": 0.0,
                "clock_bound": 0.1,
                "config_version": 1,
            },
        )

    def fetch_commands(self) -> list[dict[str, Any]]:
        """What it is asked to do; the cloud takes them for delivered."""
        commands: list[dict[str, Any]] = self.call("GET", "/api/edge/commands")["commands"]
        return commands

    def answer(self, command: dict[str, Any], status: str, version: int) -> int:
        """Say how far a command is; the version that it has then."""
        body = {"status": status, "expected_version": version}
        answered = self.call("POST", f"/api/edge/commands/{command['id']}", body)
        return int(answered["version"])
