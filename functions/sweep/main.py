"""Sweep: a schedule finds whatever no event and no task will wake."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import flask
import functions_framework

from eventpulse.http import serve_task
from eventpulse.leases import Delivery
from eventpulse.pipeline.sweep import sweep as sweep_once
from eventpulse.platform import Platform


@functions_framework.http
def sweep(request: flask.Request) -> flask.Response:
    return serve_task(request, "sweep", _run)


def _run(platform: Platform, _body: dict[str, Any], _delivery: Delivery) -> dict[str, int]:
    return asdict(sweep_once(platform))
