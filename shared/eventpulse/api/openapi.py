"""The OpenAPI 3.1 document, made from the table of endpoints and its models."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from eventpulse.api.endpoints import Call, Endpoint
from eventpulse.api.models import Problem
from eventpulse.http import PROBLEM, json_response

JSON = "application/json"
_SCHEMAS = "#/components/schemas/"

_REFUSALS: dict[int, str] = {
    400: "The request is not well formed.",
    401: "The caller carries no valid token.",
    403: "The caller's role is not enough, or the request comes from another site's page.",
    422: "What was sent is not valid; `problems` names every fault.",
    500: "A wrong setting, or a fault of the code; the log tells more under the request_id.",
    503: "A backend does not answer now; Retry-After says when to try again.",
}
"""Answers that any endpoint may give."""

_PUBLIC = (500, 503)
_UNKNOWN = "There is no such thing."
_KEY_IN_USE = "A request with this Idempotency-Key is under way."
_BODY_REFUSALS = {413: "The body is too large.", 415: "The body has another media type."}

_HEADERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "GET": (
        "If-None-Match",
        "ETags of what the caller has; 304 if it is still that.",
        {"type": "string"},
    ),
    "POST": (
        "Idempotency-Key",
        "The same key gives the same answer, and nothing is done twice; with another request 422.",
        {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$"},
    ),
}
"""The header that each method takes."""

_CONTEXT_HEADERS = {
    "X-Request-ID": "The caller's, or a new one: it stands in every log line and event.",
    "traceparent": "W3C Trace Context: the caller's trace, or a new one.",
}


def get_openapi(_: Call) -> flask.Response:
    return json_response(openapi_document())


@cache
def openapi_document() -> dict[str, Any]:
    from eventpulse.api.routes import ENDPOINTS

    models = {m for e in ENDPOINTS for m in (e.answer, e.body) if m is not None} | {Problem}
    ordered = sorted(models, key=lambda model: model.__name__)
    schemas, definitions = models_json_schema(
        [(model, "serialization") for model in ordered],
        ref_template=_SCHEMAS + "{model}",
    )
    named = {model: schemas[model, "serialization"]["$ref"] for model in ordered}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, named)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "EventPulse",
            "version": version("eventpulse"),
            "description": "Contract-driven ingestion, for operators. Errors are RFC 9457 problem "
            "details; GET requests and those with an Idempotency-Key may be sent again. "
            "`x-role` is the role that an operation takes.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A Google ID token; on one machine the stack's own token.",
                }
            },
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in _CONTEXT_HEADERS.items()
            },
        },
    }


def _operation(endpoint: Endpoint, named: dict[type[BaseModel], str]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "x-role": None if endpoint.public else endpoint.role or "admin",
        "summary": endpoint.summary,
        "tags": [endpoint.path.split("/")[2]],
        "parameters": _parameters(endpoint),
        "responses": {
            str(endpoint.status): _answer(endpoint, named),
            **{
                str(status): _response(text, {PROBLEM: named[Problem]})
                for status, text in sorted(_refusals(endpoint).items())
            },
        },
    }
    if endpoint.method == "GET" and not endpoint.public:
        not_modified = {"description": "The caller has it: see If-None-Match."}
        operation["responses"]["304"] = not_modified
    if endpoint.status == 201:  # the same again is no creation
        operation["responses"]["200"] = _answer(endpoint, named)
    if endpoint.body is not None:
        content: dict[str, Any] = {JSON: {"schema": {"$ref": named[endpoint.body]}}}
        content |= {media: {"schema": {"type": "string"}} for media in endpoint.text_types}
        content |= {media: {"schema": {}} for media in endpoint.file_types}
        operation["requestBody"] = {"required": True, "content": content}
    if endpoint.public:
        operation["security"] = []
    return operation


def _refusals(endpoint: Endpoint) -> dict[int, str]:
    told = {s: t for s, t in _REFUSALS.items() if not endpoint.public or s in _PUBLIC}
    if "{" in endpoint.path:
        told[404] = _UNKNOWN
    if endpoint.body is not None:
        told |= _BODY_REFUSALS
    told |= endpoint.refusals
    if endpoint.method == "POST":
        told[409] = " ".join(filter(None, [endpoint.refusals.get(409), _KEY_IN_USE]))
    return told


def _answer(endpoint: Endpoint, named: dict[type[BaseModel], str]) -> dict[str, Any]:
    assert endpoint.answer is not None
    media = {JSON: named[endpoint.answer], **dict.fromkeys(endpoint.other_types, "")}
    return _response(HTTPStatus(endpoint.status).phrase, media)


def _response(description: str, media: dict[str, str]) -> dict[str, Any]:
    """`media` maps media types to schemas; those without one are text."""
    return {
        "description": description,
        "headers": {
            name: {"$ref": f"#/components/headers/{name}"} for name in sorted(_CONTEXT_HEADERS)
        },
        "content": {
            name: {"schema": {"$ref": schema} if schema else {"type": "string"}}
            for name, schema in media.items()
        },
    }


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    placeholders = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in placeholders
    ]
    if endpoint.query is not None:
        schema = endpoint.query.model_json_schema()
        needed = schema.get("required", ())
        parameters += [
            _query_parameter(name, each, name in needed)
            for name, each in schema["properties"].items()
        ]
    if not endpoint.public:
        name, text, schema = _HEADERS[endpoint.method]
        header = {"name": name, "in": "header", "required": False, "schema": schema}
        parameters.append({**header, "description": text})
    return parameters


def _query_parameter(name: str, schema: dict[str, Any], required: bool) -> dict[str, Any]:
    described = {k: v for k, v in schema.items() if k not in ("title", "description")}
    parameter = {"name": name, "in": "query", "required": required, "schema": described}
    if "description" in schema:
        parameter["description"] = schema["description"]
    return parameter
