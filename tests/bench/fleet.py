"""The devices' function under load: commits against a bare hello, and a fleet that comes back.

One gateway process with one worker serves the real `functions/devices/main.py`, the receiver of
signed uploads, and a functions-framework hello; Postgres (without fsync) is another process. Tokens
are signed before the clock starts: a device signs on its own processor.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from eventpulse.fleet.batches import Batch
from eventpulse.fleet.devices import DeviceKey, offline_time
from eventpulse.local.gateway import API, FUNCTIONS
from eventpulse.pipeline.registry import publish_contract
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import NewEvent
from eventpulse.settings import read_settings
from eventpulse.values import format_time
from eventpulse.wiring import WiredPlatform
from tests.device import BatchFile, KeyPair, Signer, reading, seal
from tests.postgres_server import PostgresServer

ROOT = Path(__file__).parents[2]
HELLO = """\
import flask
import functions_framework


@functions_framework.http
def {name}(request: flask.Request) -> str:
    return "hello"
"""
"""Served under the names that the gateway knows."""

CLIENTS = 16
CROWD = 200
"""Devices whose requests are in flight at once; the others wait in line to connect."""
PATIENCE_SECONDS = 900.0
EVENTS = 5


@dataclass(frozen=True)
class Load:
    """What some requests took: how many a second, and how long each (in milliseconds)."""

    name: str
    requests: int
    per_second: float
    median_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Instance:
    """One running gateway, and the platform behind it."""

    url: str
    platform: Platform


@contextmanager
def one_instance(folder: Path, database: str) -> Iterator[Instance]:
    functions = folder / "functions"
    functions.mkdir()
    (functions / "devices").symlink_to(ROOT / "functions" / "devices")
    for name in (API, *FUNCTIONS):
        (functions / name).mkdir()
        (functions / name / "main.py").write_text(HELLO.format(name=name))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = {
            "EVENTPULSE_OBJECTS": (folder / "objects").as_uri(),
            "EVENTPULSE_UPLOADS": f"{url}/objects",
            "EVENTPULSE_SIGN_KEY": "bench",
            "EVENTPULSE_STATE": database,
            "EVENTPULSE_WAREHOUSE": database,
            "EVENTPULSE_TASKS": database,
            "EVENTPULSE_EDGE_URL": url,
            "EVENTPULSE_DEVICE_RATE": "1000000",
            "EVENTPULSE_LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, "-m", "eventpulse.local.gateway", f"--fd={listener.fileno()}"]
        command += [f"--functions={functions}", "--workers=1", "--threads=8"]
        with subprocess.Popen(
            command, env={**os.environ, **settings}, pass_fds=[listener.fileno()]
        ) as process:
            try:
                platform = WiredPlatform(read_settings(settings))
                contract = (ROOT / "contracts" / "edge_telemetry.odcs.yaml").read_text()
                publish_contract(platform, contract, "edge_telemetry")
                yield Instance(url, platform)
            finally:
                process.send_signal(signal.SIGTERM)


def enrol(platform: Platform, url: str, names: Sequence[str]) -> list[Signer]:
    """Devices that are enrolled already, without the function's help."""
    signers = [Signer(name, url, KeyPair()) for name in names]
    for start in range(0, len(signers), 70):
        changes = Changes(platform)
        now = format_time(platform.clock())
        some = signers[start : start + 70]
        changes.fetch(
            *(f"{kind}/{each.device}" for each in some for kind in ("device", "presence"))
        )
        for each in some:
            key = DeviceKey(kid=each.key.kid, public_key=each.key.public, created=now)
            enrolled = {"key": key.model_dump(mode="json"), "firmware": "bench"}
            stream = f"device/{each.device}"
            changes.add(stream, NewEvent("created", {"name": ""}), NewEvent("enrolled", enrolled))
            due = offline_time(now, 3600)
            changes.add(f"presence/{each.device}", NewEvent("appeared", {"offline_due": due}))
        assert changes.commit()
    return signers


@dataclass(frozen=True)
class Prepared:
    """A request that only needs sending."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]


def prepare(signer: Signer, method: str, path: str, body: Any) -> Prepared:
    data = json.dumps(body).encode()
    now = time.time()
    headers = signer.headers(method, path, data, iat=now, exp=now + 290)
    return Prepared(method, path, data, headers)


class Line:
    """One kept connection of one client."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(self._address, timeout=PATIENCE_SECONDS)

    def send(self, request: Prepared) -> tuple[int, bytes]:
        self._connection.request(request.method, request.path, request.body, request.headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        self._connection.close()

    def again(self) -> None:
        self._connection.close()
        self._connection = http.client.HTTPConnection(self._address, timeout=PATIENCE_SECONDS)


def run_clients(count: int, work: Callable[[int], list[float]]) -> tuple[list[float], float]:
    """The seconds of every request of all clients, and of the whole."""
    start = time.perf_counter()
    with ThreadPoolExecutor(count) as clients:
        taken = list(clients.map(work, range(count)))
    return [each for some in taken for each in some], time.perf_counter() - start


def describe(name: str, seconds: list[float], whole: float) -> Load:
    ordered = sorted(seconds)
    return Load(
        name,
        len(ordered),
        len(ordered) / whole,
        1000 * statistics.median(ordered),
        1000 * ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)],
    )


def send_all(url: str, name: str, requests: Sequence[Prepared]) -> Load:
    """Send the requests over `CLIENTS` kept connections, each in its turn."""
    waiting: queue.SimpleQueue[Prepared] = queue.SimpleQueue()
    for each in requests:
        waiting.put(each)

    def work(_number: int) -> list[float]:
        line, taken = Line(url), []
        while True:
            try:
                request = waiting.get_nowait()
            except queue.Empty:
                line.close()
                return taken
            start = time.perf_counter()
            try:
                status, body = line.send(request)
            except (OSError, http.client.HTTPException):  # it lay idle for longer than it is kept
                line.again()
                status, body = line.send(request)
            taken.append(time.perf_counter() - start)
            assert status == 200, body

    return describe(name, *run_clients(CLIENTS, work))


# --- Figures -------------------------------------------------------------------------------------


def bench_commits(instance: Instance, requests: int) -> list[Load]:
    """Commits of batches that are there, against a bare hello, in turn."""
    (signer,) = enrol(instance.platform, instance.url, ["bench-commit"])
    batches = [seal([reading(signer.device, seq)], first=seq, last=seq) for seq in range(1, 101)]
    for batch in batches:
        line = Line(instance.url)
        deliver(line, signer, batch, [])
        line.close()
    hello = Prepared("POST", "/sweep", b"{}", {"Content-Type": "application/json"})
    send_all(instance.url, "warm-up", [hello] * 50)
    hellos, commits = [], []
    for _ in range(3):
        hellos.append(send_all(instance.url, "functions-framework hello", [hello] * requests))
        prepared = [
            prepare(signer, "POST", batch.commit_path, batch.commit)
            for batch in (batches * (requests // len(batches) + 1))[:requests]
        ]
        commits.append(send_all(instance.url, "commit of a batch", prepared))
    return [max(each, key=lambda load: load.per_second) for each in (commits, hellos)]


def bench_reconnect(instance: Instance, devices: int) -> Load:
    """A fleet that comes back at once, each device with a batch: claim, PUT, commit.

    Asserts that none is lost: each device has its receipt, and each object is in the store.
    """
    names = [f"bench-{number:06}" for number in range(devices)]
    signers = enrol(instance.platform, instance.url, names)
    waiting: queue.SimpleQueue[Signer] = queue.SimpleQueue()
    for signer in signers:
        waiting.put(signer)
    receipts: set[str] = set()

    def work(_number: int) -> list[float]:
        taken: list[float] = []
        while True:
            try:
                signer = waiting.get_nowait()
            except queue.Empty:
                return taken
            rows = [reading(signer.device, seq) for seq in range(1, EVENTS + 1)]
            line = Line(instance.url)
            receipts.add(deliver(line, signer, seal(rows, first=1, last=EVENTS), taken))
            line.close()

    seconds, whole = run_clients(min(CROWD, devices), work)
    stored = {each.ref.name for each in instance.platform.objects.list("raw", "edge_telemetry/b")}
    lost = devices - len(receipts & stored)
    assert lost == 0, f"{lost} of {devices} batches were lost"
    sample = instance.platform.log.head(f"batch/{names[-1]}.{'5f0c1d2e3a4b5c6d'}.000000000001")
    assert Batch.model_validate(sample.projection).state == "claimed"
    return describe(f"{devices:,} devices back at once", seconds, whole)


def deliver(line: Line, signer: Signer, batch: BatchFile, taken: list[float]) -> str:
    """Claim, PUT and commit one batch, trying each again while the instance is too busy; the name
    of the object in the receipt."""

    def send(make: Callable[[], Prepared]) -> bytes:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            start = time.perf_counter()
            try:
                status, body = line.send(make())
            except (OSError, http.client.HTTPException):
                line.again()
                status, body = 503, b""
            taken.append(time.perf_counter() - start)
            if status == 200:
                return body
            assert status in (429, 503), (status, body)
            assert time.monotonic() < deadline, "the instance never came back"

    claimed = json.loads(send(lambda: prepare(signer, "POST", "/api/edge/batches", batch.claim)))
    url = urlsplit(claimed["url"])
    send(
        lambda: Prepared(
            claimed["method"], f"{url.path}?{url.query}", batch.content, claimed["headers"]
        )
    )
    answer = json.loads(send(lambda: prepare(signer, "POST", batch.commit_path, batch.commit)))
    assert answer["receipt"]["sha256"] == batch.claim["sha256"]
    name: str = answer["receipt"]["object"]
    return name


def bench_fleet(devices: int, requests: int = 1_500) -> list[Load]:
    """Every figure of the devices' function."""
    server = PostgresServer()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            server.database() as database,
            one_instance(Path(folder), database) as instance,
        ):
            try:
                return [*bench_commits(instance, requests), bench_reconnect(instance, devices)]
            finally:
                instance.platform.log.close()  # type: ignore[attr-defined]
    finally:
        server.stop()
