"""Replays and retractions: one ingestion, or many at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import flask

from eventpulse.api.endpoints import Call
from eventpulse.api.ingestions import describe, find_ingestion
from eventpulse.api.models import ManyReplays, ReplayMany, ReplayOutcome
from eventpulse.errors import RequestRefused
from eventpulse.http import json_response
from eventpulse.ingestions.ingestion import Ingestion, query_ingestions
from eventpulse.pipeline.replay import replay_ingestion, retract_ingestion
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform

_PAGE = 200


def post_replay(call: Call) -> flask.Response:
    key = call.action if call.header("Idempotency-Key") else ""
    replay = replay_ingestion(call.platform, call.path["id"], key)
    return _accepted(call, Changes(call.platform).ingestion(replay))


def post_retract(call: Call) -> flask.Response:
    retract_ingestion(call.platform, call.path["id"])
    return _accepted(call, find_ingestion(call))


def _accepted(call: Call, ingestion: Ingestion) -> flask.Response:
    """What was asked for goes on by itself; Location says where to look."""
    answer = describe(call.platform, ingestion)
    response = json_response(answer.model_dump(mode="json"), 202)
    response.headers["Location"] = f"/api/ingestions/{ingestion.id}"
    return response


def post_replays(call: Call) -> ManyReplays:
    """Each ingestion on its own: one that cannot be replayed says why and hinders no other."""
    wanted: ReplayMany = call.body
    ids = list(dict.fromkeys(wanted.ids)) if wanted.ids else None
    chosen = ids if ids is not None else [each.id for each in _choose(call.platform, wanted)]
    outcomes = [_replay(call, each) for each in chosen[: wanted.limit]]
    return ManyReplays(replays=outcomes, more=len(chosen) > wanted.limit)


def _choose(platform: Platform, wanted: ReplayMany) -> list[Ingestion]:
    """The longest waiting first, and one more than the limit if there are more."""
    states = [wanted.state] if wanted.state else ["rejected", "failed"]
    found: list[Ingestion] = []
    for state in states:
        found += islice(_read_mendable(platform, wanted, state), wanted.limit + 1)
    return found


def _read_mendable(platform: Platform, wanted: ReplayMany, state: str) -> Iterator[Ingestion]:
    query = query_ingestions(
        state=state,
        reason=wanted.reason,
        dataset=wanted.dataset,
        since=wanted.since,
        until=wanted.until,
        sort="received_at",
    )
    cursor: str | None = None
    while True:
        page = platform.log.query(query, limit=_PAGE, cursor=cursor)
        for head in page.heads:
            ingestion = Ingestion.model_validate(head.projection)
            step = wanted.failed_step
            fits = step is None or ingestion.failed_step == step
            if fits and not ingestion.replays:
                yield ingestion
        cursor = page.cursor
        if cursor is None:
            return


def _replay(call: Call, ingestion_id: str) -> ReplayOutcome:
    try:
        replay = replay_ingestion(call.platform, ingestion_id, call.action)
    except RequestRefused as error:
        return ReplayOutcome(
            ingestion=ingestion_id, replay=None, code=str(error.code), detail=error.message
        )
    return ReplayOutcome(ingestion=ingestion_id, replay=replay, code=None, detail=None)
