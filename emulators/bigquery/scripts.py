"""Correction: scripts. Real transactions, query parameters, RAISE, @@row_count.

bqemulator imitates a transaction by copying each table that it touches, and commits one that a
script leaves open. Here a script's transaction is DuckDB's own: all or nothing, also when the
emulator is killed, and rolled back unless it was committed. One difference from BigQuery
remains: an error inside a transaction undoes it at once, so that an exception handler may roll
back (or read, or raise), but can not commit what came before the error.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any

import sqlglot
from bqemulator.api.routes import jobs as routes
from bqemulator.domain.errors import InvalidQueryError
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.scripting.ast import SqlStmt
from bqemulator.scripting.exceptions import ScriptRaise
from bqemulator.sql.parameters import _extract_value
from bqemulator.sql.rewriter import default_dataset
from sqlglot import exp

from emulators.bigquery.merges import check_merge

# What ``_active_txn`` holds: None without a transaction, one of these with one.
_OPEN: dict[str, str] = {"state": "open"}
_UNDONE: dict[str, str] = {"state": "undone"}
_PERMANENT_DDL = re.compile(
    r"\s*(CREATE|DROP|ALTER|TRUNCATE)\s+(?!(OR\s+REPLACE\s+)?TEMP(ORARY)?\b)", re.IGNORECASE
)
_ASSERT = re.compile(
    r"""\s*ASSERT\b\s*(?P<condition>.+?)(\s+AS\s+(?P<description>'[^']*'|"[^"]*"))?\s*;?\s*""",
    re.IGNORECASE | re.DOTALL,
)
_ERROR_MESSAGE = "__error_message__"
_parameters: ContextVar[tuple[dict[str, Any], ...]] = ContextVar("parameters", default=())
_default_dataset: ContextVar[tuple[str, str] | None] = ContextVar("default_dataset", default=None)
_row_count: ContextVar[int | None] = ContextVar("row_count", default=None)


def install() -> None:
    """Apply the correction."""
    script = interpreter.ScriptInterpreter
    script._handle_txn_statement = _handle_transaction
    script._snapshot_dml_targets = _check_in_transaction
    script._drop_txn_snapshots = _undo
    script._restore_txn_snapshots = _undo
    script._exec_raise = _raise
    script.run = _drop_temporary_tables(script.run)
    script._exec_sql = _execute(script._exec_sql)
    script._run_query = _run_query(script._run_query)
    interpreter._rewrite_vars_to_params = _bind
    executor._run_query_body = _pass_parameters(executor._run_query_body)
    executor._run_script = _run_script
    routes._apply_default_dataset = _note_default_dataset(routes._apply_default_dataset)


# -- transactions --------------------------------------------------------------------------


async def _handle_transaction(self: Any, operation: str) -> None:
    state = self._active_txn
    engine = self._ctx.engine
    if operation == "BEGIN":
        if state is not None:
            raise InvalidQueryError("Transactions cannot be nested")
        engine.execute("BEGIN TRANSACTION")
        self._active_txn = _OPEN
        return
    if state is None:
        raise InvalidQueryError(f"There is no active transaction to {operation}")
    if operation == "COMMIT" and state is _UNDONE:
        raise InvalidQueryError("The transaction was rolled back by an error; it cannot commit")
    if state is _OPEN:
        engine.execute(operation)
    self._active_txn = None


async def _check_in_transaction(self: Any, sql: str) -> None:
    """Called before each statement of a transaction."""
    if self._active_txn is not None and _PERMANENT_DDL.match(sql):
        raise InvalidQueryError(
            "DDL statements are not supported in a transaction, except for those creating or "
            "dropping temporary tables."
        )


async def _undo(self: Any) -> None:
    """Called where a script ends or errs with its transaction open."""
    if self._active_txn is _OPEN:
        self._ctx.engine.execute("ROLLBACK")
        self._active_txn = _UNDONE


# -- errors --------------------------------------------------------------------------------


async def _raise(self: Any, statement: Any) -> None:
    message = None
    if statement.message_expr is not None:
        message = await self._eval_expr_scalar(statement.message_expr)
    elif self._frames.has(_ERROR_MESSAGE):
        message = self._frames.lookup(_ERROR_MESSAGE)
    text = "User-raised error" if message is None else str(message)
    raise ScriptRaise(InvalidQueryError(text), message_override=text)


async def _run_script(script: Any, source: str, _ctx: Any) -> Any:
    try:
        result = await script.run(source)
    except ScriptRaise as raised:
        raise raised.error from raised
    return executor._EMPTY_ARROW if result.final_table is None else result.final_table


# -- parameters and @@row_count ------------------------------------------------------------


def _pass_parameters(original: Any) -> Any:
    async def run_query_body(**options: Any) -> Any:
        sql, parameters = options["bq_sql"], options["query_params"]
        if _ASSERT.fullmatch(sql):
            # Only the interpreter knows this statement.
            options["is_scripted"] = True
        token = _parameters.set(tuple(parameters or ()))
        counted = _row_count.set(None)

        async def run_single(query: str) -> Any:
            project_id, ctx = options["project_id"], options["ctx"]
            caller = options["effective_caller"]
            return await executor._run_single_sql(project_id, query, parameters, ctx, caller=caller)

        try:
            if not options["is_scripted"]:
                await check_merge(sql, run_single)
            return await original(**options)
        finally:
            _parameters.reset(token)
            _row_count.reset(counted)

    return run_query_body


def _execute(original: Any) -> Any:
    async def execute(self: Any, sql: str) -> None:
        asserted = _ASSERT.fullmatch(sql)
        if asserted is None:
            await original(self, _qualify(sql, self._ctx))
        elif await self._eval_expr_scalar(asserted["condition"]) is True:
            self._final_table = None
        else:
            description = (asserted["description"] or "'condition is not true'")[1:-1]
            raise InvalidQueryError(f"Assertion failed: {description}")

    return execute


def _run_query(original: Any) -> Any:
    async def run_query(self: Any, sql: str) -> Any:
        qualified = _qualify(sql, self._ctx)
        await check_merge(qualified, lambda query: original(self, query))
        table = await original(self, qualified)
        if executor.classify_statement_type(sql) in ("INSERT", "UPDATE", "DELETE", "MERGE"):
            _row_count.set(executor._extract_dml_affected_rows(table))
        return table

    return run_query


# -- the default dataset -------------------------------------------------------------------


def _note_default_dataset(original: Any) -> Any:
    """A script's names are qualified as it runs: its temporary tables have no dataset."""

    def apply(sql: str, config: dict[str, Any], *, request_project_id: str) -> str:
        default = config.get("defaultDataset") or {}
        project = default.get("projectId") or request_project_id
        dataset = default.get("datasetId")
        _default_dataset.set((project, dataset) if dataset else None)
        if _ASSERT.fullmatch(sql) or not _is_single(sql):
            return sql
        return str(original(sql, config, request_project_id=request_project_id))

    return apply


def _is_single(sql: str) -> bool:
    statements = executor._parse_script_or_raise(sql).statements
    return len(statements) == 1 and isinstance(statements[0], SqlStmt)


def _qualify(sql: str, ctx: Any) -> str:
    default = _default_dataset.get()
    if default is None:
        return sql
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.ParseError:
        return sql
    first = tree.find(exp.Table)
    if first is None:
        return sql
    shadowed = {name for (name,) in _list_temporary_tables(ctx.engine)}
    shadowed |= default_dataset._collect_cte_names(tree)
    if tree.find(exp.TemporaryProperty):
        shadowed.add(first.name)
    project, dataset = default
    default_dataset._qualify_tables(
        tree, default_project=project, default_dataset=dataset, shadowed_names=shadowed
    )
    return tree.sql(dialect="bigquery")


def _list_temporary_tables(engine: Any) -> list[tuple[str]]:
    sql = "SELECT table_name FROM duckdb_tables() WHERE temporary"
    names: list[tuple[str]] = engine.execute(sql).fetchall()
    return names


def _drop_temporary_tables(original: Any) -> Any:
    """A script's temporary tables end with it; on DuckDB's connection they would stay."""

    async def run(self: Any, source: str) -> Any:
        try:
            return await original(self, source)
        finally:
            engine = self._ctx.engine
            for (name,) in _list_temporary_tables(engine):
                engine.execute(f'DROP TABLE temp."{name}"')

    return run


def _bind(sql: str, frames: Any) -> tuple[str, list[Any]]:
    """Script variables, query parameters and @@row_count become numbered placeholders."""
    visible = frames.all_visible()
    named = {parameter["name"]: parameter for parameter in _parameters.get() if "name" in parameter}
    if not visible and not named and "@@" not in sql:
        return sql, []
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.ParseError:
        return sql, []
    values: list[Any] = []
    columns = list(tree.find_all(exp.Column))
    replaced = [interpreter._rewrite_one_column(column, visible, values) for column in columns]
    for dot in list(tree.find_all(exp.Dot)):
        # @@error.message, in a handler.
        if dot.sql(dialect="bigquery").lower() == "@@error.message" and frames.has(_ERROR_MESSAGE):
            values.append(frames.lookup(_ERROR_MESSAGE))
            dot.replace(exp.Placeholder(this=str(len(values))))
            replaced.append(True)
    for node in list(tree.find_all(exp.Parameter)):
        stand_in = _stand_in(node, named, values)
        if stand_in is not None:
            node.replace(stand_in)
            replaced.append(True)
    return (tree.sql(dialect="bigquery"), values) if any(replaced) else (sql, [])


def _stand_in(
    node: exp.Parameter, named: dict[str, Any], values: list[Any]
) -> exp.Expression | None:
    """What takes the place of ``@name`` or ``@@row_count``; None for what stays."""
    inner = node.this
    if isinstance(inner, exp.Parameter):
        if inner.name.lower() != "row_count":
            return None
        count = _row_count.get()
        return exp.Null() if count is None else exp.Literal.number(count)
    if isinstance(node.parent, exp.Parameter) or node.name not in named:
        return None
    return _make_placeholder(named[node.name], values)


def _make_placeholder(parameter: dict[str, Any], values: list[Any]) -> exp.Expression:
    values.append(_extract_value(parameter))
    placeholder = exp.Placeholder(this=str(len(values)))
    name = _name_type(parameter["parameterType"])
    if name is None:
        return placeholder
    # An empty array and a null have no type of their own.
    return exp.Cast(this=placeholder, to=exp.DataType.build(name, dialect="bigquery"))


def _name_type(declared: dict[str, Any]) -> str | None:
    kind = str(declared.get("type", "STRING")).upper()
    if kind == "ARRAY":
        element = _name_type(declared.get("arrayType") or {})
        return None if element is None else f"ARRAY<{element}>"
    return None if kind == "STRUCT" else kind
