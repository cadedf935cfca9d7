"""Warehouse: which rows the curated table shows, and that nobody ever sees a part of a publish."""

from __future__ import annotations

import itertools
import math
import random
import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from eventpulse.contracts.rules import LONGEST_KEY
from eventpulse.errors import BooksUnbalanced, PublishOvertaken
from eventpulse.ports import Activation, Column, ColumnType, DatasetTable, RowCounts
from tests.adapters.warehouse_lanes import CREATED, LOADED, WAREHOUSES, File, Lane, Row
from tests.adapters.warehouse_model import Model, comparable
from tests.properties import examples

pytest_plugins = ["tests.adapters.warehouse_lanes"]

PRICES = DatasetTable(
    "prices",
    (
        Column("sku", "string", required=True),
        Column("shop", "integer", required=True),
        Column("changed", "timestamp"),
        Column("price", "decimal", precision=10, scale=2),
    ),
    key=("sku", "shop"),
    ordering="changed",
)
EVENTS = DatasetTable("events", (Column("text", "string"),))


@pytest.fixture(params=[*WAREHOUSES, "postgres_many"])
def lane(request: pytest.FixtureRequest) -> Lane:
    lane: Lane = request.getfixturevalue(f"{request.param}_lane")
    return lane


def day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)


def price(sku: str, changed: int | None, amount: int, shop: int = 1) -> dict[str, Any]:
    at = None if changed is None else day(changed)
    return {"sku": sku, "shop": shop, "changed": at, "price": Decimal(amount)}


def shown(lane: Lane, table: DatasetTable = PRICES) -> dict[str, int]:
    return {row["sku"]: int(row["price"]) for row in lane.rows(table)}


def test_the_longest_key_that_a_row_may_have_is_held(lane: Lane) -> None:
    """Beside other columns of the key, and however badly its text packs."""
    texts = [Column(f"text_{n}", "string", required=True) for n in range(2)]
    others = [
        *(Column(f"n_{n}", "decimal", required=True, precision=38, scale=9) for n in range(8)),
        *(Column(f"at_{n}", "timestamp", required=True) for n in range(8)),
    ]
    columns = (*texts, *others)
    table = DatasetTable("long_keys", columns, key=tuple(column.name for column in columns))
    part = random.Random(1).randbytes(LONGEST_KEY // 4).hex()
    row: Row = {
        **{column.name: part for column in texts},
        **{c.name: Decimal("9" * 29 + "." + "9" * 9) for c in others if c.type == "decimal"},
        **{c.name: day(1) for c in others if c.type == "timestamp"},
    }
    assert sum(len(row[column.name]) for column in texts) == LONGEST_KEY
    for ingestion in ("i1", "i2"):
        lane.add(table, File(ingestion, [row]))
    assert len(lane.rows(table)) == 1


def test_the_greatest_by_the_ordering_column_is_shown(lane: Lane) -> None:
    newer = File("new", [price("a", 9, 90), price("b", 1, 10)], created=CREATED)
    later = File(
        "late", [price("a", 5, 50), price("b", 5, 50)], created=CREATED + timedelta(days=1)
    )
    lane.add(PRICES, newer)
    counts = lane.add(PRICES, later)
    assert shown(lane) == {"a": 90, "b": 50}
    assert counts == {"late": RowCounts(2, 1)}
    assert lane.warehouse.row_counts("prices", ["new", "late", "other"]) == {
        "new": RowCounts(2, 1),
        "late": RowCounts(2, 1),
    }


def test_one_ingestion_may_have_a_key_more_than_once(lane: Lane) -> None:
    counts = lane.add(
        PRICES, File("both", [price("a", 2, 20), price("a", 1, 10), price("b", 1, 5)])
    )
    assert shown(lane) == {"a": 20, "b": 5}
    assert counts == {"both": RowCounts(3, 2)}


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"created": CREATED}, {"created": CREATED + timedelta(microseconds=1)}),
        ({"sha256": "9" * 64}, {"sha256": "a" * 64}),
        ({"sha256": "0" * 64}, {"sha256": "0" * 64, "ingestion": "z"}),
    ],
    ids=["creation", "sha256", "ingestion"],
)
@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "reversed"])
def test_ties_are_broken_in_any_order(
    lane: Lane, less: dict[str, Any], more: dict[str, Any], reverse: bool
) -> None:
    loser = replace(File("y", [price("a", 1, 1)], sha256="0" * 64), **less)
    winner = replace(File("x", [price("a", 1, 2)], sha256="0" * 64), **more)
    for file in (winner, loser) if reverse else (loser, winner):
        lane.add(PRICES, file)
    assert shown(lane) == {"a": 2}


def test_within_a_file_the_later_record_wins(lane: Lane) -> None:
    counts = lane.add(PRICES, File("i1", [price("a", 1, 1), price("a", 1, 2), price("a", None, 3)]))
    assert shown(lane) == {"a": 2}
    assert counts["i1"].superseded == 2


@pytest.mark.parametrize(
    ("type_", "ascending"),
    [
        ("integer", [None, -5, 0, 7]),
        ("number", [None, math.nan, -math.inf, -0.5, 0.0, 2.5, math.inf]),
        ("decimal", [None, Decimal("-1.5"), Decimal("2"), Decimal("10")]),
        ("string", [None, "", "B", "a", "b", "ab"[::-1], "é", "🙂"]),
        ("boolean", [None, False, True]),
        ("date", [None, date(1969, 1, 1), date(2026, 1, 1)]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_ordering_column_may_have_many_types(
    lane: Lane, type_: ColumnType, ascending: list[Any]
) -> None:
    columns = (Column("k", "integer", required=True), Column("o", type_), Column("v", "integer"))
    table = DatasetTable("ordered", columns, key=("k",), ordering="o")
    files = [
        File(f"i{place}", [{"k": 1, "o": value, "v": place}], created=CREATED - timedelta(place))
        for place, value in enumerate(ascending)
    ]
    lane.warehouse.ensure_tables(table)
    lane.load(table, *files)
    for before, after in itertools.pairwise(files):
        lane.publish(table, before, after)
        assert [row["v"] for row in lane.rows(table)] == [after.rows[0]["v"]]
        lane.publish(table, gone=[before.ingestion, after.ingestion])


def test_keys_are_compared_exactly(lane: Lane) -> None:
    skus = ["a", "A", "a ", "", "é", "e\u0301", "ß", "ss", "\u200b"]
    lane.add(PRICES, File("i1", [price(sku, 1, number) for number, sku in enumerate(skus)]))
    assert shown(lane) == {sku: number for number, sku in enumerate(skus)}


def test_every_order_of_publishes_gives_one_table(lane: Lane) -> None:
    files = [
        File("i1", [price("a", 1, 11), price("b", 3, 13), price("c", 2, 12)]),
        File("i2", [price("a", 2, 22), price("b", 2, 22), price("d", 1, 21)]),
        File("i3", [price("a", 2, 32), price("c", 2, 32), price("d", None, 30)]),
    ]
    outcomes = set()
    for number, order in enumerate(itertools.permutations(files)):
        table = replace(PRICES, dataset=f"prices_{number}")
        lane.warehouse.ensure_tables(table)
        lane.load(table, *files)
        for file in order:
            lane.publish(table, file)
        counts = lane.warehouse.row_counts(table.dataset, ["i1", "i2", "i3"])
        outcomes.add((lane.digest(table), tuple(sorted(counts.items()))))
    assert len(outcomes) == 1


def test_publishing_again_changes_nothing(lane: Lane) -> None:
    first, second = File("i1", [price("a", 1, 1)]), File("i2", [price("a", 2, 2), price("b", 1, 3)])
    lane.add(PRICES, first)
    before = lane.add(PRICES, second), lane.digest(PRICES)
    assert (lane.publish(PRICES, second), lane.digest(PRICES)) == before
    assert (lane.publish(PRICES, second, gone=["i2"]), lane.digest(PRICES)) == before
    assert lane.warehouse.row_counts("prices", ["i1"]) == {"i1": RowCounts(1, 0)}


def test_retracting_a_file_is_as_if_it_had_never_been(lane: Lane) -> None:
    kept = File("kept", [price("a", 1, 1), price("b", 2, 2)])
    lane.add(PRICES, kept)
    before = lane.digest(PRICES)
    lane.add(PRICES, File("gone", [price("a", 9, 9), price("b", 1, 9), price("c", 1, 9)]))
    assert shown(lane) == {"a": 9, "b": 2, "c": 9}
    assert lane.publish(PRICES, gone=["gone"]) == {}
    assert lane.digest(PRICES) == before
    assert lane.warehouse.row_counts("prices", ["kept", "gone"]) == {"kept": RowCounts(2, 2)}
    lane.publish(PRICES, gone=["kept"])
    assert lane.rows(PRICES) == []


def test_a_replay_takes_the_place_of_the_first_run(lane: Lane) -> None:
    first = File("first", [price("a", 1, 1), price("b", 1, 1)], sha256="f" * 64)
    other = File("other", [price("b", 1, 5)], created=CREATED - timedelta(days=1))
    replay = replace(first, ingestion="replay", rows=[price("a", 1, 8)], version="2.0.0")
    lane.add(PRICES, first)
    lane.add(PRICES, other)
    lane.load(PRICES, replay)
    counts = lane.publish(PRICES, replay, gone=["first"])
    assert shown(lane) == {"a": 8, "b": 5}
    assert counts == {"replay": RowCounts(1, 1)}
    assert lane.warehouse.row_counts("prices", ["first", "other"]) == {"other": RowCounts(1, 1)}


def test_an_activation_that_says_something_new_is_shown(lane: Lane) -> None:
    lane.add(PRICES, File("i1", [price("a", 1, 1)]))
    again = Activation("i1", "3.0.0", LOADED + timedelta(days=1), 1)
    assert lane.warehouse.publish(PRICES, [again], fence=0) == {"i1": RowCounts(1, 1)}
    more = (Column("_contract_version", "string"), Column("_loaded_at", "timestamp"))
    (row,) = lane.rows(PRICES, *more)
    assert (row["_contract_version"], row["_loaded_at"]) == ("3.0.0", again.loaded_at)


def test_without_a_key_every_record_of_every_content_is_shown(lane: Lane) -> None:
    rows: list[Row] = [{"text": "same"}, {"text": "same"}, {"text": None}]
    first = File("i1", rows, sha256="1" * 64)
    lane.add(EVENTS, first)
    lane.add(EVENTS, File("i2", rows, sha256="2" * 64))
    assert len(lane.rows(EVENTS)) == 6
    same = replace(first, ingestion="i3", created=CREATED + timedelta(days=1))
    assert lane.add(EVENTS, same) == {"i3": RowCounts(3, 3)}
    assert len(lane.rows(EVENTS)) == 6
    assert lane.warehouse.row_counts("events", ["i1", "i2"]) == {
        "i1": RowCounts(3, 0),
        "i2": RowCounts(3, 3),
    }


def test_several_ingestions_are_published_at_once(lane: Lane) -> None:
    files = [File(f"i{n}", [price("a", n, n), price(f"only {n}", 1, n)]) for n in (1, 2, 3)]
    counts = lane.add(PRICES, *files)
    assert counts == {"i1": RowCounts(2, 1), "i2": RowCounts(2, 1), "i3": RowCounts(2, 2)}
    assert shown(lane) == {"a": 3, "only 1": 1, "only 2": 2, "only 3": 3}


def test_nothing_to_publish_changes_nothing(lane: Lane) -> None:
    lane.add(PRICES, File("i1", [price("a", 1, 1)]))
    assert lane.warehouse.publish(PRICES, [], fence=0) == {}
    assert lane.warehouse.publish(PRICES, [], ["unknown"], fence=0) == {}
    assert shown(lane) == {"a": 1}


def test_a_belated_publish_changes_nothing(lane: Lane) -> None:
    first, later = File("i1", [price("a", 2, 2)]), File("i2", [price("b", 1, 1)])
    lane.warehouse.ensure_tables(PRICES)
    lane.load(PRICES, first, later)
    lane.publish(PRICES, first, fence=3)
    assert lane.publish(PRICES, first, fence=3) == {"i1": RowCounts(1, 1)}
    lane.publish(PRICES, later, gone=["i1"], fence=5)
    for _ in range(2):
        with pytest.raises(PublishOvertaken) as raised:
            lane.publish(PRICES, first, fence=3)
        assert raised.value.fields == {"dataset": "prices", "fence": 3}
    assert shown(lane) == {"b": 1}
    assert lane.warehouse.row_counts("prices", ["i1"]) == {}
    assert lane.publish(PRICES, first, fence=6) == {"i1": RowCounts(1, 1)}


@pytest.mark.parametrize("accepted", [1, 3])
def test_books_that_do_not_balance_change_nothing(lane: Lane, accepted: int) -> None:
    before = File("before", [price("a", 1, 1)])
    lane.add(PRICES, before)
    wrong = File("wrong", [price("a", 2, 2), price("b", 2, 2)])
    lane.load(PRICES, wrong)
    activations = [before.activation, replace(wrong.activation, rows_accepted=accepted)]
    with pytest.raises(BooksUnbalanced) as raised:
        lane.warehouse.publish(PRICES, activations, ["before"], fence=0)
    assert "wrong" in str(raised.value.fields["subject"])
    assert raised.value.fields["counts"] == {"rows_accepted": accepted, "rows_loaded": 2}
    assert shown(lane) == {"a": 1}
    assert lane.warehouse.row_counts("prices", ["before", "wrong"]) == {"before": RowCounts(1, 1)}


def test_an_ingestion_that_was_never_loaded_is_unbalanced(lane: Lane) -> None:
    lane.warehouse.ensure_tables(PRICES)
    with pytest.raises(BooksUnbalanced):
        lane.warehouse.publish(PRICES, [Activation("nobody", "1.0.0", LOADED, 1)], fence=0)


@pytest.mark.parametrize("type_", ["date", "timestamp"])
@pytest.mark.parametrize("in_key", [True, False], ids=["in the key", "beside the key"])
def test_a_partition_is_only_a_matter_of_speed(lane: Lane, type_: ColumnType, in_key: bool) -> None:
    columns = (
        Column("d", type_, required=in_key),
        Column("k", "integer", required=True),
        Column("v", "integer"),
    )
    table = DatasetTable("parted", columns, key=("d", "k") if in_key else ("k",), partition_by="d")
    days: list[Any] = [date(1890, 5, 1), date(2026, 1, 1), date(2026, 2, 1)]
    if type_ == "timestamp":
        days = [datetime(each.year, each.month, each.day, tzinfo=UTC) for each in days]
    first: list[Row] = [{"d": d, "k": k, "v": 1} for k, d in enumerate(days)]
    lane.add(table, File("i1", first))
    moved: list[Row] = [{"d": days[2], "k": 0, "v": 2}, {"d": days[1], "k": 1, "v": 2}]
    lane.add(table, File("i2", moved, created=CREATED + timedelta(1)))
    found = sorted((row["k"], row["v"]) for row in lane.rows(table))
    assert found == ([(0, 1), (0, 2), (1, 2), (2, 1)] if in_key else [(0, 2), (1, 2), (2, 1)])


# --- Readers ------------------------------------------------------------------------------------


def test_a_reader_sees_all_of_a_publish_or_nothing(lane: Lane) -> None:
    first = File("i1", [price(f"sku {n}", 1, 1) for n in range(3000)])
    second = File("i2", [price(f"sku {n}", 2, 2) for n in range(1000, 4000)])
    lane.warehouse.ensure_tables(PRICES)
    lane.load(PRICES, first, second)
    reader = lane.another()
    columns = (*PRICES.columns, Column("_ingestion_id", "string"))
    seen: set[tuple[int, int]] = set()
    done = threading.Event()

    def read_on() -> None:
        while not done.is_set():
            batches = reader.read_table("curated", "prices", columns)
            names = [name for batch in batches for name in batch["_ingestion_id"].to_pylist()]
            seen.add((names.count("i1"), names.count("i2")))

    thread = threading.Thread(target=read_on)
    thread.start()
    try:
        for _ in range(3):
            lane.publish(PRICES, first)
            lane.publish(PRICES, second)
            lane.publish(PRICES, gone=["i1"])
            lane.publish(PRICES, gone=["i2"])
    finally:
        done.set()
        thread.join()
    assert seen <= {(0, 0), (3000, 0), (1000, 3000), (0, 3000)}
    assert len(seen) > 1


# --- Any files, in any order ----------------------------------------------------------------------

KEYED = DatasetTable(
    "any",
    (
        Column("a", "string", required=True),
        Column("b", "integer", required=True),
        Column("o", "number"),
        Column("v", "integer"),
    ),
    key=("a", "b"),
    ordering="o",
)

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "a": st.sampled_from(["x", "X", "", "é"]),
            "b": st.integers(0, 2),
            "o": st.sampled_from([None, math.nan, -1.0, 0.0, 1.5, math.inf]),
            "v": st.integers(0, 9),
        }
    ),
    max_size=8,
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[bool, list[File], list[tuple[list[int], list[int]]]]:
    """Whether there is a key, the files, and publishes by the files' numbers."""
    files = [
        File(
            f"i{number}",
            draw(ROWS),
            created=CREATED + timedelta(hours=draw(st.integers(0, 2))),
            sha256=draw(st.sampled_from("ab")) * 64,
            version=draw(st.sampled_from(["1.0.0", "1.1.0"])),
        )
        for number in range(draw(st.integers(1, 5)))
    ]
    some = st.lists(st.sampled_from(range(len(files))), unique=True, max_size=3)
    return draw(st.booleans()), files, draw(st.lists(st.tuples(some, some), min_size=1, max_size=6))


def check_against_model(
    lane: Lane, keyed: bool, files: Sequence[File], publishes: Sequence[tuple[list[int], list[int]]]
) -> None:
    table = replace(KEYED, dataset=f"any_{uuid.uuid4().hex}", key=KEYED.key if keyed else ())
    model = Model(table)
    names = [file.ingestion for file in files]
    lane.warehouse.ensure_tables(table)
    lane.load(table, *files)
    for activated, deactivated in publishes:
        active, gone = [files[n] for n in activated], [names[n] for n in deactivated]
        counts = lane.publish(table, *active, gone=gone)
        model.publish(active, gone)
        expected = model.counts()
        assert counts == {file.ingestion: expected[file.ingestion] for file in active}
        assert lane.warehouse.row_counts(table.dataset, names) == expected
        columns = [column.name for column in table.columns]
        assert comparable(lane.rows(table), columns) == comparable(model.rows(), columns)
    lane.warehouse.drop_dataset(table.dataset)


@examples(60, HealthCheck.function_scoped_fixture)
@given(histories())
def test_postgres_shows_what_the_model_shows(
    postgres_lane: Lane, history: tuple[bool, list[File], list[tuple[list[int], list[int]]]]
) -> None:
    check_against_model(postgres_lane, *history)


@pytest.mark.google
@examples(8, HealthCheck.function_scoped_fixture)
@given(histories())
def test_bigquery_shows_what_the_model_shows(
    bigquery_lane: Lane, history: tuple[bool, list[File], list[tuple[list[int], list[int]]]]
) -> None:
    check_against_model(bigquery_lane, *history)
