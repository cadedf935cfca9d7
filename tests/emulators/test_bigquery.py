"""The corrected BigQuery emulator, as google-cloud-bigquery sees it."""

from __future__ import annotations

import datetime
import io
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage
from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter, SchemaField

from emulators.stack import GoogleStack

pytestmark = pytest.mark.google

NOON = datetime.datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=datetime.UTC)
SCHEMA = [
    SchemaField("id", "STRING", "REQUIRED", description="the key"),
    SchemaField("n", "INTEGER"),
    SchemaField("amount", "NUMERIC", precision=12, scale=2),
    SchemaField("wide", "NUMERIC"),
    SchemaField("f", "FLOAT"),
    SchemaField("at", "TIMESTAMP"),
    SchemaField("day", "DATE"),
    SchemaField("ok", "BOOLEAN"),
    SchemaField("extra", "JSON"),
    SchemaField("tags", "STRING", "REPEATED"),
]
COLUMNS = {
    "id": pa.array(["a", "b"]),
    "n": pa.array([1, None], pa.int64()),
    "amount": pa.array([Decimal("1.25"), None], pa.decimal128(12, 2)),
    "wide": pa.array([Decimal("9" * 29 + "." + "9" * 9), Decimal("-1E-9")], pa.decimal128(38, 9)),
    "f": pa.array([float("inf"), -0.5]),
    "at": pa.array([NOON, None], pa.timestamp("us", "UTC")),
    "day": pa.array([datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]),
    "ok": pa.array([True, False]),
    "extra": pa.array(['{"k":[1]}', None]),
    "tags": pa.array([["x", "y"], []], pa.list_(pa.string())),
}

Put = Callable[..., str]


def ask(client: bigquery.Client, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement, or of a script's last SELECT."""
    config = bigquery.QueryJobConfig(query_parameters=list(parameters))
    rows = client.query(sql, job_config=config, retry=None, job_retry=None).result()
    return [tuple(row.values()) for row in rows]


def load(
    client: bigquery.Client, table: str, uris: list[str], job_id: str | None = None
) -> bigquery.LoadJob:
    parquet = bigquery.format_options.ParquetOptions()
    parquet.enable_list_inference = True
    config = bigquery.LoadJobConfig(
        source_format="PARQUET", write_disposition="WRITE_APPEND", parquet_options=parquet
    )
    target = f"{client.default_query_job_config.default_dataset}.{table}"
    job = client.load_table_from_uri(uris, target, job_id=job_id, job_config=config, retry=None)
    return job.result()


@pytest.fixture
def put(bucket: storage.Bucket) -> Put:
    """Puts a Parquet file into the bucket; answers its URI."""

    def put(columns: dict[str, pa.Array]) -> str:
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file, compression="zstd")
        blob = bucket.blob(f"staged/{uuid.uuid4()}.parquet")
        blob.upload_from_string(file.getvalue())
        return f"gs://{bucket.name}/{blob.name}"

    return put


@pytest.fixture
def table(warehouse: bigquery.Client, run: str) -> bigquery.Table:
    """Table ``t`` of SCHEMA, empty."""
    table = bigquery.Table(f"emulated.{run}.t", schema=SCHEMA)
    table.time_partitioning = bigquery.TimePartitioning(field="day")
    table.clustering_fields = ["id"]
    table.description, table.labels = "a table", {"contract": "orders"}
    warehouse.create_table(table)
    return warehouse.get_table(table)


# -- tables --------------------------------------------------------------------------------


def test_a_table_is_described_as_it_was_created(table: bigquery.Table) -> None:
    assert table.schema == SCHEMA
    assert table.time_partitioning.field == "day"
    assert table.clustering_fields == ["id"]
    assert (table.description, table.labels) == ("a table", {"contract": "orders"})
    assert table.num_rows == 0


def test_a_schema_may_grow_and_relax_and_nothing_else(
    warehouse: bigquery.Client, table: bigquery.Table
) -> None:
    relaxed = [SchemaField("id", "STRING", "NULLABLE"), *SCHEMA[1:], SchemaField("more", "DATE")]
    table.schema = relaxed
    table = warehouse.update_table(table, ["schema"])
    ask(warehouse, "INSERT INTO t (id, more) VALUES (NULL, DATE '2026-01-01')")

    assert [field.name for field in warehouse.get_table(table).schema][-1] == "more"
    for refused in (
        relaxed[:-1],
        [*relaxed[:-1], SchemaField("more", "STRING")],
        [*relaxed, SchemaField("required", "STRING", "REQUIRED")],
    ):
        table.schema = refused
        with pytest.raises(exceptions.BadRequest, match="does not match"):
            warehouse.update_table(table, ["schema"])


def test_an_update_of_a_table_that_changed_since_is_refused(
    warehouse: bigquery.Client, table: bigquery.Table
) -> None:
    stale = warehouse.get_table(table)
    table.description = "first"
    warehouse.update_table(table, ["description"])
    stale.description = "second"

    with pytest.raises(exceptions.PreconditionFailed):
        warehouse.update_table(stale, ["description"])

    assert warehouse.get_table(table).description == "first"


def test_ddl_says_what_the_table_is(warehouse: bigquery.Client, run: str) -> None:
    ask(
        warehouse,
        "CREATE OR REPLACE TABLE m (k STRING NOT NULL OPTIONS(description='key'), d DATE, "
        "n NUMERIC(10, 2)) PARTITION BY d CLUSTER BY k, n "
        "OPTIONS(description='mart', labels=[('kind', 'mart')])",
    )
    ask(warehouse, "CREATE TABLE IF NOT EXISTS m (k STRING)")
    ask(warehouse, "ALTER TABLE m ADD COLUMN IF NOT EXISTS added NUMERIC(5, 1)")
    made = warehouse.get_table(f"emulated.{run}.m")

    assert [(f.name, f.field_type, f.mode, f.precision, f.scale) for f in made.schema] == [
        ("k", "STRING", "REQUIRED", None, None),
        ("d", "DATE", "NULLABLE", None, None),
        ("n", "NUMERIC", "NULLABLE", 10, 2),
        ("added", "NUMERIC", "NULLABLE", 5, 1),
    ]
    assert made.schema[0].description == "key"
    assert (made.time_partitioning.field, made.clustering_fields) == ("d", ["k", "n"])
    assert (made.description, made.labels) == ("mart", {"kind": "mart"})


def test_a_table_from_a_query_is_replaced_and_a_view_follows(
    warehouse: bigquery.Client, run: str
) -> None:
    ask(warehouse, "CREATE OR REPLACE VIEW v AS SELECT 1 AS n")
    for rows in (3, 2):
        ask(
            warehouse,
            "CREATE OR REPLACE TABLE m PARTITION BY d CLUSTER BY n OPTIONS(labels=[('a', 'b')]) "
            f"AS SELECT n, DATE '2026-01-01' AS d FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS n",
        )
        ask(warehouse, "CREATE OR REPLACE VIEW v AS SELECT n, d FROM m")
        made, view = (warehouse.get_table(f"emulated.{run}.{name}") for name in "mv")

        assert ask(warehouse, "SELECT COUNT(*) FROM v") == [(rows,)]
        assert (made.num_rows, made.labels, made.clustering_fields) == (rows, {"a": "b"}, ["n"])
        assert (view.table_type, "FROM" in view.view_query) == ("VIEW", True)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t (id) VALUES (NULL)",
        "INSERT INTO t (id, amount) VALUES ('x', NUMERIC '12345678901.5')",
        "INSERT INTO t (id, n) VALUES ('x', 'not a number')",
    ],
)
def test_rows_that_do_not_fit_are_refused(
    warehouse: bigquery.Client, table: bigquery.Table, sql: str
) -> None:
    with pytest.raises(exceptions.BadRequest):
        ask(warehouse, sql)


# -- load jobs -----------------------------------------------------------------------------


def test_a_load_maps_columns_by_name_and_counts_its_own_rows(
    warehouse: bigquery.Client, table: bigquery.Table, put: Put
) -> None:
    backwards = {name: COLUMNS[name] for name in reversed(COLUMNS)}
    first = load(warehouse, "t", [put(COLUMNS), put(backwards)])
    second = load(warehouse, "t", [put({"id": COLUMNS["id"]})])

    assert (first.output_rows, first.input_files, second.output_rows) == (4, 2, 2)
    assert ask(warehouse, "SELECT id, n FROM t WHERE n = 1") == [("a", 1), ("a", 1)]
    assert warehouse.get_table(table).num_rows == 6


def test_loaded_values_come_back_as_arrow_unchanged(
    warehouse: bigquery.Client, table: bigquery.Table, put: Put
) -> None:
    load(warehouse, "t", [put(COLUMNS)])
    read = warehouse.list_rows(table, page_size=1).to_arrow(create_bqstorage_client=False)
    queried = warehouse.query("SELECT * FROM t").to_arrow(create_bqstorage_client=False)

    for rows in (read, queried):
        assert rows.sort_by("id").to_pylist() == pa.table(COLUMNS).to_pylist()


def test_a_wildcard_loads_every_file(
    warehouse: bigquery.Client, table: bigquery.Table, put: Put
) -> None:
    folder = {put(COLUMNS).rpartition("/")[0] for _ in range(3)}.pop()

    assert load(warehouse, "t", [f"{folder}/*.parquet"]).output_rows == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": pa.array([None, "b"])}, "NOT NULL"),
        ({"id": None}, "Field id is missing"),
        ({"other": pa.array([1, 2])}, "Cannot add fields"),
        ({"n": pa.array(["1", "2"])}, "does not match the target type"),
        (
            {"amount": pa.array([Decimal(10**11), None], pa.decimal128(38, 0))},
            "Error while reading",
        ),
        ({"at": pa.array([NOON.replace(tzinfo=None), None], pa.timestamp("us"))}, "does not match"),
    ],
)
def test_a_load_that_does_not_fit_fails_and_leaves_nothing(
    warehouse: bigquery.Client,
    table: bigquery.Table,
    put: Put,
    change: dict[str, pa.Array | None],
    message: str,
) -> None:
    columns = {name: array for name, array in {**COLUMNS, **change}.items() if array is not None}
    with pytest.raises(exceptions.BadRequest, match=message):
        load(warehouse, "t", [put(COLUMNS), put(columns)])

    assert ask(warehouse, "SELECT COUNT(*) FROM t") == [(0,)]


def test_a_missing_file_is_not_found(
    warehouse: bigquery.Client, table: bigquery.Table, bucket: storage.Bucket
) -> None:
    with pytest.raises(exceptions.NotFound, match="Not found: URI"):
        load(warehouse, "t", [f"gs://{bucket.name}/missing.parquet"])


def test_a_job_id_is_good_once(
    warehouse: bigquery.Client, table: bigquery.Table, put: Put, run: str
) -> None:
    uri = put(COLUMNS)
    load(warehouse, "t", [uri], job_id=f"{run}-load")
    with pytest.raises(exceptions.BadRequest):
        load(warehouse, "t", [put({"n": COLUMNS["n"]})], job_id=f"{run}-failed")
    warehouse.query("SELECT 1", job_id=f"{run}-query", job_retry=None).result()

    for spent in (f"{run}-load", f"{run}-failed", f"{run}-query"):
        with pytest.raises(exceptions.Conflict):
            load(warehouse, "t", [uri], job_id=spent)
        with pytest.raises(exceptions.Conflict):
            warehouse.query("SELECT 1", job_id=spent, retry=None, job_retry=None)
    assert warehouse.get_job(f"{run}-load").output_rows == 2
    assert warehouse.get_job(f"{run}-failed").error_result["reason"] == "invalid"
    assert ask(warehouse, "SELECT COUNT(*) FROM t") == [(2,)]


def test_of_16_concurrent_loads_with_one_job_id_exactly_one_runs(
    warehouse: bigquery.Client, table: bigquery.Table, put: Put, run: str
) -> None:
    uri = put(COLUMNS)

    def try_load(_: int) -> bool:
        try:
            load(warehouse, "t", [uri], job_id=run)
        except exceptions.Conflict:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(try_load, range(16))).count(True) == 1

    assert ask(warehouse, "SELECT COUNT(*) FROM t") == [(2,)]


def test_a_job_has_its_labels_and_its_time(warehouse: bigquery.Client) -> None:
    config = bigquery.QueryJobConfig(labels={"ingestion": "i1"})
    job = warehouse.query("SELECT 1", job_config=config)
    job.result()
    found = warehouse.get_job(job.job_id)

    assert found.labels == {"ingestion": "i1"}
    assert found.slot_millis > 0
    assert found.total_bytes_processed == 0


# -- scripts -------------------------------------------------------------------------------


@pytest.fixture
def numbers(warehouse: bigquery.Client) -> None:
    """Table ``x`` with n = 1, 2, 3 and s = 'a'."""
    ask(warehouse, "CREATE TABLE x (n INT64, s STRING)")
    ask(warehouse, "INSERT INTO x SELECT n, 'a' FROM UNNEST([1, 2, 3]) AS n")


def list_numbers(client: bigquery.Client) -> list[int]:
    return [row[0] for row in ask(client, "SELECT n FROM x ORDER BY n")]


@pytest.mark.usefixtures("numbers")
def test_a_transaction_s_changes_come_together_and_the_last_select_is_the_result(
    warehouse: bigquery.Client,
) -> None:
    result = ask(
        warehouse,
        "CREATE TEMP TABLE touched AS SELECT DISTINCT n FROM x WHERE n IN UNNEST(@keys); "
        "BEGIN TRANSACTION; "
        "DELETE FROM x WHERE EXISTS (SELECT 1 FROM touched AS t WHERE t.n = x.n); "
        "INSERT INTO x (n, s) SELECT n * 10, @text FROM touched; "
        "COMMIT TRANSACTION; "
        "SELECT COUNT(*), @@row_count FROM touched;",
        ArrayQueryParameter("keys", "INT64", [1, 2]),
        ScalarQueryParameter("text", "STRING", "it's"),
    )

    assert result == [(2, 2)]
    assert list_numbers(warehouse) == [3, 10, 20]
    assert ask(warehouse, "SELECT DISTINCT s FROM x WHERE n > 9") == [("it's",)]


@pytest.mark.usefixtures("numbers")
@pytest.mark.parametrize(
    "rest", ["SELECT ERROR('boom'); COMMIT TRANSACTION;", "SELECT 1;", "ROLLBACK TRANSACTION;"]
)
def test_a_transaction_that_is_not_committed_changes_nothing(
    warehouse: bigquery.Client, rest: str
) -> None:
    script = f"BEGIN TRANSACTION; DELETE FROM x WHERE TRUE; {rest}"
    if "ERROR" in rest:
        with pytest.raises(exceptions.BadRequest, match="boom"):
            ask(warehouse, script)
    else:
        ask(warehouse, script)

    assert list_numbers(warehouse) == [1, 2, 3]


@pytest.mark.usefixtures("numbers")
def test_a_handler_rolls_back_and_raises_again(warehouse: bigquery.Client) -> None:
    script = (
        "BEGIN BEGIN TRANSACTION; DELETE FROM x WHERE TRUE; SELECT ERROR('boom'); "
        "COMMIT TRANSACTION; EXCEPTION WHEN ERROR THEN ROLLBACK TRANSACTION; {} END"
    )

    ((seen,),) = ask(warehouse, script.format("SELECT @@error.message;"))
    with pytest.raises(exceptions.BadRequest, match="boom"):
        ask(warehouse, script.format("RAISE;"))

    assert "boom" in seen
    assert list_numbers(warehouse) == [1, 2, 3]


@pytest.mark.usefixtures("numbers")
def test_nobody_sees_the_middle_of_a_transaction(warehouse: bigquery.Client) -> None:
    def move(step: int) -> int:
        if step % 2:
            return len(list_numbers(warehouse))
        ask(
            warehouse,
            "BEGIN TRANSACTION; DELETE FROM x WHERE TRUE; "
            "INSERT INTO x (n) SELECT n FROM UNNEST([4, 5, 6]) AS n; COMMIT TRANSACTION;",
        )
        return 3

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(move, range(16))) == {3}


@pytest.mark.usefixtures("numbers")
def test_assertions_hold_or_fail_the_script(warehouse: bigquery.Client) -> None:
    ask(warehouse, "ASSERT (SELECT COUNT(*) FROM x) = 3 AS 'three'")
    script = "BEGIN TRANSACTION; DELETE FROM x WHERE n = 1; {} COMMIT TRANSACTION;"

    with pytest.raises(exceptions.BadRequest, match="books do not balance"):
        ask(
            warehouse,
            script.format("ASSERT (SELECT COUNT(*) FROM x) = 3 AS 'books do not balance';"),
        )

    assert list_numbers(warehouse) == [1, 2, 3]


@pytest.mark.usefixtures("numbers")
def test_permanent_ddl_is_refused_in_a_transaction(warehouse: bigquery.Client) -> None:
    with pytest.raises(exceptions.BadRequest, match="DDL statements are not supported"):
        ask(warehouse, "BEGIN TRANSACTION; CREATE TABLE y (n INT64); COMMIT TRANSACTION;")


@pytest.mark.usefixtures("numbers")
def test_merge_changes_inserts_and_deletes(warehouse: bigquery.Client) -> None:
    merge = (
        "MERGE x AS t USING (SELECT * FROM UNNEST(@rows) AS n) AS s ON t.n = s.n "
        "WHEN MATCHED AND t.n = 2 THEN UPDATE SET s = 'changed' "
        "WHEN NOT MATCHED THEN INSERT (n, s) VALUES (s.n, 'new') "
        "WHEN NOT MATCHED BY SOURCE THEN DELETE"
    )

    ask(warehouse, merge, ArrayQueryParameter("rows", "INT64", [2, 3, 4]))

    expected = [(2, "changed"), (3, "a"), (4, "new")]
    assert ask(warehouse, "SELECT n, s FROM x ORDER BY n") == expected
    with pytest.raises(exceptions.BadRequest, match="at most one source row"):
        ask(warehouse, merge, ArrayQueryParameter("rows", "INT64", [2, 2]))
    assert ask(warehouse, "SELECT n, s FROM x ORDER BY n") == expected


def test_the_winner_of_each_key_is_picked_by_a_window(warehouse: bigquery.Client) -> None:
    winners = ask(
        warehouse,
        "SELECT * EXCEPT (o) FROM (SELECT 'a' AS k, 1 AS o, 'old' AS v UNION ALL "
        "SELECT 'a', 2, 'new' UNION ALL SELECT 'b', 1, 'only') WHERE TRUE "
        "QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY o DESC) = 1 ORDER BY k",
    )

    assert winners == [("a", "new"), ("b", "only")]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CAST('1.123456789' AS NUMERIC)", Decimal("1.123456789")),
        ("CAST('12345678901234567890.5' AS NUMERIC)", Decimal("12345678901234567890.5")),
        ("'DECIMAL'", "DECIMAL"),
        ("ARRAY_LENGTH(@none)", 0),
        ("TO_HEX(@raw)", "00ff"),
    ],
)
def test_values_of_expressions(warehouse: bigquery.Client, sql: str, expected: object) -> None:
    answer = ask(
        warehouse,
        f"SELECT {sql}",
        ArrayQueryParameter("none", "STRING", []),
        ScalarQueryParameter("raw", "BYTES", b"\x00\xff"),
    )

    assert answer == [(expected,)]


# -- restarts ------------------------------------------------------------------------------


@pytest.mark.slow
def test_tables_and_spent_job_ids_survive_a_sigkill(tmp_path: Path) -> None:
    with GoogleStack(tmp_path, services=["bigquery"]) as stack:

        def connect() -> bigquery.Client:
            endpoint = stack.environment["BIGQUERY_EMULATOR_HOST"]
            options = {"api_endpoint": endpoint}
            return bigquery.Client("p", AnonymousCredentials(), client_options=options)

        client = connect()
        client.create_dataset("d")
        ask(client, "CREATE TABLE d.t CLUSTER BY n AS SELECT 1 AS n")
        client.query("INSERT INTO d.t VALUES (2)", job_id="once", job_retry=None).result()
        stack.stop_service("bigquery", kill=True)
        stack.start_service("bigquery")
        client = connect()

        assert ask(client, "SELECT n FROM d.t ORDER BY n") == [(1,), (2,)]
        assert client.get_table("p.d.t").clustering_fields == ["n"]
        with pytest.raises(exceptions.Conflict):
            client.query("SELECT 1", job_id="once", retry=None, job_retry=None)
