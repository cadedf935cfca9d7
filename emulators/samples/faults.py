"""Faults put into good CSV rows: which rows, exactly how many, and what is wrong with each.

Every fault changes one cell of one row so that the row must fail its contract, and nothing else
changes. Rows are chosen evenly over the file and by the seed: the same call spoils the same rows.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "text in a number",
    "decimal comma",
    "impossible date",
    "missing required",
    "missing key",
    "out of range",
    "not in enum",
    "not a boolean",
    "pattern",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is written into which column (by its header in the file)."""

    kind: FaultKind
    column: str
    text: str


FAULTS: Mapping[str, tuple[Fault, ...]] = {
    "weather": (
        Fault("text in a number", "wind_speed", "calm"),
        Fault("decimal comma", "temp", "39,02"),
        Fault("impossible date", "time_hour", "2013-02-30T06:00:00Z"),
        Fault("missing required", "day", "NA"),
        Fault("out of range", "humid", "140.5"),
        Fault("not in enum", "origin", "BOS"),
    ),
    "parcels": (
        Fault("text in a number", "sale_price", "on request"),
        Fault("decimal comma", "area_m2", "412,5"),
        Fault("impossible date", "sale_date", "2023-02-30"),
        Fault("missing required", "city", ""),
        Fault("out of range", "sale_price", "-1.00"),
        Fault("not in enum", "property_class", "castle"),
        Fault("pattern", "postal_code", "501"),
    ),
    "edge_telemetry": (
        Fault("text in a number", "temperature", "n/a"),
        Fault("decimal comma", "battery", "87,5"),
        Fault("impossible date", "recorded_at", "2024-02-30T00:00:00Z"),
        Fault("missing required", "recorded_at", ""),
        Fault("missing key", "device_id", ""),
        Fault("out of range", "humidity", "130.0"),
        Fault("not a boolean", "alarm", "maybe"),
    ),
}
"""Per dataset, the faults that take turns."""


def count_bad(rows: int, share: float) -> int:
    """How many rows of a file are bad: the share of its rows, to the nearest whole row."""
    if not 0 <= share <= 1:
        raise ValueError(f"the share of bad rows is {share}; give a number from 0 to 1")
    return round(rows * share)


def choose_rows(rows: int, share: float, seed: int) -> Iterator[int]:
    """The 0-based positions of the bad rows, ascending: exactly `count_bad` of them.

    One position is drawn from each of as many equal stretches of the file, so nothing has to be
    remembered however long it is.
    """
    count = count_bad(rows, share)
    draw = random.Random(f"faults-{seed}").random
    for index in range(count):
        first, beyond = index * rows // count, (index + 1) * rows // count
        yield first + int(draw() * (beyond - first))


def spoil_line(line: str, fault: Fault, header: Sequence[str]) -> str:
    """The CSV line (no line end) with the fault in it."""
    cells = next(csv.reader([line]))
    cells[header.index(fault.column)] = fault.text
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def spoil_file(content: bytes, faults: Sequence[Fault], share: float, seed: int = 0) -> bytes:
    """A CSV file (UTF-8, a header, one row a line, `\\n`) with that share of its rows bad.

    Every other byte stays as it was.
    """
    lines = content.decode().removesuffix("\n").split("\n")
    header = next(csv.reader([lines[0]]))
    for turn, row in enumerate(choose_rows(len(lines) - 1, share, seed)):
        lines[row + 1] = spoil_line(lines[row + 1], faults[turn % len(faults)], header)
    return ("\n".join(lines) + "\n").encode()
