"""Warehouse: marts. Views and tables of BigQuery's SQL, replaced as a whole."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from eventpulse.adapters.marts_sql import SqlRejected
from eventpulse.errors import BuildOvertaken
from eventpulse.ports import Column, DatasetTable
from tests.adapters.warehouse_lanes import File, Lane

pytest_plugins = ["tests.adapters.warehouse_lanes"]

ORDERS = DatasetTable(
    "order",
    (
        Column("id", "integer", required=True),
        Column("shop", "string"),
        Column("at", "timestamp"),
        Column("select", "integer"),
        Column("Weight", "number"),
        Column("total", "decimal", precision=12, scale=2),
    ),
    key=("id",),
)


def order(number: int, shop: str, total: str | None, weight: float | None = None) -> dict[str, Any]:
    return {
        "id": number,
        "shop": shop,
        "at": datetime(2026, 3, 1, 23, 30, tzinfo=UTC),
        "select": number * 10,
        "Weight": weight,
        "total": None if total is None else Decimal(total),
    }


FILE = File("i1", [order(1, "n", "1.50", 0.5), order(2, "n", "2.25"), order(3, "s", None, 1.5)])


@pytest.fixture(autouse=True)
def orders(lane: Lane) -> None:
    lane.add(ORDERS, FILE)


def preview(lane: Lane, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lane.warehouse.preview("marts", name, 100)
    return sorted(rows, key=repr)


def test_columns_and_their_types_are_told(lane: Lane) -> None:
    lane.warehouse.replace_view(
        "v",
        "SELECT shop, COUNT(*) AS n, COUNTIF(id > 1) AS c, SUM(id) AS s, AVG(Weight) AS w,"
        " SUM(total) AS t,"
        " MAX(DATE(at)) AS d, MIN(at) AS at FROM curated.order GROUP BY shop",
    )
    assert lane.warehouse.column_types("marts", "v") == {
        "shop": "string",
        "n": "integer",
        "c": "integer",
        "s": "integer",
        "w": "number",
        "t": "decimal",
        "d": "date",
        "at": "timestamp",
    }
    assert lane.warehouse.column_types("curated", "order")["select"] == "integer"
    assert lane.warehouse.column_types("marts", "nothing") == {}


def test_a_row_of_numbers_is_measured(lane: Lane) -> None:
    lane.warehouse.replace_table("shops", "SELECT shop, total FROM curated.order")
    asked = """
        SELECT COUNT(*) AS n, COUNTIF(total IS NULL), MAX(total) AS m, SUM(IF(FALSE, 1, NULL)) AS x
        FROM marts.shops
    """
    assert lane.warehouse.measure("shops", asked) == [3, 1, 2.25, None]
    assert lane.warehouse.measure(
        "shops", "SELECT COUNTIF(NOT REGEXP_CONTAINS(`shop`, '^(?:n)$')) FROM marts.`shops`"
    ) == [1]
    with pytest.raises(SqlRejected, match="shops"):
        lane.warehouse.measure("shops", "SELECT COUNT(nothing) FROM marts.shops")


def test_the_rows_of_a_select_are_tabulated(lane: Lane) -> None:
    asked = """
        SELECT shop, COUNT(*) AS n, DIV(EXTRACT(MINUTE FROM TIMESTAMP '2026-01-01 00:37:00+00'), 15)
          AS part, TIMESTAMP_TRUNC(TIMESTAMP '2026-01-01 00:37:00+00', HOUR) AS hour
        FROM curated.order GROUP BY shop ORDER BY shop
    """
    hour = {"part": 2, "hour": "2026-01-01T00:00:00.000000Z"}
    rows = [{"shop": "n", "n": 2, **hour}, {"shop": "s", "n": 1, **hour}]
    assert lane.warehouse.tabulate("orders", asked, 10) == rows
    assert lane.warehouse.tabulate("orders", asked, 1) == rows[:1]
    assert lane.warehouse.tabulate("orders", "SELECT a FROM curated.nothing", 1) == []
    with pytest.raises(SqlRejected, match="orders"):
        lane.warehouse.tabulate("orders", "SELECT nothing FROM curated.order", 1)


def test_a_view_follows_its_tables(lane: Lane) -> None:
    lane.warehouse.replace_view(
        "shops", "SELECT shop, COUNT(*) AS n FROM curated.order GROUP BY shop"
    )
    assert preview(lane, "shops") == [{"shop": "n", "n": 2}, {"shop": "s", "n": 1}]
    lane.add(ORDERS, File("i2", [order(4, "s", None)]))
    assert preview(lane, "shops") == [{"shop": "n", "n": 2}, {"shop": "s", "n": 2}]
    assert lane.warehouse.count_rows("marts", "shops") == 2


def test_a_table_stays_until_it_is_replaced(lane: Lane) -> None:
    sql = "SELECT shop, COUNT(*) AS n FROM curated.order GROUP BY shop"
    assert lane.warehouse.replace_table("shops", sql).rows == 2
    lane.add(ORDERS, File("i2", [order(4, "w", None)]))
    assert lane.warehouse.count_rows("marts", "shops") == 2
    assert lane.warehouse.replace_table("shops", sql).rows == 3
    assert lane.warehouse.count_rows("marts", "shops") == 3


def test_output_columns_have_the_types_that_bigquery_gives_them(lane: Lane) -> None:
    lane.warehouse.replace_view(
        "types",
        """
        SELECT
          shop,
          COUNT(*) AS orders,
          COUNTIF(total > 2) AS large,
          SUM(`select`) AS whole_sum,
          AVG(`select`) AS whole_mean,
          SUM(Weight) AS real_sum,
          SUM(total) AS decimal_sum,
          SUM(`select`) / COUNT(*) AS ratio,
          SAFE_DIVIDE(1, COUNTIF(total > 1000)) AS nothing,
          MAX(at) AS last,
          DATE(MAX(at)) AS last_day,
          EXTRACT(YEAR FROM MAX(at)) AS year,
          LOGICAL_OR(Weight IS NULL) AS unweighed,
          CAST(MIN(id) AS STRING) AS first
        FROM curated.`order`
        GROUP BY shop
        """,
    )
    assert preview(lane, "types")[0] == {
        "shop": "n",
        "orders": 2,
        "large": 1,
        "whole_sum": 30,
        "whole_mean": 15.0,
        "real_sum": 0.5,
        "decimal_sum": "3.75",
        "ratio": 15.0,
        "nothing": None,
        "last": "2026-03-01T23:30:00.000000Z",
        "last_day": "2026-03-01",
        "year": 2026,
        "unweighed": True,
        "first": "1",
    }
    for row in preview(lane, "types"):
        assert isinstance(row["whole_sum"], int)
        assert isinstance(row["whole_mean"], float)


def test_marts_are_read_as_arrow(lane: Lane) -> None:
    lane.warehouse.replace_view("doubled", "SELECT id, total + total AS twice FROM curated.order")
    columns = (Column("twice", "decimal", precision=12, scale=2), Column("id", "integer"))
    batches = list(lane.warehouse.read_table("marts", "doubled", columns))
    rows = sorted((row["id"], row["twice"]) for batch in batches for row in batch.to_pylist())
    assert rows == [(1, Decimal("3.00")), (2, Decimal("4.50")), (3, None)]


def test_a_mart_reads_other_marts(lane: Lane) -> None:
    lane.warehouse.replace_view("big", "SELECT id, shop FROM curated.order WHERE id > 1")
    lane.warehouse.replace_table(
        "pairs",
        """
        WITH big AS (SELECT shop, id FROM marts.big)
        SELECT o.shop, o.id AS left_id, big.id AS right_id
        FROM curated.order AS o JOIN big ON big.shop = o.shop
        WHERE o.id < big.id
        """,
    )
    assert preview(lane, "pairs") == [{"shop": "n", "left_id": 1, "right_id": 2}]


def test_a_mart_that_another_reads_can_be_replaced(lane: Lane) -> None:
    lane.warehouse.replace_view("base", "SELECT id, shop FROM curated.order")
    lane.warehouse.replace_view("middle", "SELECT id FROM marts.base")
    lane.warehouse.replace_view("top", "SELECT COUNT(*) AS n FROM marts.middle")
    lane.warehouse.replace_view("base", "SELECT 'new' AS note, id FROM curated.order WHERE id < 3")
    assert preview(lane, "top") == [{"n": 2}]
    lane.warehouse.replace_table("base", "SELECT id FROM curated.order WHERE id = 1")
    assert preview(lane, "top") == [{"n": 1}]
    lane.warehouse.replace_view("base", "SELECT id FROM curated.order")
    assert preview(lane, "top") == [{"n": 3}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT missing FROM curated.order",
        "SELECT id FROM curated.nothing",
        "SELECT id FROM",
        "SELECT shop + 1 AS n FROM curated.order",
    ],
)
@pytest.mark.parametrize("kind", ["view", "table"])
def test_sql_that_cannot_run_leaves_the_old_mart(lane: Lane, sql: str, kind: str) -> None:
    lane.warehouse.replace_view("kept", "SELECT 1 AS one")
    replace = lane.warehouse.replace_view if kind == "view" else lane.warehouse.replace_table
    with pytest.raises(SqlRejected) as raised:
        replace("kept", sql)
    assert raised.value.fields["name"] == "kept"
    assert raised.value.fields["problem"]
    assert preview(lane, "kept") == [{"one": 1}]


def test_names_in_a_mart_are_those_of_the_contract(lane: Lane) -> None:
    lane.warehouse.replace_view(
        "mixed", "SELECT `select` AS `from`, Weight AS MixedCase FROM curated.order AS `group`"
    )
    assert preview(lane, "mixed")[0] == {"from": 10, "MixedCase": 0.5}


def test_a_belated_build_of_a_table_changes_nothing(lane: Lane) -> None:
    first, second, third = (f"build-{uuid.uuid4()}" for _ in range(3))
    replace = lane.warehouse.replace_table
    replace("late", "SELECT 1 AS n", build=first)
    replace("late", "SELECT 3 AS n", build=third, over=[first, second])
    for _ in range(2):
        with pytest.raises(BuildOvertaken) as raised:
            replace("late", "SELECT 2 AS n", build=second, over=[first])
        assert raised.value.fields == {"name": "late", "build": second}
    assert preview(lane, "late") == [{"n": 3}]


def test_readers_of_a_table_see_the_old_or_the_new(lane: Lane) -> None:
    reader = lane.another()
    small = "SELECT id, 1 AS generation FROM curated.order"
    large = "SELECT n AS id, 2 AS generation FROM UNNEST(GENERATE_ARRAY(1, 500)) AS n"
    lane.warehouse.replace_table("swapped", small)
    seen: set[int] = set()
    done = threading.Event()

    def read_on() -> None:
        while not done.is_set():
            seen.add(reader.count_rows("marts", "swapped"))

    thread = threading.Thread(target=read_on)
    thread.start()
    try:
        for _ in range(4):
            lane.warehouse.replace_table("swapped", large)
            lane.warehouse.replace_table("swapped", small)
    finally:
        done.set()
        thread.join()
    assert seen <= {3, 500}
    assert 3 in seen
