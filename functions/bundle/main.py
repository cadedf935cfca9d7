"""Bundle: a task makes one ingestion of the batches that landed within a window."""

from __future__ import annotations

from typing import Any

import flask
import functions_framework

from eventpulse.http import serve_task
from eventpulse.leases import Delivery
from eventpulse.pipeline.fleet.bundle import bundle_batches
from eventpulse.platform import Platform


@functions_framework.http
def bundle(request: flask.Request) -> flask.Response:
    return serve_task(request, "bundle", _run, "dataset")


def _run(platform: Platform, body: dict[str, Any], delivery: Delivery) -> list[str]:
    return bundle_batches(platform, body["dataset"], delivery)
