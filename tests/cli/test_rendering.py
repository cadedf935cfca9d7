"""What the command line prints for people."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from eventpulse.cli import rendering


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=120, highlight=False, emoji=False, markup=False)


def read(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_somebodys_data_are_shown_as_they_stand(console: Console) -> None:
    row = {"year": 2013, "mean": 58.4075, "none": None, "city": "[bold]Ulm\x1b[2J", "open": True}
    rendering.show_data(console, [row], list(row))
    assert read(console).split("\n")[1].split() == ["2013", "58.4075", "[bold]Ulm\\x1b[2J", "true"]


def test_fields_of_fields_lists_of_such_and_long_text_stand_below_their_name(
    console: Console,
) -> None:
    answer: dict[str, Any] = {
        "rows": 1092,
        "generation": 1796089270310141,
        "freshness": {"state": "fresh"},
        "runs": [{"id": "a", "reason": None}, {"id": "b", "reason": ""}],
        "sql": "SELECT\n  1",
        "sources": ["curated.weather", "curated.planes"],
    }
    rendering.show_fields(console, answer)
    lines = [line.rstrip() for line in read(console).splitlines()]
    assert lines == [
        "rows: 1,092",
        "generation: 1796089270310141",
        "freshness",
        "  state: fresh",
        "runs",
        "   id",
        "   a",
        "   b",
        "sql",
        "  SELECT",
        "    1",
        "sources: curated.weather, curated.planes",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(86400.0, "86,400"), (0.0038292, "0.0038"), (63.59375, "63.59"), (-0.5, "-0.50"), (0, "0")],
)
def test_a_figure_keeps_the_digits_that_say_something(value: float, shown: str) -> None:
    assert rendering.show_number(value) == shown


def test_a_long_name_keeps_its_folders_and_its_format() -> None:
    name = f"edge_telemetry/simulated-0001/{'0' * 80}.ndjson.gz"
    short = rendering.shorten(name)
    assert len(short) == 64
    assert short.startswith("edge_telemetry/simulated-0001/")
    assert short.endswith(".ndjson.gz")
    assert rendering.shorten("weather/2013.csv") == "weather/2013.csv"
