"""The real main.py files behind functions-framework; the test plays Eventarc and the queue."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import functions_framework
import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.adapters.warehouse_postgres import PostgresWarehouse
from eventpulse.pipeline.land import identify
from eventpulse.pipeline.registry import publish_contract
from eventpulse.platform import Platform
from eventpulse.ports import BUCKETS, StoredObject, Task
from eventpulse.settings import Settings
from eventpulse.wiring import WiredPlatform, use_platform
from tests.fakes import MemoryEventLog, MemoryTaskQueue

SIGN_KEY = b"a key of the tests"
ROOT = Path(__file__).parents[2]

ORDERS = """\
apiVersion: v3.2.0
kind: DataContract
id: orders
name: Orders
version: {version}
status: active
schema:
  - name: orders
    logicalType: object
    customProperties:
      - property: format
        value: csv
      - property: driftPolicy
        value: {{added: {added}, removed: freeze, retyped: discard_row, nullability: discard_row}}
      - property: maxInvalidPercent
        value: 60
      - property: orderingColumn
        value: changed_at
    properties:
      - name: order_id
        logicalType: integer
        primaryKey: true
        primaryKeyPosition: 1
        required: true
      - name: amount
        logicalType: number
        required: true
        logicalTypeOptions:
          minimum: {minimum}
      - name: customer
        logicalType: string
        classification: personal
        logicalTypeOptions:
          maxLength: 20
      - name: changed_at
        logicalType: timestamp
        required: true
"""

HEADER = "order_id,amount,customer,changed_at"


def orders_contract(version: str = "1.0.0", minimum: int = 0, added: str = "discard_value") -> str:
    return ORDERS.format(version=version, minimum=minimum, added=added)


def orders_file(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def order(number: int, amount: str = "10.5", customer: str = "ann", minute: int = 0) -> str:
    return f"{number},{amount},{customer},2026-01-01T00:{minute:02}:00Z"


@contextmanager
def open_platform(
    folder: Path,
    postgres_url: str,
    settings: Settings,
    upload_url: str = "http://127.0.0.1:1/objects",
) -> Iterator[Platform]:
    """A fresh platform over fakes, a file store and a real Postgres warehouse; every function in
    this process works on it."""
    objects = FileObjectStore(f"file://{folder}", SIGN_KEY, upload_url)
    warehouse = PostgresWarehouse(postgres_url, objects)
    platform = WiredPlatform(
        settings,
        objects=objects,
        log=MemoryEventLog(),
        tasks=MemoryTaskQueue(),
        warehouse=warehouse,
    )
    with use_platform(platform):
        yield platform
    warehouse.close()


@contextmanager
def open_google_platform(emulators: Mapping[str, str], settings: Settings) -> Iterator[Platform]:
    """A fresh platform over the emulators of Cloud Storage, Firestore and BigQuery; the test plays
    the queue all the same."""
    run = f"evp-{uuid.uuid4().hex[:12]}"
    project, storage = emulators["GOOGLE_CLOUD_PROJECT"], emulators["STORAGE_EMULATOR_HOST"]
    for bucket in BUCKETS:
        made = {"name": f"{run}-{bucket}", "versioning": {"enabled": bucket == "raw"}}
        requests.post(f"{storage}/storage/v1/b", json=made, timeout=30).raise_for_status()
    warehouse = {
        "location": "EU",
        "prefix": run.replace("-", "_"),
        "endpoint": emulators["BIGQUERY_EMULATOR_HOST"],
    }
    stores = replace(
        settings,
        objects=f"gs://{run}",
        state=f"firestore://{project}/(default)?prefix={run}",
        warehouse=f"bigquery://{project}?{urlencode(warehouse)}",
    )
    with use_platform(WiredPlatform(stores, tasks=MemoryTaskQueue())) as platform:
        yield platform
    for port in (platform.log, platform.warehouse):
        getattr(port, "close", lambda: None)()


@cache
def make_app(function: str) -> Flask:
    create_app: Any = functions_framework.create_app
    app: Flask = create_app(function, str(ROOT / "functions" / function / "main.py"))
    return app


def client_of(function: str) -> FlaskClient:
    return make_app(function).test_client()


@dataclass
class Delivered:
    """One answer of a function to one task."""

    task: Task
    status: int
    body: Any


@dataclass
class Cloud:
    """Plays the services around the functions: announces objects and delivers tasks over HTTP."""

    platform: Platform
    tasks: MemoryTaskQueue
    deliveries: list[Delivered] = field(default_factory=list)

    def publish(self, text: str) -> None:
        publish_contract(self.platform, text, "test")

    def put(self, name: str, content: bytes) -> StoredObject:
        with self.platform.objects.write("raw", name, replace=True) as sink:
            sink.write(content)
        return sink.stored

    def announce(self, stored: StoredObject, **headers: str) -> TestResponse:
        """A finalize event in binary mode, as Eventarc sends it."""
        event = finalize_event(self.platform, stored)
        return client_of("land").post("/", json=event, headers={**event_headers(), **headers})

    def deliver(self, task: Task, retries: int = 0) -> TestResponse:
        """One delivery of a task, with Cloud Tasks' own headers."""
        sent = {
            **task.headers,
            "X-CloudTasks-TaskName": task.name,
            "X-CloudTasks-TaskRetryCount": str(retries),
        }
        return client_of(task.function).post("/", json=dict(task.body), headers=sent)

    def run(self) -> None:
        """Deliver what is due until nothing is; a refused task comes again, at most ten times."""
        while due := self.tasks.take_due(datetime.now(UTC)):
            for task, retries in due:
                self._try(task, retries)

    def run_later(self, most: int | None = None) -> None:
        """One after the other, and those too that are due within a day; at most so many."""
        later = datetime.now(UTC) + timedelta(days=1)
        while most != 0 and (due := self.tasks.take_due(later)):
            self._try(*due[0])
            most = None if most is None else most - 1

    def _try(self, task: Task, retries: int) -> None:
        assert retries < 10, f"{task.name} is never done"
        answer = self.deliver(task, retries)
        self.deliveries.append(Delivered(task, answer.status_code, answer.json))
        done = answer.status_code < 300
        self.tasks.finish(task.name, retry_at=None if done else datetime.now(UTC))

    def ingest(self, name: str, content: bytes, **headers: str) -> str:
        """Put, announce, run; the newest ingestion of that object's name."""
        stored = self.put(name, content)
        assert self.announce(stored, **headers).status_code == 200
        self.run()
        return self.find(stored)

    def find(self, stored: StoredObject) -> str:
        bucket = self.platform.objects.bucket_name("raw")
        return identify(bucket, stored.ref.name, stored.ref.generation)


def finalize_event(platform: Platform, stored: StoredObject, **changes: object) -> dict[str, Any]:
    """The data of a finalize event: size and generation are text, as in Cloud Storage's JSON."""
    return {
        "kind": "storage#object",
        "bucket": platform.objects.bucket_name(stored.ref.bucket),
        "name": stored.ref.name,
        "generation": str(stored.ref.generation),
        "size": str(stored.size),
        "timeCreated": stored.created.isoformat().replace("+00:00", "Z"),
        "contentType": stored.content_type,
        **changes,
    }


def event_headers(type_: str = "google.cloud.storage.object.v1.finalized") -> dict[str, str]:
    return {
        "ce-id": "1",
        "ce-specversion": "1.0",
        "ce-source": "//storage.googleapis.com/projects/_/buckets/raw",
        "ce-type": type_,
    }


def structured_event(data: dict[str, Any]) -> bytes:
    """The same event in structured mode."""
    attributes = {name.removeprefix("ce-"): text for name, text in event_headers().items()}
    return json.dumps({**attributes, "datacontenttype": "application/json", "data": data}).encode()
