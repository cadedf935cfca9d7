"""Values written in a contract, in the type of the field that they are about.

A literal has one canonical text (`Constant.text`) and a value that can be compared with others of
its field. Timestamps without an offset are UTC, as in the files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, TypeGuard

from eventpulse.contracts.contract import LogicalType

INT64 = (-(2**63), 2**63 - 1)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIMESTAMP = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?"
)
_TIME = re.compile(r"\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?")

EXPECTED: dict[LogicalType, str] = {
    "string": "text",
    "integer": "a whole number of at most 64 bits",
    "number": "a number",
    "date": 'a date in quotes such as "2024-01-31"',
    "timestamp": 'a timestamp in quotes such as "2024-01-31T12:00:00Z"',
    "time": 'a time in quotes such as "12:00:00"',
}


@dataclass(frozen=True, slots=True)
class Constant:
    """`value` is an int, Decimal, date, datetime, time or str, all of one field's the same."""

    text: str
    value: Any


def parse_literal(kind: LogicalType, value: object) -> Constant | None:
    """The value in the type of a field, None when it is not one (`EXPECTED` says what is)."""
    match kind:
        case "integer":
            whole = is_number(value) and isinstance(value, int)
            return Constant(str(value), value) if whole else None
        case "number":
            return _parse_number(value)
        case "string":
            return Constant(value, value) if isinstance(value, str) else None
        case "date" | "timestamp" | "time":
            return _parse_moment(kind, value) if isinstance(value, str) else None
    return None


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a finite number that a double and 64 bits can hold; true is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # NaN fails every comparison, so it fails this one.
    return INT64[0] <= value <= INT64[1]


def _parse_number(value: object) -> Constant | None:
    if not is_number(value):
        return None
    number = Decimal(repr(value))
    return Constant(format(number, "f"), number)


def _parse_moment(kind: LogicalType, text: str) -> Constant | None:
    try:
        if kind == "date" and _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            return Constant(day.isoformat(), day)
        if kind == "time" and _TIME.fullmatch(text):
            clock = time.fromisoformat(text)
            return Constant(clock.isoformat(), clock)
        if kind == "timestamp" and _TIMESTAMP.fullmatch(text):
            moment = datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
            return Constant(moment.isoformat().replace("+00:00", "Z"), moment)
    except (ValueError, OverflowError):
        return None
    return None
