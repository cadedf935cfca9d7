"""The warehouse's tables in BigQuery: what a dataset needs, as API resources, and what may change.

Clustering is by the key (the first four columns of types that BigQuery clusters by), in the history
followed by `_ingestion_id` where there is room. The curated table is partitioned by `partition_by`:
a timestamp by DAY, because events come as they happen, and a date by MONTH, because business dates
reach back: a table has at most 10,000 partitions and a job may change 4,000 of them, which is 11
years of days and 333 of months. An existing table keeps its partitions and its clusters.

The history holds JSON as STRING: a load job does not read JSON from Parquet. The curated table has
it as JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from google.cloud import bigquery

from eventpulse.adapters.recompute import find_column, row_key
from eventpulse.adapters.warehouse_values import (
    ACTIVE_COLUMNS,
    active_name,
    curated_columns,
    history_columns,
    history_name,
)
from eventpulse.errors import TableConflict
from eventpulse.ports import Column, ColumnType, DatasetTable, Layer
from eventpulse.rows.arrow import SOURCE_COLUMNS, arrow_type

_TYPES: Mapping[ColumnType, str] = {
    "string": "STRING",
    "integer": "INTEGER",
    "number": "FLOAT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
    "json": "JSON",
}
_LEGACY_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
_SQL_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
_CLUSTERED: frozenset[ColumnType] = frozenset(
    ("string", "integer", "decimal", "boolean", "date", "timestamp")
)
_MOST_CLUSTERS = 4
_PARTITION_UNITS: Mapping[ColumnType, str] = {"date": "MONTH", "timestamp": "DAY"}
_NUMERIC_SCALE, _NUMERIC_WHOLE = 9, 29
_LABEL_LENGTH = 63
TEMPORARY = timedelta(days=1)
"""For how long a temporary table is there when nobody has asked for it again."""


@dataclass(frozen=True, slots=True)
class WantedTable:
    """One table as it must be. `key` is set where another key would be a conflict."""

    layer: Layer
    name: str
    fields: tuple[bigquery.SchemaField, ...]
    description: str
    labels: Mapping[str, str]
    clusters: tuple[str, ...] = ()
    partition: bigquery.TimePartitioning | None = None
    pinned: frozenset[str] = frozenset()
    temporary: bool = False

    @property
    def title(self) -> str:
        return f"{self.layer}.{self.name}"


def want_tables(table: DatasetTable) -> tuple[WantedTable, ...]:
    """The dataset's three tables. Raises TableConflict for a key that cannot be one."""
    name = table.dataset
    labels = {"app": "eventpulse", "dataset": make_label(name)}
    clusters = cluster_columns(table)
    return (
        WantedTable(
            "history",
            history_name(name),
            tuple(make_field(_as_loaded(column)) for column in history_columns(table)),
            f"Every row that was ever accepted for {name}.",
            labels,
            (*clusters, "_ingestion_id")[:_MOST_CLUSTERS],
            pinned=table.pinned,
            temporary=table.temporary,
        ),
        WantedTable(
            "history",
            active_name(name),
            tuple(map(make_field, ACTIVE_COLUMNS)),
            f"The ingestions whose rows curated.{name} is made of.",
            labels,
            temporary=table.temporary,
        ),
        WantedTable(
            "curated",
            name,
            tuple(map(make_field, curated_columns(table))),
            table.description,
            {**labels, "key": _hash_key(row_key(table))},
            clusters,
            _partition(table),
            table.pinned,
            table.temporary,
        ),
    )


def cluster_columns(table: DatasetTable) -> tuple[str, ...]:
    """The columns of the row key that BigQuery can cluster by, at most four."""
    columns = {column.name: column for column in (*table.columns, *SOURCE_COLUMNS)}
    names = [name for name in row_key(table) if columns[name].type in _CLUSTERED]
    return tuple(names[:_MOST_CLUSTERS])


def make_field(column: Column) -> bigquery.SchemaField:
    resource: dict[str, str | int] = {
        "name": column.name,
        "type": _field_type(column),
        "mode": "REQUIRED" if column.required else "NULLABLE",
    }
    if column.description:
        resource["description"] = column.description
    if column.type == "decimal" and column.precision is not None:
        resource |= {"precision": column.precision, "scale": column.scale or 0}
    return bigquery.SchemaField.from_api_repr(resource)


def sql_type(column: Column) -> str:
    """The type's name in SQL, without parameters."""
    return _SQL_NAMES.get(_field_type(column), _field_type(column))


def logical_type(field: bigquery.SchemaField) -> ColumnType:
    """The type of a field as contracts call it."""
    name = _LEGACY_NAMES.get(field.field_type, field.field_type)
    types = {text: kind for kind, text in _TYPES.items()}
    types |= {"NUMERIC": "decimal", "BIGNUMERIC": "decimal"}
    return types.get(name, "string")


def make_label(text: str) -> str:
    """A label value that looks like `text`."""
    return re.sub(r"[^\w-]", "-", text.lower())[:_LABEL_LENGTH]


def make_table(reference: str, wanted: WantedTable) -> bigquery.Table:
    """The resource to create."""
    table = bigquery.Table(reference, schema=wanted.fields)
    table.description = wanted.description or None
    table.labels = dict(wanted.labels)
    table.clustering_fields = list(wanted.clusters) or None
    table.time_partitioning = wanted.partition
    if wanted.temporary:
        table.expires = datetime.now(UTC) + TEMPORARY
    return table


def update_table(found: bigquery.Table, wanted: WantedTable) -> list[str]:
    """Change the resource to what is wanted; the properties to send, empty when it is so already.

    Raises TableConflict.
    """
    changed = []
    schema = _merge_fields(found.schema, wanted)
    if [field.to_api_repr() for field in schema] != [f.to_api_repr() for f in found.schema]:
        found.schema = schema
        changed.append("schema")
    if (found.description or "") != wanted.description:
        found.description = wanted.description or None
        changed.append("description")
    labels = {**found.labels, **wanted.labels}
    if labels.get("key") != found.labels.get("key", labels.get("key")):
        keyed = "the key that its label `key` was made of"
        raise TableConflict(wanted.title, "primary key", keyed, "another")
    if labels != found.labels:
        found.labels = labels
        changed.append("labels")
    if wanted.temporary and _expires_soon(found):
        found.expires = datetime.now(UTC) + TEMPORARY
        changed.append("expires")
    return changed


def _expires_soon(found: bigquery.Table) -> bool:
    return found.expires is not None and found.expires - datetime.now(UTC) < TEMPORARY / 2


def _merge_fields(
    found: Sequence[bigquery.SchemaField], wanted: WantedTable
) -> list[bigquery.SchemaField]:
    """The found fields in their order, then the new ones as nullable. Raises TableConflict."""
    fields = {field.name.lower(): field for field in wanted.fields}
    merged = []
    for field in found:
        expected = fields.pop(field.name.lower(), None)
        resource = dict(field.to_api_repr())  # it may be the very dict of the field
        if expected is None:
            resource["mode"] = "NULLABLE"
        else:
            _check_type(wanted, field, expected)
            if expected.mode == "NULLABLE":
                resource["mode"] = "NULLABLE"
            if (field.description or "") != (expected.description or ""):
                resource["description"] = expected.description or ""
        merged.append(bigquery.SchemaField.from_api_repr(resource))
    for field in fields.values():
        resource = {**field.to_api_repr(), "mode": "NULLABLE"}
        merged.append(bigquery.SchemaField.from_api_repr(resource))
    return merged


_WIDENED: Mapping[tuple[str, str], str] = {
    ("INTEGER", "FLOAT"): "CAST({} AS FLOAT64)",
    ("DATE", "TIMESTAMP"): "TIMESTAMP({}, 'UTC')",
    ("INTEGER", "STRING"): "CAST({} AS STRING)",
    ("FLOAT", "STRING"): r"REGEXP_REPLACE(CAST({} AS STRING), r'\.0$', '')",
    ("BOOLEAN", "STRING"): "CAST({} AS STRING)",
    ("DATE", "STRING"): "FORMAT_DATE('%Y-%m-%d', {})",
    ("TIMESTAMP", "STRING"): "FORMAT_TIMESTAMP('%Y-%m-%dT%H:%M:%E6SZ', {}, 'UTC')",
    ("TIME", "STRING"): "CAST({} AS STRING)",
    ("JSON", "STRING"): "TO_JSON_STRING({})",
}
"""How a column's values are carried into a wider type; both warehouses write the same text."""


def find_widened(found: bigquery.Table, wanted: WantedTable) -> dict[str, str]:
    """The columns whose type grows, and what their values become, as SQL over the old column."""
    fields = {field.name.lower(): field for field in wanted.fields}
    widened = {}
    for field in found.schema:
        expected = fields.get(field.name.lower())
        if expected is None or expected.name in wanted.pinned:
            continue
        expression = _WIDENED.get((_describe_type(field), _describe_type(expected)))
        if expression is not None:
            widened[field.name] = expression
    return widened


def find_rounded(found: bigquery.Table, wanted: WantedTable) -> list[str]:
    """The columns of whole numbers that become floating point ones, which hold fewer digits."""
    types = {field.name: field.field_type for field in found.schema}
    return [
        name
        for name, expression in find_widened(found, wanted).items()
        if "FLOAT64" in expression and _LEGACY_NAMES.get(types[name], types[name]) == "INTEGER"
    ]


def widen_table(name: str, found: bigquery.Table, wanted: WantedTable) -> str:
    """The statement that rewrites a table with its wider columns; it keeps its partitions and
    clusters. What the statement drops of descriptions and labels, `update_table` puts back."""
    changed = ", ".join(
        f"{expression.format(_quote(column))} AS {_quote(column)}"
        for column, expression in find_widened(found, wanted).items()
    )
    parts = [f"CREATE OR REPLACE TABLE {name}"]
    partition = found.time_partitioning
    if partition is not None and partition.field is not None:
        types = {field.name: field.field_type for field in found.schema}
        kind = types[partition.field]
        parts.append(f"PARTITION BY {kind}_TRUNC({_quote(partition.field)}, {partition.type_})")
    if found.clustering_fields:
        parts.append(f"CLUSTER BY {', '.join(map(_quote, found.clustering_fields))}")
    parts.append(f"AS SELECT * REPLACE ({changed}) FROM {name}")
    return "\n".join(parts)


def _quote(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _check_type(
    wanted: WantedTable, found: bigquery.SchemaField, expected: bigquery.SchemaField
) -> None:
    if _describe_type(found) != _describe_type(expected):
        raise TableConflict(
            wanted.title, found.name, _describe_type(found), _describe_type(expected)
        )


def _describe_type(field: bigquery.SchemaField) -> str:
    name = _LEGACY_NAMES.get(field.field_type, field.field_type)
    if field.precision is None:
        return name
    return f"{name}({field.precision}, {field.scale or 0})"


def _field_type(column: Column) -> str:
    if column.type != "decimal":
        return _TYPES[column.type]
    decimal = arrow_type(column)
    whole = decimal.precision - decimal.scale
    fits = decimal.scale <= _NUMERIC_SCALE and whole <= _NUMERIC_WHOLE
    return "NUMERIC" if fits else "BIGNUMERIC"


def _as_loaded(column: Column) -> Column:
    return replace(column, type="string") if column.type == "json" else column


def _partition(table: DatasetTable) -> bigquery.TimePartitioning | None:
    if table.partition_by is None:
        return None
    column = find_column(table, table.partition_by)
    unit = _PARTITION_UNITS.get(column.type)
    if unit is None:
        wanted = "a date or a timestamp, to partition by"
        raise TableConflict(f"curated.{table.dataset}", column.name, column.type, wanted)
    return bigquery.TimePartitioning(type_=unit, field=column.name)


def _hash_key(key: Sequence[str]) -> str:
    """A label value for the key: its columns may have names that a label cannot."""
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
