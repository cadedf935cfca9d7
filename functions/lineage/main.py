"""Lineage: a task posts a lineage artifact to an OpenLineage endpoint."""

from __future__ import annotations

from typing import Any

import flask
import functions_framework

from eventpulse.http import serve_task
from eventpulse.leases import Delivery
from eventpulse.pipeline.forward import forward_lineage
from eventpulse.platform import Platform


@functions_framework.http
def lineage(request: flask.Request) -> flask.Response:
    return serve_task(request, "lineage", _run, "name")


def _run(platform: Platform, body: dict[str, Any], delivery: Delivery) -> None:
    forward_lineage(platform, body, delivery)
