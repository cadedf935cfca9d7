"""What both warehouses agree on: names, the Parquet that they load, values as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from eventpulse.errors import BooksUnbalanced, TableConflict
from eventpulse.ports import Activation, Column, DatasetTable, Json, RowCounts
from eventpulse.rows.arrow import CURATED_COLUMNS, SOURCE_COLUMNS, arrow_schema, arrow_type

ACTIVE_COLUMNS: tuple[Column, ...] = (
    Column("ingestion_id", "string", required=True),
    Column("contract_version", "string", required=True),
    Column("loaded_at", "timestamp", required=True),
    Column("rows_accepted", "integer", required=True),
    Column("rows_current", "integer", required=True),
    Column("fence", "integer", description="In the row without an ingestion: the last publish's."),
)
_KEYLESS_TYPES = ("number", "json")


def history_name(dataset: str) -> str:
    return f"rows_{dataset}"


def active_name(dataset: str) -> str:
    return f"active_{dataset}"


def contract_columns(table: DatasetTable) -> tuple[Column, ...]:
    """The table's columns, with those of the key required: a key is never null.

    Raises TableConflict when a key column has a type that no warehouse can compare exactly.
    """
    for column in table.columns:
        if column.name in table.key and column.type in _KEYLESS_TYPES:
            wanted = "a type that can be a key (not number, not json)"
            raise TableConflict(table.dataset, column.name, column.type, wanted)
        if column.name == table.ordering and column.type == "json":
            raise TableConflict(table.dataset, column.name, "json", "a type that has an order")
    return tuple(
        replace(column, required=column.required or column.name in table.key)
        for column in table.columns
    )


def history_columns(table: DatasetTable) -> tuple[Column, ...]:
    return (*contract_columns(table), *SOURCE_COLUMNS)


def curated_columns(table: DatasetTable) -> tuple[Column, ...]:
    return (*contract_columns(table), *CURATED_COLUMNS)


def read_schema(columns: Sequence[Column]) -> pa.Schema:
    """How rows are read: a column that is required now may be null in older rows."""
    return arrow_schema([replace(column, required=False) for column in columns])


def only_deactivated(activate: Iterable[Activation], deactivate: Iterable[str]) -> list[str]:
    """The ingestions to deactivate; one that is activated at once stays."""
    activated = {each.ingestion_id for each in activate}
    return [name for name in dict.fromkeys(deactivate) if name not in activated]


def check_books(activate: Iterable[Activation], loaded: Mapping[str, int]) -> None:
    """Raise BooksUnbalanced unless the history has the rows of each activated ingestion."""
    for each in activate:
        found = loaded.get(each.ingestion_id, 0)
        if found != each.rows_accepted:
            raise BooksUnbalanced(
                f"ingestion {each.ingestion_id}",
                "rows_accepted = rows_loaded",
                rows_accepted=each.rows_accepted,
                rows_loaded=found,
            )


def make_counts(rows: Iterable[Sequence[Any]]) -> dict[str, RowCounts]:
    """From rows of ingestion_id, rows_accepted, rows_current."""
    return {name: RowCounts(accepted, current) for name, accepted, current in rows}


def to_json(value: Any) -> Json:
    """A value that a driver returned, as JSON: decimals, times and what is no number as text.

    Times are ISO 8601, timestamps in UTC with six decimals; NaN and infinities are "NaN",
    "Infinity" and "-Infinity".
    """
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value.is_finite() else str(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.isoformat(timespec="microseconds")
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): to_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    return str(value)


def check_columns(schema: pa.Schema, columns: Sequence[Column]) -> list[Column]:
    """Those of `columns` that a Parquet file has; the others are null in every row of it.

    Raises ValueError when a required one is missing, one is of another type than `rows/arrow.py`
    says, or the file has one more.
    """
    given = set(schema.names)
    missing = [c.name for c in columns if c.required and c.name not in given]
    unknown = sorted(given - {c.name for c in columns})
    if missing or unknown:
        raise ValueError(f"missing required columns {missing}, unknown columns {unknown}")
    present = [column for column in columns if column.name in given]
    for column in present:
        found, wanted = schema.field(column.name).type, arrow_type(column)
        if found != wanted:
            raise ValueError(f"the column {column.name!r} is {found} and must be {wanted}")
    return present
