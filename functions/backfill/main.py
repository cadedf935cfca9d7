"""Backfill: a task takes a backfill one slice further: its plan, or its run."""

from __future__ import annotations

from typing import Any

import flask
import functions_framework

from eventpulse.http import serve_task
from eventpulse.leases import Delivery
from eventpulse.pipeline.backfill import advance_backfill
from eventpulse.platform import Platform


@functions_framework.http
def backfill(request: flask.Request) -> flask.Response:
    return serve_task(request, "backfill", _run, subject="backfill")


def _run(platform: Platform, body: dict[str, Any], _delivery: Delivery) -> None:
    advance_backfill(platform, body["backfill"])
