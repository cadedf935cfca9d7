"""Readings are checked on the device as the cloud would check them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eventpulse.odcs import read_contract
from eventpulse_edge.clock import Reference
from eventpulse_edge.contract import EMPTY, RESERVED, Contract, parse_contract
from eventpulse_edge.events import Event
from tests.edge.clocks import TRUE_START, ManualClock
from tests.edge.fake_server import FakeServer
from tests.edge.station import Station

ODCS = Path(__file__).parents[2] / "contracts" / "edge_telemetry.odcs.yaml"


def contract(kind: str, **options: Any) -> Contract:
    properties = [{"name": "x", "logicalType": kind, "logicalTypeOptions": options}]
    return parse_contract({"version": "1.1.0", "properties": properties})


@pytest.mark.parametrize(
    ("rules", "good", "bad"),
    [
        (contract("integer"), [1, -3, 2.0, None], [1.5, "1", True, "a"]),
        (contract("number"), [1, 1.5, None], ["1.5", True]),
        (contract("boolean"), [True, None], [1, "true"]),
        (contract("string"), ["a", ""], [1, False]),
        (contract("date"), ["2026-03-01"], ["01.03.2026", 3]),
        (contract("timestamp"), ["2026-03-01T08:00:00Z"], ["2026-03-01", "2026-03-01T08:00"]),
        (contract("object"), [None], ["{}", 1]),
        (contract("number", minimum=-60, maximum="85"), [-60, 85], [-60.1, 85.1]),
        (contract("number", exclusiveMinimum=0, exclusiveMaximum=1), [0.5], [0, 1]),
        (contract("integer", multipleOf=5), [0, -15], [3]),
        (contract("number", multipleOf=0.1), [0.3, 1.1], [0.35]),
        (contract("string", minLength=2, maxLength=3), ["ab", "abc"], ["a", "abcd"]),
        (contract("string", pattern="[a-c]+"), ["abc"], ["abcd", "xabc", ""]),
        (contract("string", pattern="(?P<a"), ["whatever RE2 says"], []),
        (contract("string", enum=["on", "off"]), ["on"], ["ON"]),
    ],
)
def test_values_keep_their_rules_or_are_a_problem(
    rules: Contract, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        assert rules.check({"x": value}).problems == [], value
    for value in bad:
        checked = rules.check({"x": value})
        assert checked.values == {}, value
        assert checked.problems[0].startswith(f"x={value!r} is not"[:3])


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), "\ud800", "a\0b", [1], {"a": 1}, object()]
)
def test_what_is_no_scalar_or_no_json_is_a_problem_with_any_contract(value: object) -> None:
    assert EMPTY.check({"x": value}).values == {}


def test_a_bad_value_is_taken_out_and_the_rest_kept() -> None:
    rules = contract("number", maximum=85)
    checked = rules.check({"x": 200, "humidity": 40.5})
    assert checked.values == {"humidity": 40.5}
    assert checked.problems == ["x=200 is more than the maximum 85"]


@pytest.mark.parametrize("name", ["Temp", "1a", "a b", "", "seq", "kind", "gap_first", 3, "ä"])
def test_a_name_that_no_column_can_have_is_a_problem(name: object) -> None:
    assert EMPTY.check({name: 1}).problems


def test_a_column_that_the_contract_does_not_know_yet_is_sent() -> None:
    assert contract("number").check({"wind_speed": 3.4}).values == {"wind_speed": 3.4}


@pytest.mark.parametrize(
    "document", [{}, {"properties": [{}], "version": "1"}, {"properties": None, "version": "1"}]
)
def test_what_is_no_contract_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse_contract(document)


def test_the_agents_own_columns_are_all_in_the_contract_of_the_repository() -> None:
    columns = {field.name for field in read_contract(ODCS.read_text(), ODCS.name).fields}
    assert columns >= RESERVED


def test_a_long_value_is_shortened_in_the_message() -> None:
    problem = contract("number").check({"x": "y" * 500}).problems[0]
    assert len(problem) < 120
    assert json.dumps(problem)


def test_what_was_measured_before_the_contract_came_is_checked_before_it_is_sent(
    tmp_path: Path,
) -> None:
    with FakeServer() as server:
        station = Station(server, ManualClock(TRUE_START), tmp_path)
        station.timeline.observe(Reference(station.clock.mono(), station.clock.true, 0.05))
        for values in (
            {"temperature": 20},
            {"temperature": 999, "humidity": 40},
            {"humidity": "x"},
        ):
            station.spool.put(Event("reading", station.clock.mono(), values, "air"))
        station.seal()
        assert station.spool.state().batches == 0
        station.enroll()
        station.spool.put(
            Event("reading", station.clock.mono(), {"temperature": 21}, "air", checked="1.1.0")
        )
        station.seal()
        station.upload()
        rows = sorted(server.cloud.rows, key=lambda row: row["seq"])
        assert server.cloud.check() == {station.spool.epoch: 4}
    told = [(row["kind"], row["temperature"], row["humidity"], row.get("detail")) for row in rows]
    assert told == [
        ("reading", 20, None, None),
        ("error", None, 40, "temperature=999 is more than the maximum 85"),
        ("error", None, None, "humidity='x' is not of the type number"),
        ("reading", 21, None, None),
    ]


def test_what_a_contract_has_checked_is_not_checked_by_it_again(tmp_path: Path) -> None:
    """Not only for speed: a version that is less strict than the one before lets it pass."""
    with FakeServer() as server:
        station = Station(server, ManualClock(TRUE_START), tmp_path)
        station.enroll()
        for checked in ("1.1.0", "1.0.0", "1.1.0", None):
            values = {"temperature": 999}
            event = Event("reading", station.clock.mono(), values, "air", checked=checked)
            station.spool.put(event)
            station.spool.commit()
        station.seal()
        station.upload()
        rows = sorted(server.cloud.rows, key=lambda row: row["seq"])
    assert [row["kind"] for row in rows] == ["reading", "error", "reading", "error"]
