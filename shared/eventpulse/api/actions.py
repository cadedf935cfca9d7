"""Doing what a POST asks for, as a recorded action: known before it is done, done once per key.

An Idempotency-Key belongs to the caller who sends it. What was answered is kept in the action's
stream and answered again; what was refused or faulted changed nothing, so the same key may try
again. Answers that hold a secret, or that cost nothing to make again, are not kept
(`Endpoint.keeps_answer`): their handlers come to the same end for the same key, with a new
secret or address in place of the one before.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import flask

from eventpulse.api.endpoints import Call, Endpoint
from eventpulse.errors import EventPulseError, RequestRefused, TransientError
from eventpulse.http import status_of
from eventpulse.logs import current_context
from eventpulse.operations.actions import Action, begin_event, name_action
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import Event, Json, NewEvent

KEY_HEADER = "Idempotency-Key"
MAX_KEY = 200
KEPT_HEADERS = ("Location",)
MOST_KEPT_BYTES = 500_000


def read_action(request: flask.Request, actor: str) -> str:
    """The id of the action that a request is. Raises RequestRefused (422) for what is no key."""
    key = request.headers.get(KEY_HEADER)
    if key is None:
        return str(uuid.uuid4())
    if not 0 < len(key) <= MAX_KEY or not key.isprintable() or not key.isascii():
        problem = f"header.{KEY_HEADER}: 1 to {MAX_KEY} printable ASCII characters"
        raise RequestRefused(
            422, "invalid_request", "Invalid request", f"{problem}.", problems=[problem]
        )
    return name_action(actor, key)


def perform(call: Call, endpoint: Endpoint) -> flask.Response:
    """The answer to a POST. Raises what its handler raises, and RequestRefused (409, 422) for a key
    that is in use, or that another request has used."""
    wanted = _describe(call, endpoint)
    known = _begin(call.platform, wanted, timedelta(seconds=endpoint.seconds))
    if known is not None:
        return known
    try:
        response = endpoint.answer_call(call)
    except Exception as error:
        _end(call.platform, wanted.id, _failed(error))
        raise
    _end(call.platform, wanted.id, _answered(endpoint, call, response))
    return response


def _describe(call: Call, endpoint: Endpoint) -> Action:
    return Action(
        id=call.action,
        actor=call.actor,
        role=call.principal.role if call.principal else None,
        action=endpoint.name,
        subject=name_subject(endpoint, call),
        request_id=current_context().request_id,
        fingerprint=_fingerprint(call.request),
    )


def _fingerprint(request: flask.Request) -> str:
    parts = [request.method, request.path, request.query_string.decode("latin-1")]
    head = "\n".join([*parts, request.mimetype, ""])
    return hashlib.sha256(head.encode() + request.get_data()).hexdigest()


def name_subject(endpoint: Endpoint, call: Call, answer: Mapping[str, Any] | None = None) -> str:
    """The stream that an action is about: the endpoint's pattern, filled with the path's values,
    the body's fields and the answer's; empty while one of them is not known."""
    body = call.body.model_dump(mode="json") if call.body is not None else {}
    try:
        return endpoint.subject.format_map({**(answer or {}), **body, **call.path})
    except KeyError:
        return ""


def _begin(platform: Platform, wanted: Action, lease: timedelta) -> flask.Response | None:
    """Begin the action, or the answer that it has."""
    while True:
        changes = Changes(platform)
        if changes.head(wanted.stream).version:
            before = Action.model_validate(changes.projection(wanted.stream))
            _check_same(before, wanted)
            if before.state == "done":
                kept = _find_answer(platform.log.read(wanted.stream))
                if kept is not None:
                    return kept
            if before.is_under_way(platform.clock()):
                raise RequestRefused(
                    409,
                    "request_under_way",
                    "The same request is under way",
                    f"A request with this {KEY_HEADER} began at {before.at} and is not answered "
                    "yet. Ask again in a moment, with the same key.",
                    until=before.until,
                )
        changes.add(wanted.stream, begin_event(wanted, platform.clock(), lease))
        if changes.commit():
            return None


def _check_same(before: Action, wanted: Action) -> None:
    if before.fingerprint == wanted.fingerprint:
        return
    problem = f"header.{KEY_HEADER}: it was sent before, with another request ({before.action})"
    raise RequestRefused(
        422,
        "key_reused",
        "The Idempotency-Key belongs to another request",
        f"{problem}. Send a new key with a new request.",
        problems=[problem],
    )


def _find_answer(events: list[Event]) -> flask.Response | None:
    for event in reversed(events):
        answer = event.data.get("answer")
        if event.type == "answered" and isinstance(answer, dict):
            headers: Any = answer["headers"]
            response = flask.Response(str(answer["body"]), mimetype=str(answer["mimetype"]))
            response.status_code = int(str(answer["status"]))
            response.headers.extend(headers)
            response.headers["X-Request-ID"] = current_context().request_id
            return response
    return None


def _answered(endpoint: Endpoint, call: Call, response: flask.Response) -> NewEvent:
    data: dict[str, Json] = {"status": response.status_code}
    body = response.get_data(as_text=True)
    if response.mimetype == "application/json":
        content = json.loads(body)
        if isinstance(content, dict):
            data["subject"] = name_subject(endpoint, call, content)
    if endpoint.keeps_answer and len(body) <= MOST_KEPT_BYTES:
        data["answer"] = {
            "status": response.status_code,
            "mimetype": response.mimetype,
            "headers": {n: response.headers[n] for n in KEPT_HEADERS if n in response.headers},
            "body": body,
        }
    return NewEvent("answered", data)


def _failed(error: Exception) -> NewEvent:
    """Refused, if the caller is to blame, else faulted."""
    if not isinstance(error, EventPulseError):
        return NewEvent("faulted", {"status": 500, "code": "internal_fault"})
    status = status_of(error)
    type_ = "faulted" if status >= 500 or isinstance(error, TransientError) else "refused"
    return NewEvent(type_, {"status": status, "code": error.code})


def _end(platform: Platform, action_id: str, event: NewEvent) -> None:
    """Record how an action ended; of two that did it at once the first to end is enough."""
    while True:
        changes = Changes(platform)
        stream = f"action/{action_id}"
        if Action.model_validate(changes.projection(stream)).state != "begun":
            return
        changes.add(stream, event)
        if changes.commit():
            return
