"""Answers one request of a table of endpoints: route, authenticate, check what was sent, handle.

The operators' API and the devices' are one `Surface` each.

Whatever happens, the answer carries the request's X-Request-ID and traceparent, and an error is
problem details. Nothing of an unforeseen exception is told but that it is in the log.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_origin

import flask
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule

from eventpulse.api.auth import Principal
from eventpulse.api.endpoints import Call, Endpoint
from eventpulse.errors import (
    EventPulseError,
    InternalFault,
    RequestRefused,
    SettingInvalid,
    TransientError,
)
from eventpulse.http import problem_response
from eventpulse.logs import (
    bound_context,
    configure_logging,
    context_from_headers,
    propagation_headers,
    set_actor,
)
from eventpulse.platform import Platform
from eventpulse.wiring import default_platform

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 4 << 20

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What an answer of data says to a browser that shows it as a page: run and load nothing."""


@dataclass(frozen=True)
class Surface:
    """What one function answers: its table of endpoints, and who may call those that are not
    public. `authorize` says whether the caller's role is enough, `perform` does what a POST asks
    for. `help` ends the problem of a path or method that is not in the table; `codes` renames codes
    of problems that a protocol calls otherwise."""

    function: str
    endpoints: Sequence[Endpoint]
    authenticate: Callable[[flask.Request, Platform], Principal]
    authorize: Callable[[Principal, Endpoint], None] = lambda _principal, _endpoint: None
    name_action: Callable[[flask.Request, str], str] = lambda _request, _actor: ""
    perform: Callable[[Call, Endpoint], flask.Response] = lambda call, each: each.answer_call(call)
    help: str = ""
    max_body_bytes: int = MAX_BODY_BYTES
    codes: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def rules(self) -> Map:
        return Map(
            [
                Rule(
                    each.path.replace("{", "<").replace("}", ">"),
                    methods=[each.method],
                    endpoint=each,
                )
                for each in self.endpoints
            ],
            strict_slashes=False,
            merge_slashes=False,
        )

    def route(self, request: flask.Request) -> tuple[Endpoint, Mapping[str, str]]:
        """The endpoint and its path's values. Raises werkzeug's NotFound and MethodNotAllowed."""
        endpoint, values = self.rules.bind_to_environ(request.environ).match()
        return endpoint, values


def serve(surface: Surface, request: flask.Request) -> flask.Response:
    """The answer to one request."""
    with bound_context(context_from_headers(request.headers.get, surface.function)):
        response = _answer_safely(surface, request)
        request.max_content_length = None  # functions-framework reads what a refusal has left
        caching = {"Cache-Control": "private, no-cache" if request.method == "GET" else "no-store"}
        added = {**propagation_headers(), **SECURITY_HEADERS, **caching}
        response.headers.extend({k: v for k, v in added.items() if k not in response.headers})
        return response


def _answer_safely(surface: Surface, request: flask.Request) -> flask.Response:
    try:
        return _answer(surface, request)
    except HTTPException as error:
        return _answer_http(surface, request, error)
    except SettingInvalid as error:
        logger.critical("misconfigured: %s", error.message)
        return problem_response(error)
    except EventPulseError as error:
        level = logging.WARNING if isinstance(error, TransientError) else logging.INFO
        error.__dict__["code"] = surface.codes.get(error.code, error.code)
        logger.log(level, "refused: %s", error.message, extra={"fields": {"code": error.code}})
        response = problem_response(error)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response
    except Exception:
        logger.exception("unforeseen")
        return problem_response(InternalFault())


def _answer(surface: Surface, request: flask.Request) -> flask.Response:
    platform = default_platform()
    configure_logging(platform.settings.log_level)
    endpoint, path = surface.route(request)
    most = endpoint.most_bytes or surface.max_body_bytes
    request.max_content_length = most
    principal: Principal | None = None
    if not endpoint.public:
        principal = surface.authenticate(request, platform)
        set_actor(principal.actor)
        surface.authorize(principal, endpoint)
    call = Call(
        platform=platform,
        path=path,
        query=_read_query(request, endpoint),
        body=_read_body(request, endpoint, most),
        request=request,
        principal=principal,
        action=_name_action(surface, request, principal),
    )
    if endpoint.method != "GET":
        return surface.perform(call, endpoint)
    return condition_response(request, endpoint.answer_call(call))


def _name_action(surface: Surface, request: flask.Request, principal: Principal | None) -> str:
    if principal is None or request.method in ("GET", "HEAD"):
        return ""
    return surface.name_action(request, principal.actor)


def condition_response(request: flask.Request, response: flask.Response) -> flask.Response:
    """A whole answer to a GET gets a strong ETag, from its bytes where it has none, and is 304 when
    the caller has it. Answers that are streamed have none."""
    if response.status_code != 200 or response.is_streamed:
        return response
    response.add_etag()
    etag, _ = response.get_etag()
    if etag is not None and request.if_none_match.contains_weak(etag):
        response.status_code = 304
        response.set_data(b"")
        for name in ("Content-Type", "Content-Length"):
            response.headers.pop(name, None)
    return response


def _answer_http(surface: Surface, request: flask.Request, error: HTTPException) -> flask.Response:
    """What werkzeug refuses, a path or a method above all, as a problem of ours."""
    allowed = sorted(getattr(error, "valid_methods", None) or ())
    if isinstance(error, NotFound):
        what = f"There is nothing at {request.path}."
    elif allowed:
        what = f"{request.path} takes {' and '.join(allowed)}."
    else:
        what = error.description or error.name
    detail = f"{what} {surface.help}".strip()
    code = error.name.lower().replace(" ", "_")
    response = problem_response(RequestRefused(error.code or 500, code, error.name, detail))
    if allowed:
        response.headers["Allow"] = ", ".join(allowed)
    return response


# --- What was sent -------------------------------------------------------------------------------


def _read_query(request: flask.Request, endpoint: Endpoint) -> BaseModel | None:
    """A parameter that takes many values is sent once for each."""
    model = endpoint.query or _Nothing
    fields = model.model_fields
    many = {name for name, each in fields.items() if get_origin(each.annotation) is tuple}
    args = request.args
    sent = {name: args.getlist(name) if name in many else args[name] for name in args}
    query = check_model(model, sent, "query")
    return None if endpoint.query is None else query


class _Nothing(BaseModel, extra="forbid"):
    """No parameters: one that nothing reads is a mistake of the caller's."""


def _read_body(request: flask.Request, endpoint: Endpoint, most: int) -> BaseModel | None:
    if endpoint.body is None:
        return None
    if (request.content_length or 0) > most:
        detail = f"A body has at most {most} bytes here. Files go to a signed upload."
        raise RequestRefused(413, "too_large", "The body is too large", detail)
    if request.mimetype in endpoint.file_types:
        return None
    data = request.get_data()
    if request.mimetype in endpoint.text_types:
        return check_model(endpoint.body, {"text": _decode(data)}, "body")
    if request.mimetype != "application/json":
        wanted = " or ".join(["application/json", *endpoint.text_types, *endpoint.file_types])
        raise RequestRefused(
            415, "unsupported_media_type", "Unsupported media type", f"Send {wanted}."
        )
    try:
        sent = json.loads(_decode(data), parse_float=_read_number, parse_constant=_read_number)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(
            400, "malformed_json", "The body is not JSON", f"It cannot be read: {error}."
        ) from error
    return check_model(endpoint.body, sent, "body")


def _read_number(text: str) -> float:
    """Raises ValueError for what JSON has no number for, and for what is none any more as a float:
    neither could be stored."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no number that can be kept")
    return number


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RequestRefused(
            400, "malformed_text", "The body is not UTF-8", f"It cannot be read: {error}."
        ) from error


def check_model(model: type[BaseModel], sent: Any, where: str) -> BaseModel:
    """Raises RequestRefused (422) that names every problem by its field's path."""
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        problems = [
            f"{'.'.join([where, *map(str, each['loc'])])}: {_explain(each['msg'])}"
            for each in error.errors(include_url=False)
        ]
        raise RequestRefused(
            422, "invalid_request", "Invalid request", f"{'; '.join(problems)}.", problems=problems
        ) from error


def _explain(message: str) -> str:
    return message.removeprefix("Value error, ").removesuffix(".")
