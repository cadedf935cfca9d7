"""Load: a task loads what waits for a dataset's table."""

from __future__ import annotations

from typing import Any

import flask
import functions_framework

from eventpulse.http import serve_task
from eventpulse.leases import Delivery
from eventpulse.pipeline.load import load_dataset
from eventpulse.platform import Platform


@functions_framework.http
def load(request: flask.Request) -> flask.Response:
    return serve_task(request, "load", _run, "dataset")


def _run(platform: Platform, body: dict[str, Any], delivery: Delivery) -> None:
    load_dataset(platform, body["dataset"], delivery)
