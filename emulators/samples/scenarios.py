"""What the demo drops into the raw bucket, as values: the files, and how each must end.

Everything derives from the real samples and the seeded generator, so a scenario is the same bytes
everywhere. Scenarios are listed in the order in which they are to be run: later ones build on
earlier ones (a resent file needs the first one loaded). No two scenarios share a key by accident:
those about weather take different quarters, those about parcels different seeds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from emulators.samples import read_sample
from emulators.samples.faults import FAULTS, count_bad, spoil_file
from emulators.samples.generate import generate_edge_telemetry, generate_parcels

State = Literal["loaded", "duplicate", "rejected"]
Reason = Literal["drift", "no_contract", "unreadable"]

BAD_SHARE = 0.01
PARCELS = 2_000
DEVICES = 20
HOURS = 6


@dataclass(frozen=True, slots=True)
class Upload:
    """One object to create in the raw bucket; the same name again is its next generation."""

    object_name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an ingestion must end. Counts are None where no row need have been read."""

    state: State
    reason: Reason | None = None
    rows_read: int | None = None
    rows_quarantined: int | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Uploads made one after the other, each awaited, or all at the same moment (`together`).

    `outcomes` belong to the uploads in their order; with `together` in any order. A scenario with
    `replay_of` uploads nothing: it replays the first ingestion of the scenario so named, and has
    that replay's one outcome.
    """

    name: str
    shows: str
    uploads: tuple[Upload, ...]
    outcomes: tuple[Outcome, ...]
    together: bool = False
    replay_of: str | None = None


def build_scenarios() -> tuple[Scenario, ...]:
    """All scenarios, in order."""
    return (
        *_reference_scenarios(),
        *_weather_scenarios(),
        *_parcel_scenarios(),
        *_refused_scenarios(),
        *_late_scenarios(),
    )


def _reference_scenarios() -> tuple[Scenario, ...]:
    planes, airports = read_sample("planes"), read_sample("airports")
    telemetry = b"".join(generate_edge_telemetry(DEVICES * 60 * HOURS, seed=1, devices=DEVICES))
    return (
        Scenario(
            "planes",
            "a good file: the register of planes",
            (Upload("planes/2013.csv", planes),),
            (_loaded(planes),),
        ),
        Scenario(
            "airports",
            "a good file: the airports",
            (Upload("airports/2013.csv", airports),),
            (_loaded(airports),),
        ),
        Scenario(
            "telemetry",
            f"a good file: {HOURS} hours of {DEVICES} devices",
            (Upload("edge_telemetry/2024-01-01.csv", telemetry),),
            (_loaded(telemetry),),
        ),
    )


def _weather_scenarios() -> tuple[Scenario, ...]:
    first, second, third, fourth = (_select_quarter(quarter) for quarter in (1, 2, 3, 4))
    spoiled = spoil_file(fourth, FAULTS["weather"], BAD_SHARE, seed=4)
    good = Upload("weather/2013-q2.csv", second)
    return (
        Scenario("good_file", "a good file", (good,), (_loaded(second),)),
        Scenario(
            "same_file_again",
            "the same file again: nothing is loaded twice",
            (good,),
            (Outcome("duplicate"),),
        ),
        Scenario(
            "same_file_at_once",
            "the same file twice at the same moment: one of them is the duplicate",
            (Upload("weather/2013-q3.csv", third), Upload("weather/2013-q3-copy.csv", third)),
            (_loaded(third), Outcome("duplicate")),
            together=True,
        ),
        Scenario(
            "bad_rows",
            "1% bad rows: set apart with their reasons, the others are loaded",
            (Upload("weather/2013-q4.csv", spoiled),),
            (_loaded(spoiled, count_bad(_count_rows(spoiled), BAD_SHARE)),),
        ),
        Scenario(
            "real_fault",
            "a fault that is in the real data: a wind of 1,048 miles per hour",
            (Upload("weather/2013-q1.csv", first),),
            (_loaded(first, 1),),
        ),
    )


def _parcel_scenarios() -> tuple[Scenario, ...]:
    def upload(seed: int, revision: int) -> Upload:
        content = b"".join(generate_parcels(PARCELS, seed=seed, revision=revision))
        return Upload(f"parcels/county-{seed}-revision-{revision}.csv", content)

    outcome = Outcome("loaded", rows_read=PARCELS, rows_quarantined=0)
    return (
        Scenario(
            "older_then_newer",
            "a newer version of the same rows: it takes their place",
            (upload(1, 1), upload(1, 2)),
            (outcome, outcome),
        ),
        Scenario(
            "newer_then_older",
            "an older version arrives late: the newer rows stay",
            (upload(2, 2), upload(2, 1)),
            (outcome, outcome),
        ),
    )


def _refused_scenarios() -> tuple[Scenario, ...]:
    return (
        Scenario(
            "removed_column",
            "a required column is gone: the file is rejected before a row is judged",
            (
                Upload(
                    "weather/2013-q2-no-time.csv", remove_column(_select_quarter(2), "time_hour")
                ),
            ),
            (Outcome("rejected", "drift"),),
        ),
        Scenario(
            "unknown_dataset",
            "no contract is about this file: it waits with a draft of one",
            (Upload("airlines/airlines.csv", read_sample("airlines")),),
            (Outcome("rejected", "no_contract"),),
        ),
        Scenario(
            "unreadable",
            "bytes that are no CSV at all, in spite of the name",
            (Upload("weather/corrupt.csv", _make_garbage(20_000, seed=1)),),
            (Outcome("rejected", "unreadable"),),
        ),
    )


def _late_scenarios() -> tuple[Scenario, ...]:
    grown = add_column(read_sample("planes"), "registered_in", ("US", "CA", "IE"))
    again = _select_quarter(2)
    return (
        Scenario(
            "added_column",
            "a new column, which this contract lets in: the table grows",
            (Upload("planes/2014.csv", grown),),
            (_loaded(grown),),
        ),
        Scenario(
            "replay",
            "a replay of the good file: it takes the first one's place and changes nothing",
            (),
            (_loaded(again),),
            replay_of="good_file",
        ),
    )


def _loaded(content: bytes, bad_rows: int = 0) -> Outcome:
    return Outcome("loaded", rows_read=_count_rows(content), rows_quarantined=bad_rows)


def _count_rows(content: bytes) -> int:
    """Rows of a CSV file without its header; no sample has a line end inside a cell."""
    return content.count(b"\n") - 1


def _select_quarter(quarter: int) -> bytes:
    """The real weather of the months of one quarter, byte for byte."""
    lines = read_sample("weather").splitlines(keepends=True)
    month = lines[0].split(b",").index(b"month")
    return lines[0] + b"".join(
        line for line in lines[1:] if (int(line.split(b",")[month]) + 2) // 3 == quarter
    )


def remove_column(content: bytes, column: str) -> bytes:
    """The CSV file without one column; its cells hold no delimiters."""
    rows = [line.split(b",") for line in content.splitlines()]
    place = rows[0].index(column.encode())
    return b"".join(b",".join(row[:place] + row[place + 1 :]) + b"\n" for row in rows)


def add_column(content: bytes, column: str, values: tuple[str, ...]) -> bytes:
    """The CSV file with one more column at its end, whose values take turns."""
    header, *rows = content.splitlines()
    cells = (values[place % len(values)].encode() for place in range(len(rows)))
    lines = [b"%b,%b" % pair for pair in zip(rows, cells, strict=True)]
    return b"\n".join([b"%b,%b" % (header, column.encode()), *lines]) + b"\n"


def _make_garbage(size: int, seed: int) -> bytes:
    """Bytes of a truncated archive: no encoding reads them and NULs are among them."""
    draw = random.Random(f"garbage-{seed}").random
    return b"PK\x03\x04\x00\x00\xff\xfe" + bytes(int(draw() * 256) for _ in range(size))
