"""From a file's upload to its rows in the table, on the stack of one machine; and where it goes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from emulators.samples import read_sample
from emulators.user import StackUser
from eventpulse.local.stack import ROOT, Stack
from tests.bench.figures import Figure
from tests.flights import open_flights

SMALL_ROWS = 100
MILESTONES: Mapping[str, tuple[str, str]] = {
    "announced and landed": ("uploaded", "received"),
    "validated": ("received", "validated"),
    "judged": ("validated", "accepted"),
    "loaded": ("accepted", "loaded"),
}
"""Each step's share: from one event of the timeline to another."""


def bench_whole(rounds: int) -> list[Figure]:
    """A small file `rounds` times, after one that makes the tables, and flights.csv once."""
    with (
        tempfile.TemporaryDirectory() as home,
        Stack(Path(home), contracts=ROOT / "contracts") as stack,
    ):
        user = StackUser(stack)
        header, *lines = read_sample("weather").splitlines(keepends=True)
        times = [
            _time(user, f"weather/{number}.csv", header + b"".join(_slice(lines, number)))
            for number in range(rounds + 1)
        ]
        small = sorted(times[1:], key=lambda each: each["in all"])[rounds // 2]
        large = _time(user, "flights/flights.csv", _read_flights())
    return [
        *_figures(f"a file of {SMALL_ROWS} rows", small),
        *_figures("flights.csv, 336,776 rows", large),
    ]


def _read_flights() -> bytes:
    with open_flights() as lines:
        return lines.read().encode()


def _slice(lines: list[bytes], number: int) -> list[bytes]:
    return lines[number * SMALL_ROWS : (number + 1) * SMALL_ROWS]


def _time(user: StackUser, name: str, content: bytes) -> dict[str, float]:
    """Seconds of the whole, and of each step."""
    ingestion = user.upload(name, content)
    (end,) = user.await_ends([ingestion])
    assert end.state == "loaded", end
    answer = user.ingestion(ingestion)
    events = user.get(f"ingestions/{ingestion}/timeline")["events"]
    at = {each["type"]: datetime.fromisoformat(each["at"]) for each in events}
    at["uploaded"] = datetime.fromisoformat(answer["objects"][0]["created"])
    steps = {
        step: (at[end_] - at[begin]).total_seconds() for step, (begin, end_) in MILESTONES.items()
    }
    return {"in all": (at["loaded"] - at["uploaded"]).total_seconds(), **steps}


def _figures(what: str, times: Mapping[str, float]) -> list[Figure]:
    whole = times["in all"]
    return [
        Figure("whole", f"{what}: {name}", seconds, "s", note=f"{seconds / whole:.0%}")
        for name, seconds in times.items()
    ]
