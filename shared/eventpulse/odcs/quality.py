"""ODCS `quality` → `QualityRule`.

`library` rules are counted over a file, `sql` rules asked of the curated table. `text` rules are
documentation by the standard's own definition; `custom` rules belong to another engine and are
refused, because a rule that nobody runs looks like one that passes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from open_data_contract_standard.model import DataQuality

from eventpulse.contracts.contract import Field, Metric, QualityRule, Severity, Threshold, Unit
from eventpulse.odcs.literals import EXPECTED, is_number, parse_literal
from eventpulse.odcs.patterns import refuse_pattern
from eventpulse.odcs.problems import (
    Problems,
    describe_value,
    join_path,
    label_items,
    list_words,
    quote_text,
    suggest_name,
)

METRICS: tuple[Metric, ...] = get_args(Metric)
THRESHOLDS: tuple[Threshold, ...] = get_args(Threshold)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
DIMENSIONS = (
    "accuracy",
    "completeness",
    "conformity",
    "consistency",
    "coverage",
    "timeliness",
    "uniqueness",
)
ARGUMENTS: Mapping[Metric, tuple[str, ...]] = {
    "nullValues": (),
    "missingValues": ("missingValues",),
    "invalidValues": ("validValues", "pattern"),
    "duplicateValues": ("properties",),
    "rowCount": (),
}
_PROPERTY_ONLY = ("nullValues", "missingValues", "invalidValues")
_PLACEHOLDER = re.compile(r"\$?\{\s*(object|table|property|column)\s*\}")


@dataclass(frozen=True, slots=True)
class Subject:
    """What rules are about: the dataset, or one field of it. `fields` are all by name."""

    dataset: str
    fields: Mapping[str, Field]
    field: Field | None = None


def read_quality(
    declared: Sequence[DataQuality] | None, subject: Subject, path: str, problems: Problems
) -> list[QualityRule]:
    """The rules; a rule with a problem is left out."""
    path = join_path(path, "quality")
    items = [item.model_dump() for item in declared or ()]
    rules: list[QualityRule] = []
    for item, here in zip(declared or (), label_items(path, items), strict=True):
        before = len(problems.found)
        rule = _read_rule(item, subject, here, problems)
        if rule is not None and len(problems.found) == before:
            rules.append(rule)
    return rules


def _read_rule(
    item: DataQuality, subject: Subject, path: str, problems: Problems
) -> QualityRule | None:
    kind = item.type or "library"
    if kind == "text":
        _refuse_keys(
            item, ("metric", "arguments", "query", "unit", *THRESHOLDS), kind, path, problems
        )
        return None
    if kind not in ("library", "sql"):
        # Its engine and implementation were refused already, if it names any.
        if not problems.concern_part(path):
            what = f"is {describe_value(kind)}, and EventPulse runs `library` and `sql` rules only"
            problems.add(join_path(path, "type"), what, "rewrite the rule as one of them")
        return None
    threshold, bounds = _read_threshold(item, path, problems)
    columns: tuple[str, ...] = () if subject.field is None else (subject.field.name,)
    metric: Metric | None = None
    query: str | None = None
    arguments: Mapping[str, object] = {}
    if kind == "library":
        _refuse_keys(item, ("query",), kind, path, problems)
        metric = _read_metric(item, subject, path, problems)
        if metric is not None:
            arguments = _read_arguments(item, metric, subject, path, problems)
            named = arguments.get("properties")
            columns = named if isinstance(named, tuple) else columns
            arguments = {k: v for k, v in arguments.items() if k != "properties"}
    else:
        _refuse_keys(item, ("metric", "arguments", "unit"), kind, path, problems)
        query = _read_query(item.query, subject, path, problems)
    return QualityRule(
        name=item.name or _name_rule(metric, columns, threshold),
        type="library" if kind == "library" else "sql",
        threshold=threshold,
        bounds=bounds,
        metric=metric,
        columns=columns,
        query=query,
        unit=_read_unit(item.unit, metric, bounds, path, problems),
        arguments=arguments,
        severity=_read_severity(item.severity, path, problems),
        dimension=_read_dimension(item.dimension, path, problems),
        description=(item.description or "").strip(),
    )


def _name_rule(metric: Metric | None, columns: Sequence[str], threshold: Threshold) -> str:
    return ".".join((*columns, metric or "sql", threshold))


def _refuse_keys(
    item: DataQuality, keys: Sequence[str], kind: str, path: str, problems: Problems
) -> None:
    for key in keys:
        if getattr(item, key) is not None:
            problems.add(join_path(path, key), f"has no meaning in a `{kind}` rule", "remove it")


def _read_threshold(
    item: DataQuality, path: str, problems: Problems
) -> tuple[Threshold, tuple[float, ...]]:
    given = [name for name in THRESHOLDS if getattr(item, name) is not None]
    if len(given) != 1:
        what = f"has the thresholds {' and '.join(given)}" if given else "has no threshold"
        if not any(problems.concern(join_path(path, name)) for name in THRESHOLDS):
            problems.add(path, what, f"give exactly one of {list_words(THRESHOLDS)}")
        return "mustBe", ()
    name = given[0]
    value = getattr(item, name)
    values = value if isinstance(value, list) else [value]
    bounds = [float(v) for v in values if is_number(v)]
    here = join_path(path, name)
    if len(bounds) != len(values):
        problems.add(here, f"is {describe_value(value)}", "give a finite number")
    elif len(bounds) == 2 and bounds[0] > bounds[1]:
        problems.add(here, f"starts above its end ({bounds[0]:g} > {bounds[1]:g})", "swap the two")
    return name, tuple(bounds)


def _read_metric(
    item: DataQuality, subject: Subject, path: str, problems: Problems
) -> Metric | None:
    here = join_path(path, "metric")
    metric = next((m for m in METRICS if m == item.metric), None)
    if metric is None:
        if not problems.concern(here) and not problems.concern(join_path(path, "rule")):
            what = "is missing" if item.metric is None else f"is {describe_value(item.metric)}"
            problems.add(here, what, f"say {list_words(METRICS)}")
    elif subject.field is None and metric in _PROPERTY_ONLY:
        problems.add(here, f"{metric} is about one column", "move the rule to that property")
    elif subject.field is not None and metric == "rowCount":
        problems.add(here, "rowCount is about the dataset", "move the rule to the schema object")
    elif metric == "duplicateValues" and subject.field is None and not item.arguments:
        here = join_path(path, "arguments")
        problems.add(here, "does not say of which columns", "list them under `properties`")
    else:
        return metric
    return None


def _read_arguments(
    item: DataQuality, metric: Metric, subject: Subject, path: str, problems: Problems
) -> dict[str, object]:
    """The arguments as QualityRule documents them, `properties` still among them."""
    values: dict[str, object] = {}
    for name, value in (item.arguments or {}).items():
        here = join_path(join_path(path, "arguments"), name)
        known = ARGUMENTS[metric]
        if name == "properties" and subject.field is not None:
            problems.add(here, "the rule is about this property", "move it to the schema object")
        elif name not in known:
            close = suggest_name(name, known)
            remedy = f"did you mean `{close}`?" if close else "remove it"
            problems.add(here, f"is no argument of {metric}", remedy)
        elif name == "pattern":
            refused = refuse_pattern(value) if isinstance(value, str) else "is no text"
            if refused is not None:
                problems.add(here, refused, "rewrite it in RE2's syntax")
            values[name] = value
        elif not isinstance(value, list) or not value:
            what = f"is {describe_value(value)}"
            problems.add(here, what, "give a list of at least one value")
        else:
            values[name] = _read_items(name, value, subject, here, problems)
    return values


def _read_items(
    name: str, items: list[object], subject: Subject, path: str, problems: Problems
) -> tuple[str, ...]:
    texts: list[str] = []
    for index, item in enumerate(items):
        if name == "missingValues" and item is None:
            continue  # null is missing whatever else is
        text, expected = _read_item(name, item, subject)
        if text is None:
            problems.add(f"{path}[{index}]", f"is {describe_value(item)}", expected)
        else:
            texts.append(text)
    return tuple(texts)


def _read_item(name: str, item: object, subject: Subject) -> tuple[str | None, str]:
    """The item as text (None: it is not usable), and what to do if it is not."""
    if name == "properties":
        if isinstance(item, str) and item in subject.fields:
            return item, ""
        return None, "name a property of this schema"
    if name == "missingValues":
        if isinstance(item, str):
            return item, ""
        return None, "put it in quotes: missing values are the cell's text"
    kind = subject.field.type if subject.field is not None else "string"
    literal = parse_literal(kind, item)
    if literal is None:
        return None, f"give {EXPECTED.get(kind, 'a value of a type that can be listed')}"
    return literal.text, ""


def _read_query(query: str | None, subject: Subject, path: str, problems: Problems) -> str | None:
    """The query as BigQuery SQL, its placeholders filled in."""
    here = join_path(path, "query")
    if query is None or not query.strip():
        if not problems.concern(here):
            problems.add(here, "is missing", "give a SELECT that returns one number")
        return None
    names = {"object": f"`curated`.`{subject.dataset}`", "property": None}
    if subject.field is not None:
        names["property"] = f"`{subject.field.name}`"
    names |= {"table": names["object"], "column": names["property"]}
    used = {match.group(1) for match in _PLACEHOLDER.finditer(query)}
    if any(names[name] is None for name in used):
        remedy = "name the column, or move the rule to its property"
        problems.add(here, "has a placeholder for a property, and is about the dataset", remedy)
        return None
    filled = _PLACEHOLDER.sub(lambda m: names[m.group(1)] or "", query).strip()
    refused = _refuse_query(filled)
    if refused is not None:
        problems.add(here, *refused)
        return None
    return filled


def _refuse_query(query: str) -> tuple[str, str] | None:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ParseError, SqlglotError

    one = "write one SELECT in BigQuery's SQL that returns one number"
    try:
        statements = sqlglot.parse(query, read="bigquery")
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        return f"cannot be parsed near {quote_text(str(first.get('highlight') or ''))}", one
    except (SqlglotError, RecursionError):
        return "cannot be parsed", one
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        return "is not one SELECT", one
    statement = statements[0]
    if len(statement.selects) != 1 or statement.is_star:
        return "returns more than one column", one
    defined = {cte.alias_or_name for cte in statement.find_all(exp.CTE)}
    for table in statement.find_all(exp.Table):
        if table.db != "curated" and not (not table.db and table.name in defined):
            name = quote_text(table.sql(dialect="bigquery"))
            return f"reads {name}", "read tables of `curated` only, the dataset's own as ${object}"
    return None


def _read_unit(
    unit: str | None,
    metric: Metric | None,
    bounds: Sequence[float],
    path: str,
    problems: Problems,
) -> Unit:
    here = join_path(path, "unit")
    if unit not in (None, "rows", "percent"):
        problems.add(here, f"is {describe_value(unit)}", "say rows or percent")
    elif unit == "percent" and metric == "rowCount":
        problems.add(here, "rowCount is a number of rows", "say rows or remove it")
    elif unit == "percent" and any(not 0 <= bound <= 100 for bound in bounds):
        problems.add(here, "the threshold is no percentage", "give one from 0 to 100")
    return "percent" if unit == "percent" else "rows"


def _read_severity(severity: str | None, path: str, problems: Problems) -> Severity:
    for known in SEVERITIES:
        if severity == known:
            return known
    if severity is not None:
        what = f"is {describe_value(severity)}"
        problems.add(join_path(path, "severity"), what, f"say {list_words(SEVERITIES)}")
    return "error"


def _read_dimension(dimension: str | None, path: str, problems: Problems) -> str | None:
    if dimension is not None and dimension not in DIMENSIONS:
        what = f"is {describe_value(dimension)}"
        problems.add(join_path(path, "dimension"), what, f"say {list_words(DIMENSIONS)}")
    return dimension
