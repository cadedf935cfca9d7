"""A weather station that exists nowhere: the same readings for the same seed, faults included."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from eventpulse_edge.sensors.sensor import Measurement, SensorError

_DAY = 86_400.0


class SimulatedSensor:
    """Temperature and humidity follow the sun, pressure the weather, the battery the panel.

    `faults` is the share of readings that go wrong: no answer, a value out of range, text for a
    number, or a reading that sticks, in turn by chance.
    """

    def __init__(self, *, seed: int = 0, faults: float = 0.0, phase: float = 0.0) -> None:
        """`phase`: seconds since midnight at boot."""
        self._random = random.Random(f"simulated-{seed}")
        self._faults = faults
        self._phase = phase
        self._mean = self._random.uniform(4, 18)
        self._pressure = self._random.uniform(995, 1025)
        self._battery = self._random.uniform(60, 100)
        self._rssi = self._random.uniform(-95, -60)
        self._last: float | None = None
        self._stuck: dict[object, object] | None = None

    def read(self, now: float) -> Sequence[Measurement]:
        draw = self._random
        elapsed = 0.0 if self._last is None else max(now - self._last, 0.0)
        self._last = now
        values = self._advance(now, elapsed)
        if draw.random() < self._faults:
            values = self._go_wrong(values)
        return [Measurement(now, values)]

    def close(self) -> None:
        """Nothing to let go."""

    def _advance(self, now: float, elapsed: float) -> dict[object, object]:
        draw = self._random
        sun = math.sin((now + self._phase - 9 * 3600) / _DAY * 2 * math.pi)
        minutes = min(elapsed / 60, 60)
        self._pressure += draw.gauss(0, 0.05) * minutes + (1013 - self._pressure) * 1e-4 * minutes
        self._battery += (max(sun, 0) * 0.25 - 0.08) * minutes
        self._battery = min(max(self._battery, 3.0), 100.0)
        temperature = self._mean + 6 * sun + draw.gauss(0, 0.15)
        return {
            "temperature": round(temperature, 2),
            "humidity": round(min(max(70 - 18 * sun + draw.gauss(0, 1), 5), 100), 1),
            "pressure": round(self._pressure, 1),
            "battery": round(self._battery, 1),
            "rssi": round(self._rssi + draw.gauss(0, 2)),
        }

    def _go_wrong(self, values: dict[object, object]) -> dict[object, object]:
        fault = self._random.choice(("silent", "range", "text", "stuck"))
        if fault == "silent":
            raise SensorError("no answer (simulated)")
        if fault == "range":
            return {**values, "temperature": 999.9}
        if fault == "text":
            return {**values, "humidity": "n/a"}
        self._stuck = self._stuck or values
        return dict(self._stuck)
