"""Warehouse: load jobs. All rows or none, and once per job id, whatever happens on the way."""

from __future__ import annotations

import base64
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from eventpulse.errors import BooksUnbalanced, LoadRejected
from eventpulse.ports import Column, DatasetTable, ObjectRef
from eventpulse.rows.arrow import SOURCE_COLUMNS
from tests.adapters.warehouse_lanes import File, Lane, make_job_id, to_parquet

pytest_plugins = ["tests.adapters.warehouse_lanes"]

SALES = DatasetTable(
    "sales",
    (
        Column("id", "integer", required=True),
        Column("shop", "string", required=True),
        Column("total", "decimal", precision=10, scale=2),
        Column("note", "string"),
    ),
    key=("id",),
)


def sales(ingestion: str, count: int = 3, first: int = 1) -> File:
    rows = [{"id": number, "shop": "north"} for number in range(first, first + count)]
    return File(ingestion, rows)


@pytest.fixture(autouse=True)
def tables(lane: Lane) -> None:
    lane.warehouse.ensure_tables(SALES)


def test_a_job_loads_all_its_objects(lane: Lane) -> None:
    files = [sales(f"i{number}", count=number, first=10 * number) for number in (1, 2, 3)]
    stats = lane.load(SALES, *files)
    assert stats.rows == 6
    assert stats.bytes > 0
    assert lane.history("sales") == 6
    counts = lane.publish(SALES, *files)
    assert sorted(row["id"] for row in lane.rows(SALES)) == [10, 20, 21, 30, 31, 32]
    assert {name: (each.accepted, each.current) for name, each in counts.items()} == {
        "i1": (1, 1),
        "i2": (2, 2),
        "i3": (3, 3),
    }


def test_an_object_without_rows_is_loaded(lane: Lane) -> None:
    empty = File("i1", [])
    assert lane.load(SALES, empty).rows == 0
    assert lane.publish(SALES, empty)["i1"].current == 0


def test_an_object_with_many_row_groups_is_loaded(lane: Lane) -> None:
    assert lane.load(SALES, sales("i1", count=20_000)).rows == 20_000
    assert lane.history("sales") == 20_000


def test_loading_alone_shows_nothing(lane: Lane) -> None:
    lane.load(SALES, sales("i1"))
    assert lane.rows(SALES) == []
    assert lane.warehouse.row_counts("sales", ["i1"]) == {}


def test_a_job_id_that_succeeded_answers_again_and_adds_nothing(lane: Lane) -> None:
    source, other = (lane.stage(sales(name), SALES.columns) for name in ("i1", "i2"))
    job_id = make_job_id()
    stats = lane.warehouse.load_rows(SALES, [source], job_id)
    assert lane.another().load_rows(SALES, [source], job_id) == stats
    assert lane.warehouse.load_rows(SALES, [other], job_id) == stats
    assert lane.history("sales") == 3


def test_one_of_many_runs_of_a_job_adds_the_rows(lane: Lane) -> None:
    source = lane.stage(sales("i1", count=2000), SALES.columns)
    job_id = make_job_id()
    warehouses = [lane.another() for _ in range(6)]
    with ThreadPoolExecutor(len(warehouses)) as pool:
        runs = [pool.submit(each.load_rows, SALES, [source], job_id) for each in warehouses]
    assert [run.result().rows for run in runs] == [2000] * 6
    assert lane.history("sales") == 2000


def test_a_job_that_was_killed_in_the_middle_is_done_once(lane: Lane) -> None:
    sources = [lane.stage(sales(name, count=5000), SALES.columns) for name in ("i1", "i2")]
    job_id = make_job_id()
    names = [f"{source.name}@{source.generation}" for source in sources]
    table = base64.b64encode(pickle.dumps(SALES)).decode()
    url, objects = lane.addresses
    command = [sys.executable, "-m", "tests.adapters.killed_loader", lane.kind, url, objects]
    process = subprocess.run([*command, job_id, table, *names], timeout=120, check=False)
    assert process.returncode == -signal.SIGKILL
    assert lane.warehouse.load_rows(SALES, sources, job_id).rows == 10_000
    assert lane.history("sales") == 10_000


# --- Refusals -----------------------------------------------------------------------------------


def test_a_refused_job_adds_nothing_and_its_id_is_spent(lane: Lane) -> None:
    good = lane.stage(sales("i1"), SALES.columns)
    bad = lane.put(b"this is no Parquet")
    job_id = make_job_id()
    for sources in ([good, bad], [good, bad], [good]):
        with pytest.raises(LoadRejected) as raised:
            lane.warehouse.load_rows(SALES, sources, job_id)
        assert raised.value.fields["job_id"] == job_id
        assert raised.value.fields["problem"]
    assert lane.history("sales") == 0
    assert lane.warehouse.load_rows(SALES, [good], make_job_id()).rows == 3


def refuse(lane: Lane, source: ObjectRef) -> str:
    """The problem of a load that is refused, and adds none of the good rows beside it."""
    good = lane.stage(sales("good"), SALES.columns)
    with pytest.raises(LoadRejected) as raised:
        lane.warehouse.load_rows(SALES, [good, source], make_job_id())
    assert lane.history("sales") == 0
    return str(raised.value.fields["problem"])


def test_null_in_a_required_column_is_refused(lane: Lane) -> None:
    columns = [Column(column.name, column.type) for column in SALES.columns]
    batch = File("i1", [{"id": 1, "shop": None}]).batch(columns)
    batch = batch.set_column(2, "total", pa.array([None], pa.decimal128(10, 2)))
    assert "shop" in refuse(lane, lane.put(to_parquet(batch)))


def test_null_in_the_key_is_refused(lane: Lane) -> None:
    keyed = DatasetTable("keyed", (Column("id", "integer"), Column("n", "integer")), key=("id",))
    lane.warehouse.ensure_tables(keyed)
    with pytest.raises(LoadRejected, match="id"):
        lane.load(keyed, File("i1", [{"id": 1}, {"id": None}]))
    assert lane.history("keyed") == 0


def test_an_object_that_is_gone_is_refused(lane: Lane) -> None:
    assert "gone.parquet" in refuse(lane, ObjectRef("staged", "gone.parquet", 1))


def test_a_missing_column_is_null_unless_it_is_required(lane: Lane) -> None:
    without_note = lane.put(to_parquet(sales("i1").batch(SALES.columns).drop_columns("note")))
    assert lane.warehouse.load_rows(SALES, [without_note], make_job_id()).rows == 3
    lane.publish(SALES, sales("i1"))
    assert [row["note"] for row in lane.rows(SALES)] == [None] * 3
    without_shop = lane.put(to_parquet(sales("i2").batch(SALES.columns).drop_columns("shop")))
    with pytest.raises(LoadRejected, match="shop"):
        lane.warehouse.load_rows(SALES, [without_shop], make_job_id())


def test_an_unknown_column_is_refused(lane: Lane) -> None:
    batch = sales("i1").batch((*SALES.columns, Column("surplus", "string")))
    assert "surplus" in refuse(lane, lane.put(to_parquet(batch)))


def test_a_value_of_another_type_is_refused(lane: Lane) -> None:
    columns = (Column("id", "string", required=True), *SALES.columns[1:])
    assert "id" in refuse(lane, lane.stage(File("i1", [{"id": "one", "shop": "north"}]), columns))


def test_the_history_keeps_what_the_staged_rows_say_of_their_source(lane: Lane) -> None:
    file = sales("i1", count=1)
    lane.load(SALES, file)
    batches = lane.warehouse.read_table("history", "rows_sales", SOURCE_COLUMNS)
    (found,) = [row for batch in batches for row in batch.to_pylist()]
    assert found == {
        "_ingestion_id": "i1",
        "_source_row": 1,
        "_source_sha256": "i1".ljust(64, "0"),
        "_source_created_at": file.created,
    }


def test_rows_that_were_never_published_are_discarded_and_no_others(lane: Lane) -> None:
    shown, left = sales("shown"), sales("left", first=10)
    lane.load(SALES, shown, left)
    lane.publish(SALES, shown)
    lane.load(SALES, left)
    with pytest.raises(BooksUnbalanced):
        lane.publish(SALES, left)
    for _ in range(2):
        lane.warehouse.discard_rows("sales", ["left", "shown", "other"])
        assert lane.history("sales") == 3
    lane.load(SALES, left)
    lane.publish(SALES, left)
    assert sorted(row["id"] for row in lane.rows(SALES)) == [1, 2, 3, 10, 11, 12]


def test_nothing_is_discarded_where_there_is_no_table(lane: Lane) -> None:
    lane.warehouse.discard_rows("nowhere", ["i1"])
