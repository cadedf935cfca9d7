"""Validate: a task has an ingestion's rows checked against its contract."""

from __future__ import annotations

from typing import Any

import flask
import functions_framework

from eventpulse.http import serve_task
from eventpulse.leases import Delivery
from eventpulse.pipeline.validate import validate_ingestion
from eventpulse.platform import Platform


@functions_framework.http
def validate(request: flask.Request) -> flask.Response:
    return serve_task(request, "validate", _run, "ingestion")


def _run(platform: Platform, body: dict[str, Any], delivery: Delivery) -> None:
    validate_ingestion(platform, body["ingestion"], delivery)
