"""Marts: a task builds what depends on a dataset."""

from __future__ import annotations

from typing import Any

import flask
import functions_framework

from eventpulse.http import serve_task
from eventpulse.leases import Delivery
from eventpulse.pipeline.marts import build_marts
from eventpulse.platform import Platform


@functions_framework.http
def marts(request: flask.Request) -> flask.Response:
    return serve_task(request, "marts", _run, "dataset")


def _run(platform: Platform, body: dict[str, Any], delivery: Delivery) -> None:
    build_marts(platform, body["dataset"], delivery)
