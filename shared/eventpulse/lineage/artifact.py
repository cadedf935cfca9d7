"""The lineage artifact: an ingestion or a mart's build as OpenLineage 2-0-2 run events. Pure.

Invariants:
- a run is described by two events, START and COMPLETE or FAIL, whose run id is the ingestion's own
  (or the build's), so that describing it again describes the same run;
- names follow OpenLineage's naming specification, the vocabulary is its own;
- the same arguments give the same bytes: nothing is read from a clock;
- no value of a column that the contract has masked is in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from eventpulse.contracts.contract import Contract, Field
from eventpulse.drift.verdict import match_header
from eventpulse.ingestions.ingestion import Ingestion, SourceObject
from eventpulse.ingestions.quality import (
    ColumnProfile,
    DatasetRuleResult,
    QualityReport,
    RuleResult,
    format_number,
)
from eventpulse.lineage.run_events import (
    DatasetName,
    RunJob,
    describe_column,
    describe_engine,
    describe_error,
    describe_header,
    describe_input,
    describe_parent,
    describe_version,
    name_producer,
    write_event,
)
from eventpulse.marts.mart import Mart
from eventpulse.ports import Json

_NUMERIC = frozenset({"integer", "number", "decimal"})


def name_object(uri: str) -> DatasetName:
    """The name of a raw object from `ObjectStore.uri`: `gs://bucket/a.csv`, `file:///data/a.csv`.

    A file's path is percent-decoded; a Cloud Storage name stands in its URI as it is.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "file":
        return DatasetName("file", unquote(urlsplit(uri).path))
    authority, _, path = rest.partition("/")
    return DatasetName(f"{scheme}://{authority}", path)


def name_ingestion_job(dataset: str | None) -> str:
    """The job's name; files that no dataset takes share one job."""
    return f"ingest.{dataset or 'unrouted'}"


def name_mart_job(mart: str) -> str:
    return f"mart.{mart}"


# --- Ingestions ----------------------------------------------------------------------------------


def describe_ingestion(
    ingestion: Ingestion,
    contract: Contract | None,
    report: QualityReport,
    *,
    source_uris: Sequence[str],
    table: tuple[str, str] | None,
    ended: str,
    header: Sequence[str] = (),
    table_version: str | None = None,
    error: str | None = None,
) -> list[dict[str, Json]]:
    """The START event, then COMPLETE, or FAIL when the report rejects or `error` says why not.

    `source_uris` are `ObjectStore.uri` of `ingestion.objects`, in their order. `table` is the
    (namespace, name) of the curated table, None when no contract took the file. `contract` has the
    columns that accepted drift added. `header` is the file's own; without it, its columns are
    called as the contract prefers. `ended` is ISO 8601; the run began when the file was received.
    `error` and the report's message are shown as they are: sentences without a cell's value.
    """
    from openlineage.client.event_v2 import OutputDataset, RunState

    problem = report.message if error is None and report.outcome == "rejected" else error
    job = RunJob(name_ingestion_job(ingestion.dataset), contract.description if contract else "")
    facets = {**describe_engine(), **describe_parent(ingestion.replay_of, job.name)}
    outputs = [] if table is None else [OutputDataset(*table)]
    file = _File(ingestion.objects, [name_object(uri) for uri in source_uris], contract, header)
    start = write_event(
        RunState.START,
        ingestion.id,
        job,
        at=ingestion.received_at,
        run=facets,
        inputs=[describe_input(name, _object_version(each)) for each, name in file.objects],
        outputs=outputs,
    )
    if table is not None and problem is None and contract is not None:
        outputs = [_loaded_table(DatasetName(*table), contract, file, report, table_version)]
    end = write_event(
        RunState.COMPLETE if problem is None else RunState.FAIL,
        ingestion.id,
        job,
        at=ended,
        run={**facets, **describe_error(problem)},
        inputs=_read_objects(file, contract, report),
        outputs=outputs,
    )
    return [start, end]


class _File:
    """The raw objects by their names, and how their header and the contract name each other."""

    def __init__(
        self,
        objects: Sequence[SourceObject],
        names: Sequence[DatasetName],
        contract: Contract | None,
        header: Sequence[str],
    ) -> None:
        self.objects = list(zip(objects, names, strict=True))
        self.header = header
        fields = contract.fields if contract else ()
        self.by_column = {each.name: each.headers[0] for each in fields}
        if contract is not None and header:
            positions = match_header(contract, header).positions
            pairs = zip(contract.fields, positions, strict=True)
            self.by_column = {each.name: header[at] for each, at in pairs if at is not None}

    @property
    def size(self) -> int:
        return sum(each.size for each, _ in self.objects)

    def name(self, column: str) -> str:
        """The file's name for a column; the column's own when the file has none."""
        return self.by_column.get(column, column)


def _read_objects(file: _File, contract: Contract | None, report: QualityReport) -> list[Any]:
    """The raw objects. What was measured over all of them stands at the first."""
    from openlineage.client.facet_v2 import input_statistics_input_dataset as statistics

    rows = report.balance.rows_read if len(file.objects) == 1 else None
    read: list[Any] = []
    for each, name in file.objects:
        facets = {**_object_version(each), **describe_header(file.header)}
        measured: dict[str, Any] = {
            "inputStatistics": statistics.InputStatisticsInputDatasetFacet(
                rowCount=rows, size=each.size, fileCount=1, producer=name_producer()
            )
        }
        if not read:
            measured |= _quality_facets(file, contract, report)
        read.append(describe_input(name, facets, measured))
    return read


def _object_version(source: SourceObject) -> dict[str, Any]:
    """A generation pins an object's bytes, and their hash says the same in another store."""
    text = f"{source.generation}/sha256:{source.sha256}" if source.sha256 else source.generation
    return describe_version(str(text))


def _quality_facets(
    file: _File, contract: Contract | None, report: QualityReport
) -> dict[str, Any]:
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as assertions
    from openlineage.client.facet_v2 import data_quality_metrics_input_dataset as metrics

    masked = {f.name for f in contract.fields if f.masked} if contract else set()
    facets: dict[str, Any] = {
        "dataQualityMetrics": metrics.DataQualityMetricsInputDatasetFacet(
            rowCount=report.balance.rows_read,
            bytes=file.size,
            fileCount=len(file.objects),
            columnMetrics={
                file.by_column[each.name]: _column_metrics(each, masked=each.name in masked)
                for each in report.columns
                if each.name in file.by_column
            },
            producer=name_producer(),
        )
    }
    checked = [_row_assertion(each, file) for each in report.rules]
    checked += [_file_assertion(each, file) for each in report.dataset_rules]
    if checked:
        facets["dataQualityAssertions"] = assertions.DataQualityAssertionsDatasetFacet(
            assertions=checked, producer=name_producer()
        )
    return facets


def _column_metrics(profile: ColumnProfile, *, masked: bool) -> Any:
    from openlineage.client.facet_v2 import data_quality_metrics_input_dataset as metrics

    hidden = masked or profile.type not in _NUMERIC
    return metrics.ColumnMetrics(
        nullCount=profile.nulls,
        count=profile.cells,
        min=None if hidden else _number(profile.minimum),
        max=None if hidden else _number(profile.maximum),
        quantiles=None,
    )


def _number(value: Json) -> float | int | None:
    """A profile's bound as a number: decimals stand in a profile as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _row_assertion(result: RuleResult, file: _File) -> Any:
    """A row rule over all rows. Rows that break it are set apart, so that it stops nothing."""
    names = [file.name(each) for each in result.column.split("+")] if result.column else []
    return _assertion(
        result.rule,
        names,
        success=result.failed == 0,
        severity="warn",
        actual=f"{result.failed} of {result.checked} rows failed",
    )


def _file_assertion(result: DatasetRuleResult, file: _File) -> Any:
    return _assertion(
        result.metric,
        [file.name(each) for each in result.columns],
        success=result.passed,
        severity="error" if result.severity == "error" else "warn",
        name=result.name,
        expected=f"{result.expected} {result.unit}",
        actual=result.problem
        if result.observed is None
        else f"{format_number(result.observed)} {result.unit}",
    )


def _assertion(assertion: str, names: Sequence[str], **known: Any) -> Any:
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as assertions

    return assertions.Assertion(
        assertion=assertion,
        column=names[0] if len(names) == 1 else None,
        params={"columns": list(names)} if len(names) > 1 else None,
        **known,
    )


def _loaded_table(
    name: DatasetName,
    contract: Contract,
    file: _File,
    report: QualityReport,
    table_version: str | None,
) -> Any:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import column_lineage_dataset as lineage
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics
    from openlineage.client.facet_v2 import schema_dataset as schema

    fields = [
        schema.SchemaDatasetFacetFields(
            each.name,
            type=_type_name(each),
            description=each.description or None,
            ordinal_position=position,
            fields=None,
        )
        for position, each in enumerate(contract.fields, start=1)
    ]
    carried = {
        each.name: describe_column(
            [(source, file.by_column[each.name]) for _, source in file.objects], *_conversion(each)
        )
        for each in contract.fields
        if each.name in file.by_column
    }
    facets: dict[str, Any] = {
        "schema": schema.SchemaDatasetFacet(fields=fields, producer=name_producer()),
        "columnLineage": lineage.ColumnLineageDatasetFacet(
            fields=carried, dataset=None, producer=name_producer()
        ),
        **describe_version(table_version),
    }
    written = statistics.OutputStatisticsOutputDatasetFacet(
        rowCount=report.balance.rows_accepted, producer=name_producer()
    )
    return OutputDataset(*name, facets=facets, outputFacets={"outputStatistics": written})


def _conversion(contract_field: Field) -> tuple[str, str]:
    if contract_field.column_type == "string":
        return "IDENTITY", "the text as it stands in the file"
    return "TRANSFORMATION", f"text read as {_type_name(contract_field)}"


def _type_name(contract_field: Field) -> str:
    column = contract_field.column
    if column.precision is None:
        return column.type
    return f"{column.type}({column.precision},{column.scale or 0})"


# --- Marts ---------------------------------------------------------------------------------------


def describe_mart_build(
    mart: Mart,
    run_id: str,
    *,
    sources: Mapping[str, tuple[str, str]],
    table: tuple[str, str],
    versions: Mapping[str, int],
    started: str,
    ended: str,
    rows: int | None = None,
    error: str | None = None,
) -> list[dict[str, Json]]:
    """The START event, and the COMPLETE event or, with `error`, the FAIL event, of one build.

    `sources` gives the (namespace, name) of each of `mart.sources`, `table` the mart's own;
    `versions` is what `marts.collect_versions` said before the build; `rows` is None for a view.
    Times are ISO 8601. `error` is shown as it is.
    """
    from openlineage.client.event_v2 import OutputDataset, RunState

    job = RunJob(name_mart_job(mart.name), mart.description, kind="QUERY", sql=mart.sql)
    engine = describe_engine()
    names = {source: DatasetName(*sources[source]) for source in mart.sources}
    read = [
        describe_input(name, describe_version(_source_version(source, versions)))
        for source, name in names.items()
    ]
    unbuilt = OutputDataset(*table)
    start = write_event(
        RunState.START, run_id, job, at=started, run=engine, inputs=read, outputs=[unbuilt]
    )
    end = write_event(
        RunState.COMPLETE if error is None else RunState.FAIL,
        run_id,
        job,
        at=ended,
        run={**engine, **describe_error(error)},
        inputs=read,
        outputs=[unbuilt if error is not None else _built_mart(mart, names, table, rows)],
    )
    return [start, end]


def _source_version(source: str, versions: Mapping[str, int]) -> str | None:
    found = versions.get(source, versions.get(source.removeprefix("curated.")))
    return None if found is None else str(found)


def _built_mart(
    mart: Mart, names: Mapping[str, DatasetName], table: tuple[str, str], rows: int | None
) -> Any:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import column_lineage_dataset as lineage
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics
    from openlineage.client.facet_v2 import schema_dataset as schema

    fields = [
        schema.SchemaDatasetFacetFields(name, ordinal_position=position, fields=None)
        for position, name in enumerate(mart.columns, start=1)
    ]
    carried = {
        column: describe_column(
            [(names[source], name) for source, name in sorted(mart.lineage[column])],
            mart.transformations[column],
        )
        for column in mart.columns
    }
    written = statistics.OutputStatisticsOutputDatasetFacet(rowCount=rows, producer=name_producer())
    return OutputDataset(
        *table,
        facets={
            "schema": schema.SchemaDatasetFacet(fields=fields, producer=name_producer()),
            "columnLineage": lineage.ColumnLineageDatasetFacet(
                fields=carried, dataset=None, producer=name_producer()
            ),
        },
        outputFacets={} if rows is None else {"outputStatistics": written},
    )
