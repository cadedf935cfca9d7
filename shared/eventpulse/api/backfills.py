"""Backfills: ask for one, see what it would change, start, pause, resume or cancel it."""

from __future__ import annotations

from typing import Literal

import flask
from pydantic import Field

from eventpulse.api.endpoints import Call
from eventpulse.api.models import Answer, Cursor, Limit, Moment, Request
from eventpulse.http import json_response
from eventpulse.operations.backfills import Backfill, BackfillState, Foreseen, Item, query_backfills
from eventpulse.pipeline.backfill_requests import (
    decide_backfill,
    find_backfill,
    read_items,
    request_backfill,
)

Decision = Literal["start", "pause", "resume", "cancel"]


class BackfillRequest(Request):
    """Raw objects of a dataset that were created from `since` until before `until`, to be read
    again under the current contract. It is planned first, and runs when it is started."""

    dataset: str = Field(min_length=1, max_length=200)
    since: Moment | None = None
    until: Moment | None = None
    check: bool = Field(True, description="Read every file of the plan and say what would change.")
    force: bool = Field(False, description="Also what the current contract has judged already.")


class BackfillQuery(Request):
    dataset: str | None = None
    state: BackfillState | None = None
    cursor: Cursor | None = Field(None, description="`next_cursor` of the page before.")
    limit: Limit = 50


class BackfillAnswer(Answer):
    """One backfill. `items` are to run and `position` of them have begun; `skipped` says how many
    raw objects are left out and why. `foreseen` is what the dry run (`checked` of `items`) found.
    `outcomes` counts how items ended, by the state of their new ingestion."""

    id: str
    dataset: str
    since: str | None
    until: str | None
    check: bool
    force: bool
    requested_by: str
    state: BackfillState
    detail: str | None
    contract_version: str | None
    items: int | None = Field(description="Null until the raw bucket was listed.")
    skipped: dict[str, int]
    checked: int
    foreseen: Foreseen
    position: int
    in_flight: list[str]
    ended: int
    outcomes: dict[str, int]
    created_at: str
    updated_at: str
    finished_at: str | None


class BackfillPage(Answer):
    backfills: list[BackfillAnswer]
    next_cursor: str | None


class ItemsQuery(Request):
    cursor: str | None = Field(None, pattern=r"^[0-9]{1,9}$")
    limit: Limit = 50


class ItemPage(Answer):
    """The plan, in the order in which it runs; `state` is the ingestion's when it was planned."""

    items: list[Item]
    next_cursor: str | None


def post_backfill(call: Call) -> flask.Response:
    wanted: BackfillRequest = call.body
    backfill = request_backfill(
        call.platform,
        call.action,
        wanted.dataset,
        since=wanted.since,
        until=wanted.until,
        check=wanted.check,
        force=wanted.force,
        actor=call.actor,
    )
    response = json_response(_describe(backfill).model_dump(mode="json"), 202)
    response.headers["Location"] = f"/api/backfills/{backfill.id}"
    return response


def list_backfills(call: Call) -> BackfillPage:
    wanted: BackfillQuery = call.query
    query = query_backfills(wanted.dataset, wanted.state)
    page = call.platform.log.query(query, limit=wanted.limit, cursor=wanted.cursor)
    found = [Backfill.model_validate(head.projection) for head in page.heads]
    return BackfillPage(backfills=[_describe(each) for each in found], next_cursor=page.cursor)


def get_backfill(call: Call) -> BackfillAnswer:
    return _describe(find_backfill(call.platform, call.path["id"]))


def list_backfill_items(call: Call) -> ItemPage:
    wanted: ItemsQuery = call.query
    backfill = find_backfill(call.platform, call.path["id"])
    start = int(wanted.cursor or 0)
    if not backfill.listed or start >= backfill.items:
        return ItemPage(items=[], next_cursor=None)
    items = read_items(call.platform, backfill, start, wanted.limit)
    end = start + len(items)
    return ItemPage(items=items, next_cursor=str(end) if end < backfill.items else None)


def post_backfill_start(call: Call) -> BackfillAnswer:
    return _decide(call, "start")


def post_backfill_pause(call: Call) -> BackfillAnswer:
    return _decide(call, "pause")


def post_backfill_resume(call: Call) -> BackfillAnswer:
    return _decide(call, "resume")


def post_backfill_cancel(call: Call) -> BackfillAnswer:
    return _decide(call, "cancel")


def _decide(call: Call, decision: Decision) -> BackfillAnswer:
    return _describe(decide_backfill(call.platform, call.path["id"], decision))


def _describe(backfill: Backfill) -> BackfillAnswer:
    own = backfill.model_dump(include=set(BackfillAnswer.model_fields))
    items = backfill.items if backfill.listed else None
    return BackfillAnswer.model_validate(
        {**own, "items": items, "ended": sum(backfill.outcomes.values())}
    )
