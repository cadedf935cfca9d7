"""The warehouse's tables in Postgres: what a dataset needs, and the DDL from what is there to it.

Layout: the schemas `history`, `curated` and `marts`; `history.load_jobs` is the ledger of load
jobs. Text is compared by its bytes (COLLATE "C"), as BigQuery does. The history has an index on the
key, to find the other versions of a key, and one on `_ingestion_id`, to find the rows of a file.
They are made after its first rows, which is less than half the work of having them before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from eventpulse.adapters.postgres import Connection, Schema
from eventpulse.adapters.recompute import row_key
from eventpulse.adapters.warehouse_values import (
    ACTIVE_COLUMNS,
    active_name,
    curated_columns,
    history_columns,
    history_name,
)
from eventpulse.contracts.widening import MOST_EXACT
from eventpulse.errors import TableConflict
from eventpulse.ports import Column, ColumnType, DatasetTable, Layer
from eventpulse.rows.arrow import arrow_type

LAYERS: tuple[Layer, ...] = ("history", "curated", "marts")

SCHEMA = Schema(
    "warehouse",
    (
        "CREATE SCHEMA IF NOT EXISTS history",
        "CREATE SCHEMA IF NOT EXISTS curated",
        "CREATE SCHEMA IF NOT EXISTS marts",
        """
        CREATE TABLE history.load_jobs (
            job_id text COLLATE "C" PRIMARY KEY,
            target text NOT NULL,
            rows bigint,
            bytes bigint,
            problem text,
            ended_at timestamptz NOT NULL DEFAULT now()
        )
        """,
    ),
)

_TYPES: Mapping[ColumnType, str] = {
    "string": "text",
    "integer": "bigint",
    "number": "double precision",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp with time zone",
    "time": "time without time zone",
    "json": "jsonb",
}
_BIGQUERY_TYPES: Mapping[str, str] = {
    "text": "STRING",
    "bigint": "INT64",
    "double precision": "FLOAT64",
    "numeric": "NUMERIC",
    "boolean": "BOOL",
    "date": "DATE",
    "timestamp with time zone": "TIMESTAMP",
    "time without time zone": "TIME",
    "jsonb": "JSON",
}
_LONGEST_NAME = 63  # bytes; Postgres cuts longer ones without a word

_FIND_LAYOUTS = """
    SELECT n.nspname, c.relname, obj_description(c.oid, 'pg_class'), a.attname,
           format_type(a.atttypid, a.atttypmod), a.attnotnull, col_description(c.oid, a.attnum)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    ORDER BY a.attnum
"""
_HAS_INDEX = "SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass(%s))"
_NAME_KEY = """
    SELECT conname::text, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'
"""
_FIND_KEY = """
    SELECT array_agg(a.attname::text ORDER BY k.position)
    FROM pg_constraint p, unnest(p.conkey) WITH ORDINALITY AS k(number, position), pg_attribute a
    WHERE p.conrelid = to_regclass(%s) AND p.contype = 'p'
      AND a.attrelid = p.conrelid AND a.attnum = k.number
"""


@dataclass(frozen=True, slots=True)
class FoundColumn:
    type: str
    required: bool
    description: str | None


@dataclass(slots=True)
class FoundTable:
    description: str | None
    columns: dict[str, FoundColumn]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One table as it must be, with the primary key."""

    layer: Layer
    name: str
    columns: tuple[Column, ...]
    description: str
    key: tuple[str, ...] = ()
    pinned: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        return f"{self.layer}.{self.name}"


def table_name(layer: Layer, name: str) -> sql.Identifier:
    return sql.Identifier(layer, name)


def column_type(column: Column) -> str:
    """The type as Postgres itself writes it."""
    if column.type == "decimal":
        decimal = arrow_type(column)
        return f"numeric({decimal.precision},{decimal.scale})"
    return _TYPES[column.type]


def ensure_dataset(connection: Connection, table: DatasetTable) -> list[sql.Composed]:
    """The statements that make the dataset's three tables what `table` says; empty when they are.

    Raises TableConflict.
    """
    wanted = _want_tables(table)
    found = find_layouts(connection, [(each.layer, each.name) for each in wanted])
    statements: list[sql.Composed] = []
    for each in wanted:
        there = found.get((each.layer, each.name))
        if there is None:
            statements += _create(each)
            continue
        if each.key:
            _check_key(connection, each)
        statements += _alter(connection, each, there)
    return statements


def index_history(connection: Connection, table: DatasetTable) -> None:
    """Make the indexes of the dataset's history, unless it has them."""
    name = table_name("history", history_name(table.dataset))
    row = connection.execute(_HAS_INDEX, (name.as_string(connection),)).fetchone()
    if row is not None and not row[0]:
        for columns in (row_key(table), ("_ingestion_id",)):
            connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(name, _names(columns)))


@contextlib.contextmanager
def put_aside_key(connection: Connection, table: str) -> Iterator[None]:
    """Fill an empty table, of that quoted name, while it has no primary key; then make the key.

    Nobody reads the table until the transaction ends. Raises psycopg's UniqueViolation, and
    DependentObjectsStillExist where a view relies on the key.
    """
    row = connection.execute(_NAME_KEY, (table,)).fetchone()
    assert row is not None, "a curated table has a primary key"
    alter, key = sql.SQL("ALTER TABLE {} ").format(sql.SQL(table)), sql.Identifier(row[0])
    connection.execute(alter + sql.SQL("DROP CONSTRAINT {}").format(key))
    yield
    definition = sql.SQL(row[1])
    connection.execute(alter + sql.SQL("ADD CONSTRAINT {} {}").format(key, definition))


def find_layouts(
    connection: Connection, names: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], FoundTable]:
    """The tables and views that exist of (layer, name), with their columns in order."""
    pairs = sorted(names)
    layers, tables = [layer for layer, _ in pairs], [name for _, name in pairs]
    found: dict[tuple[str, str], FoundTable] = {}
    for layer, name, about, column, type_, required, description in connection.execute(
        _FIND_LAYOUTS, (layers, tables)
    ):
        there = found.setdefault((layer, name), FoundTable(about, {}))
        there.columns[column] = FoundColumn(type_, required, description)
    return found


def bigquery_type(found: FoundColumn) -> str:
    """What BigQuery calls the type of a column, for the translation of marts."""
    return _BIGQUERY_TYPES.get(found.type.partition("(")[0], "STRING")


def logical_type(found: FoundColumn) -> ColumnType:
    """The type of a column as contracts call it."""
    name = found.type.partition("(")[0]
    types = {text: kind for kind, text in _TYPES.items()} | {"numeric": "decimal"}
    return types.get(name, "string")


def _want_tables(table: DatasetTable) -> tuple[_Wanted, ...]:
    name, key, pinned = table.dataset, row_key(table), table.pinned
    wanted = (
        _Wanted(
            "history",
            history_name(name),
            history_columns(table),
            f"Every row that was ever accepted for {name}.",
            pinned=pinned,
        ),
        _Wanted(
            "history",
            active_name(name),
            ACTIVE_COLUMNS,
            f"The ingestions whose rows curated.{name} is made of.",
            key=("ingestion_id",),
        ),
        _Wanted("curated", name, curated_columns(table), table.description, key=key, pinned=pinned),
    )
    for each in wanted:
        for identifier in (each.name, *(column.name for column in each.columns)):
            size = len(identifier.encode())
            if size > _LONGEST_NAME:
                allowed = f"a name of at most {_LONGEST_NAME} bytes"
                raise TableConflict(each.title, identifier, f"a name of {size} bytes", allowed)
    return wanted


def _check_key(connection: Connection, wanted: _Wanted) -> None:
    name = table_name(wanted.layer, wanted.name).as_string(connection)
    row = connection.execute(_FIND_KEY, (name,)).fetchone()
    found = tuple(row[0] or ()) if row else ()
    if found != wanted.key:
        raise TableConflict(wanted.title, "primary key", ", ".join(found), ", ".join(wanted.key))


def _create(wanted: _Wanted) -> Iterator[sql.Composed]:
    name = table_name(wanted.layer, wanted.name)
    parts = [_define(column) for column in wanted.columns]
    if wanted.key:
        parts.append(sql.SQL("PRIMARY KEY ({})").format(_names(wanted.key)))
    yield sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join(parts))
    yield from _describe(wanted, FoundTable(None, {}))


def _alter(connection: Connection, wanted: _Wanted, found: FoundTable) -> Iterator[sql.Composed]:
    """Add what is missing as nullable, widen what grew, relax what is required no more.

    Raises TableConflict.
    """
    alter = sql.SQL("ALTER TABLE {} ").format(table_name(wanted.layer, wanted.name))
    for column in wanted.columns:
        there = found.columns.get(column.name)
        if there is None:
            added = _define(column, nullable=True)
            yield alter + sql.SQL("ADD COLUMN IF NOT EXISTS {}").format(added)
        elif there.type != column_type(column):
            yield from _widen(connection, wanted, column, there)
    required = {column.name for column in wanted.columns if column.required}
    for name, there in found.columns.items():
        if there.required and name not in required:
            yield alter + sql.SQL("ALTER {} DROP NOT NULL").format(sql.Identifier(name))
    yield from _describe(wanted, found)


_WIDENED: Mapping[tuple[str, ColumnType], str] = {
    ("bigint", "number"): "{}::double precision",
    ("date", "timestamp"): "{}::timestamp AT TIME ZONE 'UTC'",
    ("bigint", "string"): "{}::text",
    ("double precision", "string"): "{}::text",
    ("boolean", "string"): "{}::text",
    ("date", "string"): "to_char({}, 'YYYY-MM-DD')",
    ("timestamp with time zone", "string"): (
        "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    ),
    ("time without time zone", "string"): "{}::text",
    ("jsonb", "string"): "{}::text",
}
"""How a column's values are carried into a wider type; both warehouses write the same text."""


def _widen(
    connection: Connection, wanted: _Wanted, column: Column, there: FoundColumn
) -> Iterator[sql.Composed]:
    """Change the column's type in place. Raises TableConflict when the new one is not wider."""
    expression = _WIDENED.get((there.type, column.type))
    if expression is None or column.name in wanted.pinned:
        raise TableConflict(wanted.title, column.name, there.type, column_type(column))
    name = sql.Identifier(column.name)
    table = table_name(wanted.layer, wanted.name)
    if (there.type, column.type) == ("bigint", "number"):
        query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} NOT BETWEEN {} AND {})")
        limits = sql.Literal(-MOST_EXACT), sql.Literal(MOST_EXACT)
        row = connection.execute(query.format(table, name, *limits)).fetchone()
        if row is not None and row[0]:
            found = "bigint with values beyond 2^53, which a number would round"
            raise TableConflict(wanted.title, column.name, found, column_type(column))
    collation = ' COLLATE "C"' if column.type == "string" else ""
    yield sql.SQL("ALTER TABLE {} ALTER {} TYPE {} USING ").format(
        table, name, sql.SQL(column_type(column) + collation)
    ) + sql.SQL(expression).format(name)


def _describe(wanted: _Wanted, found: FoundTable) -> Iterator[sql.Composed]:
    name = table_name(wanted.layer, wanted.name)
    if wanted.description != (found.description or ""):
        text = sql.Literal(wanted.description)
        yield sql.SQL("COMMENT ON TABLE {} IS {}").format(name, text)
    for column in wanted.columns:
        there = found.columns.get(column.name)
        if column.description != ((there and there.description) or ""):
            full = sql.Identifier(wanted.layer, wanted.name, column.name)
            text = sql.Literal(column.description)
            yield sql.SQL("COMMENT ON COLUMN {} IS {}").format(full, text)


def _define(column: Column, *, nullable: bool = False) -> sql.Composable:
    collation = ' COLLATE "C"' if column.type == "string" else ""
    presence = "" if nullable or not column.required else " NOT NULL"
    return sql.Identifier(column.name) + sql.SQL(f" {column_type(column)}{collation}{presence}")


def _names(columns: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
