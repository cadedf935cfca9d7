"""Warehouse: tables and their columns, names, and values that come back as they went in."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from eventpulse.errors import TableConflict
from eventpulse.ports import Column, DatasetTable, Warehouse
from eventpulse.rows.arrow import CURATED_COLUMNS, arrow_type
from eventpulse.rows.digest import table_digest
from tests.adapters.warehouse_lanes import LOADED, File, Lane

pytest_plugins = ["tests.adapters.warehouse_lanes"]

EVERY_TYPE = (
    Column("id", "integer", required=True, description="Counted from 1."),
    Column("text", "string"),
    Column("whole", "integer"),
    Column("real", "number"),
    Column("amount", "decimal"),
    Column("price", "decimal", precision=12, scale=2),
    Column("flag", "boolean"),
    Column("day", "date"),
    Column("at", "timestamp"),
    Column("clock", "time"),
    Column("doc", "json"),
)
TYPES = DatasetTable("types", EVERY_TYPE, key=("id",), description="One column of each type.")

VALUES: dict[str, list[Any]] = {
    "text": [
        "",
        " ",
        "NULL",
        "null",
        "NA",
        "\\N",
        "\\.",
        '"',
        '""',
        "a,b",
        "line\nline",
        "line\r\nline\r",
        "tab\tand 'quotes' \"both\"",
        "back\\slash",
        "größe Ωmega 数据 🙂",
        "e\u0301 and \u00e9",
        "\u200bzero width",
        "x" * 100_000,
    ],
    "whole": [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)],
    "real": [0.0, -0.0, 0.1, 1 / 3, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan],
    "amount": [
        Decimal("0"),
        Decimal("0.000000001"),
        Decimal("99999999999999999999999999999.999999999"),
        Decimal("-99999999999999999999999999999.999999999"),
    ],
    "price": [Decimal("9999999999.99"), Decimal("-0.01"), Decimal("1.50"), Decimal("0.00")],
    "flag": [True, False],
    "day": [date(1, 1, 1), date(1582, 10, 15), date(1970, 1, 1), date(2024, 2, 29), date.max],
    "at": [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
    "clock": [time(0, 0), time(23, 59, 59, 999999), time(12, 0, 0, 1)],
    "doc": [
        "null",
        "{}",
        "[]",
        '""',
        '"text"',
        "0",
        "-1.5e3",
        "true",
        '{"b": [1, 2.5, null], "a": {"ä": "\\u00fc\\n"}}',
        json.dumps({"deep": [[[[{"n": 9007199254740993}]]]]}),
    ],
}


def extreme_rows() -> list[dict[str, Any]]:
    """Each value in a row of its own, all else null; and a row with nothing but nulls."""
    cells = [(name, value) for name, values in VALUES.items() for value in values]
    rows = [{"id": number, name: value} for number, (name, value) in enumerate(cells, start=1)]
    return [*rows, {"id": 0}]


def test_every_value_comes_back_as_it_went_in(lane: Lane) -> None:
    file = File("extremes", extreme_rows())
    lane.add(TYPES, file)
    found = {row["id"]: row for row in lane.rows(TYPES)}
    for row in file.rows:
        for column in EVERY_TYPE:
            expected, value = row.get(column.name), found[row["id"]][column.name]
            if column.type == "json" and expected is not None:
                expected, value = json.loads(expected), json.loads(value)
            assert repr(value) == repr(expected) or value == expected, column
    assert len(found) == len(file.rows)


def test_the_digest_of_a_table_is_that_of_the_rows_loaded(lane: Lane) -> None:
    file = File("extremes", extreme_rows())
    lane.add(TYPES, file)
    assert lane.digest(TYPES) == table_digest([file.batch(EVERY_TYPE)], EVERY_TYPE)


@pytest.mark.google
def test_both_warehouses_show_one_digest(postgres_lane: Lane, bigquery_lane: Lane) -> None:
    old, new = extreme_rows(), [row for row in extreme_rows() if row["id"] % 2]
    files = [File("i1", old), File("i2", new), File("i3", [{"id": 3, "text": "last"}])]
    for lane in (postgres_lane, bigquery_lane):
        for file in files:
            lane.add(TYPES, file)
        lane.publish(TYPES, gone=["i2"])
    assert postgres_lane.digest(TYPES) == bigquery_lane.digest(TYPES)


def test_batches_are_typed_as_arrow_maps_the_columns(lane: Lane) -> None:
    lane.add(TYPES, File("extremes", extreme_rows()))
    columns = (*EVERY_TYPE, *CURATED_COLUMNS)
    batches = list(lane.warehouse.read_table("curated", "types", columns))
    for batch in batches:
        assert batch.schema.names == [column.name for column in columns]
        assert batch.schema.types == [arrow_type(column) for column in columns]
    assert sum(batch.num_rows for batch in batches) == len(extreme_rows())


def test_a_curated_row_says_where_it_comes_from(lane: Lane) -> None:
    lane.add(TYPES, File("i1", [{"id": 7}], sha256="ab" * 32, version="2.1.0"))
    (row,) = lane.rows(TYPES, *CURATED_COLUMNS)
    assert [row[column.name] for column in CURATED_COLUMNS] == ["i1", 1, "ab" * 32, "2.1.0", LOADED]


def test_reads_can_be_limited_and_narrowed(lane: Lane) -> None:
    lane.add(TYPES, File("i1", [{"id": number} for number in range(50)]))
    columns = (Column("flag", "boolean"), Column("id", "integer"))
    batches = list(lane.warehouse.read_table("curated", "types", columns, limit=7))
    assert [batch.schema.names for batch in batches if batch.num_rows] == [["flag", "id"]]
    assert sum(batch.num_rows for batch in batches) == 7


def test_a_single_null_column_is_read_with_all_its_rows(lane: Lane) -> None:
    lane.add(TYPES, File("i1", [{"id": number} for number in range(5)]))
    batches = lane.warehouse.read_table("curated", "types", (Column("text", "string"),))
    assert [value for batch in batches for value in batch["text"].to_pylist()] == [None] * 5


def test_what_does_not_exist_is_empty(warehouse: Warehouse) -> None:
    assert list(warehouse.read_table("curated", "nothing", EVERY_TYPE)) == []
    assert warehouse.count_rows("curated", "nothing") == 0
    assert warehouse.preview("marts", "nothing", 5) == []
    assert warehouse.row_counts("nothing", ["i1"]) == {}
    warehouse.drop_dataset("nothing")


def test_preview_shows_values_as_json(lane: Lane) -> None:
    row = {
        "id": 1,
        "text": "a",
        "real": math.nan,
        "amount": Decimal("1.500000000"),
        "price": Decimal("120.00"),
        "flag": True,
        "day": date(2024, 2, 29),
        "at": datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC),
        "clock": time(1, 2, 3, 450000),
        "doc": '{"a": [1, null]}',
    }
    lane.add(TYPES, File("i1", [row]))
    (found,) = lane.warehouse.preview("curated", "types", 10)
    assert {name: found[name] for name in (*row, "whole", "_ingestion_id")} == {
        "id": 1,
        "text": "a",
        "real": "NaN",
        "amount": "1.5",
        "price": "120",
        "flag": True,
        "day": "2024-02-29",
        "at": "2024-02-29T01:02:03.000000Z",
        "clock": "01:02:03.450000",
        "doc": {"a": [1, None]},
        "whole": None,
        "_ingestion_id": "i1",
    }
    assert json.loads(json.dumps(found)) == found


# --- Tables -------------------------------------------------------------------------------------


def test_tables_can_be_ensured_again(lane: Lane) -> None:
    lane.add(TYPES, File("i1", [{"id": 1}]))
    for warehouse in (lane.warehouse, lane.another()):
        warehouse.ensure_tables(TYPES)
    assert [row["id"] for row in lane.rows(TYPES)] == [1]


def test_a_new_column_is_null_in_the_rows_before_it(lane: Lane) -> None:
    before = DatasetTable("grown", (Column("id", "integer", required=True),), key=("id",))
    lane.add(before, File("old", [{"id": 1}]))
    added = (Column("note", "string", required=True, description="New."), Column("n", "decimal"))
    after = DatasetTable("grown", (*before.columns, *added), key=("id",))
    lane.add(after, File("new", [{"id": 2, "note": "here", "n": Decimal("1.5")}]))
    rows = sorted(lane.rows(after), key=lambda row: row["id"])
    assert [row["note"] for row in rows] == [None, "here"]
    assert [row["n"] for row in rows] == [None, Decimal("1.5")]


def test_a_column_that_is_required_no_more_may_be_null(lane: Lane) -> None:
    columns = (Column("id", "integer", required=True), Column("note", "string", required=True))
    lane.add(DatasetTable("eased", columns, key=("id",)), File("i1", [{"id": 1, "note": "a"}]))
    eased = DatasetTable("eased", (columns[0], Column("note", "string")), key=("id",))
    lane.add(eased, File("i2", [{"id": 2, "note": None}]))
    assert {row["note"] for row in lane.rows(eased)} == {"a", None}


def test_a_column_that_the_contract_drops_may_be_missing(lane: Lane) -> None:
    columns = (Column("id", "integer", required=True), Column("gone", "string", required=True))
    lane.add(DatasetTable("cut", columns, key=("id",)), File("i1", [{"id": 1, "gone": "a"}]))
    cut = DatasetTable("cut", columns[:1], key=("id",))
    lane.add(cut, File("i2", [{"id": 2}]))
    assert sorted(row["id"] for row in lane.rows(cut)) == [1, 2]


@pytest.mark.parametrize(
    "changed",
    [Column("note", "integer"), Column("note", "json"), Column("note", "timestamp")],
    ids=lambda column: column.type,
)
def test_a_column_never_changes_its_type(lane: Lane, changed: Column) -> None:
    key = Column("id", "integer", required=True)
    lane.add(
        DatasetTable("typed", (key, Column("note", "string")), key=("id",)),
        File("i1", [{"id": 1, "note": "a"}]),
    )
    with pytest.raises(TableConflict) as raised:
        lane.warehouse.ensure_tables(DatasetTable("typed", (key, changed), key=("id",)))
    assert raised.value.fields["column"] == "note"
    assert lane.warehouse.count_rows("curated", "typed") == 1


WIDENED: list[tuple[str, str, list[Any], list[Any]]] = [
    ("integer", "number", [5, -7, None], [5.0, -7.0, None]),
    ("integer", "string", [5, -7, None], ["5", "-7", None]),
    ("number", "string", [1.5, -0.25, 100.0, None], ["1.5", "-0.25", "100", None]),
    ("boolean", "string", [True, False, None], ["true", "false", None]),
    (
        "date",
        "timestamp",
        [date(2026, 1, 31), date(1969, 12, 31), None],
        [datetime(2026, 1, 31, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC), None],
    ),
    ("date", "string", [date(2026, 1, 31), None], ["2026-01-31", None]),
    (
        "timestamp",
        "string",
        [datetime(2026, 1, 31, 8, 30, 1, 20, tzinfo=UTC), None],
        ["2026-01-31T08:30:01.000020Z", None],
    ),
    ("time", "string", [time(8, 30), time(23, 59, 59), None], ["08:30:00", "23:59:59", None]),
    ("json", "string", ['{"a":1}', None], [{"a": 1}, None]),
]


@pytest.mark.parametrize(
    ("narrow", "wide", "values", "expected"),
    WIDENED,
    ids=[f"{narrow} to {wide}" for narrow, wide, *_ in WIDENED],
)
def test_a_column_grows_with_its_values(
    lane: Lane, narrow: Any, wide: Any, values: list[Any], expected: list[Any]
) -> None:
    def table(type_: Any) -> DatasetTable:
        key = Column("id", "integer", required=True)
        about = Column("v", type_, description="What grows.")
        return DatasetTable("grown", (key, about), key=("id",), description="It grows.")

    rows = [{"id": number, "v": value} for number, value in enumerate(values)]
    lane.add(table(narrow), File("i1", rows))
    lane.warehouse.ensure_tables(table(wide))
    lane.warehouse.ensure_tables(table(wide))
    found = sorted(lane.rows(table(wide)), key=lambda row: row["id"])
    shown = [row["v"] for row in found]
    if narrow == "json":
        shown = [None if each is None else json.loads(each) for each in shown]
    assert shown == expected
    new = expected[0] if narrow != "json" else "{}"
    lane.add(table(wide), File("i2", [{"id": 100, "v": new}], created=LOADED))
    lane.publish(table(wide), gone=["i2"])
    assert len(lane.rows(table(wide))) == len(values), "the history has grown too"
    with pytest.raises(TableConflict):
        lane.warehouse.ensure_tables(table(narrow))


def test_a_column_that_keys_orders_or_partitions_does_not_grow(lane: Lane) -> None:
    def table(type_: Any) -> DatasetTable:
        columns = (Column("id", "integer", required=True), Column("at", type_))
        return DatasetTable("ordered", columns, key=("id",), ordering="at")

    lane.warehouse.ensure_tables(table("date"))
    with pytest.raises(TableConflict) as raised:
        lane.warehouse.ensure_tables(table("timestamp"))
    assert raised.value.fields["column"] == "at"


def test_whole_numbers_that_a_number_would_round_stay_whole(lane: Lane) -> None:
    def table(type_: Any) -> DatasetTable:
        columns = (Column("id", "integer", required=True), Column("n", type_))
        return DatasetTable("exact", columns, key=("id",))

    lane.add(table("integer"), File("i1", [{"id": 1, "n": 2**53 + 1}]))
    with pytest.raises(TableConflict, match="2\\^53"):
        lane.warehouse.ensure_tables(table("number"))
    assert [row["n"] for row in lane.rows(table("integer"))] == [2**53 + 1]


def test_a_partitioned_and_clustered_table_grows(lane: Lane) -> None:
    def table(type_: Any) -> DatasetTable:
        columns = (
            Column("id", "string", required=True),
            Column("day", "date", required=True),
            Column("n", type_, required=True),
        )
        return DatasetTable("parted", columns, key=("id", "day"), partition_by="day")

    rows = [{"id": "a", "day": date(2026, 1, day), "n": day} for day in (1, 2)]
    lane.add(table("integer"), File("i1", rows))
    lane.warehouse.ensure_tables(table("string"))
    lane.add(table("string"), File("i2", [{"id": "b", "day": date(2026, 2, 1), "n": "x"}]))
    assert sorted(row["n"] for row in lane.rows(table("string"))) == ["1", "2", "x"]


def test_a_decimal_never_changes_its_precision(lane: Lane) -> None:
    def table(precision: int) -> DatasetTable:
        columns = (
            Column("id", "integer", required=True),
            Column("price", "decimal", precision=precision, scale=2),
        )
        return DatasetTable("priced", columns, key=("id",))

    lane.warehouse.ensure_tables(table(10))
    lane.warehouse.ensure_tables(table(10))
    with pytest.raises(TableConflict) as raised:
        lane.warehouse.ensure_tables(table(8))
    assert raised.value.fields["column"] == "price"


def test_a_table_never_changes_its_key(lane: Lane) -> None:
    columns = (Column("a", "integer", required=True), Column("b", "integer", required=True))
    lane.warehouse.ensure_tables(DatasetTable("keyed", columns, key=("a",)))
    for key in (("a", "b"), ("b",), ()):
        with pytest.raises(TableConflict) as raised:
            lane.warehouse.ensure_tables(DatasetTable("keyed", columns, key=key))
        assert raised.value.fields["column"] == "primary key"


@pytest.mark.parametrize("type_", ["number", "json"])
def test_a_key_is_of_a_type_that_compares_exactly(lane: Lane, type_: Any) -> None:
    table = DatasetTable("inexact", (Column("k", type_, required=True),), key=("k",))
    with pytest.raises(TableConflict):
        lane.warehouse.ensure_tables(table)


def test_a_dropped_dataset_can_be_made_anew(lane: Lane) -> None:
    lane.add(TYPES, File("i1", [{"id": 1}]))
    lane.warehouse.drop_dataset("types")
    assert lane.warehouse.count_rows("curated", "types") == 0
    assert lane.warehouse.row_counts("types", ["i1"]) == {}
    other = DatasetTable("types", (Column("name", "string", required=True),), key=("name",))
    lane.add(other, File("i2", [{"name": "a"}]))
    assert [row["name"] for row in lane.rows(other)] == ["a"]


# --- Names --------------------------------------------------------------------------------------

AWKWARD_NAMES = ["select", "order", "größe", "a-b", "with space", "MixedCase", "数据"]


@pytest.mark.parametrize("dataset", ["order", "my-data", "Mixed"])
def test_names_are_quoted(lane: Lane, dataset: str) -> None:
    columns = tuple(Column(name, "string", required=True) for name in AWKWARD_NAMES)
    table = DatasetTable(dataset, columns, key=("select", "a-b"), ordering="order")
    old = {name: "1" for name in AWKWARD_NAMES}
    new = old | {"order": "2", "größe": "groß"}
    lane.add(table, File("i1", [new]))
    counts = lane.add(table, File("i2", [old, old | {"select": "other"}]))
    assert (counts["i2"].accepted, counts["i2"].current) == (2, 1)
    assert sorted(row["größe"] for row in lane.rows(table)) == ["1", "groß"]
    assert len(lane.warehouse.preview("curated", dataset, 5)) == 2
