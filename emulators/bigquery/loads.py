"""Correction: load jobs of Parquet, as BigQuery runs them.

bqemulator inserts by position, file by file, each on its own. Here: by column name, all files
or none, types that fit, REQUIRED columns that are there and not null, the number of rows that
the job loaded. Uploads and other formats stay as they are.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from typing import Any

from bqemulator.api.routes import jobs as routes
from bqemulator.api.routes import upload
from bqemulator.domain.errors import UnsupportedFeatureError
from bqemulator.jobs import executor

# Table type -> the DuckDB types of Parquet columns that BigQuery takes for it.
_FITTING: Mapping[str, tuple[str, ...]] = {
    "INTEGER": ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"),
    "FLOAT": ("FLOAT", "DOUBLE"),
    "NUMERIC": ("DECIMAL",),
    "BIGNUMERIC": ("DECIMAL",),
    "BOOLEAN": ("BOOLEAN",),
    "STRING": ("VARCHAR",),
    "BYTES": ("BLOB",),
    "DATE": ("DATE",),
    "TIME": ("TIME",),
    "DATETIME": ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S"),
    "TIMESTAMP": ("TIMESTAMP WITH TIME ZONE",),
    "JSON": ("VARCHAR", "JSON"),
}
_STANDARD_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}


class LoadError(Exception):
    """A job that ends as failed: BigQuery's ``reason``, the message, the URI at fault."""

    def __init__(self, reason: str, message: str, location: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.location = location


def install() -> None:
    """Apply the correction."""
    original = executor.execute_load_job

    async def execute(project_id: str, job_id: str, config: dict[str, Any], ctx: Any) -> Any:
        job = executor._parse_load_job_config(project_id, config)
        uploaded = any(uri.startswith("file://") for uri in job.source_uris)
        if job.source_format != "PARQUET" or uploaded:
            return await original(project_id, job_id, config, ctx)
        return _run(project_id, job_id, config, job, ctx)

    executor.execute_load_job = execute
    routes.execute_load_job = execute
    upload.execute_load_job = execute


def _run(project_id: str, job_id: str, config: dict[str, Any], job: Any, ctx: Any) -> Any:
    now = ctx.clock.now()
    try:
        statistics = _load(job, now, ctx)
    except LoadError as error:
        result = {"reason": error.reason, "message": str(error), "location": error.location}
        return routes._failed_job_meta(project_id, job_id, "LOAD", config, result, now)
    return executor.JobMeta(
        project_id=project_id,
        job_id=job_id,
        job_type="LOAD",
        state="DONE",
        configuration=config,
        statistics={"load": statistics},
        creation_time=now,
        start_time=now,
        end_time=ctx.clock.now(),
        etag=executor.generate_etag(project_id, job_id, str(now)),
    )


def _load(job: Any, now: Any, ctx: Any) -> dict[str, str]:
    """Load every file, or none; answers the job's load statistics."""
    if job.raw_config.get("schemaUpdateOptions"):
        raise UnsupportedFeatureError("the emulator does not do schemaUpdateOptions; ALTER first")
    table = _find_table(job, now, ctx)
    paths = [path for uri in job.source_uris for path in _resolve(uri, ctx)]
    for path, uri in paths:
        _check_columns(path, uri, table, job.raw_config, ctx)
    rows = 0
    ctx.engine.execute("BEGIN TRANSACTION")
    try:
        executor._apply_load_write_disposition(job, ctx)
        for path, uri in paths:
            rows += _insert(path, uri, job.target_ref, ctx)
    except BaseException:
        ctx.engine.execute("ROLLBACK")
        raise
    ctx.engine.execute("COMMIT")
    size = sum(os.path.getsize(path) for path, _ in paths)
    return {
        "inputFiles": str(len(paths)),
        "inputFileBytes": str(size),
        "outputRows": str(rows),
        "outputBytes": str(size),
        "badRecords": "0",
    }


def _find_table(job: Any, now: Any, ctx: Any) -> Any:
    """The destination, created where the job says so and brings a schema."""
    key = (job.project_id, job.dataset_id, job.table_id)
    if ctx.catalog.get_table(*key) is None and job.create_disposition == "CREATE_IF_NEEDED":
        executor._maybe_create_load_destination(
            dest_project=job.project_id,
            dest_dataset=job.dataset_id,
            dest_table_id=job.table_id,
            load_config=job.raw_config,
            now=now,
            ctx=ctx,
        )
    table = ctx.catalog.get_table(*key)
    if table is None:
        raise LoadError("notFound", "Not found: Table " + "{}:{}.{}".format(*key))
    return table


def _resolve(uri: str, ctx: Any) -> list[tuple[str, str]]:
    """The files of a URI, which may hold one ``*``, each with the URI; at least one."""
    pattern = executor._resolve_uri(uri, ctx)
    executor._validate_local_path(pattern)
    found = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(pattern))
    files = [path for path in found if os.path.isfile(path)]
    if not files:
        raise LoadError("notFound", f"Not found: URI {uri}", uri)
    return [(path, uri) for path in files]


def _check_columns(path: str, uri: str, table: Any, config: dict[str, Any], ctx: Any) -> None:
    try:
        rows = ctx.engine.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
    except Exception as error:
        raise LoadError(
            "invalid", f"Error while reading data, error message: {error}", uri
        ) from error
    given = {str(row[0]).lower(): (str(row[0]), str(row[1])) for row in rows}
    fields = {field.name.lower(): field for field in table.schema_.fields}
    name = f"{table.project_id}:{table.dataset_id}.{table.table_id}"
    mismatch = f"Provided Schema does not match Table {name}."
    for key, (column, _) in given.items():
        if key not in fields:
            message = f"{mismatch} Cannot add fields (field: {column})"
            raise LoadError("invalid", message, uri)
    inferring = (config.get("parquetOptions") or {}).get("enableListInference", False)
    for key, field in fields.items():
        if key not in given:
            if field.mode == "REQUIRED":
                message = f"{mismatch} Field {field.name} is missing in new schema"
                raise LoadError("invalid", message, uri)
            continue
        if not _fits(field, given[key][1], inferring):
            message = (
                f"Error while reading data, error message: Parquet column '{field.name}' has type "
                f"{given[key][1]} which does not match the target type {field.type} ({field.mode})"
            )
            raise LoadError("invalid", message, uri)


def _fits(field: Any, given: str, inferring: bool) -> bool:
    if field.mode == "REPEATED":
        # Without list inference BigQuery reads a list as a record of list and element.
        if not inferring or not given.endswith("[]"):
            return False
        given = given[:-2]
    wanted = _FITTING.get(_STANDARD_NAMES.get(field.type, field.type))
    return wanted is None or re.sub(r"\(.*\)$", "", given) in wanted


def _insert(path: str, uri: str, target: str, ctx: Any) -> int:
    try:
        result = ctx.engine.execute(
            f"INSERT INTO {target} BY NAME SELECT * FROM read_parquet(?)", [path]
        )
        return int(result.fetchone()[0])
    except Exception as error:
        message = f"Error while reading data, error message: {error}"
        raise LoadError("invalid", message, uri) from error
