"""Rows against a contract: every fault of every row, and books in which no row is missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import MASKED_CLASSIFICATIONS, Dialect, QualityRule
from eventpulse.contracts.rules import MASK
from eventpulse.ingestions.quality import Balance
from eventpulse.ports import Json
from eventpulse.rows.validation import SAMPLES_PER_RULE
from tests.properties import examples
from tests.unit.rows.row_checks import Cells, add_batch, cells_of, check, contract_of, field_of

# --- All rules of all rows -----------------------------------------------------------------------


def test_every_failing_rule_of_every_row_is_reported() -> None:
    contract = contract_of(
        field_of("integer", name="id", key_position=1),
        field_of(name="code", pattern="[A-Z]+", max_length=3, enum=("ABC",)),
        field_of("number", name="price", precision=9, scale=2, minimum="1"),
        field_of("date", name="day", required=True),
    )
    rows = [
        ["1", "abcd", "0.5", ""],
        ["", "ABC", "1.239", "2026-02-30"],
        ["2", "ABC", "1", "2026-01-31"],
    ]
    found = check(contract, rows)
    assert [(n, rule) for n, rule, _ in found.messages] == [
        (1, "maxLength"),
        (1, "pattern"),
        (1, "enum"),
        (1, "minimum"),
        (1, "required"),
        (2, "required"),
        (2, "logicalType"),
        (2, "logicalType"),
    ]
    assert found.accepted == {3: (2, "ABC", Decimal("1.00"), date(2026, 1, 31))}
    assert found.refused[1].row == {"id": "", "code": "ABC", "price": "1.239", "day": "2026-02-30"}


def test_one_bad_row_in_a_hundred_thousand_is_the_only_one_refused() -> None:
    contract = contract_of(
        field_of("integer", name="id", key_position=1),
        field_of("date", name="day"),
        field_of("number", name="price", precision=9, scale=2),
    )
    rows: list[Cells] = [[str(n), "2026-01-31", "1.50"] for n in range(100_000)]
    rows[77_777] = ["77777", "2026-02-31", "1.50"]
    found = check(contract, rows, batches=range(0, 100_000, 30_000))
    assert found.messages == [
        (77_778, "logicalType", "day='2026-02-31' is a day that does not exist.")
    ]
    assert len(found.accepted) == 99_999
    assert found.accepted[77_777][0] == 77_776
    assert found.accepted[77_779][0] == 77_778
    found.balance.check("the file")


def test_a_column_that_the_file_does_not_have_is_empty() -> None:
    contract = contract_of(field_of(name="a"), field_of("integer", name="b", required=True))
    found = check(contract, cells_of("x", "y"), header=["a"])
    assert [(n, rule) for n, rule, _ in found.messages] == [(1, "required"), (2, "required")]
    optional = contract_of(field_of(name="a"), field_of("integer", name="b"))
    assert check(optional, cells_of("x"), header=["a"]).accepted == {1: ("x", None)}


def test_columns_that_the_contract_does_not_know_go_to_the_quarantine_only() -> None:
    contract = contract_of(field_of("integer", name="a"))
    found = check(contract, [["u", "1", "v"], ["u", "x", "w"]], header=["new", "a", "more"])
    assert found.accepted == {1: (1,)}
    assert found.refused[0].row == {"new": "u", "a": "x", "more": "w"}


def test_null_markers_are_null_before_any_rule_is_asked() -> None:
    dialect = Dialect(null_markers=("", "NA", "-"))
    contract = contract_of(field_of("integer", name="a"), field_of(name="b"), dialect=dialect)
    found = check(contract, [["NA", "-"], ["-", ""], ["1", "na"]])
    assert found.accepted == {1: (None, None), 2: (None, None), 3: (1, "na")}


# --- Keys ----------------------------------------------------------------------------------------


KEYED = contract_of(
    field_of("integer", name="id", key_position=1), field_of("integer", name="n", maximum="9")
)


def test_the_first_row_with_a_key_stays() -> None:
    found = check(KEYED, [["1", "1"], ["2", "2"], ["1", "3"], ["2", "4"]])
    assert found.accepted == {1: (1, 1), 2: (2, 2)}
    assert [row.record for row in found.refused if row.duplicate] == [3, 4]


@pytest.mark.parametrize("batches", [[], [1], [2], [1, 2], [1, 2, 3]])
def test_a_faulty_row_never_takes_a_key(batches: list[int]) -> None:
    found = check(KEYED, [["1", "99"], ["1", "x"], ["1", "3"], ["1", "4"]], batches=batches)
    assert found.accepted == {3: (1, 3)}
    assert found.balance == Balance(
        rows_read=4, rows_accepted=1, rows_quarantined=2, rows_duplicate=1
    )


@pytest.mark.parametrize("batches", [[], [1], [2], [1, 2]])
def test_a_row_refused_for_one_key_never_takes_another(batches: list[int]) -> None:
    contract = contract_of(
        field_of("integer", name="id", key_position=1), field_of(name="mail", unique=True)
    )
    found = check(contract, [["1", "a"], ["2", "a"], ["2", "b"], ["1", "b"]], batches=batches)
    assert found.accepted == {1: (1, "a"), 3: (2, "b")}
    assert [(n, rule) for n, rule, _ in found.messages] == [
        (2, "unique"),
        (4, "primaryKey"),
        (4, "unique"),
    ]
    assert found.balance.rows_duplicate == 2


def test_keys_are_compared_as_values_of_their_type() -> None:
    contract = contract_of(field_of("timestamp", name="at", key_position=1))
    found = check(contract, cells_of("2026-01-31T08:30:00Z", "2026-01-31T10:30:00+02:00"))
    assert found.balance.rows_duplicate == 1
    text = contract_of(field_of(name="zip", key_position=1))
    assert check(text, cells_of("00501", "501", " 501")).balance.rows_duplicate == 0


def test_keys_of_several_columns_do_not_run_together() -> None:
    contract = contract_of(field_of(name="a", key_position=1), field_of(name="b", key_position=2))
    rows = [
        ["x", "yz"],
        ["xy", "z"],
        ["x\x1f", "y"],
        ["x", "\x1fy"],
        ["x\x1f1y", "z"],
        ["x", "y\x1f1z"],
    ]
    assert len(check(contract, rows).accepted) == len(rows)


def test_keys_are_unique_within_each_object_of_a_bundle() -> None:
    found = check(KEYED, [["1", "1"]])
    found.checker.begin_object(["n", "id"], [1, 0])
    add_batch(found, [["2", "1"], ["3", "1"]], [1, 2], [])
    assert found.balance.rows_duplicate == 1
    assert found.accepted == {1: (1, 2)}, "of the second object"


# --- Facts ---------------------------------------------------------------------------------------


def test_facts_of_columns() -> None:
    contract = contract_of(
        field_of("integer", name="n"), field_of("date", name="day"), field_of(name="s")
    )
    rows = [
        ["5", "2026-01-31", "b"],
        ["", "31/01/2026", "a"],
        ["1.5", "", ""],
        ["-2", "2026-01-01", "é"],
    ]
    n, day, s = check(contract, rows, batches=[2]).checker.describe_columns()
    named = ("name", "type", "cells", "nulls", "mistyped", "readings", "minimum", "maximum")
    assert [[each[name] for name in named] for each in (n, day, s)] == [
        ["n", "integer", 3, 1, 1, {"number": 1}, -2, 5],
        ["day", "date", 3, 1, 1, {"string": 1}, "2026-01-01", "2026-01-31"],
        ["s", "string", 3, 1, 0, {}, "a", "é"],
    ]


@pytest.mark.parametrize(
    ("type_", "cells", "minimum", "maximum"),
    [
        (
            "timestamp",
            ["2026-01-31T08:30:00Z", "0999-01-01T00:00:00Z"],
            "0999-01-01T00:00:00.000000Z",
            "2026-01-31T08:30:00.000000Z",
        ),
        ("time", ["08:30", "07:00:00.5"], "07:00:00.500000", "08:30:00"),
        ("boolean", ["true", "false"], None, None),
        ("number", ["1e3", "-0.5"], -0.5, 1000.0),
    ],
)
def test_extents_are_plain_values(
    type_: str, cells: list[str], minimum: Json, maximum: Json
) -> None:
    (facts,) = check(contract_of(field_of(type_)), cells_of(*cells)).checker.describe_columns()
    assert (facts["minimum"], facts["maximum"]) == (minimum, maximum)


def test_a_rule_that_nothing_broke_is_reported_too() -> None:
    contract = contract_of(field_of("integer", minimum="1", required=True, unique=True))
    found = check(contract, cells_of("1", "2"))
    rules = {name: (facts.checked, facts.failed) for name, facts in found.checker.rules.items()}
    assert rules == {
        ("x", "logicalType"): (2, 0),
        ("x", "minimum"): (2, 0),
        ("x", "required"): (2, 0),
        ("x", "unique"): (2, 0),
    }


def test_samples_are_few() -> None:
    found = check(contract_of(field_of("integer")), cells_of(*"abcdefghijklmnop"), batches=[5, 8])
    samples = found.checker.rules["x", "logicalType"].samples
    assert samples[:2] == [{"record": 1, "value": "a"}, {"record": 2, "value": "b"}]
    assert len(samples) == SAMPLES_PER_RULE
    assert found.facts("x", "logicalType") == (16, 16)


@pytest.mark.parametrize(
    "classification", [None, "public", "internal", *sorted(MASKED_CLASSIFICATIONS)]
)
def test_samples_of_masked_columns_hide_the_value(classification: Any) -> None:
    contract = contract_of(
        field_of("integer", name="id", key_position=1, classification=classification),
        field_of(name="note"),
    )
    found = check(contract, [["secret", "a"], ["77", "b"], ["77", "c"]], malformed=[4])
    values = {
        rule: [sample["value"] for sample in facts.samples]
        for (_, rule), facts in found.checker.rules.items()
        if facts.samples
    }
    hidden = classification in MASKED_CLASSIFICATIONS
    assert values == {
        "logicalType": [MASK if hidden else "secret"],
        "primaryKey": [MASK if hidden else "id=77"],
        "malformed": [MASK],
    }
    assert found.refused[0].row == {"id": "secret", "note": "a"}, "the quarantine has it as it was"


# --- Metrics -------------------------------------------------------------------------------------


def metric_of(metric: Any, columns: tuple[str, ...] = ("x",), **arguments: Any) -> QualityRule:
    return QualityRule(
        name="rule",
        type="library",
        threshold="mustBe",
        bounds=(0,),
        metric=metric,
        columns=columns,
        arguments=arguments,
    )


@pytest.mark.parametrize(
    ("rule", "count", "of"),
    [
        (metric_of("nullValues"), 2, 8),
        (metric_of("missingValues", missingValues=("0",)), 3, 8),
        (metric_of("missingValues"), 2, 8),
        (metric_of("invalidValues"), 2, 8),
        (metric_of("invalidValues", validValues=("1", "2")), 3, 8),
        (metric_of("invalidValues", validValues=("0", "1", "2", "99")), 2, 8),
        (metric_of("invalidValues", pattern="[0-9]"), 2, 8),
        (metric_of("invalidValues", pattern="[1-9]"), 3, 8),
        (metric_of("duplicateValues"), 1, 6),
        (metric_of("duplicateValues", columns=("x", "y")), 0, 6),
        (metric_of("nullValues", columns=()), 2, 16),
        (metric_of("rowCount", columns=()), 0, 0),
    ],
)
@pytest.mark.parametrize("batches", [[], [3], [1, 2, 3, 4, 5, 6, 7]])
def test_what_a_metric_counts(rule: QualityRule, count: int, of: int, batches: list[int]) -> None:
    contract = contract_of(
        field_of("integer", maximum="50"), field_of("integer", name="y"), quality=(rule,)
    )
    cells = ["1", "2", "", "0", "1", "z", "", "99"]
    rows: list[Cells] = [[cell, str(n)] for n, cell in enumerate(cells)]
    counted = check(contract, rows, batches=batches).checker.count_metrics()
    assert counted == {"rule": {"count": count, "of": of}}


# --- The books -----------------------------------------------------------------------------------


BOOKS = contract_of(
    field_of("integer", name="id", key_position=1),
    field_of(name="mail", unique=True, pattern="[a-z]+"),
    field_of("number", name="price", precision=4, scale=1, minimum="0", required=True),
    dialect=Dialect(null_markers=("", "NA")),
)
_ROWS = st.tuples(
    st.sampled_from(["1", "2", "3", "01", "", "x", "NA"]),
    st.sampled_from(["a", "b", "c", "", "A", "NA"]),
    st.sampled_from(["0", "1.5", "-1", "", "1.55", "999.9", "9999"]),
)


@dataclass
class Books:
    """The same rules, one row at a time, in plain Python."""

    accepted: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    quarantined: dict[int, set[tuple[str, str]]] = field(default_factory=dict)
    duplicate: dict[int, set[tuple[str, str]]] = field(default_factory=dict)

    def add(self, record: int, row: Sequence[str]) -> None:
        raw_id, raw_mail, raw_price = (None if cell in ("", "NA") else cell for cell in row)
        wrong: set[tuple[str, str]] = set()
        key = int(raw_id) if raw_id is not None and re.fullmatch("[0-9]+", raw_id) else None
        if raw_id is None:
            wrong.add(("id", "required"))
        elif key is None:
            wrong.add(("id", "logicalType"))
        if raw_mail is not None and not re.fullmatch("[a-z]+", raw_mail):
            wrong.add(("mail", "pattern"))
        price = None if raw_price is None else Decimal(raw_price)
        if price is None:
            wrong.add(("price", "required"))
        elif price != round(price, 1) or abs(price) >= 1000:
            wrong.add(("price", "logicalType"))
        elif price < 0:
            wrong.add(("price", "minimum"))
        if wrong:
            self.quarantined[record] = wrong
            return
        if any(key == other for other, *_ in self.accepted.values()):
            wrong.add(("id", "primaryKey"))
        if raw_mail is not None and any(raw_mail == mail for _, mail, _ in self.accepted.values()):
            wrong.add(("mail", "unique"))
        if wrong:
            self.duplicate[record] = wrong
        else:
            self.accepted[record] = (key, raw_mail, price)


@examples(300)
@given(
    st.lists(_ROWS, min_size=1, max_size=25),
    st.sets(st.integers(1, 30), max_size=4),
    st.sets(st.integers(1, 24), max_size=5),
)
def test_the_books_are_those_of_one_row_at_a_time(
    rows: list[tuple[str, str, str]], malformed: set[int], edges: set[int]
) -> None:
    wrong = sorted(n for n in malformed if n <= len(rows))
    batches = sorted(edge for edge in edges if edge < len(rows))
    found = check(BOOKS, rows, malformed=wrong, batches=batches)
    books = Books()
    numbers = (n for n in range(1, len(rows) + len(wrong) + 1) if n not in wrong)
    for number, row in zip(numbers, rows, strict=True):
        books.add(number, row)
    told = {
        row.record: {(failure.column, failure.rule) for failure in row.failures}
        for row in found.refused
    }
    assert found.accepted == books.accepted
    assert told == {
        **books.quarantined,
        **books.duplicate,
        **{number: {("", "malformed")} for number in wrong},
    }
    assert {row.record for row in found.refused if row.duplicate} == set(books.duplicate)
    found.balance.check("the file")
    assert found.balance == Balance(
        rows_read=len(rows) + len(wrong),
        rows_accepted=len(books.accepted),
        rows_quarantined=len(books.quarantined) + len(wrong),
        rows_duplicate=len(books.duplicate),
    )
    failed = {name: facts.failed for name, facts in found.checker.rules.items() if facts.failed}
    counted: dict[tuple[str, str], int] = {}
    for each in told.values():
        for name in each:
            counted[name] = counted.get(name, 0) + 1
    assert failed == counted
