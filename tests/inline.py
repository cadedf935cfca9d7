"""A whole lane in one process: real stores and a real Postgres, tasks delivered by hand.

For tests that need many ingestions, or their deliveries in an order of the test's choosing.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eventpulse.adapters.log_postgres import PostgresEventLog
from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.adapters.warehouse_postgres import PostgresWarehouse
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.leases import Delivery
from eventpulse.pipeline.drift import judge_drift
from eventpulse.pipeline.fleet.bundle import bundle_batches
from eventpulse.pipeline.land import FinalizedObject, land_object
from eventpulse.pipeline.load import load_dataset
from eventpulse.pipeline.marts import build_marts
from eventpulse.pipeline.registry import load_contract
from eventpulse.pipeline.validate import validate_ingestion
from eventpulse.pipeline.verification_requests import find_verification, request_verification
from eventpulse.pipeline.verify import advance_verification
from eventpulse.platform import Platform
from eventpulse.ports import StoredObject, Task
from eventpulse.rows.digest import table_digest
from eventpulse.settings import Settings
from eventpulse.wiring import WiredPlatform
from tests.documents import check_documents
from tests.fakes import MemoryTaskQueue

STEPS: dict[str, tuple[Callable[[Platform, str, Delivery], object], str]] = {
    "validate": (validate_ingestion, "ingestion"),
    "drift": (judge_drift, "ingestion"),
    "load": (load_dataset, "dataset"),
    "marts": (build_marts, "dataset"),
    "bundle": (bundle_batches, "dataset"),
    "backfill": (advance_verification, "verification"),
}


class InlineLane:
    """Put objects, land them in any order, and run tasks until none is left."""

    def __init__(self, platform: Platform, tasks: MemoryTaskQueue) -> None:
        self.platform = platform
        self.tasks = tasks
        self._deliveries: Counter[str] = Counter()

    def put(self, name: str, content: bytes) -> StoredObject:
        """A new generation in the raw bucket, not yet announced."""
        with self.platform.objects.write("raw", name, replace=True) as sink:
            sink.write(content)
        return sink.stored

    def announce(self, stored: StoredObject) -> str:
        """Deliver the object's finalize event; the ingestion's id."""
        finalized = FinalizedObject(
            self.platform.objects.bucket_name(stored.ref.bucket),
            stored.ref.name,
            stored.ref.generation,
            stored.size,
            stored.created,
            stored.content_type,
        )
        ingestion = land_object(self.platform, finalized)
        assert ingestion is not None
        return ingestion

    def drop(self, name: str, content: bytes) -> Ingestion:
        """Put, announce, and let everything run."""
        ingestion = self.announce(self.put(name, content))
        self.run()
        return self.ingestion(ingestion)

    def run(self, tolerate: type[Exception] | tuple[()] = ()) -> None:
        """Deliver tasks in the order of their making until none waits; one that raises what is
        tolerated is delivered again."""
        while waiting := self.tasks.waiting():
            for task in waiting:
                try:
                    self.deliver(task)
                except tolerate:
                    continue
                self.tasks.finish(task.name)

    def run_until(self, function: str) -> None:
        """Deliver tasks until only those of one function wait."""
        while waiting := [each for each in self.tasks.waiting() if each.function != function]:
            for task in waiting:
                self.deliver(task)
                self.tasks.finish(task.name)

    def deliver(self, task: Task) -> None:
        use_case, subject = STEPS[task.function]
        self._deliveries[task.name] += 1
        delivery = Delivery(task.name, self._deliveries[task.name] - 1)
        use_case(self.platform, str(task.body[subject]), delivery)

    def ingestion(self, ingestion_id: str) -> Ingestion:
        head = self.platform.log.head(f"ingestion/{ingestion_id}")
        return Ingestion.model_validate(head.projection)

    def verify(self, dataset: str) -> bool | None:
        """Whether the table is what its raw objects make it; everything runs."""
        asked = request_verification(self.platform, str(uuid.uuid4()), dataset, "tests")
        self.run()
        return find_verification(self.platform, asked.id).equal

    def digest(self, dataset: str) -> str:
        columns = load_contract(self.platform, dataset, None).table().columns
        batches = self.platform.warehouse.read_table("curated", dataset, columns)
        return table_digest(batches, columns)


@contextmanager
def inline_lane(folder: Path, postgres_url: str) -> Iterator[InlineLane]:
    objects = FileObjectStore(f"file://{folder}", sign_key=b"test", upload_url="http://127.0.0.1/")
    log = PostgresEventLog(postgres_url)
    warehouse = PostgresWarehouse(postgres_url, objects)
    tasks = MemoryTaskQueue()
    settings = Settings(warehouse=postgres_url)
    try:
        platform = WiredPlatform(
            settings, objects=objects, log=log, tasks=tasks, warehouse=warehouse
        )
        yield InlineLane(platform, tasks)
        check_documents(platform)
    finally:
        log.close()
        warehouse.close()
