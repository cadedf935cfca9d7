"""Correction: tables. What the API sets is there, and what the API says is true.

bqemulator keeps REQUIRED, precision and scale, clustering and labels of DDL, and changes of a
schema in its catalogue at most; the table itself, or the answer of ``tables.get``, knows
nothing of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import bqemulator.server
import pyarrow as pa
import sqlglot
from bqemulator.api.routes import tables as routes
from bqemulator.catalog import ddl_sync
from bqemulator.catalog.models import Clustering, TableMeta, TableSchema, TimePartitioning
from bqemulator.domain.errors import UnsupportedFeatureError, ValidationError
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.storage import arrow_bridge
from bqemulator.storage.sql_identifiers import quoted_table_ref
from bqemulator.versioning.snapshots import SnapshotManager
from sqlglot import exp
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LEGACY_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
_MAX_PRECISION = 38
_TABLE_PATH = re.compile(r"/projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)$")
_contexts: list[Any] = []


def install() -> None:
    """Apply the correction."""
    _remember_context()
    routes._parse_schema_fields = _keep_parameters(routes._parse_schema_fields)
    routes._field_to_rest = _show_parameters(routes._field_to_rest)
    routes.bq_schema_to_duckdb_columns = _constrain(routes.bq_schema_to_duckdb_columns)
    routes._table_to_rest = _show_table(routes._table_to_rest)
    routes._rest_to_table_meta = _alter_on_update(routes._rest_to_table_meta)
    for module in (executor, interpreter):
        module.sync_created_table = _sync_created_table
    _disable_time_travel()
    _trim_decimals()


def _remember_context() -> None:
    original = bqemulator.server.create_app

    def create_app(context: Any) -> Any:
        _contexts[:] = [context]
        app = original(context)
        app.add_middleware(CheckEtag)
        return app

    bqemulator.server.create_app = create_app


class CheckEtag:
    """Middleware: an update made on an older reading of a table is refused with 412."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] == "http" and scope["method"] in ("PATCH", "PUT"):
            expected = Headers(scope=scope).get("if-match")
            found = _TABLE_PATH.search(scope["path"])
            table = found and _contexts[0].catalog.get_table(*found.groups())
            if expected and table and expected not in ("*", table.etag):
                message = "Precondition check failed."
                error = {"reason": "conditionNotMet", "message": message}
                body = {"error": {"code": 412, "message": message, "errors": [error]}}
                await JSONResponse(body, 412)(scope, receive, send)
                return
        await self._app(scope, receive, send)


# -- schemas of the API --------------------------------------------------------------------


def _keep_parameters(original: Any) -> Any:
    def parse(raw_fields: list[dict[str, Any]]) -> Any:
        fields = []
        for raw, field in zip(raw_fields, original(raw_fields), strict=True):
            if field.type.upper() == "BIGNUMERIC" and not raw.get("precision"):
                raise UnsupportedFeatureError("the emulator has BIGNUMERIC with a precision only")
            numbers = {"precision": "precision", "scale": "scale", "maxLength": "max_length"}
            known = {own: int(raw[name]) for name, own in numbers.items() if raw.get(name)}
            known["type"] = _LEGACY_NAMES.get(field.type.upper(), field.type.upper())
            fields.append(field.model_copy(update=known))
        return tuple(fields)

    return parse


def _show_parameters(original: Any) -> Any:
    def show(field: Any) -> dict[str, Any]:
        shown: dict[str, Any] = original(field)
        for name, value in (
            ("precision", field.precision),
            ("scale", field.scale),
            ("maxLength", field.max_length),
        ):
            if value:
                shown[name] = str(value)
        return shown

    return show


def _constrain(original: Any) -> Any:
    """DuckDB's columns, with NOT NULL for REQUIRED and the decimals' precision and scale."""

    def list_columns(fields: list[dict[str, Any]]) -> list[tuple[str, str]]:
        columns = []
        for field, (name, column) in zip(fields, original(fields), strict=True):
            if field.get("precision") and field["type"].upper() in ("NUMERIC", "BIGNUMERIC"):
                precision, scale = int(field["precision"]), int(field.get("scale") or 0)
                if precision > _MAX_PRECISION:
                    raise UnsupportedFeatureError("the emulator's decimals have 38 digits")
                array = "[]" if field.get("mode") == "REPEATED" else ""
                column = f"DECIMAL({precision}, {scale}){array}"  # noqa: PLW2901
            if field.get("mode") == "REQUIRED":
                column = f"{column} NOT NULL"  # noqa: PLW2901
            columns.append((name, column))
        return columns

    return list_columns


def _show_table(original: Any) -> Any:
    def show(table: TableMeta) -> dict[str, Any]:
        shown: dict[str, Any] = original(table)
        if table.view_query:
            shown["view"] = {"query": table.view_query, "useLegacySql": False}
        elif table.table_type == "TABLE":
            reference = quoted_table_ref(table.project_id, table.dataset_id, table.table_id)
            (rows,) = _contexts[0].engine.execute(f"SELECT count(*) FROM {reference}").fetchone()
            shown["numRows"] = str(rows)
        return shown

    return show


# -- changes of a schema -------------------------------------------------------------------


def _alter_on_update(original: Any) -> Any:
    """Apply what an update of a table changes in its schema, or refuse it as BigQuery does."""

    def build(
        project_id: str,
        dataset_id: str,
        body: dict[str, Any],
        clock: Any,
        existing: TableMeta | None = None,
    ) -> TableMeta:
        updated: TableMeta = original(project_id, dataset_id, body, clock, existing)
        if existing is not None and existing.table_type == "TABLE":
            _alter(existing, updated)
        return updated

    return build


def _alter(existing: TableMeta, updated: TableMeta) -> None:
    reference = quoted_table_ref(existing.project_id, existing.dataset_id, existing.table_id)
    name = f"{existing.project_id}:{existing.dataset_id}.{existing.table_id}"
    before = {field.name: field for field in existing.schema_.fields}
    after = {field.name: field for field in updated.schema_.fields}
    missing = [field for field in before if field not in after]
    if missing:
        raise _mismatch(name, f"Field {missing[0]} is missing in new schema")
    statements = []
    for field in updated.schema_.fields:
        known = before.get(field.name)
        if known is None:
            if field.mode == "REQUIRED":
                raise _mismatch(name, f"Cannot add required fields (field: {field.name})")
            ((_, column),) = routes.bq_schema_to_duckdb_columns([routes._field_to_rest(field)])
            statements.append(f'ALTER TABLE {reference} ADD COLUMN "{field.name}" {column}')
        elif known.type != field.type:
            change = f"has changed type from {known.type} to {field.type}"
            raise _mismatch(name, f"Field {field.name} {change}")
        elif (known.mode, field.mode) == ("REQUIRED", "NULLABLE"):
            statements.append(f'ALTER TABLE {reference} ALTER "{field.name}" DROP NOT NULL')
        elif known.mode != field.mode:
            change = f"has changed mode from {known.mode} to {field.mode}"
            raise _mismatch(name, f"Field {field.name} {change}")
    for statement in statements:
        _contexts[0].engine.execute(statement)


def _mismatch(table: str, what: str) -> ValidationError:
    return ValidationError(f"Provided Schema does not match Table {table}. {what}.")


# -- DDL -----------------------------------------------------------------------------------


def _sync_created_table(sql: str, project_id: str, ctx: Any) -> None:
    """After a statement: what CREATE TABLE and ALTER TABLE said goes into the catalogue."""
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.ParseError:
        return
    kind = str(tree.args.get("kind") or "").upper()
    if not isinstance(tree, exp.Create | exp.Alter) or kind != "TABLE":
        return
    target = tree.this if isinstance(tree.this, exp.Table) else tree.this.find(exp.Table)
    key = ddl_sync._split_target(target, project_id)
    if tree.args.get("exists") and ctx.catalog.get_table(*key) is not None:
        # IF NOT EXISTS, and it did: the statement changed nothing.
        return
    ddl_sync.sync_created_table(sql, project_id, ctx)
    table = ctx.catalog.get_table(*key)
    if table is None:
        return
    declared = {column.name: column for column in tree.find_all(exp.ColumnDef)}
    known = {} if isinstance(tree, exp.Create) else {f.name: f for f in table.schema_.fields}
    fields = [
        _merge_field(field, known.get(field.name), declared.get(field.name))
        for field in ddl_sync._introspect_schema(*key, ctx).fields
    ]
    changes: dict[str, Any] = {"schema_": TableSchema(fields=tuple(fields))}
    if isinstance(tree, exp.Create):
        changes |= _read_properties(tree)
    ctx.catalog.update_table(table.model_copy(update=changes))


def _merge_field(field: Any, known: Any | None, declared: exp.ColumnDef | None) -> Any:
    """A column as DuckDB has it, with what only the catalogue or the statement knows."""
    changes: dict[str, Any] = {}
    if known is not None:
        changes = {
            "type": known.type,
            "description": known.description,
            "precision": known.precision,
            "scale": known.scale,
            "max_length": known.max_length,
        }
    if declared is not None:
        changes |= _read_declaration(declared)
    return field.model_copy(update=changes)


def _read_declaration(declared: exp.ColumnDef) -> dict[str, Any]:
    found: dict[str, Any] = {}
    kind = declared.args.get("kind")
    if kind is not None:
        name = kind.sql(dialect="bigquery").upper()
        numbers = [int(number.name) for number in kind.expressions if number.name.isdecimal()]
        base = name.partition("(")[0]
        if base in ("NUMERIC", "BIGNUMERIC") and numbers:
            found = {"precision": numbers[0], "scale": numbers[1] if len(numbers) > 1 else None}
        if base == "JSON":
            found["type"] = "JSON"
    description = _read_options(declared).get("description")
    return {**found, "description": description} if description else found


def _read_properties(create: exp.Create) -> dict[str, Any]:
    found: dict[str, Any] = {}
    cluster = create.find(exp.ClusterProperty)
    if cluster is not None:
        found["clustering"] = Clustering(fields=tuple(c.name for c in cluster.expressions))
    partitioned = create.find(exp.PartitionedByProperty)
    truncated = partitioned and partitioned.find(exp.TimestampTrunc, exp.DateTrunc)
    if truncated:
        unit = str(truncated.args["unit"].name).upper()
        found["time_partitioning"] = TimePartitioning(type=unit, field=truncated.this.name)
    properties = create.args.get("properties")
    labels = _read_options(properties).get("labels") if properties is not None else None
    if labels:
        found["labels"] = labels
    return found


def _read_options(node: exp.Expression) -> Mapping[str, Any]:
    """The ``description`` and the ``labels`` among OPTIONS."""
    found: dict[str, Any] = {}
    for option in node.find_all(exp.Property):
        name, value = option.name.lower(), option.args.get("value")
        if name == "description" and value is not None:
            found[name] = value.name
        elif name == "labels" and value is not None:
            pairs = [pair.expressions for pair in value.find_all(exp.Tuple)]
            found[name] = {key.name: label.name for key, label in pairs}
    return found


# -- the rest ------------------------------------------------------------------------------


def _disable_time_travel() -> None:
    """Copying each table after each change, for FOR SYSTEM_TIME AS OF, costs more than it gives."""

    def refuse(*_: Any) -> None:
        raise UnsupportedFeatureError("the emulator does not do FOR SYSTEM_TIME AS OF")

    SnapshotManager.record_change = lambda *_: None
    SnapshotManager.resolve_time_travel = refuse


def _trim_decimals() -> None:
    """NUMERIC values without trailing zeros, as BigQuery writes them."""

    def write(value: Decimal, *_: Any) -> str:
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text

    arrow_bridge._BQ_TYPE_FORMATTERS = tuple(
        (test, write if test is pa.types.is_decimal else formatter)
        for test, formatter in arrow_bridge._BQ_TYPE_FORMATTERS
    )
