"""Verifications: ask whether a table is what its raw objects make it, and what was found."""

from __future__ import annotations

import flask
from pydantic import Field

from eventpulse.api.endpoints import Call
from eventpulse.api.models import Answer, Cursor, Limit, Request
from eventpulse.http import json_response
from eventpulse.operations.verifications import (
    Difference,
    Verification,
    VerificationState,
    query_verifications,
)
from eventpulse.pipeline.verification_requests import find_verification, request_verification


class VerificationQuery(Request):
    dataset: str | None = None
    state: VerificationState | None = None
    cursor: Cursor | None = Field(None, description="`next_cursor` of the page before.")
    limit: Limit = 50


class VerificationAnswer(Answer):
    """A table against one that is rebuilt from the raw objects of its `ingestions` under their
    contracts, `position` of which have been read again. What is not known yet is null.
    `differing` ingestions have other rows in the table than they should; `differences` are the
    first of them."""

    id: str
    dataset: str
    requested_by: str
    state: VerificationState
    detail: str | None
    ingestions: int | None
    position: int
    equal: bool | None
    digest: str | None
    rebuilt_digest: str | None
    rows: int | None
    rebuilt_rows: int | None
    differing: int | None
    differences: list[Difference]
    created_at: str
    updated_at: str
    finished_at: str | None


class VerificationPage(Answer):
    verifications: list[VerificationAnswer]
    next_cursor: str | None


def post_verify(call: Call) -> flask.Response:
    verification = request_verification(
        call.platform, call.action, call.path["name"], actor=call.actor
    )
    answer = describe_verification(verification)
    response = json_response(answer.model_dump(mode="json"), 202)
    response.headers["Location"] = f"/api/verifications/{verification.id}"
    return response


def list_verifications(call: Call) -> VerificationPage:
    wanted: VerificationQuery = call.query
    query = query_verifications(wanted.dataset, wanted.state)
    page = call.platform.log.query(query, limit=wanted.limit, cursor=wanted.cursor)
    found = [Verification.model_validate(head.projection) for head in page.heads]
    return VerificationPage(
        verifications=[describe_verification(each) for each in found], next_cursor=page.cursor
    )


def get_verification(call: Call) -> VerificationAnswer:
    return describe_verification(find_verification(call.platform, call.path["id"]))


def describe_verification(verification: Verification) -> VerificationAnswer:
    own = verification.model_dump(include=set(VerificationAnswer.model_fields))
    counted = verification.ingestions if verification.snapshot else None
    return VerificationAnswer.model_validate(
        {**own, "ingestions": counted, "equal": verification.equal}
    )
