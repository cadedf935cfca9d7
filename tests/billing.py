"""What Google would bill: calls counted where the client libraries send them.

Storage operations and BigQuery jobs are HTTP requests, Firestore's reads and writes stand in gRPC
messages. A class A operation creates or lists objects, a class B one reads an object or what is
known of it; an upload in chunks is one operation. Firestore bills a read per document that a get or
a query answers (one for an empty answer), and a write per document of a commit.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import grpc
import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from emulators.credentials import PROJECT
from emulators.stack import GoogleStack
from eventpulse.platform import Platform
from eventpulse.ports import BUCKETS, Task
from eventpulse.settings import Settings
from eventpulse.wiring import WiredPlatform
from tests.fakes import MemoryTaskQueue
from tests.inline import InlineLane

_OBJECT = re.compile(r"/b/[^/]+/o/[^/]+")
_OBJECTS = re.compile(r"/b/[^/]+/o/?$")
_TABLE = re.compile(r"`[^`]+`\.`[^`]+`\.(?:`[^`]+`|\w+)")
_WRITTEN = re.compile(rf"(INSERT INTO|CREATE OR REPLACE TABLE)\s+{_TABLE.pattern}")


class Calls(Counter[str]):
    """How many of each billed unit; by step too, as `step unit`."""

    step = ""

    def note(self, unit: str, number: int = 1) -> None:
        self[unit] += number
        if self.step:
            self[f"{self.step} {unit}"] += number

    def of(self, step: str) -> dict[str, int]:
        """The units of one step, or of all of them together ("")."""
        prefix = f"{step} " if step else ""
        found = {
            name.removeprefix(prefix): n for name, n in self.items() if name.startswith(prefix)
        }
        return dict(sorted((name, n) for name, n in found.items() if " " not in name))


@contextmanager
def count_calls() -> Iterator[Calls]:
    """Count what is sent by clients that are made within."""
    calls = Calls()
    send, channel = requests.Session.send, grpc.insecure_channel

    def counting_send(self: Any, request: Any, **options: Any) -> Any:
        unit = _classify(request.method, request.url, request.headers)
        if unit is not None:
            calls.note(unit)
        if unit == "bigquery_jobs":
            calls.note("bigquery_tables", _count_tables(request.body))
        return send(self, request, **options)

    def counting_channel(*arguments: Any, **options: Any) -> Any:
        return grpc.intercept_channel(channel(*arguments, **options), _Interceptor(calls))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", counting_send)
        patch.setattr(grpc, "insecure_channel", counting_channel)
        yield calls


def _classify(method: str, url: str, headers: Any) -> str | None:
    """The unit that an HTTP request is billed as; None for what is free."""
    parts = urlsplit(url)
    if "/bigquery/" in parts.path:
        return (
            "bigquery_jobs"
            if method == "POST" and parts.path.endswith(("/jobs", "/queries"))
            else None
        )
    if "/storage/" not in parts.path or method == "DELETE":
        return None
    if "/upload/" in parts.path:
        started = "upload_id" in parse_qs(parts.query)
        return None if started else "storage_class_a"
    if _OBJECTS.search(parts.path):
        return "storage_class_a"
    if _OBJECT.search(parts.path):
        return "storage_class_b" if method == "GET" else "storage_class_a"
    return None


def _count_tables(body: Any) -> int:
    """How many tables a job's statements read: each is billed at least 10 MiB."""
    job = json.loads(body)
    query = job.get("query") or job.get("configuration", {}).get("query", {}).get("query", "")
    read = [_WRITTEN.sub("", statement) for statement in query.split(";")]
    return sum(len(set(_TABLE.findall(statement))) for statement in read)


class _Interceptor(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def intercept_unary_unary(self, proceed: Any, details: Any, request: Any) -> Any:
        if details.method.endswith("/Commit"):
            self._calls.note("firestore_writes", len(_message(request).writes))
        return proceed(details, request)

    def intercept_unary_stream(self, proceed: Any, details: Any, request: Any) -> Any:
        name = details.method.rpartition("/")[2]
        if name == "BatchGetDocuments":
            self._calls.note("firestore_reads", len(_message(request).documents))
        answers = proceed(details, request)
        if name in ("RunQuery", "RunAggregationQuery"):
            return _Counted(answers, self._calls)
        return answers


def _message(request: Any) -> Any:
    return getattr(request, "_pb", request)


class _Counted:
    """A stream of answers that counts the documents which come by."""

    def __init__(self, answers: Any, calls: Calls) -> None:
        self._answers, self._calls, self._found = answers, calls, 0

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        try:
            answer = next(self._answers)
        except StopIteration:
            self._calls.note("firestore_reads", max(self._found, 1))
            self._found = -1  # counted
            raise
        self._found += (
            1 if "document" in str(type(answer)) or getattr(answer, "document", None) else 0
        )
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answers, name)


class BilledLane(InlineLane):
    """The Google lane in this process, with a queue of its own whose tasks are counted."""

    def __init__(self, platform: Platform, tasks: MemoryTaskQueue, calls: Calls) -> None:
        super().__init__(platform, tasks)
        self.calls = calls
        self.cpu_seconds: Counter[str] = Counter()

    def announce(self, stored: Any) -> str:
        with self._step("land"):
            return super().announce(stored)

    def deliver(self, task: Task) -> None:
        self.calls.note("tasks_operations", 2)  # made and delivered
        with self._step(task.function):
            super().deliver(task)

    @contextmanager
    def _step(self, function: str) -> Iterator[None]:
        self.calls.step = function
        self.calls.note("invocations")
        begun = time.process_time()
        yield
        self.cpu_seconds[function] += time.process_time() - begun  # type: ignore[assignment]
        self.calls.step = ""


@contextmanager
def open_billed_lane(stack: GoogleStack) -> Iterator[BilledLane]:
    """A lane on fresh buckets, streams and tables of the running emulators."""
    run = uuid.uuid4().hex[:12]
    described = stack.environment
    client = Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": described["STORAGE_EMULATOR_HOST"]},
    )
    for bucket in BUCKETS:
        made = client.bucket(f"b{run}-{bucket}")
        made.versioning_enabled = bucket == "raw"
        client.create_bucket(made)
    client.close()
    options = {
        "location": "EU",
        "prefix": f"b{run}",
        "endpoint": described["BIGQUERY_EMULATOR_HOST"],
    }
    settings = Settings(
        objects=f"gs://b{run}",
        state=f"firestore://{PROJECT}?prefix=b{run}",
        warehouse=f"bigquery://{PROJECT}?{urlencode(options)}",
    )
    tasks = MemoryTaskQueue()
    with pytest.MonkeyPatch.context() as env, count_calls() as calls:
        for name, value in described.items():
            env.setenv(name, value)
        yield BilledLane(WiredPlatform(settings, tasks=tasks), tasks, calls)
