"""The warehouse in Postgres (15 or later): schemas `history`, `curated` and `marts`.

Invariants:
  - A load job is one transaction, which begins with the job's row in the ledger
    `history.load_jobs`: its primary key makes a second run of the job wait for the first and then
    find its outcome. Rows that are refused are rolled back to a savepoint behind that row, so that
    the refusal stays on record and the job id is spent.
  - A publish is one transaction under a lock on the table of active ingestions, so publishes of a
    dataset come one after the other, and a reader sees all of one or nothing of it.
  - A mart is built aside and put in its place by renaming, in one transaction.

Transactions run in UTC. Grants on marts that are to outlive a rebuild are given by ALTER DEFAULT
PRIVILEGES.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import psycopg
import pyarrow as pa
from psycopg import errors, sql

from eventpulse.adapters.copy_postgres import (
    copy_parquet,
    describe_refusal,
    read_batches,
    select_columns,
)
from eventpulse.adapters.marts_postgres import change_tables, measure, replace_mart, tabulate
from eventpulse.adapters.postgres import (
    BACKEND,
    Connection,
    Database,
    is_transient,
    lock_schema_changes,
)
from eventpulse.adapters.recompute import Dialect, Recompute
from eventpulse.adapters.tables_postgres import (
    SCHEMA,
    ensure_dataset,
    find_layouts,
    index_history,
    logical_type,
    put_aside_key,
    table_name,
)
from eventpulse.adapters.warehouse_values import (
    active_name,
    check_books,
    history_columns,
    history_name,
    make_counts,
    only_deactivated,
    to_json,
)
from eventpulse.errors import (
    BackendUnavailable,
    BuildOvertaken,
    LoadRejected,
    ObjectMissing,
    PublishOvertaken,
)
from eventpulse.ports import (
    Activation,
    Column,
    ColumnType,
    DatasetTable,
    JobStats,
    Json,
    Layer,
    ObjectRef,
    ObjectStore,
    RowCounts,
)

Result = TypeVar("Result")

_IN_UTC = "SET LOCAL TIME ZONE 'UTC'"
_CLAIM_JOB = "INSERT INTO history.load_jobs (job_id, target) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_FIND_JOB = "SELECT rows, bytes, problem FROM history.load_jobs WHERE job_id = %s"
_END_JOB = "UPDATE history.load_jobs SET rows = %s, bytes = %s, problem = %s WHERE job_id = %s"
_NOT_THERE = (errors.UndefinedTable, errors.InvalidSchemaName)
_SORT_MEMORY = "SET LOCAL work_mem = '64MB'"
# Looking up a key in an index costs about as much as reading so many rows in passing.
_ROWS_PER_LOOKUP = 20
# From so many rows on, what is done once for all of them is soon repaid.
_MANY_ROWS = 20_000


class PostgresWarehouse:
    """Warehouse on `postgresql://…`; `patience` is how long a fault is retried, in seconds."""

    def __init__(self, url: str, objects: ObjectStore, *, patience: float = 30.0) -> None:
        self._database = Database(url, SCHEMA, patience=patience)
        self._objects = objects

    def close(self) -> None:
        """Let go of all connections."""
        self._database.close()

    # --- Datasets -----------------------------------------------------------------------------

    def ensure_tables(self, table: DatasetTable) -> None:
        def work(connection: Connection) -> None:
            if ensure_dataset(connection, table):
                lock_schema_changes(connection)
                connection.execute(_IN_UTC)
                change_tables(connection, table.dataset, ensure_dataset(connection, table))

        self._database.run(f"make the tables of {table.dataset}", work)

    def drop_dataset(self, dataset: str) -> None:
        def work(connection: Connection) -> None:
            lock_schema_changes(connection)
            for name in (
                table_name("history", history_name(dataset)),
                table_name("history", active_name(dataset)),
                table_name("curated", dataset),
            ):
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {} CASCADE").format(name))

        self._database.run(f"drop the tables of {dataset}", work)

    # --- Loading ------------------------------------------------------------------------------

    def load_rows(self, table: DatasetTable, sources: Sequence[ObjectRef], job_id: str) -> JobStats:
        target = history_name(table.dataset)

        def work(connection: Connection) -> JobStats | str:
            connection.execute(_IN_UTC)
            if not connection.execute(_CLAIM_JOB, (job_id, target)).rowcount:
                return _find_outcome(connection, job_id)
            outcome = self._load(connection, table, sources)
            _record_outcome(connection, job_id, outcome)
            return outcome

        outcome = self._database.run(f"load {target}", work)
        if isinstance(outcome, str):
            raise LoadRejected(target, job_id, outcome)
        return outcome

    def _load(
        self, connection: Connection, table: DatasetTable, sources: Sequence[ObjectRef]
    ) -> JobStats | str:
        """All the objects' rows and what they cost, or none and why they were refused."""
        target = table_name("history", history_name(table.dataset))
        columns = history_columns(table)
        rows = size = 0
        source = None
        try:
            with connection.transaction():
                for source in sources:
                    with self._objects.open(source) as file:
                        stats = copy_parquet(connection, target, columns, file)
                    rows += stats.rows
                    size += stats.bytes
                index_history(connection, table)
        except psycopg.Error as error:
            if is_transient(error):
                raise
            problem = describe_refusal(error)
        except (ObjectMissing, pa.ArrowException, ValueError) as error:
            problem = str(error)
        else:
            return JobStats(rows=rows, bytes=size)
        return f"{source.name}: {problem}" if source is not None else problem

    # --- Publishing ---------------------------------------------------------------------------

    def publish(
        self,
        table: DatasetTable,
        activate: Sequence[Activation],
        deactivate: Sequence[str] = (),
        *,
        fence: int,
    ) -> dict[str, RowCounts]:
        recompute = _make_recompute(table)
        names = [each.ingestion_id for each in activate]
        gone = only_deactivated(activate, deactivate)

        def work(connection: Connection) -> dict[str, RowCounts]:
            connection.execute(_IN_UTC)
            connection.execute(_SORT_MEMORY)
            _run(connection, f"LOCK TABLE {recompute.active} IN SHARE ROW EXCLUSIVE MODE")
            _run(connection, recompute.raise_fence(fence))
            if _run(connection, recompute.read_fence()).fetchone() != (fence,):
                raise PublishOvertaken(table.dataset, fence)
            loaded = dict(_run(connection, recompute.count_loaded([*names, *gone])))
            check_books(activate, loaded)
            if gone:
                _run(connection, recompute.deactivate(gone))
            if activate:
                _run(connection, recompute.activate(activate))
            _recompute(connection, recompute, loaded)
            return make_counts(_run(connection, recompute.row_counts(names)))

        return self._database.run(f"publish {table.dataset}", work)

    def discard_rows(self, dataset: str, ingestion_ids: Sequence[str]) -> None:
        recompute = _make_recompute(DatasetTable(dataset, ()))

        def work(connection: Connection) -> None:
            _run(connection, f"LOCK TABLE {recompute.active} IN SHARE ROW EXCLUSIVE MODE")
            _run(connection, recompute.discard(ingestion_ids))

        self._query(f"discard rows of {dataset}", work, None)

    def row_counts(self, dataset: str, ingestion_ids: Sequence[str]) -> dict[str, RowCounts]:
        recompute = _make_recompute(DatasetTable(dataset, ()))
        query = recompute.row_counts(ingestion_ids)
        return self._query(
            f"count rows of {dataset}", lambda found: make_counts(_run(found, query)), {}
        )

    # --- Reading ------------------------------------------------------------------------------

    def read_table(
        self, layer: Layer, name: str, columns: Sequence[Column], limit: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        query = select_columns(table_name(layer, name), columns)
        if limit is not None:
            query += sql.SQL(" LIMIT {}").format(limit)
        with self._reading(f"read {layer}.{name}") as connection:
            if _exists(connection, layer, name):
                yield from read_batches(connection, query, columns)

    def preview(self, layer: Layer, name: str, limit: int) -> list[dict[str, Json]]:
        query = sql.SQL("SELECT * FROM {} LIMIT {}").format(table_name(layer, name), limit)

        def work(connection: Connection) -> list[dict[str, Json]]:
            cursor = connection.execute(query)
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, map(to_json, row), strict=True)) for row in cursor]

        return self._query(f"preview {layer}.{name}", work, [])

    def column_types(self, layer: Layer, name: str) -> dict[str, ColumnType]:
        def work(connection: Connection) -> dict[str, ColumnType]:
            found = find_layouts(connection, [(layer, name)]).get((layer, name))
            return {k: logical_type(each) for k, each in found.columns.items()} if found else {}

        return self._database.run(f"describe {layer}.{name}", work)

    def count_rows(self, layer: Layer, name: str) -> int:
        query = sql.SQL("SELECT count(*) FROM {}").format(table_name(layer, name))

        def work(connection: Connection) -> int:
            row = connection.execute(query).fetchone()
            assert row is not None
            return int(row[0])

        return self._query(f"count {layer}.{name}", work, 0)

    def _query(
        self, operation: str, work: Callable[[Connection], Result], absent: Result
    ) -> Result:
        """What `work` finds, in UTC; `absent` when the table that it reads does not exist."""

        def guarded(connection: Connection) -> Result:
            connection.execute(_IN_UTC)
            try:
                with connection.transaction():
                    return work(connection)
            except _NOT_THERE:
                return absent

        return self._database.run(operation, guarded)

    @contextlib.contextmanager
    def _reading(self, operation: str) -> Iterator[Connection]:
        """A connection of its own for a result that is read at the caller's pace."""
        try:
            with contextlib.closing(self._database.connect()) as connection:
                connection.execute("SET TIME ZONE 'UTC'")
                yield connection
        except psycopg.Error as error:
            if not is_transient(error):
                raise
            raise BackendUnavailable(BACKEND, operation, error) from error

    # --- Marts --------------------------------------------------------------------------------

    def replace_view(self, name: str, sql: str) -> None:
        def work(connection: Connection) -> None:
            connection.execute(_IN_UTC)
            replace_mart(connection, name, sql, "VIEW")

        self._database.run(f"build marts.{name}", work)

    def replace_table(
        self, name: str, sql: str, *, build: str = "", over: Sequence[str] = ()
    ) -> JobStats:
        target = f"marts.{name}"

        def work(connection: Connection) -> int:
            connection.execute(_IN_UTC)
            for each in over:  # waits for one that is about to end
                connection.execute(_CLAIM_JOB, (each, target))
            if build and not connection.execute(_CLAIM_JOB, (build, target)).rowcount:
                raise BuildOvertaken(name, build)
            return replace_mart(connection, name, sql, "TABLE")

        return JobStats(rows=self._database.run(f"build marts.{name}", work))

    def measure(self, name: str, sql: str) -> list[float | None]:
        def work(connection: Connection) -> list[float | None]:
            connection.execute(_IN_UTC)
            return measure(connection, name, sql)

        return self._database.run(f"measure {name}", work)

    def tabulate(self, name: str, sql: str, limit: int) -> list[dict[str, Json]]:
        def work(connection: Connection) -> list[dict[str, Json]]:
            connection.execute(_IN_UTC)
            return tabulate(connection, name, sql, limit)

        return self._database.run(f"tabulate {name}", work)


# --- The recompute ------------------------------------------------------------------------------


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _of_keys(history: str, key: Sequence[str], keys: str) -> str:
    wanted = ", ".join(f"h.{column}" for column in key)
    return f"SELECT h.* FROM {history} WHERE ({wanted}) IN ({keys})"


_DIALECT = Dialect(
    quote=_quote,
    literal=_literal,
    timestamp="timestamptz",
    of_keys=_of_keys,
    curate=lambda _, expression: expression,
    nan_to_null=lambda expression: f"NULLIF({expression}, 'NaN')",
)


def _make_recompute(table: DatasetTable) -> Recompute:
    return Recompute(
        table,
        _DIALECT,
        history=f"history.{_quote(history_name(table.dataset))}",
        active=f"history.{_quote(active_name(table.dataset))}",
        curated=f"curated.{_quote(table.dataset)}",
        changes="pg_temp.changes",
    )


def _recompute(connection: Connection, recompute: Recompute, loaded: dict[str, int]) -> None:
    """Bring the curated table to what the active ingestions say. `loaded` are the rows touched."""
    touched = sum(loaded.values())
    if not _has_rows(connection, recompute.curated):
        alone = len(loaded) == 1 and touched >= _MANY_ROWS
        if not alone or not _fill_at_once(connection, recompute):
            _run(connection, _insert(recompute, recompute.find_first()))
        _run(connection, recompute.tally_first())
        return
    most = _plan_for(connection, recompute, touched)
    changes = recompute.find_changes(None if most else loaded)
    _run(connection, f"CREATE TEMPORARY TABLE changes ON COMMIT DROP AS {changes}")
    _run(connection, recompute.delete_shown())
    _run(connection, recompute.insert_won())
    _run(connection, recompute.tally())


def _insert(recompute: Recompute, rows: str) -> str:
    return f"INSERT INTO {recompute.curated} ({', '.join(recompute.columns)}) {rows}"


def _fill_at_once(connection: Connection, recompute: Recompute) -> bool:
    """Fill the empty curated table with the rows of one ingestion, whose keys seldom repeat: no row
    is ranked, and the primary key is made when they are in. False, and nothing done, where a key
    does repeat or something depends on the primary key."""
    try:
        with connection.transaction(), put_aside_key(connection, recompute.curated):
            _run(connection, _insert(recompute, recompute.find_only()))
    except (errors.UniqueViolation, errors.DependentObjectsStillExist):
        return False
    return True


def _plan_for(connection: Connection, recompute: Recompute, touched: int) -> bool:
    """Have a large part of the table joined by hashing, whatever the planner believes.

    It takes the columns of a key for independent, expects one row where there are many, and would
    look up each of them. A small part it does well to look up. True when the touched rows are most
    of the history: to rank all of it then costs less than to find their keys in it.
    """
    row = _run(connection, f"SELECT sum(rows_accepted) FROM {recompute.active}").fetchone()
    total = int(row[0] or 0) if row else 0
    if touched * _ROWS_PER_LOOKUP <= total:
        return False
    connection.execute("SET LOCAL enable_nestloop = off")
    if touched < _MANY_ROWS or touched * 2 < total:
        return False
    row = _run(connection, f"SELECT count(*) FROM {recompute.history}").fetchone()
    return row is not None and touched * 2 >= int(row[0])


def _has_rows(connection: Connection, table: str) -> bool:
    row = _run(connection, f"SELECT EXISTS (SELECT FROM {table})").fetchone()
    return bool(row and row[0])


def _run(connection: Connection, statement: str) -> psycopg.Cursor[tuple[Any, ...]]:
    """Run a statement that carries its own values."""
    return connection.execute(statement.encode())


def _find_outcome(connection: Connection, job_id: str) -> JobStats | str:
    row = connection.execute(_FIND_JOB, (job_id,)).fetchone()
    assert row is not None, "a job that could not be claimed is in the ledger"
    rows, size, problem = row
    return JobStats(rows=rows, bytes=size) if problem is None else str(problem)


def _record_outcome(connection: Connection, job_id: str, outcome: JobStats | str) -> None:
    if isinstance(outcome, JobStats):
        connection.execute(_END_JOB, (outcome.rows, outcome.bytes, None, job_id))
    else:
        connection.execute(_END_JOB, (None, None, outcome, job_id))


def _exists(connection: Connection, layer: Layer, name: str) -> bool:
    quoted = table_name(layer, name).as_string(connection)
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (quoted,)).fetchone()
    return bool(row and row[0])
