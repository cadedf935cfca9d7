"""Ingestions: what is known of one, and the documents that it left."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import flask

from eventpulse.api.endpoints import Call
from eventpulse.api.models import (
    IngestionAnswer,
    StepRun,
    Timeline,
    TimelineEvent,
)
from eventpulse.errors import RequestRefused, TransientError
from eventpulse.ingestions import step_runs
from eventpulse.ingestions.ingestion import Ingestion, from_head
from eventpulse.ingestions.step_runs import list_runs
from eventpulse.pipeline.documents import ref_of
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import RowCounts
from eventpulse.values import Document, format_time

logger = logging.getLogger(__name__)

MOST_OBJECTS = 100
"""Raw objects that one ingestion's answer shows; a bundle may have thousands."""


def get_ingestion(call: Call) -> IngestionAnswer:
    return describe(call.platform, find_ingestion(call))


def get_timeline(call: Call) -> Timeline:
    ingestion = find_ingestion(call)
    events = call.platform.log.read(ingestion.stream)
    return Timeline(
        ingestion=ingestion.id,
        events=[
            TimelineEvent(
                version=each.version,
                type=each.type,
                at=format_time(each.at),
                data=dict(each.data),
                cause=dict(each.cause),
            )
            for each in events
        ],
        steps=[_describe_run(each) for each in list_runs(events)],
    )


def _describe_run(run: step_runs.StepRun) -> StepRun:
    return StepRun(
        step=run.step,
        attempt=run.attempt,
        started_at=format_time(run.started_at),
        ended_at=None if run.ended_at is None else format_time(run.ended_at),
        seconds=run.seconds,
        outcome=run.outcome,
        problem=run.problem,
    )


def get_quality(call: Call) -> flask.Response:
    return _send_document(call, "quality", "the verdict")


def get_drift(call: Call) -> flask.Response:
    return _send_document(call, "drift", "the verdict")


def get_lineage(call: Call) -> flask.Response:
    return _send_document(call, "lineage", "the ingestion is loaded or rejected")


# --- Describing ----------------------------------------------------------------------------------


def find_ingestion(call: Call) -> Ingestion:
    """Raises RequestRefused (404)."""
    return Changes(call.platform).ingestion(call.path["id"])


def find_documented(call: Call) -> Ingestion:
    """The ingestion whose documents speak of this one's bytes: a duplicate's is its first."""
    ingestion = find_ingestion(call)
    if ingestion.duplicate_of is None:
        return ingestion
    return Changes(call.platform).ingestion(ingestion.duplicate_of)


def describe(platform: Platform, ingestion: Ingestion) -> IngestionAnswer:
    return describe_ingestions(platform, [ingestion], objects=MOST_OBJECTS)[0]


def describe_ingestions(
    platform: Platform, ingestions: Sequence[Ingestion], *, objects: int = 1
) -> list[IngestionAnswer]:
    """Answers in the same order, each with so many of its objects: one read for all duplicates'
    firsts, one count per dataset."""
    firsts = sorted({each.duplicate_of for each in ingestions if each.duplicate_of is not None})
    heads = platform.log.heads([f"ingestion/{each}" for each in firsts]) if firsts else []
    found = {each.id: each for each in map(from_head, heads) if each is not None}
    counted = _count_rows(platform, ingestions)
    return [
        _describe(each, found.get(each.duplicate_of or "", each), counted, objects)
        for each in ingestions
    ]


def _count_rows(
    platform: Platform, ingestions: Sequence[Ingestion]
) -> dict[str, Mapping[str, RowCounts] | None]:
    """By dataset, the live counts of its loaded ingestions; None when they cannot be had: what the
    log knows is shown also while the warehouse is down."""
    by_dataset: dict[str, list[str]] = {}
    for each in ingestions:
        if _shows_rows(each):
            by_dataset.setdefault(each.dataset or "", []).append(each.id)
    counted: dict[str, Mapping[str, RowCounts] | None] = {}
    for dataset, ids in by_dataset.items():
        try:
            counted[dataset] = platform.warehouse.row_counts(dataset, ids)
        except TransientError as error:
            logger.warning("row counts are as of the load: %s", error.message)
            counted[dataset] = None
    return counted


def _shows_rows(ingestion: Ingestion) -> bool:
    return ingestion.state == "loaded" and ingestion.replaced_by is None


def _describe(
    ingestion: Ingestion,
    documented: Ingestion,
    counted: Mapping[str, Mapping[str, RowCounts] | None],
    objects: int,
) -> IngestionAnswer:
    shown = ingestion.model_copy(update={"objects": ingestion.objects[:objects]})
    own = shown.model_dump(include=set(IngestionAnswer.model_fields))
    if ingestion.state == "duplicate":
        own |= dict.fromkeys((name for name in own if name.startswith("rows_")), 0)
    live = True
    if _shows_rows(ingestion):
        counts = counted[ingestion.dataset or ""]
        live = counts is not None
        if counts is not None:
            current = counts[ingestion.id].current if ingestion.id in counts else 0
            own["rows_current"] = current
            own["rows_superseded"] = (ingestion.rows_accepted or 0) - current
    return IngestionAnswer.model_validate(
        {
            **own,
            "object_count": len(ingestion.objects),
            "rows_live": live,
            "quality_uri": _uri(documented.quality),
            "drift_uri": _uri(documented.drift),
            "lineage_uri": _uri(documented.lineage),
            "quarantine_uri": _uri(documented.quarantine),
            "seconds": None if ingestion.milliseconds is None else ingestion.milliseconds / 1000,
        }
    )


def _uri(document: Document | None) -> str | None:
    return None if document is None else document.uri


def _send_document(call: Call, name: str, after: str) -> flask.Response:
    """The very bytes that the step wrote; their SHA-256 is the ETag."""
    ingestion = find_documented(call)
    document: Document | None = getattr(ingestion, name)
    if document is None:
        raise RequestRefused(
            404,
            "no_document",
            "There is no such document",
            f"The ingestion {ingestion.id} is {ingestion.state} and has no {name} document; it is "
            f"written with {after}.",
            state=ingestion.state,
        )
    with call.platform.objects.open(ref_of("reports", document)) as stream:
        response = flask.Response(stream.read(), mimetype="application/json")
    response.set_etag(document.sha256)
    return response
