"""The quality report: what each rule saw, whether the books balance, and the verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import JsonValue

from eventpulse.contracts.contract import Contract, QualityRule, Threshold
from eventpulse.contracts.rules import RowRule
from eventpulse.errors import BooksUnbalanced
from eventpulse.ports import Json
from eventpulse.values import Value


class Balance(Value):
    """Row counts; `rows_read = rows_accepted + rows_quarantined + rows_duplicate`, always."""

    rows_read: int
    rows_accepted: int
    rows_quarantined: int
    rows_duplicate: int

    def check(self, subject: str) -> None:
        """Raises BooksUnbalanced when a row is unaccounted for."""
        if self.rows_read != self.rows_accepted + self.rows_quarantined + self.rows_duplicate:
            raise BooksUnbalanced(
                subject, "read = accepted + quarantined + duplicate", **self.model_dump()
            )


class RefusedCell(Value):
    """One thing that is wrong with a row; `column` is empty for a row that could not be split."""

    column: str
    rule: RowRule
    value: str | None
    message: str


class QuarantineRecord(Value):
    """A line of the quarantine: a refused row as it was sent, and all that is wrong with it.

    `record` counts from 1 after the header; `row` is the text by header; `duplicate` says that only
    its key, which an earlier row has, keeps it out.
    """

    ingestion: str
    object: str
    generation: int
    sheet: str | None
    record: int
    duplicate: bool
    failures: list[RefusedCell]
    row: dict[str, str | None]


class RuleResult(Value):
    """A rule of one column over the rows that it checked. `remedies` say what to do about rows that
    could not be split into columns."""

    column: str
    rule: str
    checked: int
    passed: int
    failed: int
    share_failed: float
    samples: list[dict[str, JsonValue]]
    remedies: list[str] = []


class DatasetRuleResult(Value):
    """A `quality` rule of the contract over the whole file.

    `observed` is null when a `sql` rule could not be answered, and `problem` says why.
    """

    name: str
    metric: str
    columns: list[str]
    observed: float | None
    expected: str
    unit: str
    severity: Literal["error", "warning"]
    passed: bool
    problem: str = ""


class ValueCount(Value):
    value: JsonValue
    count: int


class TextLengths(Value):
    """In characters."""

    minimum: int
    maximum: int
    mean: float


class ColumnProfile(Value):
    """What stands in one column, refused rows included. `cells` are those that are not null,
    `mistyped` of them did not fit the type and count for nothing below.

    `distinct` is exact up to 4,096 values, and an estimate with a standard error of 1.6% beyond
    (`distinct_estimated`). `top_values` are the most frequent of those that occur more than once,
    and `quantiles` (p01 to p99) are values of the column. Both are exact, unless `sampled_rows`
    says from how many rows they are estimated. No value of a classified column is shown.

    Where cells are mistyped, `other_readings` are the date formats, or the ways to write numbers,
    that fit every cell of the column over all rows. Nothing is read so: the contract may declare
    the one that is meant.
    """

    name: str
    type: str
    cells: int
    nulls: int
    mistyped: int
    other_readings: list[str] = []
    minimum: JsonValue = None
    maximum: JsonValue = None
    distinct: int = 0
    distinct_estimated: bool = False
    top_values: list[ValueCount] = []
    quantiles: dict[str, JsonValue] | None = None
    sampled_rows: int | None = None
    lengths: TextLengths | None = None


class QualityReport(Value):
    """The report that every ingestion leaves. `outcome` is accepted or rejected, `reason` why."""

    ingestion: str
    dataset: str | None
    contract_version: str | None
    objects: list[dict[str, JsonValue]]
    outcome: Literal["accepted", "rejected"]
    reason: str | None = None
    message: str
    balance: Balance
    invalid_percent: float
    max_invalid_percent: float | None = None
    rules: list[RuleResult] = []
    dataset_rules: list[DatasetRuleResult] = []
    columns: list[ColumnProfile] = []
    dialect: dict[str, JsonValue] = {}
    quarantine_uri: str | None = None


def judge_rows(contract: Contract, balance: Balance, results: Sequence[DatasetRuleResult]) -> str:
    """Why the rows are refused as a whole; empty when they are not."""
    share = invalid_percent(balance)
    if share > contract.max_invalid_percent:
        return (
            f"{balance.rows_quarantined} of {balance.rows_read} rows ({share:.2f}%) break the "
            f"contract, more than its maxInvalidPercent of {contract.max_invalid_percent:g}%. "
            "Look at the quarantine, correct the file and upload it again."
        )
    broken = [r for r in results if not r.passed and r.severity == "error"]
    return " ".join(
        f"The rule {r.name!r} is broken: {r.metric} of {', '.join(r.columns) or 'the file'} is "
        f"{format_number(r.observed)} {r.unit}, expected {r.expected}."
        if r.observed is not None
        else f"The rule {r.name!r} cannot be checked: {r.problem}. Correct it in the contract."
        for r in broken
    )


def invalid_percent(balance: Balance) -> float:
    return 100.0 * balance.rows_quarantined / balance.rows_read if balance.rows_read else 0.0


def evaluate_rules(
    contract: Contract, balance: Balance, facts: Mapping[str, Mapping[str, Json]]
) -> list[DatasetRuleResult]:
    """The contract's rules over the whole file. `facts` maps each rule's name to what validation
    found: {"count": rows that the metric counts, "of": rows that it looked at}, or for a `sql` rule
    {"value": the number} or {"problem": why there is none}; without either, it has no result."""
    return [
        _evaluate(rule, balance, facts.get(rule.name, {}))
        if rule.type == "library"
        else _evaluate_sql(rule, facts[rule.name])
        for rule in contract.quality
        if rule.type == "library" or rule.name in facts
    ]


def _evaluate_sql(rule: QualityRule, facts: Mapping[str, Json]) -> DatasetRuleResult:
    """A rule over other tables never decides: they hold what happened to come before."""
    value = facts.get("value")
    observed = float(value) if isinstance(value, int | float) else None
    return DatasetRuleResult(
        name=rule.name,
        metric="sql",
        columns=list(rule.columns),
        observed=observed,
        expected=describe_bounds(rule),
        unit=rule.unit,
        severity="warning" if facts.get("foreign") else rule.severity,
        passed=observed is not None and within(rule.threshold, observed, rule.bounds),
        problem=str(facts.get("problem") or ""),
    )


def _evaluate(rule: QualityRule, balance: Balance, facts: Mapping[str, Json]) -> DatasetRuleResult:
    count = float(facts.get("count") or 0)  # type: ignore[arg-type]
    of = float(facts.get("of") or 0)  # type: ignore[arg-type]
    if rule.metric == "rowCount":
        observed = float(balance.rows_read)
    elif rule.unit == "percent":
        observed = 100.0 * count / of if of else 0.0
    else:
        observed = count
    return judge_rule(rule, observed)


def judge_rule(rule: QualityRule, observed: float) -> DatasetRuleResult:
    """A rule of the whole dataset against what was counted, in the rule's unit."""
    return DatasetRuleResult(
        name=rule.name,
        metric=rule.metric or "sql",
        columns=list(rule.columns),
        observed=observed,
        expected=describe_bounds(rule),
        unit=rule.unit,
        severity=rule.severity,
        passed=within(rule.threshold, observed, rule.bounds),
    )


def describe_bounds(rule: QualityRule) -> str:
    """What a rule expects, in words: "at most 5", "between 1 and 3"."""
    return f"{_WORDS[rule.threshold]} {' and '.join(map(format_number, rule.bounds))}"


def format_number(value: float) -> str:
    """Whole numbers in full, others to six digits."""
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


_WORDS: Mapping[Threshold, str] = {
    "mustBe": "exactly",
    "mustNotBe": "anything but",
    "mustBeGreaterThan": "more than",
    "mustBeGreaterOrEqualTo": "at least",
    "mustBeLessThan": "less than",
    "mustBeLessOrEqualTo": "at most",
    "mustBeBetween": "between",
    "mustNotBeBetween": "not between",
}


def within(threshold: Threshold, observed: float, bounds: Sequence[float]) -> bool:
    """ODCS's comparisons; `mustBeBetween` includes both bounds."""
    first, last = bounds[0], bounds[-1]
    return {
        "mustBe": observed == first,
        "mustNotBe": observed != first,
        "mustBeGreaterThan": observed > first,
        "mustBeGreaterOrEqualTo": observed >= first,
        "mustBeLessThan": observed < first,
        "mustBeLessOrEqualTo": observed <= first,
        "mustBeBetween": first <= observed <= last,
        "mustNotBeBetween": not first <= observed <= last,
    }[threshold]
