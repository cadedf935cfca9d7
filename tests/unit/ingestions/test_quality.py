"""The quality report: books that balance, the breaker, and rules over the whole file."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import Contract, QualityRule, Threshold
from eventpulse.errors import BooksUnbalanced
from eventpulse.ingestions.quality import (
    Balance,
    ColumnProfile,
    DatasetRuleResult,
    QualityReport,
    RuleResult,
    evaluate_rules,
    invalid_percent,
    judge_rows,
    within,
)
from eventpulse.ports import Json

COUNTS = st.integers(0, 10**12)


def balance_of(
    *, read: int, accepted: int = 0, quarantined: int = 0, duplicate: int = 0
) -> Balance:
    return Balance(
        rows_read=read,
        rows_accepted=accepted,
        rows_quarantined=quarantined,
        rows_duplicate=duplicate,
    )


def contract_of(*rules: QualityRule, max_invalid_percent: float = 5.0) -> Contract:
    return Contract("d", "1", "", (), quality=rules, max_invalid_percent=max_invalid_percent)


def rule_of(**changed: Any) -> QualityRule:
    values: dict[str, Any] = {
        "name": "few nulls",
        "type": "library",
        "threshold": "mustBeLessThan",
        "bounds": (5.0,),
        "metric": "nullValues",
        "columns": ("id",),
    }
    return QualityRule(**{**values, **changed})


def result_of(rule: QualityRule, counted: dict[str, Json], *, rows: int = 100) -> DatasetRuleResult:
    balance = balance_of(read=rows, accepted=rows)
    (result,) = evaluate_rules(contract_of(rule), balance, {rule.name: counted})
    return result


# --- Books ---------------------------------------------------------------------------------------


@given(COUNTS, COUNTS, COUNTS)
def test_balanced_books_pass(accepted: int, quarantined: int, duplicate: int) -> None:
    read = accepted + quarantined + duplicate
    balance = balance_of(read=read, accepted=accepted, quarantined=quarantined, duplicate=duplicate)
    balance.check("an ingestion")
    assert sum(balance.model_dump().values()) == 2 * read


@given(COUNTS, COUNTS, COUNTS, st.integers(-3, 3).filter(bool))
def test_a_row_unaccounted_for_is_an_error(
    accepted: int, quarantined: int, duplicate: int, lost: int
) -> None:
    read = accepted + quarantined + duplicate + lost
    balance = balance_of(read=read, accepted=accepted, quarantined=quarantined, duplicate=duplicate)
    with pytest.raises(BooksUnbalanced) as caught:
        balance.check("an ingestion")
    assert caught.value.subject == "an ingestion"
    assert caught.value.counts == balance.model_dump()


# --- The breaker ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "quarantined", "allowed", "refused"),
    [
        (100, 5, 5.0, False),
        (100, 6, 5.0, True),
        (1000, 51, 5.0, True),
        (100, 0, 0.0, False),
        (100, 1, 0.0, True),
        (100, 100, 100.0, False),
        (3, 1, 33.4, False),
        (3, 1, 33.3, True),
        (0, 0, 0.0, False),
    ],
)
def test_the_share_of_invalid_rows(
    read: int, quarantined: int, allowed: float, refused: bool
) -> None:
    balance = balance_of(read=read, accepted=read - quarantined, quarantined=quarantined)
    contract = contract_of(max_invalid_percent=allowed)
    assert bool(judge_rows(contract, balance, [])) is refused


def test_duplicates_are_not_invalid() -> None:
    balance = balance_of(read=100, accepted=10, duplicate=90)
    assert invalid_percent(balance) == 0.0
    assert judge_rows(contract_of(max_invalid_percent=0), balance, []) == ""


def test_a_broken_breaker_says_how_many_and_what_to_do() -> None:
    balance = balance_of(read=300, accepted=290, quarantined=10)
    assert judge_rows(contract_of(max_invalid_percent=2.5), balance, []) == (
        "10 of 300 rows (3.33%) break the contract, more than its maxInvalidPercent of 2.5%. "
        "Look at the quarantine, correct the file and upload it again."
    )


# --- Rules over the file -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "bounds", "passing", "failing"),
    [
        ("mustBe", (3,), [3], [2, 4]),
        ("mustNotBe", (3,), [2, 4], [3]),
        ("mustBeGreaterThan", (3,), [4, 3.1], [3, 2]),
        ("mustBeGreaterOrEqualTo", (3,), [3, 4], [2.9]),
        ("mustBeLessThan", (3,), [2, 2.9], [3, 4]),
        ("mustBeLessOrEqualTo", (3,), [3, 2], [3.1]),
        ("mustBeBetween", (3, 5), [3, 4, 5], [2.9, 5.1]),
        ("mustNotBeBetween", (3, 5), [2.9, 5.1], [3, 4, 5]),
    ],
)
def test_thresholds(
    threshold: Threshold, bounds: tuple[float, ...], passing: list[float], failing: list[float]
) -> None:
    assert [within(threshold, each, bounds) for each in passing] == [True] * len(passing)
    assert [within(threshold, each, bounds) for each in failing] == [False] * len(failing)


@given(
    st.floats(allow_nan=False), st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False))
)
def test_each_threshold_has_its_opposite(observed: float, bounds: tuple[float, float]) -> None:
    opposites: list[tuple[Threshold, Threshold]] = [
        ("mustBe", "mustNotBe"),
        ("mustBeGreaterThan", "mustBeLessOrEqualTo"),
        ("mustBeLessThan", "mustBeGreaterOrEqualTo"),
        ("mustBeBetween", "mustNotBeBetween"),
    ]
    for one, other in opposites:
        assert within(one, observed, bounds) is not within(other, observed, bounds)
    assert {each for pair in opposites for each in pair} == set(get_args(Threshold))


@pytest.mark.parametrize(
    ("rule", "counted", "observed", "expected", "passed"),
    [
        (rule_of(), {"count": 4, "of": 100}, 4.0, "less than 5", True),
        (rule_of(), {"count": 5, "of": 100}, 5.0, "less than 5", False),
        (rule_of(unit="percent"), {"count": 9, "of": 200}, 4.5, "less than 5", True),
        (rule_of(unit="percent"), {"count": 10, "of": 200}, 5.0, "less than 5", False),
        (rule_of(unit="percent"), {"count": 0, "of": 0}, 0.0, "less than 5", True),
        (
            rule_of(metric="rowCount", columns=(), threshold="mustBeBetween", bounds=(50, 100)),
            {},
            100.0,
            "between 50 and 100",
            True,
        ),
        (
            rule_of(metric="rowCount", columns=(), threshold="mustBe", bounds=(99,)),
            {},
            100.0,
            "exactly 99",
            False,
        ),
        (
            rule_of(metric="duplicateValues", threshold="mustNotBe", bounds=(0.5,)),
            {"count": 1, "of": 100},
            1.0,
            "anything but 0.5",
            True,
        ),
    ],
)
def test_what_a_rule_sees(
    rule: QualityRule, counted: dict[str, Json], observed: float, expected: str, passed: bool
) -> None:
    result = result_of(rule, counted)
    assert (result.observed, result.expected, result.passed) == (observed, expected, passed)
    assert (result.name, result.metric, result.unit) == (rule.name, rule.metric, rule.unit)
    assert result.columns == list(rule.columns)


@pytest.mark.parametrize(
    ("threshold", "words"),
    [
        ("mustBe", "exactly 5"),
        ("mustNotBe", "anything but 5"),
        ("mustBeGreaterThan", "more than 5"),
        ("mustBeGreaterOrEqualTo", "at least 5"),
        ("mustBeLessThan", "less than 5"),
        ("mustBeLessOrEqualTo", "at most 5"),
    ],
)
def test_what_is_expected_is_said_in_words(threshold: Threshold, words: str) -> None:
    assert result_of(rule_of(threshold=threshold), {"count": 1, "of": 9}).expected == words


def test_big_counts_are_told_in_full() -> None:
    rule = rule_of(
        name="all", metric="rowCount", columns=(), threshold="mustBe", bounds=(1_234_567,)
    )
    result = result_of(rule, {}, rows=1_234_568)
    balance = balance_of(read=1_234_568, accepted=1_234_568)
    assert judge_rows(contract_of(), balance, [result]) == (
        "The rule 'all' is broken: rowCount of the file is 1234568 rows, expected exactly 1234567."
    )


def test_a_sql_rule_that_was_not_asked_has_no_result() -> None:
    over_table = rule_of(name="sum", type="sql", metric=None, query="SELECT 1")
    contract = contract_of(over_table, rule_of())
    results = evaluate_rules(contract, balance_of(read=0), {})
    assert [each.name for each in results] == ["few nulls"]


def test_a_sql_rule_is_judged_by_the_number_that_it_found() -> None:
    over_rows = rule_of(name="sum", type="sql", metric=None, query="SELECT 1", columns=())
    contract = contract_of(over_rows)
    (found,) = evaluate_rules(contract, balance_of(read=9), {"sum": {"value": 4.0}})
    assert (found.metric, found.observed, found.passed, found.problem) == ("sql", 4.0, True, "")
    (none,) = evaluate_rules(contract, balance_of(read=9), {"sum": {"problem": "it was refused"}})
    assert (none.observed, none.passed, none.severity) == (None, False, over_rows.severity)
    foreign = {"problem": "it reads curated.other", "foreign": True}
    (other,) = evaluate_rules(contract, balance_of(read=9), {"sum": foreign})
    assert (other.passed, other.severity) == (False, "warning")


def test_a_broken_rule_rejects_and_a_warning_does_not() -> None:
    error = result_of(rule_of(name="no nulls"), {"count": 7, "of": 100})
    warning = result_of(rule_of(name="soft", severity="warning"), {"count": 7, "of": 100})
    fine = result_of(rule_of(name="fine"), {"count": 0, "of": 100})
    balance = balance_of(read=100, accepted=100)
    assert judge_rows(contract_of(), balance, [warning, fine]) == ""
    assert judge_rows(contract_of(), balance, [warning, error, fine]) == (
        "The rule 'no nulls' is broken: nullValues of id is 7 rows, expected less than 5."
    )


def test_every_broken_rule_is_told() -> None:
    rows = rule_of(
        name="enough", metric="rowCount", columns=(), threshold="mustBeGreaterThan", bounds=(500,)
    )
    share = rule_of(name="share", unit="percent", columns=("a", "b"), metric="duplicateValues")
    results = [result_of(rows, {}), result_of(share, {"count": 1, "of": 8})]
    assert judge_rows(contract_of(), balance_of(read=100, accepted=100), results) == (
        "The rule 'enough' is broken: rowCount of the file is 100 rows, expected more than 500. "
        "The rule 'share' is broken: duplicateValues of a, b is 12.5 percent, expected less than 5."
    )


def test_the_breaker_speaks_before_the_rules() -> None:
    broken = result_of(rule_of(name="no nulls"), {"count": 7, "of": 100})
    balance = balance_of(read=100, accepted=50, quarantined=50)
    assert judge_rows(contract_of(), balance, [broken]).startswith("50 of 100 rows (50.00%)")


# --- The document --------------------------------------------------------------------------------


def test_a_report_is_read_back_as_it_was_written() -> None:
    report = QualityReport(
        ingestion="i",
        dataset=None,
        contract_version=None,
        objects=[{"name": "a.csv", "generation": 2**60}],
        outcome="rejected",
        reason="quality",
        message="no",
        balance=balance_of(read=3, accepted=1, quarantined=1, duplicate=1),
        invalid_percent=100 / 3,
        rules=[
            RuleResult(
                column="id",
                rule="minimum",
                checked=3,
                passed=2,
                failed=1,
                share_failed=1 / 3,
                samples=[{"record": 2, "value": None}, {"record": 3, "value": "−1"}],
            )
        ],
        columns=[
            ColumnProfile(
                name="id", type="integer", cells=2, nulls=1, mistyped=0, minimum=1, maximum=2**62
            )
        ],
        dialect={"delimiter": ",", "sniffed": ["delimiter"]},
    )
    again = QualityReport.model_validate_json(report.model_dump_json())
    assert again == report
    assert again.columns[0].maximum == 2**62
    assert isinstance(again.columns[0].minimum, int)
