"""How column types stand in Arrow: staged Parquet, warehouse reads and digests agree on it."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from eventpulse.ports import Column

SOURCE_COLUMNS: tuple[Column, ...] = (
    Column("_ingestion_id", "string", required=True),
    Column("_source_row", "integer", required=True),
    Column("_source_sha256", "string", required=True),
    Column("_source_created_at", "timestamp", required=True),
)
"""What every staged and every history row carries beside the contract's columns."""

CURATED_COLUMNS: tuple[Column, ...] = (
    *SOURCE_COLUMNS[:3],
    Column("_contract_version", "string", required=True),
    Column("_loaded_at", "timestamp", required=True),
)
"""What every curated row carries beside the contract's columns."""

_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "time": pa.time64("us"),
    "json": pa.string(),
}


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column; a decimal without precision is BigQuery's NUMERIC (38, 9)."""
    if column.type == "decimal":
        precision = 38 if column.precision is None else column.precision
        scale = column.scale if column.scale is not None else (9 if column.precision is None else 0)
        return pa.decimal128(precision, scale)
    return _TYPES[column.type]


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    return pa.schema([pa.field(c.name, arrow_type(c), nullable=not c.required) for c in columns])
