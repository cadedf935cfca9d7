"""The warehouse in Postgres alone: what it cannot store, its faults, and who waits for whom."""

from __future__ import annotations

import random
import threading

import psycopg
import pyarrow as pa
import pytest

from eventpulse.adapters.warehouse_postgres import PostgresWarehouse
from eventpulse.errors import BackendUnavailable, LoadRejected, TableConflict
from eventpulse.ports import Column, DatasetTable, RowCounts
from tests.adapters.warehouse_lanes import File, Lane, make_job_id, to_parquet
from tests.postgres_server import PostgresServer
from tests.waiting import wait_until

pytest_plugins = ["tests.adapters.warehouse_lanes"]

ITEMS = DatasetTable("items", (Column("id", "integer", required=True),), key=("id",))


def items(ingestion: str, count: int = 3) -> File:
    return File(ingestion, [{"id": number} for number in range(count)])


@pytest.mark.parametrize(
    ("column", "value"),
    [(Column("text", "string"), "a\0b"), (Column("doc", "json"), '{"a": "\\u0000"}')],
    ids=["text", "json"],
)
def test_nul_cannot_be_stored(postgres_lane: Lane, column: Column, value: str) -> None:
    table = DatasetTable("nul", (column,))
    postgres_lane.warehouse.ensure_tables(table)
    with pytest.raises(LoadRejected, match="NUL character") as raised:
        postgres_lane.load(table, File("i1", [{column.name: "{}"}, {column.name: value}]))
    assert "(line 2" in raised.value.message


def test_a_key_that_no_index_holds_says_what_to_declare(postgres_lane: Lane) -> None:
    table = DatasetTable("long_keys", (Column("code", "string", required=True),), key=("code",))
    postgres_lane.warehouse.ensure_tables(table)
    rows = [{"code": "short"}, {"code": random.Random(1).randbytes(6_000).hex()}]
    for each in (File("i1", rows), File("i2", rows[::-1])):
        with pytest.raises(LoadRejected, match="declare a maxLength"):
            postgres_lane.load(table, each)
        postgres_lane.add(table, File(f"{each.ingestion}-short", rows[:1]))


def test_it_tells_no_values_in_a_refusal(postgres_lane: Lane) -> None:
    table = DatasetTable("secret", (Column("doc", "json"),))
    postgres_lane.warehouse.ensure_tables(table)
    with pytest.raises(LoadRejected) as raised:
        postgres_lane.load(table, File("i1", [{"doc": "hunter2"}]))
    assert "hunter2" not in raised.value.message
    assert "line 1, column doc" in raised.value.message


def test_it_takes_any_name_that_fits(postgres_lane: Lane) -> None:
    names = ['quote"d', "per%cent", "semi;--", "back\\slash", "it's", "%s", "{}"]
    columns = tuple(Column(name, "string", required=True) for name in names)
    dataset = "größe \"b'; DROP TABLE x --%s"
    table = DatasetTable(dataset, columns, key=tuple(names[:3]), ordering=names[3])
    postgres_lane.add(table, File("it's \\ %s", [{name: name for name in names}]))
    assert postgres_lane.rows(table) == [{name: name for name in names}]


def test_a_table_whose_key_a_view_relies_on_is_filled(
    postgres_many_lane: Lane, postgres_url: str
) -> None:
    lane = postgres_many_lane
    lane.warehouse.ensure_tables(ITEMS)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE VIEW one AS SELECT * FROM curated.items GROUP BY id")
    assert lane.add(ITEMS, items("first")) == {"first": RowCounts(3, 3)}


def test_the_key_still_holds_after_a_first_fill(
    postgres_many_lane: Lane, postgres_url: str
) -> None:
    postgres_many_lane.add(ITEMS, items("first"))
    with (
        psycopg.connect(postgres_url) as connection,
        pytest.raises(psycopg.errors.UniqueViolation, match="items_pkey"),
    ):
        connection.execute("INSERT INTO curated.items SELECT * FROM curated.items")


def test_it_refuses_a_name_that_it_would_cut(postgres_lane: Lane) -> None:
    for dataset, column in (("d" * 59, "a"), ("short", "ü" * 32)):
        table = DatasetTable(dataset, (Column(column, "string"),))
        with pytest.raises(TableConflict, match="63 bytes"):
            postgres_lane.warehouse.ensure_tables(table)


def test_a_year_that_no_reader_knows_is_refused(postgres_lane: Lane) -> None:
    table = DatasetTable("future", (Column("id", "integer"), Column("at", "timestamp")))
    postgres_lane.warehouse.ensure_tables(table)
    batch = File("i1", [{"id": 1}]).batch(table.columns)
    far = pa.array([2**62], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    source = postgres_lane.put(to_parquet(batch.set_column(1, batch.schema.field("at"), far)))
    with pytest.raises(LoadRejected, match="'at' has a time outside the years 1 to 9999"):
        postgres_lane.warehouse.load_rows(table, [source], make_job_id())


# --- Faults ---------------------------------------------------------------------------------------


def test_a_restarted_server_is_met_again(
    postgres_server: PostgresServer, postgres_lane: Lane
) -> None:
    postgres_lane.add(ITEMS, items("i1"))
    postgres_server.restart()
    assert postgres_lane.add(ITEMS, items("i2")) == {"i2": RowCounts(3, 3)}


def test_a_server_that_stays_away_is_unavailable(postgres_lane: Lane) -> None:
    away = PostgresWarehouse(
        "postgresql://postgres@127.0.0.1:1/nothing", postgres_lane.objects, patience=0.2
    )
    source = postgres_lane.stage(items("i1"), ITEMS.columns)
    with pytest.raises(BackendUnavailable):
        away.load_rows(ITEMS, [source], make_job_id())
    with pytest.raises(BackendUnavailable):
        list(away.read_table("curated", "items", ITEMS.columns))


def test_a_load_whose_session_is_ended_begins_anew(postgres_lane: Lane, postgres_url: str) -> None:
    """A lock holds the load until its session is gone."""
    postgres_lane.warehouse.ensure_tables(ITEMS)
    source = postgres_lane.stage(items("i1"), ITEMS.columns)
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        with psycopg.connect(postgres_url) as holder:
            holder.execute("LOCK TABLE history.rows_items")
            thread = threading.Thread(
                target=postgres_lane.warehouse.load_rows, args=(ITEMS, [source], make_job_id())
            )
            thread.start()
            wait_until(lambda: end_waiting(admin), "the load never waited for the lock")
        thread.join()
    assert postgres_lane.history("items") == 3


def end_waiting(admin: psycopg.Connection) -> bool:
    """End the sessions that wait for a lock; whether there was one."""
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(admin.execute(query).fetchall())


def test_publishes_of_a_dataset_come_one_after_the_other(postgres_lane: Lane) -> None:
    files = [items(f"i{number}", count=200) for number in range(6)]
    postgres_lane.warehouse.ensure_tables(ITEMS)
    postgres_lane.load(ITEMS, *files)
    threads = [
        threading.Thread(
            target=postgres_lane.another().publish,
            args=(ITEMS, [file.activation]),
            kwargs={"fence": 1},
        )
        for file in files
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = postgres_lane.warehouse.row_counts("items", [file.ingestion for file in files])
    assert [counts[file.ingestion].current for file in files] == [0] * 5 + [200]


def test_tables_are_ensured_by_many_at_once(postgres_lane: Lane) -> None:
    threads = [
        threading.Thread(target=postgres_lane.another().ensure_tables, args=(ITEMS,))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert postgres_lane.add(ITEMS, items("i1")) == {"i1": RowCounts(3, 3)}


def test_a_reader_that_stops_early_leaves_nothing_open(
    postgres_lane: Lane, postgres_url: str
) -> None:
    postgres_lane.add(ITEMS, items("i1", count=50_000))
    batches = postgres_lane.warehouse.read_table("curated", "items", ITEMS.columns)
    assert next(batches).num_rows > 0
    batches.close()
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with psycopg.connect(postgres_url, autocommit=True) as admin:

        def is_alone() -> bool:
            row = admin.execute(query + " AND query LIKE 'COPY%' AND state = 'active'").fetchone()
            return row == (0,)

        wait_until(is_alone, "the COPY goes on without a reader")
