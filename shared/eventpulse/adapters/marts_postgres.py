"""Marts in Postgres: the translation of their SQL, and putting a new one in the old one's place.

Views that read the old one are dropped and made again, in the same transaction; so a mart that
another mart needs can change its columns, unless the other needs just those.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg import sql

from eventpulse.adapters.marts_sql import SqlRejected, TableTypes, find_tables, to_postgres
from eventpulse.adapters.postgres import Connection, is_transient, lock_schema_changes
from eventpulse.adapters.tables_postgres import bigquery_type, find_layouts, table_name
from eventpulse.adapters.warehouse_values import to_json
from eventpulse.ports import Json

logger = logging.getLogger(__name__)

_DROP = {"r": "DROP TABLE", "v": "DROP VIEW"}
_FIND_RELATION = "SELECT c.oid, c.relkind::text FROM pg_class c WHERE c.oid = to_regclass(%s)"
_FIND_READERS = """
    WITH RECURSIVE readers(oid, depth) AS (
        SELECT %s::oid, 0
        UNION ALL
        SELECT r.ev_class, readers.depth + 1
        FROM readers
        JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = readers.oid
        JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        WHERE r.ev_class <> readers.oid
    )
    SELECT n.nspname, c.relname, pg_get_viewdef(c.oid)
    FROM readers JOIN pg_class c ON c.oid = readers.oid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE depth > 0 AND c.relkind = 'v'
    GROUP BY c.oid, n.nspname, c.relname ORDER BY max(depth)
"""


@dataclass(frozen=True, slots=True)
class _View:
    name: sql.Identifier
    definition: str


def replace_mart(
    connection: Connection, name: str, query: str, kind: Literal["VIEW", "TABLE"]
) -> int:
    """Make `marts.<name>` the view or table of `query`, in the caller's transaction.

    The number of a table's rows, 0 for a view. Raises SqlRejected.
    """
    try:
        translated = to_postgres(name, query, _find_types(connection, name, query))
        return _replace(connection, name, translated, kind)
    except psycopg.Error as error:
        if is_transient(error):
            raise
        raise SqlRejected(name, error.diag.message_primary or error) from error


def measure(connection: Connection, name: str, query: str) -> list[float | None]:
    """The one row of numbers of a query. Raises SqlRejected."""
    try:
        translated = to_postgres(name, query, _find_types(connection, name, query))
        row = connection.execute(translated.encode()).fetchone()
    except psycopg.Error as error:
        if is_transient(error):
            raise
        raise SqlRejected(name, error.diag.message_primary or error) from error
    return [None if value is None else float(value) for value in row or ()]


def tabulate(connection: Connection, name: str, query: str, limit: int) -> list[dict[str, Json]]:
    """The first rows of a query as JSON values, none without its tables. Raises SqlRejected."""
    types = _find_types(connection, name, query)
    if any(table not in types.get(layer, {}) for layer, table in find_tables(name, query)):
        return []
    try:
        translated = to_postgres(name, query, types)
        cursor = connection.execute(translated.encode())
    except psycopg.Error as error:
        if is_transient(error):
            raise
        raise SqlRejected(name, error.diag.message_primary or error) from error
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, map(to_json, row), strict=True)) for row in cursor.fetchmany(limit)]


def _find_types(connection: Connection, name: str, query: str) -> TableTypes:
    types: TableTypes = {}
    for (layer, table), found in find_layouts(connection, find_tables(name, query)).items():
        columns = {column: bigquery_type(each) for column, each in found.columns.items()}
        types.setdefault(layer, {})[table] = columns
    return types


def _replace(connection: Connection, name: str, query: str, kind: Literal["VIEW", "TABLE"]) -> int:
    """Build aside, which may take long, and only then lock out the readers of the old one."""
    final, aside = table_name("marts", name), table_name("marts", f"{name[:40]} (new)")
    created = connection.execute(
        sql.SQL("CREATE {} {} AS ").format(sql.SQL(kind), aside).as_string(connection).encode()
        + query.encode()
    )
    lock_schema_changes(connection)
    row = connection.execute(_FIND_RELATION, (final.as_string(connection),)).fetchone()
    readers: list[_View] = []
    if row is not None:
        oid, found_kind = row
        readers = _find_readers(connection, oid)
        for view in reversed(readers):
            connection.execute(sql.SQL("DROP VIEW {}").format(view.name))
        drop = sql.SQL(_DROP[found_kind])
        connection.execute(sql.SQL("{} {}").format(drop, final))
    connection.execute(
        sql.SQL("ALTER {} {} RENAME TO {}").format(sql.SQL(kind), aside, sql.Identifier(name))
    )
    for view in readers:
        _make_view(connection, view)
    return created.rowcount if kind == "TABLE" else 0


def change_tables(connection: Connection, dataset: str, statements: Sequence[sql.Composed]) -> None:
    """Run what changes a dataset's tables. Postgres changes no column that a view reads, so the
    views are dropped when one is in the way, and made again. A view that cannot read the changed
    column is left out: building its mart will say why."""
    aside: list[_View] = []
    for statement in statements:
        try:
            with connection.transaction():
                connection.execute(statement)
        except psycopg.errors.FeatureNotSupported:
            aside += _drop_readers(connection, table_name("curated", dataset))
            connection.execute(statement)
    for view in aside:
        try:
            with connection.transaction():
                _make_view(connection, view)
        except psycopg.Error as error:
            if is_transient(error):
                raise
            logger.warning("a mart does not fit %s any more: %s", dataset, error)


def _drop_readers(connection: Connection, name: sql.Identifier) -> list[_View]:
    row = connection.execute(_FIND_RELATION, (name.as_string(connection),)).fetchone()
    readers = _find_readers(connection, row[0]) if row is not None else []
    for view in reversed(readers):
        connection.execute(sql.SQL("DROP VIEW {}").format(view.name))
    return readers


def _make_view(connection: Connection, view: _View) -> None:
    definition = sql.SQL(view.definition)
    connection.execute(sql.SQL("CREATE VIEW {} AS {}").format(view.name, definition))


def _find_readers(connection: Connection, oid: int) -> list[_View]:
    """The views that read a relation, themselves or through others, in the order of making."""
    rows = connection.execute(_FIND_READERS, (oid,))
    return [_View(sql.Identifier(schema, name), text) for schema, name, text in rows]
