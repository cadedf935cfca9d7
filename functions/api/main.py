"""API: what operators, the command line and the dashboard ask and decide."""

from __future__ import annotations

from pathlib import Path

import flask
import functions_framework

from eventpulse.api.server import serve_api, serve_dashboard

DASHBOARD = Path(__file__).with_name("web")


@functions_framework.http
def api(request: flask.Request) -> flask.Response:
    if request.path == "/api" or request.path.startswith("/api/"):
        return serve_api(request)
    return serve_dashboard(request, DASHBOARD)
