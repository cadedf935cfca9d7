"""Devices: what agents in the field ask and tell, /api/edge/*."""

from __future__ import annotations

import flask
import functions_framework

from eventpulse.device_api.server import serve_devices


@functions_framework.http
def devices(request: flask.Request) -> flask.Response:
    return serve_devices(request)
