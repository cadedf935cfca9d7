"""Backfill: a task takes a long operation one part further: a backfill's plan or run, or the
verification of a table."""

from __future__ import annotations

from typing import Any

import flask
import functions_framework

from eventpulse.http import serve_task
from eventpulse.leases import Delivery
from eventpulse.pipeline.backfill import advance_backfill
from eventpulse.pipeline.verify import advance_verification
from eventpulse.platform import Platform


@functions_framework.http
def backfill(request: flask.Request) -> flask.Response:
    return serve_task(request, "backfill", _run, "backfill", "verification")


def _run(platform: Platform, body: dict[str, Any], delivery: Delivery) -> None:
    if "verification" in body:
        advance_verification(platform, body["verification"], delivery)
    else:
        advance_backfill(platform, body["backfill"])
