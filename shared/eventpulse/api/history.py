"""How a dataset came to be what it is: its contracts side by side, and the schemas that it had."""

from __future__ import annotations

import difflib
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from pydantic import Field

from eventpulse.api.endpoints import Call
from eventpulse.api.models import Answer, Request
from eventpulse.drift.verdict import DriftVerdict, Outcome
from eventpulse.errors import ObjectMissing
from eventpulse.ingestions.ingestion import Ingestion, query_ingestions
from eventpulse.pipeline.documents import read_json
from eventpulse.pipeline.registry import contract_entry, read_contract_text
from eventpulse.pipeline.streams import schema_stream
from eventpulse.platform import Platform
from eventpulse.values import format_time

_AT_ONCE = 8


class DiffQuery(Request):
    of: str = Field(description="The older version.")
    to: str | None = Field(None, description="The newer one; the current one if not given.")


class ContractDiff(Answer):
    """`lines` is a unified diff of the YAML without its two head lines; empty if they are equal."""

    dataset: str
    of: str
    to: str
    equal: bool
    lines: list[str]


def get_contract_diff(call: Call) -> ContractDiff:
    wanted: DiffQuery = call.query
    dataset = call.path["name"]
    entries = [contract_entry(call.platform, dataset, each) for each in (wanted.of, wanted.to)]
    old, new = (read_contract_text(call.platform, each).splitlines() for each in entries)
    lines = list(difflib.unified_diff(old, new, lineterm="", n=3))[2:]
    return ContractDiff(
        dataset=dataset,
        of=str(entries[0]["version"]),
        to=str(entries[1]["version"]),
        equal=old == new,
        lines=lines,
    )


class SchemaQuery(Request):
    limit: int = Field(20, ge=1, le=100, description="Of each list, the newest so many.")


class AcceptedAt(Answer):
    """The schema that the dataset had from then on: {column: type} as files bring them, and the
    columns that drift has added to the contract's."""

    at: str
    version: int
    observed: dict[str, str]
    evolved: list[str]
    request_id: str | None


class ObservedIn(Answer):
    """What one file had, and what the verdict was."""

    ingestion: str
    object: str
    received_at: str
    outcome: Outcome
    message: str
    contract_version: str | None
    observed: dict[str, str]


class SchemaHistory(Answer):
    """Both newest first. `observed` is of the newest files that were judged."""

    dataset: str
    accepted: list[AcceptedAt]
    observed: list[ObservedIn]


def get_schemas(call: Call) -> SchemaHistory:
    wanted: SchemaQuery = call.query
    dataset = call.path["name"]
    contract_entry(call.platform, dataset, None)
    return SchemaHistory(
        dataset=dataset,
        accepted=_read_accepted(call.platform, dataset, wanted.limit),
        observed=_read_observed(call.platform, dataset, wanted.limit),
    )


def _read_accepted(platform: Platform, dataset: str, limit: int) -> list[AcceptedAt]:
    accepted = []
    for event in reversed(platform.log.read(schema_stream(dataset))[-limit:]):
        schema = event.data["schema"]
        assert isinstance(schema, dict)
        evolved = schema.get("evolved", [])
        assert isinstance(evolved, list)
        accepted.append(
            AcceptedAt.model_validate(
                {
                    "at": format_time(event.at),
                    "version": schema.get("version", 0),
                    "observed": schema.get("observed", {}),
                    "evolved": [each["name"] for each in evolved if isinstance(each, dict)],
                    "request_id": event.cause.get("request_id"),
                }
            )
        )
    return accepted


def _read_observed(platform: Platform, dataset: str, limit: int) -> list[ObservedIn]:
    heads = platform.log.query(query_ingestions(dataset=dataset), limit=2 * limit).heads
    found = [Ingestion.model_validate(head.projection) for head in heads]
    judged = [each for each in found if each.drift is not None][:limit]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        context = [pool.submit(copy_context().run, _observe, platform, each) for each in judged]
        return [seen for each in context if (seen := each.result()) is not None]


def _observe(platform: Platform, ingestion: Ingestion) -> ObservedIn | None:
    """None where the verdict was removed with age."""
    assert ingestion.drift is not None
    try:
        document = read_json(platform, "reports", ingestion.drift)
    except ObjectMissing:
        return None
    verdict = DriftVerdict.model_validate(document)
    return ObservedIn(
        ingestion=ingestion.id,
        object=ingestion.object,
        received_at=ingestion.received_at,
        outcome=verdict.outcome,
        message=verdict.message,
        contract_version=verdict.contract_version,
        observed=verdict.observed,
    )
