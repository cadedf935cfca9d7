"""The warehouse in BigQuery: the datasets `<prefix>_history`, `<prefix>_curated`, `<prefix>_marts`.

Invariants:
  - A load is one load job under the caller's id, which BigQuery accepts once: a second run finds
    the job and its outcome.
  - A publish is one script with one multi-statement transaction. BigQuery aborts one of two that
    change the same table at once: a fault that may pass, and the caller's to repeat.
  - A mart is replaced by CREATE OR REPLACE, which readers see as a whole; only a view that becomes
    a table, or a table that becomes a view, is dropped first.

Costs: a publish reads a few columns of the history to survey the touched keys, and then only what
lies between the least and the greatest of them, by the first cluster column and, when it belongs to
the key, by the partition.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY, DEFAULT_RETRY

from eventpulse.adapters.jobs_bigquery import (
    JobFailed,
    await_load,
    log_cost,
    name_faults,
    slot_milliseconds,
)
from eventpulse.adapters.marts_sql import SqlRejected, to_bigquery
from eventpulse.adapters.publish_bigquery import OVERTAKEN, Publish, make_recompute, quote
from eventpulse.adapters.recompute import Recompute
from eventpulse.adapters.tables_bigquery import (
    WantedTable,
    find_rounded,
    find_widened,
    logical_type,
    make_label,
    make_table,
    update_table,
    want_tables,
    widen_table,
)
from eventpulse.adapters.warehouse_values import (
    active_name,
    check_books,
    history_name,
    make_counts,
    read_schema,
    to_json,
)
from eventpulse.contracts.widening import MOST_EXACT
from eventpulse.errors import (
    BuildOvertaken,
    LoadRejected,
    PublishOvertaken,
    SettingInvalid,
    TableConflict,
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

LAYERS: tuple[Layer, ...] = ("history", "curated", "marts")
_ANY_SIZE = [("grpc.max_receive_message_length", -1)]  # as the client's own channels
_POLL_SECONDS = 30.0
_PREFIX = re.compile(r"[A-Za-z0-9_]+")


class BigQueryWarehouse:
    """Warehouse on `bigquery://PROJECT?location=EU&prefix=ep`.

    `&endpoint=http://…` names an emulator, which is spoken to without credentials, and
    `&storage=host:port` its Storage Read API, without which tables are read page by page.
    `patience` is how long a fault is retried, in seconds.
    """

    def __init__(self, url: str, objects: ObjectStore, *, patience: float = 60.0) -> None:
        parts, options = urlsplit(url), parse_qs(urlsplit(url).query)
        self._project = parts.netloc
        self._location = options.get("location", ["EU"])[0]
        self._prefix = options.get("prefix", ["ep"])[0]
        self._endpoint = options.get("endpoint", [""])[0]
        self._storage = options.get("storage", [""])[0]
        known = {"location", "prefix", "endpoint", "storage"}
        if (
            parts.scheme != "bigquery"
            or not self._project
            or parts.path.strip("/")
            or not _PREFIX.fullmatch(self._prefix)
            or not known.issuperset(options)
        ):
            expected = "bigquery://PROJECT?location=EU&prefix=ep"
            raise SettingInvalid("EVENTPULSE_WAREHOUSE", url, expected)
        self._objects = objects
        self._retry = DEFAULT_RETRY.with_timeout(patience).with_delay(0.2, 15.0, 2.0)
        self._job_retry = DEFAULT_JOB_RETRY.with_timeout(patience)

    def close(self) -> None:
        """Let go of the connections; the next call opens them again."""
        client, reader = (self.__dict__.pop(name, None) for name in ("_client", "_reader"))
        if client is not None:
            client.close()
        if reader is not None:
            reader.transport.close()

    @cached_property
    def _client(self) -> Any:
        options: dict[str, Any] = {"project": self._project, "location": self._location}
        if self._endpoint:
            options["credentials"] = AnonymousCredentials()  # type: ignore[no-untyped-call]
            options["client_options"] = ClientOptions(api_endpoint=self._endpoint)
        return bigquery.Client(**options)

    @cached_property
    def _reader(self) -> Any:
        """The client of the Storage Read API; None for an emulator without."""
        from google.cloud import bigquery_storage

        if not self._endpoint:
            return bigquery_storage.BigQueryReadClient()  # type: ignore[no-untyped-call]
        if not self._storage:
            return None
        import grpc
        from google.cloud.bigquery_storage_v1.services.big_query_read import transports

        channel = grpc.insecure_channel(self._storage, _ANY_SIZE)
        transport = transports.BigQueryReadGrpcTransport(channel=channel)
        return bigquery_storage.BigQueryReadClient(transport=transport)  # type: ignore[no-untyped-call]

    def _reference(self, layer: Layer, name: str) -> str:
        return f"{self._project}.{self._prefix}_{layer}.{name}"

    def _tables(self, dataset: str) -> dict[str, str]:
        """The quoted names of a dataset's tables."""
        return {
            "history": self._sql_name("history", history_name(dataset)),
            "active": self._sql_name("history", active_name(dataset)),
            "curated": self._sql_name("curated", dataset),
        }

    def _make_recompute(self, dataset: str) -> Recompute:
        """For the statements that name none of the dataset's own columns."""
        return make_recompute(DatasetTable(dataset, ()), self._tables(dataset))

    def _sql_name(self, layer: Layer, name: str) -> str:
        parts = (self._project, f"{self._prefix}_{layer}", name)
        return ".".join(map(quote, parts))

    # --- Datasets -----------------------------------------------------------------------------

    @cached_property
    def _datasets_made(self) -> bool:
        """True, once the three datasets are there."""
        for layer in LAYERS:
            reference = f"{self._project}.{self._prefix}_{layer}"
            try:
                self._client.get_dataset(reference, retry=self._retry)
            except exceptions.NotFound:
                dataset = bigquery.Dataset(reference)
                dataset.location = self._location
                dataset.labels = {"app": "eventpulse"}
                self._client.create_dataset(dataset, exists_ok=True, retry=self._retry)
        return True

    def ensure_tables(self, table: DatasetTable) -> None:
        wanted = want_tables(table)
        with name_faults(f"make the tables of {table.dataset}"):
            for each in wanted:
                self._ensure_table(each)

    def _ensure_table(self, wanted: WantedTable) -> None:
        found = self._find_table(wanted.layer, wanted.name)
        if found is None and self._datasets_made:
            made = make_table(self._reference(wanted.layer, wanted.name), wanted)
            found = self._client.create_table(made, exists_ok=True, retry=self._retry)
        elif found is not None and find_widened(found, wanted):
            found = self._widen(found, wanted)
        while changed := update_table(found, wanted):
            try:
                found = self._client.update_table(found, changed, retry=self._retry)
            except exceptions.PreconditionFailed:  # somebody changed it since it was read
                found = self._client.get_table(found.reference, retry=self._retry)

    def _widen(self, found: Any, wanted: WantedTable) -> Any:
        """Rewrite a table with its wider columns, in one statement that readers see whole."""
        name = self._sql_name(wanted.layer, wanted.name)
        labels = _make_labels("widen", wanted.name)
        for column in find_rounded(found, wanted):
            limits = f"BETWEEN {-MOST_EXACT} AND {MOST_EXACT}"
            beyond = f"SELECT COUNT(*) FROM {name} WHERE NOT {quote(column)} {limits}"
            if self._run(beyond, labels)[1][0][0]:
                what = "INTEGER with values beyond 2^53, which a number would round"
                raise TableConflict(wanted.title, column, what, "FLOAT")
        job, _ = self._run(widen_table(name, found, wanted), labels)
        log_cost(job, "widen", wanted.title)
        return self._client.get_table(found.reference, retry=self._retry)

    def _find_table(self, layer: Layer, name: str) -> Any:
        """The table's resource; None when there is none."""
        try:
            return self._client.get_table(self._reference(layer, name), retry=self._retry)
        except exceptions.NotFound:
            return None

    def drop_dataset(self, dataset: str) -> None:
        references = (
            self._reference("history", history_name(dataset)),
            self._reference("history", active_name(dataset)),
            self._reference("curated", dataset),
        )
        with name_faults(f"drop the tables of {dataset}"):
            for reference in references:
                self._client.delete_table(reference, not_found_ok=True, retry=self._retry)

    # --- Loading ------------------------------------------------------------------------------

    def load_rows(self, table: DatasetTable, sources: Sequence[ObjectRef], job_id: str) -> JobStats:
        if not sources:
            return JobStats()
        target = history_name(table.dataset)
        operation = f"load {target}"
        try:
            with name_faults(operation):
                job = self._begin_load(table, sources, job_id)
            await_load(job, operation, self._retry)
        except (JobFailed, exceptions.BadRequest, exceptions.NotFound) as error:
            raise LoadRejected(target, job_id, error) from error
        log_cost(job, "load", target)
        return JobStats(job.output_rows or 0, job.input_file_bytes or 0, slot_milliseconds(job))

    def _begin_load(self, table: DatasetTable, sources: Sequence[ObjectRef], job_id: str) -> Any:
        """The load job of that id: a new one, or the one that was begun before."""
        target = self._reference("history", history_name(table.dataset))
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            # As the table has it, not as the contract does: a column may be nullable by now.
            schema=self._client.get_table(target, retry=self._retry).schema,
            decimal_target_types=[
                bigquery.DecimalTargetType.NUMERIC,
                bigquery.DecimalTargetType.BIGNUMERIC,
            ],
            labels=_make_labels("load", table.dataset) | {"job": make_label(job_id)},
        )
        uris = [self._objects.uri(source) for source in sources]
        try:
            return self._client.load_table_from_uri(
                uris, target, job_id=job_id, job_config=config, retry=self._retry
            )
        except exceptions.Conflict:
            return self._client.get_job(job_id, location=self._location, retry=self._retry)

    # --- Publishing ---------------------------------------------------------------------------

    def publish(
        self,
        table: DatasetTable,
        activate: Sequence[Activation],
        deactivate: Sequence[str] = (),
        *,
        fence: int,
    ) -> dict[str, RowCounts]:
        if not activate and not deactivate:
            return {}
        publish = Publish(table, self._tables(table.dataset), activate, deactivate, fence)
        labels = _make_labels("publish", table.dataset)
        with name_faults(f"publish {table.dataset}"):
            job, rows = self._run(publish.make_survey(), labels)
            survey = publish.read_survey(row.values() for row in rows)
            check_books(activate, survey.loaded)
            log_cost(job, "survey", table.dataset)
            try:
                job, rows = self._run(
                    publish.make_script(), labels, publish.make_parameters(survey)
                )
            except exceptions.BadRequest as error:
                if OVERTAKEN in error.message:
                    raise PublishOvertaken(table.dataset, fence) from error
                raise
        log_cost(job, "publish", table.dataset)
        return make_counts(row.values() for row in rows)

    def discard_rows(self, dataset: str, ingestion_ids: Sequence[str]) -> None:
        statement = self._make_recompute(dataset).discard(ingestion_ids)
        with name_faults(f"discard rows of {dataset}"), contextlib.suppress(exceptions.NotFound):
            job, _ = self._run(statement, _make_labels("discard", dataset))
            log_cost(job, "discard", dataset)

    def row_counts(self, dataset: str, ingestion_ids: Sequence[str]) -> dict[str, RowCounts]:
        if not ingestion_ids:
            return {}
        query = self._make_recompute(dataset).row_counts(ingestion_ids)
        with name_faults(f"count rows of {dataset}"):
            try:
                _, rows = self._run(query, _make_labels("read", dataset))
            except exceptions.NotFound:
                return {}
        return make_counts(row.values() for row in rows)

    # --- Reading ------------------------------------------------------------------------------

    def read_table(
        self, layer: Layer, name: str, columns: Sequence[Column], limit: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        schema = read_schema(columns)
        with name_faults(f"read {layer}.{name}"):
            rows = self._select(layer, name, schema.names, limit)
            if rows is not None:
                # With a limit the pages are few, and the Storage Read API knows no limits.
                reader = self._reader if limit is None else None
                for batch in rows.to_arrow_iterable(bqstorage_client=reader):
                    yield batch.select(schema.names).cast(schema)

    def preview(self, layer: Layer, name: str, limit: int) -> list[dict[str, Json]]:
        with name_faults(f"preview {layer}.{name}"):
            rows = self._select(layer, name, None, limit)
            if rows is None:
                return []
            return [{column: to_json(value) for column, value in row.items()} for row in rows]

    def column_types(self, layer: Layer, name: str) -> dict[str, ColumnType]:
        with name_faults(f"describe {layer}.{name}"):
            found = self._find_table(layer, name)
        return {field.name: logical_type(field) for field in found.schema} if found else {}

    def count_rows(self, layer: Layer, name: str) -> int:
        query = f"SELECT COUNT(*) FROM {self._sql_name(layer, name)}"
        with name_faults(f"count {layer}.{name}"):
            try:
                _, rows = self._run(query, _make_labels("read", name))
            except exceptions.NotFound:
                return 0
        return int(rows[0][0])

    def _select(
        self, layer: Layer, name: str, columns: Sequence[str] | None, limit: int | None
    ) -> Any:
        """An iterator over the rows (all columns when None are named); None without the table.

        A table is read as it lies, for no query's price; a view has to be queried.
        """
        table = self._find_table(layer, name)
        if table is None:
            return None
        if table.table_type == "TABLE":
            wanted = table.schema if columns is None else _pick_fields(table.schema, columns)
            return self._client.list_rows(
                table, selected_fields=wanted, max_results=limit, retry=self._retry
            )
        terms = "*" if columns is None else ", ".join(map(quote, columns))
        query = f"SELECT {terms} FROM {self._sql_name(layer, name)}"
        if limit is not None:
            query += f" LIMIT {limit:d}"
        return self._begin_query(query, _make_labels("read", name)).result(
            retry=self._retry, job_retry=self._job_retry
        )

    # --- Marts --------------------------------------------------------------------------------

    def replace_view(self, name: str, sql: str) -> None:
        self._replace(name, sql, "VIEW")

    def replace_table(
        self, name: str, sql: str, *, build: str = "", over: Sequence[str] = ()
    ) -> JobStats:
        with name_faults(f"end earlier builds of marts.{name}"):
            for each in over:
                self._spend(name, each)
        job = self._replace(name, sql, "TABLE", build)
        with name_faults(f"count marts.{name}"):
            rows = self._client.get_table(self._reference("marts", name), retry=self._retry)
        return JobStats(
            rows=rows.num_rows or 0,
            bytes=job.total_bytes_processed or 0,
            slot_ms=slot_milliseconds(job),
        )

    def measure(self, name: str, sql: str) -> list[float | None]:
        datasets = {layer: f"{self._prefix}_{layer}" for layer in LAYERS}
        query = to_bigquery(name, sql, self._project, datasets)
        try:
            with name_faults(f"measure {name}"):
                job, rows = self._run(query, _make_labels("measure", name))
        except (exceptions.BadRequest, exceptions.NotFound) as error:
            raise SqlRejected(name, error.message) from error
        log_cost(job, "measure", name)
        return [None if value is None else float(value) for value in rows[0].values()]

    def tabulate(self, name: str, sql: str, limit: int) -> list[dict[str, Json]]:
        datasets = {layer: f"{self._prefix}_{layer}" for layer in LAYERS}
        query = to_bigquery(name, sql, self._project, datasets)
        try:
            with name_faults(f"tabulate {name}"):
                job, rows = self._run(f"{query}\nLIMIT {limit:d}", _make_labels("read", name))
        except exceptions.NotFound:
            return []
        except exceptions.BadRequest as error:
            raise SqlRejected(name, error.message) from error
        log_cost(job, "read", name)
        return [{column: to_json(value) for column, value in row.items()} for row in rows]

    def _spend(self, name: str, build: str) -> None:
        """Use up a build's job id. A job that has it goes on without whoever began it: it is
        cancelled, and has ended when this returns."""
        try:
            self._begin_query("SELECT 1", _make_labels("mart", name), job_id=build)
        except exceptions.Conflict:
            job = self._client.get_job(build, location=self._location, retry=self._retry)
            if job.state != "DONE":
                job.cancel(retry=self._retry)
            while not job.done(retry=self._retry):
                with contextlib.suppress(exceptions.GoogleAPICallError, TimeoutError):
                    job.exception(timeout=_POLL_SECONDS)

    def _replace(self, name: str, sql: str, kind: Literal["VIEW", "TABLE"], build: str = "") -> Any:
        datasets = {layer: f"{self._prefix}_{layer}" for layer in LAYERS}
        query = to_bigquery(name, sql, self._project, datasets)
        labels = _make_labels("mart", name)
        try:
            with name_faults(f"build marts.{name}"):
                self._make_way(name, query, kind, labels)
                statement = f"CREATE OR REPLACE {kind} {self._sql_name('marts', name)} AS\n{query}"
                job, _ = self._run(statement, labels, job_id=build)
        except exceptions.Conflict as error:
            raise BuildOvertaken(name, build) from error
        except (exceptions.BadRequest, exceptions.NotFound) as error:
            raise SqlRejected(name, error.message) from error
        log_cost(job, "mart", f"marts.{name}")
        return job

    def _make_way(self, name: str, query: str, kind: str, labels: dict[str, str]) -> None:
        """Have the marts' dataset there, and nothing of another kind under the mart's name."""
        found = self._find_table("marts", name) if self._datasets_made else None
        if found is not None and found.table_type != kind:
            # Nothing is dropped for SQL that cannot take its place.
            self._client.query(query, job_config=bigquery.QueryJobConfig(dry_run=True))
            drop = f"DROP {found.table_type} IF EXISTS {self._sql_name('marts', name)}"
            self._run(drop, labels)

    # --- Jobs ---------------------------------------------------------------------------------

    def _begin_query(
        self,
        query: str,
        labels: dict[str, str],
        parameters: Sequence[Any] = (),
        job_id: str = "",
    ) -> Any:
        """A job under an id is begun once: an answer that was lost finds it, and another's raises
        Conflict."""
        config = bigquery.QueryJobConfig(labels=labels, query_parameters=parameters)
        if not job_id:
            return self._client.query(
                query, job_config=config, retry=self._retry, job_retry=self._job_retry
            )
        try:
            return self._client.query(
                query, job_config=config, job_id=job_id, retry=self._retry, job_retry=None
            )
        except exceptions.Conflict:
            job = self._client.get_job(job_id, location=self._location, retry=self._retry)
            if job.query != query:
                raise
            return job

    def _run(
        self,
        query: str,
        labels: dict[str, str],
        parameters: Sequence[Any] = (),
        job_id: str = "",
    ) -> tuple[Any, list[Any]]:
        """Run a query or a script to its end: the job, and the rows of its last SELECT."""
        job = self._begin_query(query, labels, parameters, job_id)
        job_retry = None if job_id else self._job_retry
        return job, list(job.result(retry=self._retry, job_retry=job_retry))


def _make_labels(purpose: str, subject: str) -> dict[str, str]:
    return {"app": "eventpulse", "purpose": purpose, "dataset": make_label(subject)}


def _pick_fields(schema: Sequence[Any], columns: Sequence[str]) -> list[Any]:
    """The fields of those names. Raises KeyError."""
    fields = {field.name: field for field in schema}
    return [fields[name] for name in columns]
