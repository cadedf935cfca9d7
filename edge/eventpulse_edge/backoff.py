"""Waiting after faults: for ever, with full jitter, and never before the server asks for."""

from __future__ import annotations

import random

BASE = 1.0
MOST = 300.0
MAX_RETRY_AFTER = 3_600.0


class Backoff:
    """Counts faults in a row."""

    def __init__(self, draw: random.Random | None = None, *, most: float = MOST) -> None:
        self._random = draw or random.Random()
        self._most = most
        self._faults = 0

    def succeed(self) -> None:
        self._faults = 0

    def fail(self, retry_after: float | None = None) -> float:
        """How many seconds to wait now: anything up to a bound that doubles, then stays."""
        bound = min(self._most, BASE * 2 ** min(self._faults, 30))
        self._faults += 1
        jitter = self._random.uniform(0, bound)
        if retry_after is None:
            return jitter
        return min(max(retry_after, 0.0), MAX_RETRY_AFTER) + jitter
