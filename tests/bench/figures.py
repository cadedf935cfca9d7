"""Figures, and what prints them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

Unit = Literal["s", "MiB", "B", "rows/s", "rows", "ms", "/s", "calls", "$"]


@dataclass(frozen=True)
class Figure:
    """`value` against a baseline of the same run; `bar` is the most that the ratio may be, or
    without a baseline the value. Without a value, `note` says why it was skipped."""

    bench: str
    name: str
    value: float | None
    unit: Unit
    baseline: str = ""
    baseline_value: float | None = None
    bar: float | None = None
    note: str = ""
    ratio: float | None = None

    @property
    def met(self) -> bool | None:
        reached = self.ratio if self.baseline else self.value
        return None if self.bar is None or reached is None else reached <= self.bar


def print_figures(figures: Sequence[Figure], busy: float) -> None:
    table = Table("bench", "figure", "value", "against", "value", "ratio", "bar", "note")
    for each in figures:
        met = {None: "", True: " met", False: " NOT MET"}[each.met]
        table.add_row(
            each.bench,
            each.name,
            _show(each.value, each.unit),
            each.baseline,
            _show(each.baseline_value, each.unit) if each.baseline else "",
            "" if each.ratio is None else f"{each.ratio:.2f}",
            "" if each.bar is None else f"{each.bar:g}{met}",
            each.note,
        )
    Console().print(table)
    print(f"{_machine()}; load average before: {busy:.1f}")
    if busy > 1:
        print("The machine was busy: trust the ratios of CPU seconds more than those of wall time.")


def write_figures(figures: Sequence[Figure], busy: float, path: Path) -> None:
    document = {
        "machine": _machine(),
        "load_average": busy,
        "figures": [{**asdict(each), "met": each.met} for each in figures],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, Python {platform.python_version()}, {platform.machine()}"


def _show(value: float | None, unit: Unit) -> str:
    if value is None:
        return "skipped"
    if unit == "s" and value < 0.01:
        return f"{value * 1e6:,.0f} µs"
    return f"{value:,.2f} {unit}" if unit in ("s", "ms", "$") else f"{value:,.0f} {unit}"
