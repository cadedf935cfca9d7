"""Waiting for a condition, with a bound: what a test says instead of sleeping for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE_SECONDS = 0.02


def wait_until(holds: Callable[[], bool], otherwise: str, seconds: float = 90.0) -> None:
    """Return as soon as the condition holds; fail with `otherwise` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(PAUSE_SECONDS)
