"""The operators' API: its table of endpoints, behind its sign-in, every POST a recorded action."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import flask

from eventpulse.api.actions import perform, read_action
from eventpulse.api.auth import Principal, authenticate
from eventpulse.api.endpoints import Endpoint
from eventpulse.api.roles import check_role
from eventpulse.api.routes import ENDPOINTS
from eventpulse.api.serving import Surface, serve
from eventpulse.platform import Platform
from eventpulse.site import Site


def _sign_in(request: flask.Request, platform: Platform) -> Principal:
    return authenticate(request, platform.settings)


def _authorize(principal: Principal, endpoint: Endpoint) -> None:
    check_role(principal.actor, principal.role, endpoint.role or "admin")


OPERATORS = Surface(
    "api",
    ENDPOINTS,
    _sign_in,
    authorize=_authorize,
    name_action=read_action,
    perform=perform,
    help="GET /api/openapi.json describes every endpoint.",
)


def serve_api(request: flask.Request) -> flask.Response:
    """The answer to one request of the operators' API."""
    return serve(OPERATORS, request)


def serve_dashboard(request: flask.Request, folder: Path) -> flask.Response:
    """One of the dashboard's files: they are no secret, whatever they ask of the API is."""
    return cast(flask.Response, flask.Response.from_app(Site(folder), request.environ))
