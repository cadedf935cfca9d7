"""The digest of a table depends on its rows, and on nothing else."""

from __future__ import annotations

import json
import math
import random
import struct
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.ports import Column, ColumnType
from eventpulse.rows.arrow import arrow_schema
from eventpulse.rows.digest import canonical_json, digest_tallies, table_digest, tally_rows

COLUMNS = (
    Column("id", "integer"),
    Column("name", "string"),
    Column("real", "number"),
    Column("price", "decimal", precision=10, scale=2),
    Column("flag", "boolean"),
    Column("day", "date"),
    Column("at", "timestamp"),
    Column("clock", "time"),
    Column("doc", "json"),
)
ROWS: list[dict[str, Any]] = [
    {
        "id": 1,
        "name": "größe",
        "real": 1.5,
        "price": Decimal("1.50"),
        "flag": True,
        "day": date(2024, 2, 29),
        "at": datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC),
        "clock": time(1, 2, 3, 4),
        "doc": '{"b": 1, "a": [null]}',
    },
    {"id": 2},
    {"id": 2},
    {"id": 3, "name": ""},
]

KNOWN = "0fcfdc5987f975831c51d120031b0b2d3c84726e265f5cb7fb9c6ae0b409a1e3"
KNOWN_EMPTY = "d4bbfa2e082915471c91f1d02a013686e20d9d75316958b3ebf030c4326d544d"

CELLS: dict[ColumnType, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=3),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "number": st.floats(),
    "boolean": st.booleans(),
    "date": st.dates(),
    "time": st.times(),
}


def batch_of(rows: list[dict[str, Any]], columns: tuple[Column, ...] = COLUMNS) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema(columns))


def digest_of(
    type_: ColumnType, *values: Any, precision: int | None = None, scale: int | None = None
) -> str:
    """Of a table with one column."""
    column = Column("c", type_, precision=precision, scale=scale)
    return table_digest([batch_of([{"c": value} for value in values], (column,))], (column,))


def test_the_digest_stays_what_it_is() -> None:
    assert table_digest([batch_of(ROWS)], COLUMNS) == KNOWN
    assert table_digest([], COLUMNS) == KNOWN_EMPTY


def test_order_and_batches_do_not_matter() -> None:
    shuffled = random.Random(7).sample(ROWS, len(ROWS))
    batches = [batch_of([]), batch_of(shuffled[:1]), batch_of(shuffled).slice(1)]
    assert table_digest(batches, tuple(reversed(COLUMNS))) == KNOWN


def test_other_columns_are_left_out() -> None:
    wider = (*COLUMNS, Column("_loaded_at", "timestamp"))
    rows = [{**row, "_loaded_at": datetime(2026, 1, 1, tzinfo=UTC)} for row in ROWS]
    assert table_digest([batch_of(rows, wider)], COLUMNS) == KNOWN


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_a_row_more_or_less_matters(number: int) -> None:
    less = ROWS[:number] + ROWS[number + 1 :]
    assert table_digest([batch_of(less)], COLUMNS) != KNOWN
    assert table_digest([batch_of([*ROWS, ROWS[number]])], COLUMNS) != KNOWN


@pytest.mark.parametrize("name", [column.name for column in COLUMNS])
def test_every_cell_matters(name: str) -> None:
    changed = [{**ROWS[0], name: None}, *ROWS[1:]]
    assert table_digest([batch_of(changed)], COLUMNS) != KNOWN


def test_names_and_types_matter() -> None:
    one, other = Column("a", "string"), Column("b", "string")
    number = Column("a", "integer")
    digests = {table_digest([batch_of([{c.name: None}], (c,))], (c,)) for c in (one, other, number)}
    assert len(digests) == 3


def test_null_is_not_empty_and_cells_do_not_run_together() -> None:
    columns = (Column("a", "string"), Column("b", "string"))
    tables = [("ab", ""), ("a", "b"), ("", "ab"), ("ab", None), (None, "ab"), ("", None)]
    digests = {table_digest([batch_of([{"a": a, "b": b}], columns)], columns) for a, b in tables}
    assert len(digests) == len(tables)
    assert digest_of("json", "null") != digest_of("json", None)


def test_all_nan_are_one_and_so_are_both_zeros() -> None:
    odd_nan = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000123))[0]
    assert digest_of("number", math.nan) == digest_of("number", odd_nan)
    assert digest_of("number", -0.0) == digest_of("number", 0.0)
    assert digest_of("number", 0.1 + 0.2) != digest_of("number", 0.3)
    assert digest_of("number", math.inf) != digest_of("number", -math.inf)


def test_a_decimal_is_its_value() -> None:
    price = digest_of("decimal", Decimal("1.5"), precision=10, scale=2)
    assert digest_of("decimal", Decimal("1.500000000")) == price
    assert digest_of("decimal", Decimal("1.5"), precision=38, scale=37) == price
    assert digest_of("decimal", Decimal("1.51")) != price
    assert digest_of("decimal", Decimal(10) ** 37, precision=38, scale=0)


def test_a_timestamp_is_its_moment() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert digest_of("timestamp", moment) == digest_of("timestamp", moment.astimezone(there))


@given(st.sampled_from(sorted(CELLS)).flatmap(lambda t: st.tuples(st.just(t), st.lists(CELLS[t]))))
def test_equal_multisets_have_equal_digests_and_others_do_not(
    drawn: tuple[ColumnType, list[Any]],
) -> None:
    type_, values = drawn
    assert digest_of(type_, *values) == digest_of(type_, *sorted(values, key=repr))
    doubled = digest_of(type_, *values, *values)
    assert (doubled == digest_of(type_, *values)) == (not values)


@given(st.lists(st.sampled_from(["", "a", "b", None]), max_size=6), st.data())
def test_digests_differ_as_multisets_do(left: list[str | None], data: st.DataObject) -> None:
    right = data.draw(st.lists(st.sampled_from(["", "a", "b", None]), max_size=6))
    assert (digest_of("string", *left) == digest_of("string", *right)) == (
        Counter(left) == Counter(right)
    )


def test_the_digest_is_that_of_its_parts_together() -> None:
    by = Column("of", "string")
    rows = [{**row, "of": "ab"[number % 2]} for number, row in enumerate(ROWS)]
    tallies = tally_rows(
        [batch_of(rows[:3], (*COLUMNS, by)), batch_of(rows[3:], (*COLUMNS, by))], COLUMNS, "of"
    )
    assert {name: each.rows for name, each in tallies.items()} == {"a": 2, "b": 2}
    assert digest_tallies(tallies.values(), COLUMNS) == KNOWN
    assert digest_tallies([], COLUMNS) == KNOWN_EMPTY


def test_a_large_table_is_hashed_in_parts() -> None:
    column = Column("c", "integer")
    numbers = pa.record_batch({"c": pa.array(range(100_000), pa.int64())})
    parts = [numbers.slice(start, 999) for start in range(0, 100_000, 999)]
    assert table_digest([numbers], (column,)) == table_digest(reversed(parts), (column,))


# --- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}'),
        ("[1.0, 1e2, -0.0]", "[1, 100, 0]"),
        ("0.1", "0.1000"),
        ("100000000000000000000", "1e20"),
        ('"\\u00fc\\n\\/"', '"ü\\n/"'),
        ('{"a": 1, "a": 2}', '{"a": 2}'),
        ("9007199254740993.0", "9007199254740992.0"),
    ],
)
def test_json_is_its_value(left: str, right: str) -> None:
    assert canonical_json(left) == canonical_json(right)
    assert digest_of("json", left) == digest_of("json", right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1", '"1"'),
        ("[1, 2]", "[2, 1]"),
        ("{}", "[]"),
        ("null", '"null"'),
        ("true", "1"),
        ("9007199254740993", "9007199254740992"),
        ("1e400", '"1e400"'),
        ("1e400", "-1e400"),
    ],
)
def test_other_json_is_another_value(left: str, right: str) -> None:
    assert canonical_json(left) != canonical_json(right)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{", "", "'a'"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        canonical_json(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_canonical_json_is_json_of_the_same_value(value: Any) -> None:
    canonical = canonical_json(json.dumps(value))
    assert canonical_json(canonical.decode(errors="surrogatepass")) == canonical
