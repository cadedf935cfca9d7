"""The EventLog in Postgres.

Invariants:
  - A commit is one transaction. Each stream's row is changed under the condition that its version
    and its revision are those that were read (or that it does not exist), and the row's lock makes
    concurrent commits wait for each other: one of them finds the condition true.
  - The primary key (stream, version) of the events makes a version impossible to double; the
    version that a row moves to is the last event's, so none is skipped.
  - Rows are locked in one order (streams by name, existing before new, then claims by hash), so
    commits do not deadlock; should Postgres see a deadlock all the same, the commit is tried again.
  - The answer to a COMMIT may be lost. The commit is then sent again, cannot apply twice, and
    finds its own writer id: in its first event, its first claim, or among the row's last writers.

Tables in the schema `eventpulse`: `streams` (one row per stream: version, revision, the projection
as JSON, its queryable fields as jsonb), `events`, `claims`. A revision counts the commits to a
stream: it also moves when a commit has no events. Text is compared by its UTF-8 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import errors, sql
from psycopg.types.json import Jsonb

from eventpulse.adapters.log_values import (
    REMEMBERED_WRITERS,
    Scalar,
    decode_cursor,
    encode_commit,
    encode_cursor,
    encode_json,
    equal_fields,
    escape_text,
    hash_claim,
    new_writer,
    normalise_query,
    queryable_fields,
    stream_kind,
    unescape_text,
)
from eventpulse.adapters.postgres import Connection, Database, Schema, lock_schema_changes
from eventpulse.ports import Append, Claim, Conflict, Event, Head, Json, Page, Query

SCHEMA = Schema(
    "log",
    (
        """
        CREATE TABLE eventpulse.streams (
            stream text COLLATE "C" PRIMARY KEY,
            kind text COLLATE "C" NOT NULL,
            version bigint NOT NULL CHECK (version > 0),
            revision bigint NOT NULL,
            writers text[] NOT NULL,
            projection json NOT NULL,
            fields jsonb NOT NULL
        )
        """,
        "CREATE INDEX streams_by_kind ON eventpulse.streams (kind, stream)",
        """
        CREATE TABLE eventpulse.events (
            stream text COLLATE "C",
            version bigint,
            type text NOT NULL,
            at timestamptz NOT NULL,
            data json NOT NULL,
            cause json NOT NULL,
            writer text NOT NULL,
            PRIMARY KEY (stream, version)
        )
        """,
        """
        CREATE TABLE eventpulse.claims (
            key_hash bytea PRIMARY KEY,
            key text NOT NULL,
            data json NOT NULL,
            writer text NOT NULL
        )
        """,
    ),
)

_SELECT_HEADS = "SELECT stream, version, revision, projection FROM eventpulse.streams "
# Each statement takes whole columns. (No `executemany`: the idle timeout of a transaction does not
# run after a pipeline, so a client that froze before its COMMIT would hold its locks.)
_LOCK_STREAMS = """
    SELECT FROM eventpulse.streams WHERE stream = ANY(%s) ORDER BY stream FOR NO KEY UPDATE
"""
_STREAM_COLUMNS = (
    "unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[],"
    " %s::text[], %s::jsonb[])"
    " AS new (stream, kind, expected, revision, version, writer, projection, fields)"
)
_UPDATE_STREAMS = f"""
    UPDATE eventpulse.streams old
       SET version = new.version, revision = old.revision + 1, fields = new.fields,
           projection = new.projection::json,
           writers = (ARRAY[new.writer] || old.writers)[1:{REMEMBERED_WRITERS}]
      FROM {_STREAM_COLUMNS}
     WHERE (old.stream, old.version, old.revision) = (new.stream, new.expected, new.revision)
"""
_INSERT_STREAMS = f"""
    INSERT INTO eventpulse.streams (stream, kind, version, revision, writers, projection, fields)
    SELECT stream, kind, version, 1, ARRAY[writer], projection::json, fields
      FROM {_STREAM_COLUMNS} ORDER BY stream COLLATE "C"
    ON CONFLICT DO NOTHING
"""
_INSERT_EVENTS = """
    INSERT INTO eventpulse.events (stream, version, type, at, data, cause, writer)
    SELECT stream, version, type, at, data::json, cause::json, writer
      FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::timestamptz[], %s::text[], %s::text[],
                  %s::text[]) AS new (stream, version, type, at, data, cause, writer)
"""
_INSERT_CLAIMS = """
    INSERT INTO eventpulse.claims (key_hash, key, data, writer)
    SELECT key_hash, key, data::json, writer
      FROM unnest(%s::bytea[], %s::text[], %s::text[], %s::text[])
           AS new (key_hash, key, data, writer) ORDER BY key_hash
    ON CONFLICT DO NOTHING
"""


Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Commit:
    """The rows of one commit."""

    writer: str
    appends: Sequence[Append]
    claims: Sequence[Claim]
    updates: list[Row]
    inserts: list[Row]
    event_rows: list[Row]
    claim_rows: list[Row]


class PostgresEventLog:
    """The log behind a `postgresql://` URL; tables are made on first use.

    `indexes` are templates of the queries that will be asked (their values do not matter): each
    gets an expression index, so that a page costs its own rows and not the kind's. But every index
    costs every commit, so that an order of several fields, if it is asked for without filters too,
    gets that one index: with filters, it is followed and passes over rows.
    """

    def __init__(self, url: str, *, indexes: Iterable[Query] = (), patience: float = 30.0) -> None:
        self._indexes = _leave_out_filtered(indexes)
        self._database = Database(url, SCHEMA, prepare=self._create_indexes, patience=patience)

    def close(self) -> None:
        """Let go of all connections."""
        self._database.close()

    def head(self, stream: str) -> Head:
        return self.heads([stream])[0]

    def heads(self, streams: Sequence[str]) -> list[Head]:
        names = [escape_text(stream) for stream in streams if stream_kind(stream)]

        def work(connection: Connection) -> dict[str, Head]:
            rows = connection.execute(_SELECT_HEADS + "WHERE stream = ANY(%s)", (names,))
            return {head.stream: head for head in map(_make_head, rows)}

        found = self._database.read("read heads", work) if names else {}
        return [found.get(stream) or Head(stream, 0, {}) for stream in streams]

    def read(self, stream: str, after: int = 0) -> list[Event]:
        if stream_kind(stream) is None:
            return []
        statement = (
            "SELECT version, type, at, data, cause, writer FROM eventpulse.events"
            " WHERE stream = %s AND version > %s ORDER BY version"
        )

        def work(connection: Connection) -> list[Event]:
            rows = connection.execute(statement, (escape_text(stream), after))
            return [
                Event(stream, version, type_, at.astimezone(UTC), data, cause, writer)
                for version, type_, at, data, cause, writer in rows
            ]

        return self._database.read("read events", work)

    def commit(
        self,
        appends: Sequence[Append],
        claims: Sequence[Claim] = (),
        *,
        at: datetime,
        cause: Mapping[str, str] | None = None,
    ) -> Conflict | None:
        commit = _make_commit(appends, claims, at, cause or {})
        return self._database.run("commit", lambda connection: _apply(connection, commit))

    def claim(self, key: str) -> Mapping[str, Json] | None:
        def work(connection: Connection) -> Mapping[str, Json] | None:
            row = connection.execute(
                "SELECT data FROM eventpulse.claims WHERE key_hash = %s", (hash_claim(key),)
            ).fetchone()
            return None if row is None else row[0]

        return self._database.read("read a claim", work)

    def query(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        position = None if cursor is None else decode_cursor(query, cursor)
        normal = normalise_query(query)
        if normal is None:
            return Page([], None)
        statement, values = make_select(normal, position, limit + 1)

        def work(connection: Connection) -> list[Head]:
            return [_make_head(row) for row in connection.execute(statement, values)]

        heads = self._database.read("query", work)
        more = len(heads) > limit
        heads = heads[:limit]
        return Page(heads, encode_cursor(query, heads[-1]) if more else None)

    def count(self, query: Query) -> int:
        normal = normalise_query(query)
        if normal is None:
            return 0
        where, values = _make_where(normal)
        statement = sql.SQL("SELECT count(*) FROM eventpulse.streams WHERE ") + where

        def work(connection: Connection) -> int:
            row = connection.execute(statement, values).fetchone()
            return 0 if row is None else int(row[0])

        return self._database.read("count", work)

    def _create_indexes(self, connection: Connection) -> None:
        wanted = {name: body for name, body in map(_make_index, self._indexes)}
        present = connection.execute(
            "SELECT indexname FROM pg_indexes"
            " WHERE schemaname = 'eventpulse' AND tablename = 'streams'"
        ).fetchall()
        missing = wanted.keys() - {name for (name,) in present}
        if not missing:
            return
        with connection.transaction():
            lock_schema_changes(connection)
            for name in sorted(missing):
                connection.execute(
                    sql.SQL("CREATE INDEX IF NOT EXISTS {} ON eventpulse.streams {}").format(
                        sql.Identifier(name), wanted[name]
                    )
                )


# --- Commits -------------------------------------------------------------------------------------


def _make_head(row: Sequence[Any]) -> Head:
    stream, version, revision, projection = row
    return Head(unescape_text(stream), version, projection, revision)


def _make_commit(
    appends: Sequence[Append], claims: Sequence[Claim], at: datetime, cause: Mapping[str, str]
) -> _Commit:
    texts = encode_commit(appends, claims, at)
    writer = new_writer()
    cause_text = encode_json(cause)
    streams: dict[bool, list[Row]] = {True: [], False: []}
    events: list[Row] = []
    for append, projection, data in zip(appends, texts.projections, texts.events, strict=True):
        head, stream = append.head, escape_text(append.head.stream)
        row = (
            stream,
            stream_kind(head.stream),
            head.version,
            head.token,
            head.version + len(append.events),
            writer,
            projection,
            _make_fields(append.projection),
        )
        streams[head.version > 0].append(row)
        numbered = enumerate(zip(append.events, data, strict=True), head.version + 1)
        for version, (event, text) in numbered:
            events.append((stream, version, event.type, at, text, cause_text, writer))
    claim_rows: list[Row] = [
        (hash_claim(claim.key), _readable(claim.key), data, writer)
        for claim, data in zip(claims, texts.claims, strict=True)
    ]
    return _Commit(writer, appends, claims, streams[True], streams[False], events, claim_rows)


def _apply(connection: Connection, commit: _Commit) -> Conflict | None:
    """Write all rows, or roll back and say what was met."""
    if len(commit.updates) > 1:
        connection.execute(_LOCK_STREAMS, ([row[0] for row in commit.updates],))
    for statement, rows in (
        (_UPDATE_STREAMS, commit.updates),
        (_INSERT_STREAMS, commit.inserts),
        (_INSERT_EVENTS, commit.event_rows),
        (_INSERT_CLAIMS, commit.claim_rows),
    ):
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            if connection.execute(statement, columns).rowcount != len(rows):
                connection.rollback()
                return _find_conflict(connection, commit)
    return None


def _find_conflict(connection: Connection, commit: _Commit) -> Conflict | None:
    """What stands in the way of a commit; None when it is the commit itself, made before."""
    if _is_committed(connection, commit):
        return None
    names = [escape_text(append.head.stream) for append in commit.appends]
    rows = connection.execute(_SELECT_HEADS + "WHERE stream = ANY(%s)", (names,))
    found = {head.stream: head for head in map(_make_head, rows)}
    for append in commit.appends:
        head = found.get(append.head.stream) or Head(append.head.stream, 0, {})
        if (head.version, head.token) != (append.head.version, append.head.token):
            return Conflict("stream", head.stream)
    hashes = {hash_claim(claim.key): claim.key for claim in commit.claims}
    row = connection.execute(
        "SELECT key_hash FROM eventpulse.claims WHERE key_hash = ANY(%s) LIMIT 1", (list(hashes),)
    ).fetchone()
    if row is not None:
        return Conflict("claim", hashes[bytes(row[0])])
    raise errors.SerializationFailure("a commit met a conflict that is gone")


def _is_committed(connection: Connection, commit: _Commit) -> bool:
    names = [row[0] for row in (*commit.updates, *commit.inserts)]
    stream, version = commit.event_rows[0][:2] if commit.event_rows else (None, None)
    key_hash = commit.claim_rows[0][0] if commit.claim_rows else None
    row = connection.execute(
        """
        SELECT EXISTS (SELECT FROM eventpulse.streams
                        WHERE stream = ANY(%(names)s) AND %(writer)s = ANY(writers))
            OR EXISTS (SELECT FROM eventpulse.events
                        WHERE stream = %(stream)s AND version = %(version)s AND writer = %(writer)s)
            OR EXISTS (SELECT FROM eventpulse.claims
                        WHERE key_hash = %(key_hash)s AND writer = %(writer)s)
        """,
        {
            "names": names,
            "stream": stream,
            "version": version,
            "key_hash": key_hash,
            "writer": commit.writer,
        },
    ).fetchone()
    return row is not None and bool(row[0])


def _make_fields(projection: Mapping[str, Json]) -> Jsonb:
    fields = queryable_fields(projection)
    return Jsonb({name: _escape_value(value) for name, value in fields.items()})


def _escape_value(value: Json) -> Json:
    return escape_text(value) if isinstance(value, str) else value


def _readable(key: str) -> str:
    """A claim's key for people who look at the table; what identifies it is the hash."""
    return key.encode("utf-8", "backslashreplace").decode().replace("\x00", "\ufffd")


# --- Queries -------------------------------------------------------------------------------------


def make_select(
    query: Query, position: tuple[Sequence[Scalar], str] | None, limit: int
) -> tuple[sql.Composed, list[Any]]:
    """The statement of a page of a normalised query after a position, and its values."""
    where, values = _make_where(query)
    if position is not None:
        after, after_values = _make_position(query, *position)
        where, values = where + sql.SQL(" AND ") + after, values + after_values
    columns = [_order(expression, way) for expression, way in _order_columns(query)]
    statement = sql.SQL(_SELECT_HEADS) + sql.SQL("WHERE {} ORDER BY {} LIMIT %s").format(
        where, sql.SQL(", ").join(columns)
    )
    return statement, [*values, limit]


def _make_where(query: Query) -> tuple[sql.Composed, list[Any]]:
    """The condition of a normalised query, and its values."""
    # The kind is a literal so that the planner can use the partial indexes.
    conditions = [sql.SQL("kind = {}").format(sql.Literal(query.kind))]
    values: list[Any] = []
    for name, operator, value in query.where:
        if operator == "==":
            conditions.append(_field(name) + sql.SQL(" = %s"))
            values.append(Jsonb(_escape_value(value)))
        elif operator == "in" and isinstance(value, list):
            conditions.append(_field(name) + sql.SQL(" = ANY(%s)"))
            values.append([Jsonb(_escape_value(one)) for one in value])
        else:
            key = _order_key(name)
            conditions.append(key + sql.SQL(" " + operator + " %s"))
            values.append(_key_of(str(value)))
            if operator in ("<", "<="):
                conditions.append(key + sql.SQL(" >= '='"))  # a range matches strings only
    return sql.SQL(" AND ").join(conditions), values


def _make_position(
    query: Query, fields: Sequence[Scalar], stream: str
) -> tuple[sql.Composable, list[Any]]:
    """The condition `after the cursor`, nested from the last column outwards."""
    keys = [*map(_key_of, fields), escape_text(stream)]
    columns = [*zip(_order_columns(query), keys, strict=True)]
    (expression, way), key = columns.pop()
    condition: sql.Composable = expression + sql.SQL(_BEYOND[way] + " %s")
    values = [key]
    for (expression, way), key in reversed(columns):
        # The first comparison is implied; it is what lets an index start at the position.
        condition = sql.SQL("{0}{1}= %s AND ({0}{1} %s OR ({0} = %s AND {2}))").format(
            expression, sql.SQL(_BEYOND[way]), condition
        )
        values = [key, key, key, *values]
    return condition, values


_BEYOND = {"asc": " >", "desc": " <"}


def _order_columns(query: Query) -> list[tuple[sql.Composed, str]]:
    columns = [(_order_key(name), way) for name, way in query.order_by]
    last = query.order_by[-1][1] if query.order_by else "asc"
    return [*columns, (sql.Composed([sql.Identifier("stream")]), last)]


def _order(expression: sql.Composed, way: str) -> sql.Composed:
    return expression + sql.SQL(" DESC" if way == "desc" else " ASC")


def _field(name: str) -> sql.Composed:
    return sql.SQL("(fields -> {})").format(sql.Literal(name))


def _order_key(name: str) -> sql.Composed:
    """A field's value as text that sorts as all values do, by the mark before it: nothing for
    null, then `!` for booleans, `#` for integers (counted from the least, in 20 digits) and `=` for
    strings. See `_key_of`."""
    return sql.SQL(
        """(coalesce(CASE jsonb_typeof(fields -> {0})
            WHEN 'number' THEN '#' || lpad(((fields ->> {0})::numeric + {1})::text, 20, '0')
            WHEN 'boolean' THEN '!' || (fields ->> {0})
            ELSE '=' || (fields ->> {0}) END, '') COLLATE "C")"""
    ).format(sql.Literal(name), sql.Literal(_LEAST))


_LEAST = 2**63


def _key_of(value: Scalar) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "!true" if value else "!false"
    return "=" + escape_text(value) if isinstance(value, str) else f"#{value + _LEAST:020}"


def _leave_out_filtered(queries: Iterable[Query]) -> list[Query]:
    """Those of the queries that an index is made for."""
    given = list(queries)
    orders = {
        (each.kind, each.order_by)
        for each in given
        if len(each.order_by) > 1 and not equal_fields(each)
    }
    return [e for e in given if (e.kind, e.order_by) not in orders or not equal_fields(e)]


def _make_index(query: Query) -> tuple[str, sql.Composed]:
    """Name and definition of the index that answers queries of this form."""
    ordered = _order_columns(query)
    if all(way == "desc" for _, way in ordered):  # an index is read backwards as well
        ordered = [(expression, "asc") for expression, _ in ordered]
    columns = [_field(name) for name in equal_fields(query)]
    columns += [_order(expression, way) for expression, way in ordered]
    definition = sql.SQL("({}) WHERE kind = {}").format(
        sql.SQL(", ").join(columns), sql.Literal(query.kind)
    )
    digest = hashlib.sha256(definition.as_string().encode()).hexdigest()
    return f"streams_{query.kind[:30]}_{digest[:12]}", definition
