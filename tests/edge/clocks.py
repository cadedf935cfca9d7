"""A clock that tests move."""

from __future__ import annotations

import secrets

TRUE_START = 1_772_352_000.0  # 2026-03-01T08:00:00Z


class ManualClock:
    """`true` is the real time; `mono` runs since boot, `wall` shows true + error."""

    def __init__(self, true: float = TRUE_START, *, wall_error: float = 0.0) -> None:
        self.true = true
        self.wall_error = wall_error
        self.boot_id = secrets.token_hex(8)
        self.booted = true
        self.bound: float | None = None

    def mono(self) -> float:
        return self.true - self.booted

    def wall(self) -> float:
        return self.true + self.wall_error

    def synchronised(self) -> float | None:
        return self.bound

    def advance(self, seconds: float) -> None:
        self.true += seconds

    def reboot(self, *, off: float = 0.0, wall_error: float | None = None) -> None:
        """Power comes back after `off` seconds."""
        self.true += off
        self.booted = self.true
        self.boot_id = secrets.token_hex(8)
        if wall_error is not None:
            self.wall_error = wall_error
