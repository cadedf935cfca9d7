"""OpenLineage's run events, and the facets that every run of EventPulse has. Pure.

The client's classes are imported where they are used: importing them takes most of a second. Facets
come as {key: facet}, empty when there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple, cast

from eventpulse.ports import Json

JOB_NAMESPACE = "eventpulse"


class DatasetName(NamedTuple):
    """Where a dataset is, in OpenLineage's naming: `bigquery` and `project.curated.flights`,
    `postgres://host:port` and `database.curated.flights`, `gs://bucket` and an object's name."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class RunJob:
    """The job that a run is of; `sql` is what it runs, where that is one statement."""

    name: str
    description: str
    kind: str = "INGESTION"
    sql: str | None = None

    def facets(self) -> dict[str, Any]:
        from openlineage.client.facet_v2 import documentation_job, job_type_job, sql_job

        facets: dict[str, Any] = {
            "jobType": job_type_job.JobTypeJobFacet(
                processingType="BATCH",
                integration="EVENTPULSE",
                jobType=self.kind,
                producer=name_producer(),
            )
        }
        if self.description:
            facets["documentation"] = documentation_job.DocumentationJobFacet(
                description=self.description, producer=name_producer()
            )
        if self.sql is not None:
            facets["sql"] = sql_job.SQLJobFacet(
                query=self.sql, dialect="bigquery", producer=name_producer()
            )
        return facets


def write_event(
    state: Any,
    run_id: str,
    job: RunJob,
    *,
    at: str,
    run: Mapping[str, Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
) -> dict[str, Json]:
    """One event as JSON. `state` is a `RunState`, `inputs` and `outputs` the client's datasets."""
    from openlineage.client.event_v2 import Job, Run, RunEvent
    from openlineage.client.serde import Serde

    event = RunEvent(
        eventType=state,
        eventTime=at,
        run=Run(runId=run_id, facets=dict(run)),
        job=Job(namespace=JOB_NAMESPACE, name=job.name, facets=job.facets()),
        inputs=list(inputs),
        outputs=list(outputs),
        producer=name_producer(),
    )
    return cast("dict[str, Json]", Serde.to_dict(event))


@cache
def _package_version() -> str:
    return version("eventpulse")


def name_producer() -> str:
    """The URI of this version of the package, which stands in every event and facet."""
    return f"urn:eventpulse:{_package_version()}"


def describe_engine() -> dict[str, Any]:
    from openlineage.client.constants import __version__ as client_version
    from openlineage.client.facet_v2 import processing_engine_run

    facet = processing_engine_run.ProcessingEngineRunFacet(
        version=_package_version(),
        name="eventpulse",
        openlineageAdapterVersion=client_version,
        producer=name_producer(),
    )
    return {"processing_engine": facet}


def describe_parent(run_id: str | None, job_name: str) -> dict[str, Any]:
    from openlineage.client.facet_v2 import parent_run

    if run_id is None:
        return {}
    return {
        "parent": parent_run.ParentRunFacet(
            run=parent_run.Run(runId=run_id),
            job=parent_run.Job(namespace=JOB_NAMESPACE, name=job_name),
            producer=name_producer(),
        )
    }


def describe_error(error: str | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import error_message_run

    if error is None:
        return {}
    return {
        "errorMessage": error_message_run.ErrorMessageRunFacet(
            message=error, programmingLanguage="PYTHON", producer=name_producer()
        )
    }


def describe_version(text: str | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset

    if text is None:
        return {}
    facet = dataset_version_dataset.DatasetVersionDatasetFacet(
        datasetVersion=text, producer=name_producer()
    )
    return {"version": facet}


def describe_header(header: Sequence[str]) -> dict[str, Any]:
    from openlineage.client.facet_v2 import schema_dataset as schema

    if not header:
        return {}
    fields = [
        schema.SchemaDatasetFacetFields(name, type="string", ordinal_position=at, fields=None)
        for at, name in enumerate(header, start=1)
    ]
    return {"schema": schema.SchemaDatasetFacet(fields=fields, producer=name_producer())}


def describe_input(
    name: DatasetName, facets: Mapping[str, Any], measured: Mapping[str, Any] | None = None
) -> Any:
    """An input dataset; `measured` are its input facets."""
    from openlineage.client.event_v2 import InputDataset

    return InputDataset(
        name.namespace, name.name, facets=dict(facets), inputFacets=dict(measured or {})
    )


def describe_column(
    sources: Sequence[tuple[DatasetName, str]], subtype: str, description: str | None = None
) -> Any:
    """The lineage of one output column from (dataset, column) pairs."""
    from openlineage.client.facet_v2 import column_lineage_dataset as lineage

    return lineage.Fields(
        inputFields=[
            lineage.InputField(
                namespace=name.namespace,
                name=name.name,
                field=column,
                transformations=[
                    lineage.Transformation(
                        type="DIRECT", subtype=subtype, description=description, masking=False
                    )
                ],
            )
            for name, column in sources
        ]
    )
