"""Samplers: each sensor is read at its interval by a thread of its own, whatever the disk and the
network do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eventpulse_edge.clock import Clock
from eventpulse_edge.contract import Contract
from eventpulse_edge.events import ErrorReason, Event, Scalar, make_error
from eventpulse_edge.sensors.sensor import Measurement, Sensor, SensorError

_log = logging.getLogger("eventpulse.edge.sampler")


@dataclass(frozen=True, slots=True)
class Limit:
    """An alarm begins when the value passes `above` or `below`."""

    above: float | None = None
    below: float | None = None

    def passed(self, value: Scalar) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (self.above is not None and value > self.above) or (
            self.below is not None and value < self.below
        )


class Sampler:
    """Reads one sensor and puts what it says, checked against the contract."""

    def __init__(
        self,
        name: str,
        sensor: Sensor,
        *,
        interval: float,
        clock: Clock,
        contract: Callable[[], Contract],
        put: Callable[[Event], object],
        limits: Mapping[str, Limit] | None = None,
    ) -> None:
        """`contract` gives the one that holds now; `interval` in seconds."""
        self.name = name
        self.interval = interval
        self.samples = 0
        self.battery: float | None = None
        """In percent, as last measured; None when this sensor measures none."""
        self._sensor = sensor
        self._clock = clock
        self._contract = contract
        self._put = put
        self._limits = limits or {}
        self._alarmed = False
        self._due = clock.mono()
        self._changed = threading.Event()

    def set_interval(self, seconds: float) -> None:
        """From the next reading on, which is at most so far away."""
        self.interval = seconds
        self._due = min(self._due, self._clock.mono() + seconds)
        self._changed.set()

    def run(self, stop: threading.Event) -> None:
        """Sample until told to stop."""
        try:
            while not stop.is_set():
                pause = self._due - self._clock.mono()
                if pause > 0:
                    self._changed.clear()
                    self._changed.wait(min(pause, 1.0))
                    continue
                self.sample()
        finally:
            self._sensor.close()

    def seconds_to_next(self) -> float:
        return max(self._due - self._clock.mono(), 0.0)

    def sample(self) -> None:
        """One reading now; the next is due an interval after this one was."""
        now = self._clock.mono()
        for event in self._read(now):
            self._put_safely(event)
        self.samples += 1
        self._due += self.interval
        late = self._clock.mono() - self._due
        if late >= self.interval:
            missed = int(late // self.interval)
            self._due += missed * self.interval
            detail = f"{missed} readings of {self.name} were missed: the last took too long"
            self._put_safely(self._make_error("late", detail, now))

    def _read(self, now: float) -> list[Event]:
        try:
            found = self._sensor.read(now)
        except SensorError as error:
            return [self._make_error("sensor_failed", str(error), now)]
        except Exception as error:  # noqa: BLE001 - whatever a sensor does, the others go on
            _log.exception("sensor failed", extra={"fields": {"sensor": self.name}})
            return [self._make_error("sensor_failed", f"{type(error).__name__}: {error}", now)]
        events: list[Event] = []
        for each in found:
            if isinstance(each, SensorError):
                events.append(self._make_error("sensor_failed", str(each), now))
            else:
                events += self._check(each)
        return events

    def _check(self, measurement: Measurement) -> list[Event]:
        contract = self._contract()
        checked = contract.check(measurement.values)
        events: list[Event] = []
        if any(value is not None for value in checked.values.values()):
            alarmed = any(
                limit.passed(checked.values.get(column)) for column, limit in self._limits.items()
            )
            begins = alarmed and not self._alarmed
            self._alarmed = alarmed
            battery = checked.values.get("battery")
            if isinstance(battery, int | float):
                self.battery = float(battery)
            values = {**checked.values, "alarm": True} if alarmed else checked.values
            events.append(
                Event("reading", measurement.mono, values, self.name, begins, contract.version)
            )
        if checked.problems:
            detail = "; ".join(checked.problems)
            events.append(self._make_error("contract", detail, measurement.mono))
        return events

    def _make_error(self, reason: ErrorReason, detail: str, mono: float) -> Event:
        return make_error(reason, detail, mono, self.name, checked=self._contract().version)

    def _put_safely(self, event: Event) -> None:
        try:
            self._put(event)
        except ValueError as error:  # too great
            self._put(self._make_error("contract", str(error), event.mono))
