"""The warehouses under test, each beside the object store that it loads from.

Test modules take these fixtures in with `pytest_plugins`.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from emulators.credentials import PROJECT
from emulators.stack import GoogleStack
from eventpulse.adapters import warehouse_postgres
from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.adapters.objects_gcs import GcsObjectStore
from eventpulse.adapters.warehouse_bigquery import BigQueryWarehouse
from eventpulse.adapters.warehouse_postgres import PostgresWarehouse
from eventpulse.ports import (
    BUCKETS,
    Activation,
    Column,
    DatasetTable,
    JobStats,
    ObjectRef,
    ObjectStore,
    RowCounts,
    Warehouse,
)
from eventpulse.rows.arrow import SOURCE_COLUMNS, arrow_schema
from eventpulse.rows.digest import table_digest

WAREHOUSES = ["postgres", pytest.param("bigquery", marks=pytest.mark.google)]
CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOADED = datetime(2026, 3, 2, 7, 30, 0, 123456, tzinfo=UTC)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class File:
    """The accepted rows of one object, as an ingestion would stage them."""

    ingestion: str
    rows: Sequence[Row]
    created: datetime = CREATED
    sha256: str = ""
    version: str = "1.0.0"

    @property
    def activation(self) -> Activation:
        return Activation(self.ingestion, self.version, LOADED, len(self.rows))

    def batch(self, columns: Sequence[Column]) -> pa.RecordBatch:
        """The rows, with the four columns of the history."""
        sha256 = self.sha256 or self.ingestion.ljust(64, "0")
        rows = [
            {
                **row,
                "_ingestion_id": self.ingestion,
                "_source_row": number,
                "_source_sha256": sha256,
                "_source_created_at": self.created,
            }
            for number, row in enumerate(self.rows, start=1)
        ]
        schema = arrow_schema((*columns, *SOURCE_COLUMNS))
        return pa.RecordBatch.from_pylist(rows, schema=schema)


@dataclass
class Lane:
    """A warehouse and its object store, and what tests do with them again and again."""

    kind: str
    addresses: tuple[str, str]  # the URLs of the warehouse and of the object store
    objects: ObjectStore
    connect: Callable[[], Any]
    warehouse: Any = field(init=False)
    opened: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.warehouse = self.another()

    def another(self) -> Any:
        """One more adapter on the same warehouse, with connections of its own."""
        warehouse = self.connect()
        self.opened.append(warehouse)
        return warehouse

    def put(self, content: bytes, name: str = "") -> ObjectRef:
        """A staged object."""
        with self.objects.write("staged", name or f"{uuid.uuid4().hex}.parquet") as sink:
            sink.write(content)
        return sink.stored.ref

    def stage(self, file: File, columns: Sequence[Column]) -> ObjectRef:
        return self.put(to_parquet(file.batch(columns)))

    def load(self, table: DatasetTable, *files: File, job_id: str = "") -> JobStats:
        """Load the files by one job."""
        sources = [self.stage(file, table.columns) for file in files]
        stats: JobStats = self.warehouse.load_rows(table, sources, job_id or make_job_id())
        return stats

    def publish(
        self, table: DatasetTable, *files: File, gone: Sequence[str] = (), fence: int = 0
    ) -> dict[str, RowCounts]:
        """Activate loaded files, deactivate ingestions."""
        counts: dict[str, RowCounts] = self.warehouse.publish(
            table, [file.activation for file in files], gone, fence=fence
        )
        return counts

    def add(self, table: DatasetTable, *files: File) -> dict[str, RowCounts]:
        """Make the tables, load the files, publish them together."""
        self.warehouse.ensure_tables(table)
        self.load(table, *files)
        return self.publish(table, *files)

    def rows(self, table: DatasetTable, *more: Column) -> list[dict[str, Any]]:
        """The curated rows, with the named columns of the curated table beside the contract's."""
        columns = (*table.columns, *more)
        batches = self.warehouse.read_table("curated", table.dataset, columns)
        return [row for batch in batches for row in batch.to_pylist()]

    def digest(self, table: DatasetTable) -> str:
        batches = self.warehouse.read_table("curated", table.dataset, table.columns)
        return table_digest(batches, table.columns)

    def history(self, dataset: str) -> int:
        """How many rows the history has."""
        count: int = self.warehouse.count_rows("history", f"rows_{dataset}")
        return count


def to_parquet(batch: pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_batches([batch]), sink, compression="zstd", row_group_size=1000)
    return sink.getvalue()


def make_job_id() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture(params=WAREHOUSES)
def lane(request: pytest.FixtureRequest) -> Lane:
    """An empty warehouse, of each kind."""
    lane: Lane = request.getfixturevalue(f"{request.param}_lane")
    return lane


@pytest.fixture
def warehouse(lane: Lane) -> Warehouse:
    warehouse: Warehouse = lane.warehouse
    return warehouse


@pytest.fixture
def postgres_lane(postgres_url: str, tmp_path: Path) -> Iterator[Lane]:
    folder = f"file://{tmp_path}/objects"
    objects = FileObjectStore(folder, b"a secret", "http://127.0.0.1")
    urls = (postgres_url, folder)
    lane = Lane("postgres", urls, objects, lambda: PostgresWarehouse(postgres_url, objects))
    yield lane
    close(lane)


@pytest.fixture
def postgres_many_lane(postgres_lane: Lane, monkeypatch: pytest.MonkeyPatch) -> Lane:
    """Postgres, which takes every publish for a large one."""
    monkeypatch.setattr(warehouse_postgres, "_MANY_ROWS", 0)
    return postgres_lane


@pytest.fixture(scope="session")
def staged_prefix(google_stack: GoogleStack) -> str:
    """Buckets for the session."""
    prefix = f"evp-{uuid.uuid4().hex[:12]}"
    client = Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": google_stack.environment["STORAGE_EMULATOR_HOST"]},
    )
    for bucket in BUCKETS:
        client.create_bucket(f"{prefix}-{bucket}")
    client.close()
    return prefix


@pytest.fixture
def bigquery_url(google_stack: GoogleStack) -> str:
    """Datasets that no other test uses."""
    described = google_stack.environment
    options = {
        "location": "EU",
        "prefix": f"t{uuid.uuid4().hex[:12]}",
        "endpoint": described["BIGQUERY_EMULATOR_HOST"],
    }
    return f"bigquery://{PROJECT}?{urlencode(options)}"


@pytest.fixture
def bigquery_lane(
    google_stack: GoogleStack,
    staged_prefix: str,
    bigquery_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Lane]:
    endpoint = google_stack.environment["STORAGE_EMULATOR_HOST"]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
    buckets = f"gs://{staged_prefix}"
    objects = GcsObjectStore(buckets)
    urls = (bigquery_url, buckets)
    lane = Lane("bigquery", urls, objects, lambda: BigQueryWarehouse(bigquery_url, objects))
    yield lane
    close(lane)


def close(lane: Lane) -> None:
    for warehouse in lane.opened:
        warehouse.close()
