"""What a contract says, as plain values: the core's view of one Open Data Contract Standard file.

`odcs` reads YAML into these; nothing here knows YAML. A contract names one dataset, whose fields
are the columns of its tables. Vocabulary is ODCS's own; what ODCS has no word for (dialect, drift
modes, breaker, path patterns, ordering column) comes from documented custom properties.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from eventpulse.ports import Column, ColumnType, DatasetTable

LogicalType = Literal[
    "string", "integer", "number", "boolean", "date", "timestamp", "time", "object", "array"
]
_COLUMN_TYPES: Mapping[LogicalType, ColumnType] = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "time": "time",
    "object": "json",
    "array": "json",
}

LONGEST_DATASET = 55
"""Characters of a dataset's name; with their prefixes, its tables' names have Postgres's 63."""

FileFormat = Literal["csv", "xlsx", "ndjson", "parquet"]
DriftKind = Literal["added", "removed", "renamed", "retyped", "nullability"]
DriftMode = Literal["evolve", "freeze", "discard_row", "discard_value"]
DRIFT_KINDS: tuple[DriftKind, ...] = get_args(DriftKind)
DRIFT_MODES: tuple[DriftMode, ...] = get_args(DriftMode)
Classification = Literal["public", "internal", "confidential", "restricted", "personal"]
MASKED_CLASSIFICATIONS: frozenset[Classification] = frozenset(
    {"confidential", "restricted", "personal"}
)
"""Values of columns so classified stay in the raw and quarantine buckets and are masked elsewhere.

The vocabulary is closed, because a misspelled classification would mask nothing.
"""

DRIFT_PRESETS: Mapping[str, Mapping[DriftKind, DriftMode]] = {
    "allow": {
        "added": "evolve",
        "removed": "evolve",
        "renamed": "evolve",
        "retyped": "evolve",
        "nullability": "evolve",
    },
    "warn": {
        "added": "discard_value",
        "removed": "discard_value",
        "renamed": "freeze",
        "retyped": "discard_row",
        "nullability": "discard_row",
    },
    "fail": {
        "added": "freeze",
        "removed": "freeze",
        "renamed": "freeze",
        "retyped": "freeze",
        "nullability": "freeze",
    },
}
"""What `allow`, `warn` and `fail` are short for. A contract that says nothing means `warn`.

`removed` and `nullability` concern required fields too: a missing optional column is read as null
under `evolve` and `discard_value`, and a missing required one always rejects the file.
"""


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """ODCS `logicalTypeOptions`. Bounds are text and compared in the field's own type."""

    minimum: str | None = None
    maximum: str | None = None
    exclusive_minimum: str | None = None
    exclusive_maximum: str | None = None
    multiple_of: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None
    enum: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlertLimit:
    """Values of a sensor beyond which operators are alerted; the rows are good all the same."""

    above: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class Bundling:
    """How many small objects become one ingestion: what has landed within a window, at most so many
    objects and so many bytes."""

    window_seconds: float
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Field:
    """One column. `header` is how the file names it (`physicalName`), `aliases` other names.

    `formats` are the strptime formats in which dates and times are read; empty means ISO 8601.
    `decimal_mark` stands before the fraction of a number that is no integer.
    `key_position` is 1-based and None outside the primary key. `narrow` is the field as it was
    before accepted drift widened it: what that reads is still read.
    """

    name: str
    type: LogicalType = "string"
    header: str = ""
    aliases: tuple[str, ...] = ()
    required: bool = False
    unique: bool = False
    key_position: int | None = None
    options: FieldOptions = FieldOptions()
    formats: tuple[str, ...] = ()
    decimal_mark: str = "."
    precision: int | None = None
    scale: int | None = None
    classification: Classification | None = None
    description: str = ""
    narrow: Field | None = None
    alert: AlertLimit | None = None

    @property
    def masked(self) -> bool:
        """Whether the field's values must not be shown in reports, logs and answers."""
        return self.classification in MASKED_CLASSIFICATIONS

    @property
    def headers(self) -> tuple[str, ...]:
        """Every name under which a file may carry this field, the preferred one first."""
        return tuple(dict.fromkeys((self.header or self.name, self.name, *self.aliases)))

    @property
    def column_type(self) -> ColumnType:
        exact = self.type == "number" and self.precision is not None
        return "decimal" if exact else _COLUMN_TYPES[self.type]

    @property
    def column(self) -> Column:
        return Column(
            self.name,
            self.column_type,
            required=self.required or self.key_position is not None,
            precision=self.precision,
            scale=self.scale,
            description=self.description,
        )


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the dataset's files are written. None: sniffed, and the report says what was found."""

    format: FileFormat | None = None
    delimiter: str | None = None
    quote: str = '"'
    escape: str | None = None
    encoding: str | None = None
    null_markers: tuple[str, ...] = ("",)
    decimal_mark: str = "."
    header_row: int | None = None
    comment: str | None = None
    sheet: str | None = None


Threshold = Literal[
    "mustBe",
    "mustNotBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
    "mustNotBeBetween",
]
Metric = Literal["nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount"]
Severity = Literal["error", "warning"]
Unit = Literal["rows", "percent"]


@dataclass(frozen=True, slots=True)
class QualityRule:
    """A rule over the whole file (`library`) or over the table (`sql`), as ODCS `quality`.

    `bounds` has two items for `mustBeBetween` and `mustNotBeBetween` and one otherwise. `columns`
    is the property that the rule stands at, or those that `duplicateValues` names; empty for the
    dataset. `query` is one SELECT of one number in BigQuery's SQL, placeholders filled in.
    `arguments` holds `missingValues` (texts beside null) and `validValues` (texts, in the column's
    type) as tuples, and `pattern` (RE2, of the whole text); `invalidValues` without any counts what
    fails the column's own type and options.
    """

    name: str
    type: Literal["library", "sql"]
    threshold: Threshold
    bounds: tuple[float, ...]
    metric: Metric | None = None
    columns: tuple[str, ...] = ()
    query: str | None = None
    unit: Unit = "rows"
    arguments: Mapping[str, object] = field(default_factory=dict)
    severity: Severity = "error"
    dimension: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """ODCS `slaProperties`: how late, how often. Seconds; None when not declared."""

    latency: float | None = None
    frequency: float | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """One immutable version of a dataset's contract; `sha256` is of the YAML's bytes.

    `object_columns` is a pattern of object names with `{column}` for a segment: rows of an object
    that it matches must carry these very values. `alerts` are the limits of `alerts.AlertRules`.
    """

    dataset: str
    version: str
    sha256: str
    fields: tuple[Field, ...]
    description: str = ""
    ordering: str | None = None
    partition_by: str | None = None
    path_patterns: tuple[str, ...] = ()
    dialect: Dialect = Dialect()
    drift: Mapping[DriftKind, DriftMode] = field(default_factory=lambda: DRIFT_PRESETS["warn"])
    max_invalid_percent: float = 5.0
    quality: tuple[QualityRule, ...] = ()
    service_level: ServiceLevel = ServiceLevel()
    object_columns: str | None = None
    bundling: Bundling | None = None
    alerts: Mapping[str, float | bool | None] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key's columns, in order of position; empty without a primary key."""
        keyed = [f for f in self.fields if f.key_position is not None]
        return tuple(f.name for f in sorted(keyed, key=lambda f: f.key_position or 0))

    def table(self) -> DatasetTable:
        """The tables of the dataset. A required column is nullable there when the drift policy
        may let nulls through."""
        lenient = self.drift["nullability"] in ("evolve", "discard_value")
        columns = [
            replace(f.column, required=f.column.required and not lenient)
            if f.key_position is None
            else f.column
            for f in self.fields
        ]
        return DatasetTable(
            dataset=self.dataset,
            columns=tuple(columns),
            key=self.key,
            ordering=self.ordering,
            partition_by=self.partition_by,
            description=self.description,
        )


def union_table(versions: Sequence[Contract]) -> DatasetTable:
    """What the tables hold once rows of all these versions stand in them, the current one last.

    A column that some version lacks, or does not require, is nullable; the types, the key and all
    else are the current version's.
    """
    current = versions[-1].table()
    columns = {each.name: each for each in current.columns}
    for version in versions[:-1]:
        older = {each.name: each for each in version.table().columns}
        for name, column in columns.items():
            if name not in older or not older[name].required:
                columns[name] = replace(column, required=False)
        for name, column in older.items():
            columns.setdefault(name, replace(column, required=False))
    return replace(current, columns=tuple(columns.values()))


def route_object(name: str, patterns: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The datasets whose files an object name may be, best first and more than one only on a tie.

    `patterns` maps each published dataset to its contract's path patterns. Without any, a
    dataset's pattern is its name as the first folder. The pattern with the longest literal prefix
    wins. Nothing is guessed from the file name.
    """
    best: list[str] = []
    longest = -1
    for dataset, declared in sorted(patterns.items()):
        for pattern in declared or (f"{_escape_glob(dataset)}/*",):
            if not fnmatch.fnmatchcase(name, pattern):
                continue
            literal = len(pattern.split("*", 1)[0].split("?", 1)[0].split("[", 1)[0])
            if literal > longest:
                best, longest = [dataset], literal
            elif literal == longest and dataset not in best:
                best.append(dataset)
    return tuple(best)


def _escape_glob(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def bound_columns(pattern: str | None, object_name: str) -> dict[str, str]:
    """The values that a contract's `object_columns` takes from an object's name: {column: value};
    empty when the pattern does not match."""
    if pattern is None:
        return {}
    parts = re.split(r"(\{[a-z_][a-z0-9_]*\}|\*)", pattern)
    expression = "".join(
        f"(?P<{part[1:-1]}>[^/]+)"
        if part.startswith("{")
        else ".*"
        if part == "*"
        else re.escape(part)
        for part in parts
    )
    found = re.fullmatch(expression, object_name, re.DOTALL)
    return found.groupdict() if found else {}
