"""One endpoint as a value: what it takes, what it answers, and which function does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import flask
from pydantic import BaseModel

from eventpulse.api.auth import Principal
from eventpulse.api.roles import Role
from eventpulse.http import json_response
from eventpulse.platform import Platform

YAML = "application/yaml"
SQL = "application/sql"
CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was let in and checked: `query` and `body` are instances of the endpoint's
    models, `path` holds the values of the path's placeholders, `principal` is who calls (None where
    the endpoint is public). `action` is the id of what a POST of the operators' API does: requests
    with one Idempotency-Key have the same, and whatever is made for one derives its own id from it.
    """

    platform: Platform
    path: Mapping[str, str]
    query: Any
    body: Any
    request: flask.Request
    principal: Principal | None = None
    action: str = ""

    @property
    def actor(self) -> str:
        return self.principal.actor if self.principal else ""

    def header(self, name: str) -> str:
        return self.request.headers.get(name, "").strip()


Handler: TypeAlias = Callable[[Call], "BaseModel | flask.Response"]


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """A row of the table of endpoints.

    `path` has `{placeholders}`. A handler returns the answer's model, or a whole response where
    status, headers or media type differ from call to call. `text_types` are media types that carry
    the `text` of the body's model as it is; `file_types` are files, which the handler reads itself
    (`body` is then None), of at most `most_bytes`; `other_types` are those that the answer may have
    beside JSON. `refusals` say what each 4xx means; those that any endpoint may give need no word.

    `role` is what an operator needs at least; without one, of the operators' endpoints, admin.
    `subject` is the pattern of the stream that a POST is about: `ingestion/{id}`, from the path,
    the body or the answer. `seconds` is how long it may take. With `keeps_answer` off, what a POST
    answers is not kept for requests with the same Idempotency-Key: its handler is called again.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handle: Handler
    summary: str
    answer: type[BaseModel] | None = None
    status: int = 200
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    text_types: tuple[str, ...] = ()
    file_types: tuple[str, ...] = ()
    most_bytes: int | None = None
    other_types: tuple[str, ...] = ()
    refusals: Mapping[int, str] = field(default_factory=dict)
    role: Role | None = None
    subject: str = ""
    seconds: float = 60.0
    keeps_answer: bool = True
    public: bool = False

    @property
    def name(self) -> str:
        """Its name in the OpenAPI document: the handler's."""
        return self.handle.__name__

    def answer_call(self, call: Call) -> flask.Response:
        """What the handler answers, as a response."""
        answer = self.handle(call)
        if isinstance(answer, BaseModel):
            return json_response(answer.model_dump(mode="json"), self.status)
        return answer
