"""Health and readiness: whether this process answers, and whether what it needs does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from importlib.metadata import version

from eventpulse.api.endpoints import Call
from eventpulse.api.models import Health, PortState, Readiness
from eventpulse.errors import EventPulseError, TransientError
from eventpulse.platform import Platform

logger = logging.getLogger(__name__)

READY_SECONDS = 5.0

CHECKS: dict[str, Callable[[Platform], object]] = {
    "objects": lambda platform: platform.objects.stat("raw", "_ready"),
    "log": lambda platform: platform.log.head("ready/probe"),
    "tasks": lambda platform: platform.tasks.pending(),
    "warehouse": lambda platform: platform.warehouse.count_rows("curated", "_ready"),
}
"""One cheap read of each port, of something that need not exist."""


def get_health(_: Call) -> Health:
    return Health(status="ok", version=version("eventpulse"))


def get_readiness(call: Call) -> Readiness:
    """Raises TransientError with the ports that do not answer. Their own words are for the log:
    anyone may ask this."""
    pool = ThreadPoolExecutor(len(CHECKS))
    asked = {
        name: pool.submit(copy_context().run, check, call.platform)
        for name, check in CHECKS.items()
    }
    wait(asked.values(), timeout=READY_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    ports = {name: _describe(name, future) for name, future in asked.items()}
    failing = [f"{name} ({state.problem})" for name, state in ports.items() if not state.ready]
    if failing:
        states = {name: state.model_dump() for name, state in ports.items()}
        raise TransientError(f"Not ready: {', '.join(failing)}.", ports=states)
    return Readiness(ready=True, ports=ports)


def _describe(name: str, future: Future[object]) -> PortState:
    if not future.done():
        return PortState(ready=False, problem=f"no answer within {READY_SECONDS:g} seconds")
    error = future.exception()
    if error is None:
        return PortState(ready=True, problem=None)
    logger.error("the port %s is not ready: %s", name, error)
    return PortState(
        ready=False, problem=error.code if isinstance(error, EventPulseError) else "fault"
    )
