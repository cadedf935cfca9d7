"""The audit: who asked for what, about what, when, and what came of it."""

from __future__ import annotations

from pydantic import Field

from eventpulse.api.endpoints import Call
from eventpulse.api.models import Answer, Cursor, Limit, Moment, Request
from eventpulse.operations.actions import Action, ActionState, query_actions


class AuditQuery(Request):
    actor: str | None = Field(None, description="Who did it: an e-mail address, or `operator`.")
    subject: str | None = Field(None, description="The stream it is about: `ingestion/<id>`.")
    action: str | None = Field(None, description="An operationId of this document.")
    since: Moment | None = None
    until: Moment | None = Field(None, description="The first moment that is too late.")
    cursor: Cursor | None = Field(None, description="`next_cursor` of the page before.")
    limit: Limit = 50


class ActionAnswer(Answer):
    """What somebody asked for. `action` is the operationId; `state` is `begun` while it runs or
    when it was killed, `refused` when the caller was to blame, else `faulted`; `status` and `code`
    are those of the answer."""

    id: str
    actor: str
    role: str | None
    action: str
    subject: str
    at: str
    request_id: str
    state: ActionState
    status: int | None
    code: str | None
    finished_at: str | None


class AuditPage(Answer):
    actions: list[ActionAnswer]
    next_cursor: str | None


def list_actions(call: Call) -> AuditPage:
    wanted: AuditQuery = call.query
    query = query_actions(
        actor=wanted.actor,
        subject=wanted.subject,
        action=wanted.action,
        since=wanted.since,
        until=wanted.until,
    )
    page = call.platform.log.query(query, limit=wanted.limit, cursor=wanted.cursor)
    found = [Action.model_validate(head.projection) for head in page.heads]
    fields = set(ActionAnswer.model_fields)
    return AuditPage(
        actions=[ActionAnswer.model_validate(each.model_dump(include=fields)) for each in found],
        next_cursor=page.cursor,
    )
