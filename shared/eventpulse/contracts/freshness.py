"""Freshness: whether a dataset is as new as its contract promises. Pure.

ODCS `slaProperties` promise how often data comes (`frequency`) and how late it may be (`latency`).
What was loaded last is fresh until both have passed since.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from eventpulse.contracts.contract import ServiceLevel

FreshnessWord = Literal["fresh", "late", "empty", "undeclared"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """`empty`: promised and never loaded; `undeclared`: the contract promises nothing. `due` is
    when the next load must be there."""

    word: FreshnessWord
    due: datetime | None = None


def judge_freshness(
    level: ServiceLevel | None, loaded_at: datetime | None, now: datetime
) -> Freshness:
    if level is None or level.frequency is None:
        return Freshness("undeclared")
    if loaded_at is None:
        return Freshness("empty")
    due = loaded_at + timedelta(seconds=level.frequency + (level.latency or 0.0))
    return Freshness("late" if now > due else "fresh", due)
