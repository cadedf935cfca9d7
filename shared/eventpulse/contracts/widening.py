"""Which column types hold every value of another: how far a column may be widened. Pure.

Integers are numbers, dates are timestamps (midnight UTC), and everything can be written as text. A
decimal is exact, so it becomes no floating point number by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from eventpulse.ports import ColumnType

WIDER: Mapping[ColumnType, tuple[ColumnType, ...]] = {
    "integer": ("number", "string"),
    "number": ("string",),
    "decimal": (),
    "boolean": ("string",),
    "date": ("timestamp", "string"),
    "timestamp": ("string",),
    "time": ("string",),
    "json": ("string",),
    "string": (),
}
"""What each type may become, the narrowest first."""

MOST_EXACT = 2**53
"""Integers beyond it, on either side, are not all numbers: they would be rounded."""


def is_wider(wide: ColumnType, narrow: ColumnType) -> bool:
    return wide in WIDER[narrow]


def widest(types: Iterable[ColumnType]) -> ColumnType | None:
    """The one of the types that is as wide as each of them; None when none is."""
    found = list(dict.fromkeys(types))
    for each in found:
        if all(each == other or is_wider(each, other) for other in found):
            return each
    return None


def widen(
    declared: ColumnType, readings: Mapping[ColumnType, int], tolerated: float
) -> ColumnType | None:
    """The narrowest wider type that leaves at most `tolerated` cells out; None when none may be.

    `readings` counts, of the cells that do not fit the declared type, those that fit each type.
    """
    for candidate in WIDER[declared]:
        left = sum(n for reading, n in readings.items() if not _holds(candidate, reading))
        if left <= tolerated:
            return candidate
    return None


def _holds(wide: ColumnType, reading: ColumnType) -> bool:
    return wide == reading or is_wider(wide, reading)
