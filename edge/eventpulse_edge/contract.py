"""What a reading must be, checked on the device: a faulty sensor shows up as an error event, not as
a refused row in the cloud. Pure.

The document is the one of `GET /contract` (PROTOCOL.md), in ODCS's words. Rules that this version
does not know are left to the cloud.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eventpulse_edge.batches import COLUMNS
from eventpulse_edge.events import GAP_COLUMNS, Scalar

RESERVED = frozenset({*COLUMNS, *GAP_COLUMNS, "detail"})
"""Columns that the agent fills; no sensor may."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
)
_TEXTS = {"date": _DATE, "time": _TIME, "timestamp": _TIMESTAMP}

_BOUNDS: tuple[tuple[str, str, Callable[[float, float], bool]], ...] = (
    ("minimum", "less than the minimum", lambda value, bound: value < bound),
    ("maximum", "more than the maximum", lambda value, bound: value > bound),
    ("exclusiveMinimum", "not more than", lambda value, bound: value <= bound),
    ("exclusiveMaximum", "not less than", lambda value, bound: value >= bound),
)


@dataclass(frozen=True, slots=True)
class Property:
    """One column and its rules."""

    name: str
    type: str
    options: Mapping[str, Any]
    pattern: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Checked:
    """The values that keep the contract, and what is wrong with the others, in words."""

    values: dict[str, Scalar]
    problems: list[str]


class Contract:
    """The rules of a version; without any, only what is always wrong is refused."""

    def __init__(self, version: str | None, properties: Mapping[str, Property]) -> None:
        self.version = version
        self.properties = properties

    @property
    def columns(self) -> list[str]:
        return list(self.properties)

    def check(self, values: Mapping[Any, object]) -> Checked:
        """Sort a sensor's values into good and bad."""
        good: dict[str, Scalar] = {}
        problems: list[str] = []
        for name, given in values.items():
            value = given
            if not isinstance(name, str) or not _NAME.fullmatch(name) or name in RESERVED:
                problems.append(f"{name!r} is no name that a sensor may give a column")
                continue
            problem = _find_general_problem(value)
            known = self.properties.get(name)
            if problem is None and known is not None and value is not None:
                value, problem = _check_property(known, value)
            if problem is not None:
                problems.append(f"{name}={_show(value)} {problem}")
            else:
                good[name] = value  # type: ignore[assignment]
        return Checked(good, problems)


EMPTY = Contract(None, {})


def parse_contract(document: Mapping[str, Any]) -> Contract:
    """ValueError, KeyError or TypeError when it is no contract."""
    properties = {}
    for each in document["properties"]:
        options = each.get("logicalTypeOptions") or {}
        pattern = options.get("pattern")
        properties[each["name"]] = Property(
            str(each["name"]),
            str(each["logicalType"]),
            options,
            None if pattern is None else _compile(pattern),
        )
    return Contract(str(document["version"]), properties)


def _compile(pattern: str) -> re.Pattern[str] | None:
    """None for what RE2 knows and Python does not: then the cloud checks it."""
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _find_general_problem(value: object) -> str | None:
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else "is no finite number"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "is no valid text"
        return "holds a NUL character" if "\0" in value else None
    return "is neither text, number, boolean nor null"


def _check_property(known: Property, value: object) -> tuple[object, str | None]:
    """The value as its type has it, and what is wrong with it."""
    typed = _as_type(known.type, value)
    if typed is None:
        return value, f"is not of the type {known.type}"
    problem = _find_bound(known.options, typed) or _find_text_problem(known, typed)
    allowed = known.options.get("enum")
    if problem is None and allowed and typed not in allowed:
        problem = f"is not one of {', '.join(map(repr, allowed))}"
    return typed, problem


def _as_type(kind: str, value: object) -> object | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "integer":
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value if number and isinstance(value, int) else None
    if kind == "number":
        return value if number else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind in _TEXTS:
        return value if isinstance(value, str) and _TEXTS[kind].fullmatch(value) else None
    if kind == "string":
        return value if isinstance(value, str) else None
    return None


def _find_bound(options: Mapping[str, Any], value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    for name, words, broken in _BOUNDS:
        bound = options.get(name)
        if bound is not None and broken(value, float(bound)):
            return f"is {words} {bound}"
    step = options.get("multipleOf")
    if step is not None and not _is_multiple(float(value), float(step)):
        return f"is not a multiple of {step}"
    return None


def _is_multiple(value: float, step: float) -> bool:
    return abs(value / step - round(value / step)) < 1e-9


def _find_text_problem(known: Property, value: object) -> str | None:
    if not isinstance(value, str):
        return None
    shortest, longest = known.options.get("minLength"), known.options.get("maxLength")
    if shortest is not None and len(value) < int(shortest):
        return f"is shorter than {shortest} characters"
    if longest is not None and len(value) > int(longest):
        return f"is longer than {longest} characters"
    if known.pattern is not None and not known.pattern.fullmatch(value):
        return f"does not match the pattern {known.pattern.pattern}"
    return None


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
