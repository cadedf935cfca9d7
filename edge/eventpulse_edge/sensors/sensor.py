"""What a sensor is to the agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class SensorError(Exception):
    """The sensor gave no reading; the message says why, to a person in the field."""


class Measurement(NamedTuple):
    """Values by column, and when they were measured (CLOCK_BOOTTIME)."""

    mono: float
    values: Mapping[object, object]


class Sensor(Protocol):
    """Read by one thread of its own, so that it may take its time."""

    def read(self, now: float) -> Sequence[Measurement | SensorError]:
        """What was measured since the last time, and what went wrong; `now` is CLOCK_BOOTTIME.

        A fault that leaves nothing to return may be raised; any other exception counts as one too.
        """
        ...

    def close(self) -> None: ...
