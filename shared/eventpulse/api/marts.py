"""Marts: their SQL, whether they are built, and a few of their rows."""

from __future__ import annotations

import flask

from eventpulse.api.endpoints import Call
from eventpulse.api.models import (
    MartAnswer,
    MartList,
    MartQuery,
    MartSummary,
    MartText,
    MartWord,
    PublishedMart,
)
from eventpulse.api.samples import find_masked, mask_rows
from eventpulse.errors import RequestRefused
from eventpulse.http import json_response
from eventpulse.marts.checks import MartReport
from eventpulse.marts.mart import ALL_MARTS, Mart, MartState, read_mart
from eventpulse.pipeline.documents import read_json
from eventpulse.pipeline.marts import find_mart, publish_mart
from eventpulse.pipeline.streams import list_heads
from eventpulse.ports import Json


def list_marts(call: Call) -> MartList:
    heads = list_heads(call.platform, ALL_MARTS)
    states = sorted((MartState.model_validate(h.projection) for h in heads), key=lambda s: s.name)
    return MartList(marts=[_summarize(each, read_mart(each.name, each.text)) for each in states])


def get_mart_quality(call: Call) -> MartReport:
    state = find_mart(call.platform, call.path["name"])
    if state.quality is None:
        raise RequestRefused(
            404,
            "no_quality_report",
            "No quality report",
            f"The mart {state.name!r} has no contract, or was not built under it yet.",
        )
    return MartReport.model_validate(read_json(call.platform, "reports", state.quality))


def get_mart(call: Call) -> MartAnswer:
    wanted: MartQuery = call.query
    state = find_mart(call.platform, call.path["name"])
    name = state.name
    mart = read_mart(name, state.text)
    summary = _summarize(state, mart).model_dump(exclude={"rows"})
    warehouse = call.platform.warehouse
    return MartAnswer(
        **summary,
        rows=warehouse.count_rows("marts", name) if state.builds else None,
        sql=mart.sql,
        columns=list(mart.columns),
        versions=state.built_versions,
        preview=_preview(call, mart, wanted.limit) if state.builds else [],
    )


def _preview(call: Call, mart: Mart, limit: int) -> list[dict[str, Json]]:
    rows = call.platform.warehouse.preview("marts", mart.name, limit)
    return mask_rows(find_masked(call.platform, mart), rows, mart.columns).rows


def _summarize(state: MartState, mart: Mart) -> MartSummary:
    return MartSummary(
        name=state.name,
        description=mart.description,
        materialization=state.materialization,
        state=_word(state),
        error=state.error,
        sources=list(mart.sources),
        builds=state.builds,
        built_at=state.built_at,
        rows=state.rows,
        finding=state.finding,
        quality_uri=state.quality.uri if state.quality else None,
        lineage_uri=state.lineage.uri if state.lineage else None,
    )


def _word(state: MartState) -> MartWord:
    if state.error is not None:
        return "failed"
    if state.lease is not None:
        return "building"
    return "built" if state.builds else "waiting"


def post_mart(call: Call) -> flask.Response:
    sent: MartText = call.body
    name = call.path["name"]
    changed = publish_mart(call.platform, name, sent.text, sent.contract)
    answer = PublishedMart(name=name, changed=changed)
    response = json_response(answer.model_dump(), 201 if changed else 200)
    response.headers["Location"] = f"/api/marts/{name}"
    return response
