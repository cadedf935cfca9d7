"""Devices against the real main.py of `devices`, with the store's receiver of signed uploads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import pytest
import requests
from werkzeug.test import Client, TestResponse

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.adapters.uploads_file import UploadApp
from eventpulse.fleet.batches import Batch, Epoch, epoch_stream
from eventpulse.fleet.devices import DeviceConfig, Presence
from eventpulse.pipeline.fleet.enrolment import create_device
from eventpulse.ports import StoredObject
from tests.device import EPOCH, BatchFile, KeyPair, Signer
from tests.functions.harness import Cloud, client_of

EDGE_URL = "https://eventpulse.test"
LANES = ["local", pytest.param("google", marks=pytest.mark.google)]
"""Where storage or the log decide: the same cases on both."""
CONTRACT = Path(__file__).parents[2] / "contracts" / "edge_telemetry.odcs.yaml"


@dataclass
class FieldDevice:
    """One device; every call is a real request."""

    cloud: Cloud
    signer: Signer

    @property
    def id(self) -> str:
        return self.signer.device

    def call(self, method: str, path: str, body: Any = None, **changes: Any) -> TestResponse:
        """A signed request, whose claims may be changed."""
        data = b"" if body is None else json.dumps(body).encode()
        now = self.cloud.platform.clock().timestamp()
        changes = {"iat": now, "exp": now + 120, **changes}
        headers = self.signer.headers(method, path, data, **changes)
        return client_of("devices").open(path, method=method, data=data, headers=headers)

    def claim(self, batch: BatchFile) -> TestResponse:
        return self.call("POST", "/api/edge/batches", batch.claim)

    def commit(self, batch: BatchFile) -> TestResponse:
        return self.call("POST", batch.commit_path, batch.commit)

    def put(self, claimed: dict[str, Any], content: bytes, **headers: str) -> Uploaded:
        return put(self.cloud, claimed, content, **headers)

    def send(self, batch: BatchFile) -> dict[str, Any]:
        """Claim, upload, commit; the receipt. The object is not announced yet."""
        claimed = self.claim(batch)
        assert claimed.status_code == 200, claimed.text
        answer = cast(dict[str, Any], claimed.json)
        if answer["state"] == "upload":
            assert self.put(answer, batch.content).status_code == 200
            committed = self.commit(batch)
            assert committed.status_code == 200, committed.text
            answer = cast(dict[str, Any], committed.json)
        return cast(dict[str, Any], answer["receipt"])

    def deliver(self, batch: BatchFile) -> None:
        """Send a batch and announce it, as the store does."""
        receipt = self.send(batch)
        assert self.cloud.announce(self.stored(receipt["object"])).status_code == 200

    def stored(self, name: str) -> StoredObject:
        found = self.cloud.platform.objects.stat("raw", name)
        assert found is not None
        return found

    def heartbeat(self, epoch: str = EPOCH, **values: Any) -> TestResponse:
        changes = {name: values.pop(name) for name in ("iat", "exp") if name in values}
        beat = {
            "at": "2026-03-01T08:30:00.000000Z",
            "uptime": 100.0,
            "firmware": "test",
            "epoch": epoch,
            "next_seq": 1,
            "boot_id": "b",
            "spool": {"bytes": 10, "cap": 1000, "events": 0, "batches": 0, "oldest": None},
            "battery": 90.0,
            "clock_offset": 0.0,
            "clock_bound": 0.1,
            "config_version": 1,
            **values,
        }
        return self.call("POST", "/api/edge/heartbeat", beat, **changes)

    def batch(self, batch: BatchFile) -> Batch:
        stream = f"batch/{self.id}.{batch.claim['epoch']}.{batch.claim['first']:012}"
        return Batch.model_validate(self.cloud.platform.log.head(stream).projection)

    def epoch(self, epoch: str = EPOCH) -> Epoch:
        head = self.cloud.platform.log.head(epoch_stream(self.id, epoch))
        return Epoch.model_validate(head.projection)

    def presence(self) -> Presence:
        return Presence.model_validate(
            self.cloud.platform.log.head(f"presence/{self.id}").projection
        )


class Uploaded(Protocol):
    @property
    def status_code(self) -> int: ...


def put(cloud: Cloud, claimed: dict[str, Any], content: bytes, **headers: str) -> Uploaded:
    """The PUT that an answer describes, sent to the store's receiver."""
    store = cloud.platform.objects
    if not isinstance(store, FileObjectStore):
        sent = {**claimed["headers"], **headers}
        return requests.put(claimed["url"], data=content, headers=sent, timeout=60)
    url = urlsplit(claimed["url"])
    root, _, path = url.path.removeprefix("/").partition("/")
    return Client(UploadApp(store)).put(
        f"/{path}",
        base_url=f"{url.scheme}://{url.netloc}/{root}",
        query_string=url.query,
        data=content,
        headers={**claimed["headers"], **headers},
    )


def enrolled_device(cloud: Cloud, device: str = "station-0001") -> FieldDevice:
    """A device that an operator created and that has enrolled its key."""
    code = create_device(cloud.platform, device, "", DeviceConfig()).code
    field = FieldDevice(cloud, Signer(device, EDGE_URL, KeyPair()))
    answer = enroll(field, code)
    assert answer.status_code == 200, answer.text
    return field


def enroll(
    field: FieldDevice, code: str, key: KeyPair | None = None, **changes: Any
) -> TestResponse:
    sent = field.signer.enrolment(code, key, **changes)
    return client_of("devices").post("/api/edge/enroll", json=sent)
