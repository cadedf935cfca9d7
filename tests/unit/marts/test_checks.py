"""A mart's contract: what is asked of the warehouse, and what is found wrong."""

from __future__ import annotations

import pytest
import sqlglot

from eventpulse.contracts.contract import Contract, Field, FieldOptions, QualityRule
from eventpulse.errors import ContractInvalid
from eventpulse.marts.checks import MartChecks
from eventpulse.marts.mart import read_mart
from eventpulse.ports import ColumnType

CONTRACT = Contract(
    dataset="daily",
    version="1.0.0",
    sha256="c" * 64,
    fields=(
        Field("shop", key_position=1, options=FieldOptions(pattern="[a-z]+", max_length=9)),
        Field("day", type="date", key_position=2, options=FieldOptions(minimum="2026-01-01")),
        Field("total", type="number", options=FieldOptions(minimum="0", enum=("1", "2"))),
    ),
    quality=(
        QualityRule("few", "library", "mustBeLessThan", (10,), metric="rowCount"),
        QualityRule(
            "known", "library", "mustBeLessThan", (50,), "nullValues", ("total",), unit="percent"
        ),
        QualityRule("even", "sql", "mustBe", (0,), query="SELECT COUNT(*) FROM `curated`.`daily`"),
    ),
)
FOUND: dict[str, ColumnType] = {"shop": "string", "day": "date", "total": "decimal"}


def test_all_rules_are_counted_by_few_queries_of_the_mart_itself() -> None:
    queries = MartChecks(CONTRACT).queries(FOUND)
    assert len(queries) == 3  # all rows, the key, the sql rule
    for query in queries:
        (table,) = sqlglot.parse_one(query, read="bigquery").find_all(sqlglot.exp.Table)
        assert (table.db, table.name) == ("marts", "daily")


def test_a_mart_that_is_as_promised_passes() -> None:
    checks = MartChecks(CONTRACT)
    counted = len(sqlglot.parse_one(checks.queries(FOUND)[0], read="bigquery").selects)
    report = checks.judge(FOUND, [[4.0, *[0.0] * (counted - 1)], [0.0], [0.0]])
    assert (report.outcome, report.rows) == ("passed", 4)
    assert [each.passed for each in report.dataset_rules] == [True, True, True]


def test_every_broken_rule_is_named() -> None:
    checks = MartChecks(CONTRACT)
    counted = len(sqlglot.parse_one(checks.queries(FOUND)[0], read="bigquery").selects)
    report = checks.judge(FOUND, [[20.0, *[11.0] * (counted - 1)], [3.0], [7.0]])
    assert report.outcome == "failed"
    for part in (
        "11 rows break required of shop",
        "11 rows break pattern of shop",
        "11 rows break minimum of day",
        "11 rows break enum of total",
        "3 rows break primaryKey of shop+day",
        "few is 20, expected less than 10",
        "known is 55, expected less than 50",
        "even is 7, expected exactly 0",
    ):
        assert part in report.message


def test_columns_of_another_kind_are_findings_and_not_counted() -> None:
    checks = MartChecks(CONTRACT)
    found: dict[str, ColumnType] = {"shop": "integer", "total": "number", "more": "string"}
    counted = len(sqlglot.parse_one(checks.queries(found)[0], read="bigquery").selects)
    report = checks.judge(found, [[1.0, *[0.0] * (counted - 1)], [0.0]])
    assert [each.message for each in report.rules if each.failed] == [
        "'shop' is integer, not string",
        "the mart has no column 'day'",
        "the contract does not know the column 'more'",
    ]


def test_a_contract_that_does_not_fit_the_select_is_refused_when_it_is_published() -> None:
    with pytest.raises(ContractInvalid) as raised:
        read_mart("weekly", "SELECT shop, n FROM curated.sales", CONTRACT)
    assert raised.value.fields["problems"] == [
        "it describes 'daily'",
        "the SELECT has no column 'day'",
        "the SELECT has no column 'total'",
        "it lacks the column 'n'",
    ]
