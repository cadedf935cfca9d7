"""The warehouse in BigQuery alone: resources, jobs, what is read of a table, and faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from emulators.credentials import PROJECT
from emulators.stack import GoogleStack
from eventpulse.adapters.tables_bigquery import (
    TEMPORARY,
    make_field,
    make_table,
    update_table,
    want_tables,
)
from eventpulse.adapters.warehouse_bigquery import BigQueryWarehouse
from eventpulse.errors import BackendUnavailable, LoadRejected, SettingInvalid, TableConflict
from eventpulse.ports import Column, DatasetTable, ObjectRef, RowCounts
from eventpulse.rows.digest import table_digest
from tests.adapters.failing_jobs import serve_failing_jobs
from tests.adapters.fault_proxy import FaultProxy
from tests.adapters.warehouse_lanes import File, Lane, make_job_id

pytest_plugins = ["tests.adapters.warehouse_lanes"]

TRIPS = DatasetTable(
    "trips",
    (
        Column("day", "date", required=True, description="Of departure."),
        Column("number", "string", required=True),
        Column("fare", "decimal", precision=10, scale=2),
        Column("weight", "decimal"),
        Column("speed", "number"),
        Column("doc", "json"),
    ),
    key=("day", "number"),
    partition_by="day",
    description="Trips by day.",
)


def trips(ingestion: str, count: int = 3) -> File:
    rows = [
        {"day": date(2026, 1, number + 1), "number": f"n{number}", "doc": "{}"}
        for number in range(count)
    ]
    return File(ingestion, rows)


# --- Resources ----------------------------------------------------------------------------------


def describe(table: DatasetTable) -> dict[str, Any]:
    return {each.title: each for each in want_tables(table)}


def test_the_curated_table_is_typed_partitioned_and_clustered() -> None:
    wanted = describe(TRIPS)["curated.trips"]
    fields = {field.name: field for field in wanted.fields}
    assert {name: (f.field_type, f.mode) for name, f in fields.items()} == {
        "day": ("DATE", "REQUIRED"),
        "number": ("STRING", "REQUIRED"),
        "fare": ("NUMERIC", "NULLABLE"),
        "weight": ("NUMERIC", "NULLABLE"),
        "speed": ("FLOAT", "NULLABLE"),
        "doc": ("JSON", "NULLABLE"),
        "_ingestion_id": ("STRING", "REQUIRED"),
        "_source_row": ("INTEGER", "REQUIRED"),
        "_source_sha256": ("STRING", "REQUIRED"),
        "_contract_version": ("STRING", "REQUIRED"),
        "_loaded_at": ("TIMESTAMP", "REQUIRED"),
    }
    assert (fields["fare"].precision, fields["fare"].scale) == (10, 2)
    assert fields["weight"].precision is None
    assert fields["day"].description == "Of departure."
    assert (wanted.partition.type_, wanted.partition.field) == ("MONTH", "day")
    assert wanted.clusters == ("day", "number")


def test_the_history_keeps_json_as_text_and_is_clustered_by_ingestion_too() -> None:
    wanted = describe(TRIPS)["history.rows_trips"]
    assert {field.name: field.field_type for field in wanted.fields}["doc"] == "STRING"
    assert wanted.clusters == ("day", "number", "_ingestion_id")
    assert wanted.partition is None


def test_temporary_tables_expire_and_others_do_not() -> None:
    for temporary in (True, False):
        wanted = want_tables(replace(TRIPS, temporary=temporary))
        expiries = [make_table(f"p.d.{each.name}", each).expires for each in wanted]
        assert len(expiries) == 3
        for expires in expiries:
            if temporary:
                assert timedelta(0) < expires - datetime.now(UTC) <= TEMPORARY
            else:
                assert expires is None


def test_a_temporary_table_that_is_asked_for_again_stays_for_another_day() -> None:
    [wanted, *_] = want_tables(replace(TRIPS, temporary=True))
    table = make_table("p.d.rows_trips", wanted)
    assert update_table(table, wanted) == []
    table.expires = datetime.now(UTC) + TEMPORARY / 3
    assert update_table(table, wanted) == ["expires"]
    assert table.expires > datetime.now(UTC) + TEMPORARY / 2


def test_a_timestamp_is_partitioned_by_day_and_other_types_not_at_all() -> None:
    at = Column("at", "timestamp")
    wanted = describe(DatasetTable("t", (at,), partition_by="at"))["curated.t"]
    assert wanted.partition.type_ == "DAY"
    assert wanted.clusters == ("_source_sha256", "_source_row")
    with pytest.raises(TableConflict):
        want_tables(DatasetTable("t", (Column("n", "integer"),), partition_by="n"))


def test_clusters_are_four_at_most_and_of_types_that_cluster() -> None:
    columns = tuple(Column(name, "string", required=True) for name in "abcde")
    clock = Column("clock", "time", required=True)
    table = DatasetTable("t", (clock, *columns), key=("clock", *"abcde"))
    assert describe(table)["curated.t"].clusters == ("a", "b", "c", "d")
    assert describe(table)["history.rows_t"].clusters == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("precision", "scale", "expected"),
    [(38, 9, "NUMERIC"), (29, 0, "NUMERIC"), (30, 0, "BIGNUMERIC"), (20, 10, "BIGNUMERIC")],
)
def test_a_decimal_is_numeric_where_it_fits(precision: int, scale: int, expected: str) -> None:
    column = Column("n", "decimal", precision=precision, scale=scale)
    assert make_field(column).field_type == expected


@pytest.mark.parametrize(
    "url",
    ["bigquery://", "bigquery://p/d", "bigquery://p?prefix=a-b", "bigquery://p?place=EU", "bq://p"],
)
def test_a_wrong_url_is_a_wrong_setting(url: str) -> None:
    objects: Any = None
    with pytest.raises(SettingInvalid):
        BigQueryWarehouse(url, objects)


# --- On the emulator ------------------------------------------------------------------------------


@pytest.fixture
def client(google_stack: GoogleStack) -> Iterator[bigquery.Client]:
    client = bigquery.Client(
        project=PROJECT,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": google_stack.environment["BIGQUERY_EMULATOR_HOST"]},
    )
    yield client
    client.close()  # type: ignore[no-untyped-call]


def prefix_of(lane: Lane) -> str:
    return lane.addresses[0].partition("prefix=")[2].partition("&")[0]


@pytest.mark.google
def test_tables_are_made_as_described(bigquery_lane: Lane, client: bigquery.Client) -> None:
    bigquery_lane.warehouse.ensure_tables(TRIPS)
    prefix = prefix_of(bigquery_lane)
    assert client.get_dataset(f"{prefix}_marts").location == "EU"
    curated = client.get_table(f"{prefix}_curated.trips")
    assert curated.description == "Trips by day."
    assert curated.labels["app"] == "eventpulse"
    assert curated.labels["dataset"] == "trips"
    assert curated.time_partitioning.type_ == "MONTH"
    assert curated.clustering_fields == ["day", "number"]
    modes = {field.name: field.mode for field in curated.schema}
    assert (modes["day"], modes["fare"]) == ("REQUIRED", "NULLABLE")


@pytest.mark.google
def test_jobs_carry_labels_and_tell_their_cost(
    bigquery_lane: Lane, client: bigquery.Client
) -> None:
    bigquery_lane.warehouse.ensure_tables(TRIPS)
    job_id = make_job_id()
    stats = bigquery_lane.load(TRIPS, trips("i1"), job_id=job_id)
    assert stats.rows == 3
    assert stats.bytes > 0
    assert stats.slot_ms > 0
    job = client.get_job(job_id, location="EU")
    assert job.labels == {
        "app": "eventpulse",
        "purpose": "load",
        "dataset": "trips",
        "job": job_id,
    }


@pytest.mark.google
def test_tables_are_read_alike_by_both_apis(bigquery_lane: Lane, google_stack: GoogleStack) -> None:
    bigquery_lane.add(TRIPS, trips("i1", count=30))
    storage = google_stack.environment["EVENTPULSE_EMULATOR_BIGQUERY_STORAGE"]
    url = f"{bigquery_lane.addresses[0]}&storage={quote(storage, safe='')}"
    reader = BigQueryWarehouse(url, bigquery_lane.objects)
    batches = reader.read_table("curated", "trips", TRIPS.columns)
    assert table_digest(batches, TRIPS.columns) == bigquery_lane.digest(TRIPS)
    assert bigquery_lane.warehouse.count_rows("curated", "trips") == 30
    reader.close()


# --- Faults ---------------------------------------------------------------------------------------


@pytest.fixture
def proxy(google_stack: GoogleStack) -> Iterator[FaultProxy]:
    with FaultProxy(google_stack.environment["BIGQUERY_EMULATOR_HOST"]) as proxy:
        yield proxy


@pytest.fixture
def proxied(bigquery_lane: Lane, proxy: FaultProxy) -> Iterator[BigQueryWarehouse]:
    """The lane's warehouse through the proxy, with little patience."""
    before, _, rest = bigquery_lane.addresses[0].partition("endpoint=")
    url = f"{before}endpoint={quote(proxy.url, safe='')}"
    assert "&" not in rest
    warehouse = BigQueryWarehouse(url, bigquery_lane.objects, patience=4.0)
    yield warehouse
    warehouse.close()


@pytest.mark.google
def test_faults_that_pass_are_not_noticed(
    bigquery_lane: Lane, proxy: FaultProxy, proxied: BigQueryWarehouse
) -> None:
    file = trips("i1")
    source = bigquery_lane.stage(file, TRIPS.columns)
    proxy.answer(503, times=2)
    proxy.reset()
    proxied.ensure_tables(TRIPS)
    proxy.answer(503, part="/jobs")
    proxy.reset(part="/jobs")
    assert proxied.load_rows(TRIPS, [source], make_job_id()).rows == 3
    proxy.answer(502, part="/jobs")
    assert proxied.publish(TRIPS, [file.activation], fence=1) == {"i1": RowCounts(3, 3)}
    proxy.answer(500, times=2)
    assert proxied.count_rows("curated", "trips") == 3


@pytest.mark.google
def test_a_load_whose_answer_was_lost_is_done_once(
    bigquery_lane: Lane, proxy: FaultProxy, proxied: BigQueryWarehouse
) -> None:
    proxied.ensure_tables(TRIPS)
    source = bigquery_lane.stage(trips("i1"), TRIPS.columns)
    proxy.swallow(method="POST", part="/jobs")
    assert proxied.load_rows(TRIPS, [source], make_job_id()).rows == 3
    assert bigquery_lane.history("trips") == 3


@pytest.mark.google
@pytest.mark.parametrize("status", [429, 503])
def test_faults_that_stay_are_unavailable_and_say_when_to_try_again(
    proxy: FaultProxy, proxied: BigQueryWarehouse, status: int
) -> None:
    proxy.answer(status, headers={"Retry-After": "17"}, times=1000)
    with pytest.raises(BackendUnavailable) as raised:
        proxied.ensure_tables(TRIPS)
    assert raised.value.retry_after == 17
    assert raised.value.fields["backend"] == "BigQuery"


# --- Jobs that fail -------------------------------------------------------------------------------

SOURCE = ObjectRef("staged", "rows.parquet", 1)


class NamedObjects:
    def uri(self, ref: ObjectRef) -> str:
        return f"gs://bucket/{ref.name}"


def warehouse_on(endpoint: str) -> BigQueryWarehouse:
    objects: Any = NamedObjects()
    return BigQueryWarehouse(f"bigquery://p?endpoint={endpoint}", objects, patience=0.5)


@pytest.mark.parametrize(
    "reason", ["backendError", "internalError", "rateLimitExceeded", "quotaExceeded", "stopped"]
)
def test_a_load_that_failed_for_now_has_spent_its_id(reason: str) -> None:
    with serve_failing_jobs(reason, "try again") as endpoint:
        with pytest.raises(BackendUnavailable) as raised:
            warehouse_on(endpoint).load_rows(TRIPS, [SOURCE], "a-job")
        assert raised.value.fields["job_spent"] is True
        assert raised.value.fields["problem"] == "try again"


@pytest.mark.parametrize("reason", ["invalid", "notFound", "accessDenied"])
def test_a_load_that_failed_for_good_is_rejected(reason: str) -> None:
    with serve_failing_jobs(reason, "no way") as endpoint:
        with pytest.raises(LoadRejected) as raised:
            warehouse_on(endpoint).load_rows(TRIPS, [SOURCE], "a-job")
        assert raised.value.fields["problem"] == "no way"
        assert raised.value.fields["job_id"] == "a-job"


@pytest.mark.parametrize(
    "message",
    [
        "Query error: Transaction is aborted due to concurrent update against table p:d.trips.",
        "Could not serialize access to table p:d.trips due to concurrent update",
    ],
)
def test_a_publish_that_met_another_is_to_be_tried_again(message: str) -> None:
    with (
        serve_failing_jobs("invalidQuery", message) as endpoint,
        pytest.raises(BackendUnavailable),
    ):
        warehouse_on(endpoint).publish(TRIPS, [], ["i1"], fence=1)


class _RunningJob:
    """A query that runs until it is cancelled, and a while longer."""

    state = "RUNNING"
    query = "CREATE OR REPLACE TABLE"

    def __init__(self) -> None:
        self.cancelled = False
        self.looks = 0

    def cancel(self, **_: Any) -> None:
        self.cancelled = True

    def done(self, **_: Any) -> bool:
        return self.cancelled and self.looks > 1

    def exception(self, **_: Any) -> None:
        self.looks += 1
        raise TimeoutError


def test_a_build_that_goes_on_without_its_function_is_cancelled_first() -> None:
    job, begun = _RunningJob(), list[str]()

    class Client:
        def query(self, query: str, job_id: str = "", **_: Any) -> Any:
            assert job_id == "earlier"
            begun.append(query)
            raise exceptions.Conflict("Already Exists: Job")  # type: ignore[no-untyped-call]

        def get_job(self, job_id: str, **_: Any) -> _RunningJob:
            return job

    warehouse = warehouse_on("http://127.0.0.1:1")
    warehouse.__dict__["_client"] = Client()
    warehouse._spend("sums", "earlier")
    assert begun == ["SELECT 1"]
    assert (job.cancelled, job.done()) == (True, True)
