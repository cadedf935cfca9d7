"""Samplers: at their interval, whatever a sensor does."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from eventpulse_edge.contract import EMPTY, parse_contract
from eventpulse_edge.events import Event
from eventpulse_edge.sampler import Limit, Sampler
from eventpulse_edge.sensors.sensor import Measurement, SensorError
from tests.edge.clocks import ManualClock

RULES = parse_contract(
    {
        "version": "1",
        "properties": [
            {
                "name": "temperature",
                "logicalType": "number",
                "logicalTypeOptions": {"maximum": 85},
            }
        ],
    }
)


class Scripted:
    """Says what it is told, and takes its time."""

    def __init__(self, clock: ManualClock, *says: object, takes: float = 0.0) -> None:
        self.clock = clock
        self.says = list(says)
        self.takes = takes
        self.closed = False

    def read(self, now: float) -> Sequence[Measurement | SensorError]:
        self.clock.advance(self.takes)
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        assert isinstance(said, dict)
        return [Measurement(now, said)]

    def close(self) -> None:
        self.closed = True


def sample(*says: object, takes: float = 0.0, **limits: Limit) -> tuple[list[Event], Sampler]:
    clock = ManualClock()
    events: list[Event] = []
    sampler = Sampler(
        "air",
        Scripted(clock, *says, takes=takes),
        interval=10.0,
        clock=clock,
        contract=lambda: RULES,
        put=events.append,
        limits=limits,
    )
    for _ in says:
        sampler.sample()
    return events, sampler


def test_a_reading_becomes_an_event_of_its_sensor() -> None:
    ((event,), _) = sample({"temperature": 21.5, "humidity": 40})
    assert (event.kind, event.sensor, event.alarm) == ("reading", "air", False)
    assert event.values == {"temperature": 21.5, "humidity": 40}


def test_a_value_that_breaks_the_contract_becomes_an_error_and_the_rest_a_reading() -> None:
    (reading, error), _ = sample({"temperature": 999, "humidity": 40})
    assert reading.values == {"humidity": 40}
    assert error.kind == "error"
    assert error.values == {
        "reason": "contract",
        "detail": "temperature=999 is more than the maximum 85",
    }


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        (SensorError("a loose wire"), "a loose wire"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (SensorError("nul \0 and \ud800"), "nul   and ?"),
        (SensorError("x" * 5000), "x" * 2000),
    ],
)
def test_a_sensor_that_fails_is_an_error_event_and_goes_on(fault: Exception, detail: str) -> None:
    (error, reading), _ = sample(fault, {"temperature": 1})
    assert error.values == {"reason": "sensor_failed", "detail": detail}
    assert reading.kind == "reading"


def test_an_alarm_begins_once_and_ends_when_the_limit_is_kept_again() -> None:
    warm, hot = {"temperature": 29.0}, {"temperature": 31.0}
    events, _ = sample(warm, hot, hot, warm, hot, temperature=Limit(above=30))
    assert [event.alarm for event in events] == [False, True, False, False, True]
    assert [event.values.get("alarm") for event in events] == [None, True, True, None, True]


def test_limits_hold_on_both_sides() -> None:
    limit = Limit(above=30, below=0)
    assert [limit.passed(each) for each in (31, -1, 30, 0, None, True, "x")] == [
        True,
        True,
        *[False] * 5,
    ]


def test_a_sensor_that_takes_too_long_misses_readings_and_says_how_many() -> None:
    events, sampler = sample({"temperature": 1}, takes=35.0)
    assert [event.kind for event in events] == ["reading", "error"]
    assert events[1].values["reason"] == "late"
    assert str(events[1].values["detail"]).startswith("2 readings of air were missed")
    assert 0 <= sampler.seconds_to_next() <= 10


def test_the_pace_does_not_drift_with_the_time_a_reading_takes() -> None:
    clock = ManualClock()
    times: list[float] = []
    sampler = Sampler(
        "air",
        Scripted(clock, *[{"a": 1}] * 20, takes=3.0),
        interval=10.0,
        clock=clock,
        contract=lambda: EMPTY,
        put=lambda event: times.append(event.mono),
    )
    for _ in range(20):
        clock.advance(sampler.seconds_to_next())
        sampler.sample()
    assert [round(each - times[0], 6) for each in times] == [10.0 * n for n in range(20)]


def test_a_shorter_interval_holds_from_the_next_reading_on() -> None:
    _, sampler = sample({"temperature": 1})
    assert sampler.seconds_to_next() == 10
    sampler.set_interval(2)
    assert sampler.seconds_to_next() == 2


def test_a_reading_that_is_too_great_is_an_error() -> None:
    events: list[Event] = []

    def put(event: Event) -> None:
        if "text" in event.values:
            raise ValueError("an event of 9000 bytes")
        events.append(event)

    clock = ManualClock()
    sensor = Scripted(clock, {"text": "x" * 9000})
    Sampler("s", sensor, interval=1, clock=clock, contract=lambda: EMPTY, put=put).sample()
    assert events[0].values == {"reason": "contract", "detail": "an event of 9000 bytes"}


def test_a_sampler_that_is_stopped_lets_go_of_its_sensor() -> None:
    clock = ManualClock()
    sensor = Scripted(clock)
    stop = threading.Event()
    stop.set()
    Sampler("s", sensor, interval=1, clock=clock, contract=lambda: EMPTY, put=print).run(stop)
    assert sensor.closed
