"""A mart against its own contract: what is asked of the warehouse, and what follows. Pure.

Unlike a file's rows, a mart's are never refused one by one: each rule counts the rows that break
it, all in one SELECT over the built table or view (in BigQuery's SQL), and one more for each key
and each `sql` rule. A broken rule is the mart's own finding; its rows stay visible.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from eventpulse.contracts.contract import Contract, Field, QualityRule
from eventpulse.ingestions.quality import DatasetRuleResult, judge_rule
from eventpulse.ports import ColumnType
from eventpulse.values import Value

_LITERALS: Mapping[ColumnType, str] = {
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
    "string": "",
}
"""Types whose bounds are written as a literal of that type; others are numbers."""


class MartRuleResult(Value):
    """One rule of one column, or key (`a+b`), over all rows of the mart."""

    column: str
    rule: str
    failed: int
    message: str = ""


class MartReport(Value):
    """What a build was found to be. `outcome` is failed when a row rule or an error rule is broken;
    `message` says which, in a sentence."""

    mart: str
    contract_version: str
    contract_sha256: str
    outcome: Literal["passed", "failed"]
    message: str
    rows: int
    rules: list[MartRuleResult]
    dataset_rules: list[DatasetRuleResult]


@dataclass(frozen=True, slots=True)
class _Measure:
    """A number that the warehouse counts: an expression of the one SELECT, or a whole query."""

    column: str
    rule: str
    expression: str = ""
    query: str = ""


class MartChecks:
    """What a contract asks of the mart that it describes."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._table = f"marts.{_quote(contract.dataset)}"

    def queries(self, found: Mapping[str, ColumnType]) -> list[str]:
        """SELECTs of one row of numbers each. `found` are the mart's columns as they are."""
        inline = [each for each in self._measures(found) if each.expression]
        terms = ["COUNT(*) AS n0"]
        terms += [f"{each.expression} AS n{at}" for at, each in enumerate(inline, start=1)]
        apart = [each.query for each in self._measures(found) if each.query]
        return [f"SELECT {', '.join(terms)} FROM {self._table}", *apart]

    def judge(
        self, found: Mapping[str, ColumnType], answers: Sequence[Sequence[float | None]]
    ) -> MartReport:
        """`answers` are the rows that `queries(found)` gave, in their order."""
        first, *others = answers
        counted, apart = iter(first), iter(others)
        rows = int(next(counted) or 0)
        rules = list(_compare_columns(self._contract, found))
        library: dict[str, float] = {}
        for each in self._measures(found):
            value = next(counted) if each.expression else next(apart)[0]
            if each.rule.startswith("quality:"):
                library[each.rule.removeprefix("quality:")] = float(value or 0)
            else:
                rules.append(_result(each, int(value or 0)))
        judged = [_judge(rule, rows, library) for rule in self._contract.quality]
        broken = [each.message for each in rules if each.failed]
        broken += [
            f"{each.name} is {each.observed or 0.0:g}, expected {each.expected}"
            for each in judged
            if not each.passed and each.severity == "error"
        ]
        return MartReport(
            mart=self._contract.dataset,
            contract_version=self._contract.version,
            contract_sha256=self._contract.sha256,
            outcome="failed" if broken else "passed",
            message="; ".join(broken) or "The mart is as its contract says.",
            rows=rows,
            rules=rules,
            dataset_rules=judged,
        )

    def _measures(self, found: Mapping[str, ColumnType]) -> list[_Measure]:
        fields = [each for each in self._contract.fields if each.name in found]
        known = {each.name for each in fields}
        measures = [measure for each in fields for measure in _row_rules(each)]
        if self._contract.key and known.issuperset(self._contract.key):
            measures.append(self._surplus("primaryKey", self._contract.key))
        measures += [self._surplus("unique", (each.name,)) for each in fields if each.unique]
        by_name = {each.name: each for each in fields}
        for rule in self._contract.quality:
            if rule.metric != "rowCount" and known.issuperset(rule.columns):
                measures.append(self._quality(rule, by_name))
        return measures

    def _surplus(self, rule: str, columns: Sequence[str], *, name: str = "") -> _Measure:
        """How many rows repeat the values of an earlier one; rows with a null do not count."""
        names = ", ".join(map(_quote, columns))
        filled = " AND ".join(f"{_quote(each)} IS NOT NULL" for each in columns)
        groups = f"SELECT COUNT(*) AS n FROM {self._table} WHERE {filled} GROUP BY {names}"
        query = f"SELECT COALESCE(SUM(n - 1), 0) AS surplus FROM ({groups}) AS seen"
        return _Measure("+".join(columns), name or rule, query=query)

    def _quality(self, rule: QualityRule, fields: Mapping[str, Field]) -> _Measure:
        label = f"quality:{rule.name}"
        if rule.type == "sql":
            # The reader fills ${object} in with the curated table of the contract's name.
            own = f"`curated`.`{self._contract.dataset}`"
            query = (rule.query or "").replace(own, self._table)  # one number, as it was read
            return _Measure("", label, query=query)
        if rule.metric == "duplicateValues":
            return self._surplus("", rule.columns, name=label)
        conditions = " OR ".join(_counts(rule, fields[name]) for name in rule.columns)
        return _Measure("", label, f"COUNTIF({conditions})")


def _compare_columns(
    contract: Contract, found: Mapping[str, ColumnType]
) -> Iterator[MartRuleResult]:
    """Columns that the contract promises and the mart lacks or has in another type, and others."""
    for each in contract.fields:
        actual = found.get(each.name)
        wanted: set[str] = {each.column_type}
        if each.type == "number":
            wanted = {"number", "decimal"}
        if actual is None:
            yield _broken(each.name, f"the mart has no column {each.name!r}")
        elif actual not in wanted:
            yield _broken(each.name, f"{each.name!r} is {actual}, not {each.type}")
    for name in sorted(found.keys() - {each.name for each in contract.fields}):
        yield _broken(name, f"the contract does not know the column {name!r}")


def _broken(column: str, message: str) -> MartRuleResult:
    return MartRuleResult(column=column, rule="logicalType", failed=1, message=message)


def _result(measure: _Measure, failed: int) -> MartRuleResult:
    message = f"{failed} rows break {measure.rule} of {measure.column}" if failed else ""
    return MartRuleResult(column=measure.column, rule=measure.rule, failed=failed, message=message)


def _row_rules(each: Field) -> Iterator[_Measure]:
    name, options = _quote(each.name), each.options

    def count(rule: str, condition: str) -> _Measure:
        return _Measure(each.name, rule, f"COUNTIF({condition})")

    if each.column.required:
        yield count("required", f"{name} IS NULL")
    bounds = (
        ("minimum", "<", options.minimum),
        ("maximum", ">", options.maximum),
        ("exclusiveMinimum", "<=", options.exclusive_minimum),
        ("exclusiveMaximum", ">=", options.exclusive_maximum),
    )
    for rule, operator, bound in bounds:
        if bound is not None:
            yield count(rule, f"{name} {operator} {_literal(each, bound)}")
    if options.multiple_of is not None:
        yield count("multipleOf", f"MOD(CAST({name} AS NUMERIC), {options.multiple_of}) <> 0")
    if options.min_length is not None:
        yield count("minLength", f"LENGTH({name}) < {options.min_length}")
    if options.max_length is not None:
        yield count("maxLength", f"LENGTH({name}) > {options.max_length}")
    if options.pattern is not None:
        yield count("pattern", _mismatches(name, options.pattern))
    if options.enum:
        listed = ", ".join(_literal(each, value) for value in options.enum)
        yield count("enum", f"NOT {name} IN ({listed})")


def _counts(rule: QualityRule, each: Field) -> str:
    """The condition of the rows that a `library` rule counts."""
    name = _quote(each.name)
    if rule.metric == "nullValues":
        return f"{name} IS NULL"
    listed = rule.arguments.get(
        "missingValues" if rule.metric == "missingValues" else "validValues"
    )
    values = ", ".join(_literal(each, str(v)) for v in listed) if isinstance(listed, tuple) else ""
    if rule.metric == "missingValues":
        return f"{name} IS NULL" + (f" OR {name} IN ({values})" if values else "")
    terms = [f"NOT {name} IN ({values})"] if values else []
    if "pattern" in rule.arguments:
        terms.append(_mismatches(name, str(rule.arguments["pattern"])))
    terms += [
        m.expression.removeprefix("COUNTIF") for m in _row_rules(each) if m.rule != "required"
    ]
    return " OR ".join(terms) or "FALSE"


def _judge(rule: QualityRule, rows: int, library: Mapping[str, float]) -> DatasetRuleResult:
    observed = float(rows) if rule.metric == "rowCount" else library.get(rule.name, 0.0)
    if rule.unit == "percent":
        observed = 100.0 * observed / rows if rows else 0.0
    return judge_rule(rule, observed)


def _quote(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _literal(each: Field, text: str) -> str:
    kind = _LITERALS.get(each.column_type)
    return text if kind is None else f"{kind} {json.dumps(text, ensure_ascii=False)}".strip()


def _mismatches(name: str, pattern: str) -> str:
    return f"NOT REGEXP_CONTAINS({name}, {json.dumps(f'^(?:{pattern})$', ensure_ascii=False)})"
