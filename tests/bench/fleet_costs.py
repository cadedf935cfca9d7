"""Calls and dollars of a device and month, from what a device does and infra/prices.toml.

Reads, writes and calls of a batch, a heartbeat and a bundle are counted by running the use cases on
a log whose documents are counted as Firestore bills them. How long a call keeps an instance is
assumed (`SECONDS`), rounded up to Cloud Run's 100 ms, with nothing shared between calls: a busy
fleet pays less.
"""

from __future__ import annotations

import tempfile
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.fleet.batches import BatchName
from eventpulse.fleet.devices import Device, DeviceConfig, Heartbeat
from eventpulse.leases import Delivery
from eventpulse.pipeline.fleet.batches import Wanted, claim_batch, commit_batch
from eventpulse.pipeline.fleet.bundle import bundle_batches
from eventpulse.pipeline.fleet.enrolment import create_device
from eventpulse.pipeline.fleet.heartbeats import receive_heartbeat
from eventpulse.pipeline.land import FinalizedObject, land_object
from eventpulse.pipeline.registry import publish_contract
from eventpulse.platform import Platform
from eventpulse.settings import Settings
from eventpulse.wiring import WiredPlatform
from tests.counted import Counted
from tests.device import EPOCH, reading, seal
from tests.fakes import MemoryEventLog, MemoryTaskQueue

ROOT = Path(__file__).parents[2]
FLEETS = (10, 1_000, 100_000)
MONTH_SECONDS = 30 * 86_400
BUNDLED = 150

SECONDS: Mapping[str, float] = {
    "devices": 0.1,
    "land": 0.2,
    "bundle": 1.0,
    "validate": 3.0,
    "drift": 0.5,
    "load": 8.0,
    "marts": 4.0,
}
"""How long one call keeps an instance of 1 vCPU and 0.5 GiB: assumed."""
MEMORY_GIB = 0.5
STEP_DOCUMENTS = {"firestore_reads": 30, "firestore_writes": 30}
"""What the four steps of one ingestion read and write of the log."""
LOAD_SCANNED_TIB = 30 * 10 / (1 << 20)
"""A load's statements scan at least 10 MiB a table: some 30 table reads. More once tables grow."""
BATCH_KB, EVENT_BYTES, EVENTS = 12, 400, 300


@dataclass(frozen=True)
class Documents:
    """Documents that one batch, one heartbeat, and one batch's share of a bundle take."""

    batch: Counter[str]
    heartbeat: Counter[str]
    bundled: Counter[str]


def count_documents() -> Documents:
    """Run one batch, one heartbeat and one bundle of `BUNDLED` batches, and count."""
    with tempfile.TemporaryDirectory() as folder:
        counts: Counter[str] = Counter()
        log: Any = Counted(MemoryEventLog(), "log", counts)
        store = FileObjectStore(f"file://{folder}", sign_key=b"bench", upload_url="http://x/y")
        platform = WiredPlatform(
            Settings(edge_url="x"), objects=store, log=log, tasks=MemoryTaskQueue()
        )
        contract = (ROOT / "contracts" / "edge_telemetry.odcs.yaml").read_text()
        publish_contract(platform, contract, "edge_telemetry")
        create_device(platform, "station-1", "", DeviceConfig())
        beat = Heartbeat(at="2026-03-01T08:00:00.000000Z", epoch=EPOCH, battery=80.0)
        device = Device.model_validate(log.head("device/station-1").projection)
        receive_heartbeat(platform, device, beat, "k", beat.at)
        _send(platform, 1)
        counts.clear()
        _send(platform, 2)
        batch = Counter(counts)
        counts.clear()
        receive_heartbeat(platform, device, beat, "k", beat.at)
        heartbeat = Counter(counts) + Counter(firestore_reads=1)  # its device, now and then
        for seq in range(3, BUNDLED + 1):
            _send(platform, seq)
        counts.clear()
        bundle_batches(platform, "edge_telemetry", Delivery())
        return Documents(batch, heartbeat, Counter(counts))


def _send(platform: Platform, seq: int) -> None:
    """Claim, store, announce and commit one batch."""
    file = seal([reading("station-1", seq)], first=seq, last=seq)
    name = BatchName("station-1", EPOCH, seq, seq, file.claim["sha256"])
    wanted = Wanted(name, 1, len(file.content), file.claim["md5"], False, None, "application/gzip")
    claim_batch(platform, wanted)
    with platform.objects.write("raw", name.object_name) as out:
        out.write(file.content)
    stored = out.stored
    finalized = FinalizedObject(
        platform.objects.bucket_name("raw"),
        stored.ref.name,
        stored.ref.generation,
        stored.size,
        stored.created,
        stored.content_type,
    )
    land_object(platform, finalized)
    commit_batch(platform, name)


@dataclass(frozen=True)
class Cost:
    """Of one device and month."""

    devices: int
    calls: float
    documents: float
    dollars: float
    parts: Mapping[str, float]


def compute_cost(
    devices: int, counted: Documents, prices: Mapping[str, Any], config: DeviceConfig
) -> Cost:
    batches = MONTH_SECONDS / config.seal_seconds
    beats = MONTH_SECONDS / config.heartbeat_seconds
    windows = MONTH_SECONDS / 300
    ingestions = max(windows, devices * batches / BUNDLED) / devices
    loads = min(ingestions, windows / devices)  # loads of a dataset are collected for a window
    calls = {
        "devices": 2 * batches + beats,
        "land": batches,
        "bundle": windows / devices,
        "validate": ingestions,
        "drift": ingestions,
        "load": loads,
        "marts": loads,
    }
    documents = {
        kind: batches * (counted.batch[kind] + counted.bundled[kind] / BUNDLED)
        + beats * counted.heartbeat[kind]
        + ingestions * STEP_DOCUMENTS[kind]
        for kind in ("firestore_reads", "firestore_writes")
    }
    seconds = sum(number * SECONDS[name] for name, number in calls.items())
    tasks = windows / devices + 3 * ingestions + loads + batches
    stored_gib = batches * BATCH_KB * 1000 / (1 << 30)

    def cost(row: str, amount: float) -> float:
        group, name = row.split(".")
        found = prices[group][name]
        return amount * float(found["price"]) / float(found["per"])

    parts = {
        "functions": cost("run.requests", sum(calls.values()))
        + cost("run.cpu", seconds)
        + cost("run.memory", seconds * MEMORY_GIB),
        "log": cost("firestore.reads", documents["firestore_reads"])
        + cost("firestore.writes", documents["firestore_writes"]),
        "objects": cost("storage.class_a", batches + 6 * ingestions)
        + cost("storage.class_b", 2 * batches + 6 * ingestions)
        + cost("storage.standard", stored_gib),
        "tasks and events": cost("tasks.operations", 2 * tasks)
        + cost("pubsub.throughput", 2 * batches * 1000 / (1 << 40)),
        "warehouse": cost("bigquery.query", loads * LOAD_SCANNED_TIB)
        + cost("bigquery.storage", 2 * batches * EVENTS * EVENT_BYTES / (1 << 30)),
    }
    return Cost(devices, sum(calls.values()), sum(documents.values()), sum(parts.values()), parts)


def compute_costs(config: DeviceConfig | None = None) -> list[Cost]:
    """For each size of fleet, with the defaults: a heartbeat a minute and a batch in five."""
    with (ROOT / "infra" / "prices.toml").open("rb") as file:
        prices = tomllib.load(file)
    counted = count_documents()
    return [compute_cost(each, counted, prices, config or DeviceConfig()) for each in FLEETS]
