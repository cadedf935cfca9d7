"""Drift: a task turns an ingestion's facts into a verdict."""

from __future__ import annotations

from typing import Any

import flask
import functions_framework

from eventpulse.http import serve_task
from eventpulse.leases import Delivery
from eventpulse.pipeline.drift import judge_drift
from eventpulse.platform import Platform


@functions_framework.http
def drift(request: flask.Request) -> flask.Response:
    return serve_task(request, "drift", _run, "ingestion")


def _run(platform: Platform, body: dict[str, Any], delivery: Delivery) -> None:
    judge_drift(platform, body["ingestion"], delivery)
