"""A Postgres database as every Postgres adapter uses it: pool, retries, tables on first use.

Invariants:
  - Nothing connects before the first `run`.
  - `run` hands out one connection in one transaction, which commits when the work returns and
    rolls back when it raises. After a fault that may pass (connection lost, restart, deadlock,
    serialization failure) the whole of the work is done again on another connection, so that work
    must be able to meet its own earlier commit: the answer to a COMMIT may have been lost.
  - A `Schema` is applied step by step under an advisory lock, each step once in the life of the
    database, however many processes use it for the first time at once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString, TypeAlias, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from eventpulse.errors import BackendUnavailable, SettingInvalid

Connection: TypeAlias = "psycopg.Connection[TupleRow]"
Result = TypeVar("Result")

BACKEND = "Postgres"

# Bounds on how long a dead peer goes unnoticed; a URL may name others. Sockets ignore the TCP ones.
_CONNECTION_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# A client that vanished or froze inside a transaction must not hold its row locks for ever.
_SESSION_SETTINGS: LiteralString = """
    SET idle_in_transaction_session_timeout = '60s';
    SET tcp_keepalives_idle = 30;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 3
"""

# SQLSTATEs, or classes of them, of faults that may pass.
_TRANSIENT_STATES = (
    "08",  # connection exception
    "40001",  # serialization failure
    "40P01",  # deadlock detected
    "53",  # insufficient resources: too many connections, disk full, out of memory
    "55P03",  # lock not available
    "57P01",  # shut down by the administrator
    "57P02",  # shut down by a crash of another session
    "57P03",  # cannot connect now: starting up
    "57P05",  # idle session timed out
    "25P03",  # idle transaction timed out
)
_FIRST_DELAY = 0.05
_LONGEST_DELAY = 2.0
_LOCK_KEY = 0x6576656E74  # "event": every schema change of this package takes this one lock


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one adapter, in the Postgres schema `eventpulse`.

    `steps` are the statements that made them, oldest first: a released step is never edited, a
    change is a step more. `name` names the adapter in `eventpulse.schema_steps`.
    """

    name: str
    steps: tuple[LiteralString, ...]


class Database:
    """One database behind a `postgresql://` URL (TCP or Unix socket), shared by threads.

    `patience` is how long, in seconds, a fault that may pass is retried before it surfaces as
    BackendUnavailable. `prepare` runs on first use, after the schema, in autocommit mode.
    """

    def __init__(
        self,
        url: str,
        schema: Schema,
        *,
        prepare: Callable[[Connection], None] | None = None,
        max_connections: int = 8,
        patience: float = 30.0,
    ) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # libpq's own message may quote a part of the URL, and with it of a password.
            expected = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, percent-encoded"
            raise SettingInvalid("Postgres URL", url.partition(":")[0], expected) from None
        self.url = url
        self.patience = patience
        self._options = {k: v for k, v in _CONNECTION_DEFAULTS.items() if k not in given}
        self._schema = schema
        self._prepare = prepare
        self._max_connections = max_connections
        self._opening = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None

    def connect(self) -> Connection:
        """A connection of its own, in autocommit mode, outside the pool. The caller closes it."""
        connection: Connection = psycopg.connect(self.url, autocommit=True, **self._options)
        return connection

    def run(
        self,
        operation: str,
        work: Callable[[Connection], Result],
        *,
        patience: float | None = None,
    ) -> Result:
        """Do `work` in one transaction, again after faults that may pass.

        Raises BackendUnavailable("Postgres", operation) when they last longer than `patience`, in
        seconds, by default the database's own.
        """
        deadline = time.monotonic() + (self.patience if patience is None else patience)
        delay = _FIRST_DELAY
        while True:
            try:
                pool = self._pool or self._open()
                with pool.connection(timeout=max(deadline - time.monotonic(), 0.001)) as connection:
                    return work(connection)
            except psycopg.Error as error:
                if not is_transient(error):
                    raise
                remaining = deadline - time.monotonic()
                if remaining <= 0 or isinstance(error, PoolTimeout):
                    raise BackendUnavailable(BACKEND, operation, error) from error
                if self._pool is not None and error.sqlstate is None:
                    self._pool.check()  # what one connection met, the others that lie idle will
                # Full jitter, so that those who met in a deadlock do not meet again.
                time.sleep(min(random.uniform(0, delay), remaining))
                delay = min(delay * 2, _LONGEST_DELAY)

    def read(self, operation: str, work: Callable[[Connection], Result]) -> Result:
        """Do `work`, which is one statement and only reads, without a transaction around it: one
        round trip and not three. Otherwise like `run`."""
        return self.run(operation, lambda connection: _without_transaction(connection, work))

    def close(self) -> None:
        """Let go of all connections; the next `run` opens them again."""
        with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _open(self) -> ConnectionPool[Connection]:
        with self._opening:
            if self._pool is None:
                # Not through the pool: it would hide why a first connection fails.
                with self.connect() as connection:
                    apply_schema(connection, self._schema)
                    if self._prepare is not None:
                        self._prepare(connection)
                self._pool = ConnectionPool(
                    self.url,
                    kwargs=self._options,
                    min_size=0,
                    max_size=self._max_connections,
                    configure=_configure,
                    reconnect_timeout=self.patience,
                    open=True,
                )
            return self._pool


def _without_transaction(connection: Connection, work: Callable[[Connection], Result]) -> Result:
    connection.autocommit = True
    try:
        return work(connection)
    finally:
        if not connection.closed:
            connection.autocommit = False


def is_transient(error: psycopg.Error) -> bool:
    """Whether the same statement may succeed later, on another connection if need be."""
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_TRANSIENT_STATES)
    # Without a state the fault came from the client: a lost or refused connection is an
    # OperationalError (PoolTimeout too), the use of one that was lost before an InterfaceError.
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))


def lock_schema_changes(connection: Connection) -> None:
    """Wait until nobody else changes tables; held to the end of the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK_KEY,))


def apply_schema(connection: Connection, schema: Schema) -> None:
    """Run the steps of `schema` that this database has not seen, in one transaction."""
    if _count_steps(connection, schema.name) >= len(schema.steps):
        return
    with connection.transaction():
        lock_schema_changes(connection)
        connection.execute("CREATE SCHEMA IF NOT EXISTS eventpulse")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS eventpulse.schema_steps"
            " (name text PRIMARY KEY, steps integer NOT NULL)"
        )
        done = _count_steps(connection, schema.name)
        for step in schema.steps[done:]:
            connection.execute(step)
        connection.execute(
            "INSERT INTO eventpulse.schema_steps VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET steps = excluded.steps",
            (schema.name, len(schema.steps)),
        )


def _count_steps(connection: Connection, name: str) -> int:
    try:
        with connection.transaction():
            row = connection.execute(
                "SELECT steps FROM eventpulse.schema_steps WHERE name = %s", (name,)
            ).fetchone()
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return 0
    return 0 if row is None else int(row[0])


def _configure(connection: Connection) -> None:
    connection.execute(_SESSION_SETTINGS)
    connection.commit()
