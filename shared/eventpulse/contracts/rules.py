"""Which text each logical type admits, and how a refused cell is explained. Pure.

Text first: a cell matches its type's pattern or it is refused; only matching text is cast. The
patterns are RE2 and anchored at both ends; white space around a value that is not a string is
ignored. `read_as` says what the type is called in a message, and an example of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from eventpulse.contracts.contract import Field
from eventpulse.ports import ColumnType

RowRule = Literal[
    "malformed",
    "required",
    "logicalType",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "enum",
    "unique",
    "primaryKey",
    "drift",
    "objectColumns",
]
"""Everything that can refuse a row, in ODCS's words."""

LONGEST_KEY = 2_048
"""Bytes of UTF-8 in the text columns of a row's key, together. An entry of an index in Postgres has
at most 2,704 with its head, and with what the key's other columns take."""

PATTERNS: Mapping[ColumnType, str] = {
    "integer": r"^[+-]?[0-9]+$",
    "number": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$",
    "decimal": r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$",
    "boolean": r"^(true|false|True|False|TRUE|FALSE)$",
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "timestamp": (
        r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
        r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
    ),
    "time": r"^[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?$",
    "json": r"^\s*[\[{]",
}
"""Strings have no pattern of their own: they stay as they are, `00501` included."""


@dataclass(frozen=True, slots=True)
class Reading:
    name: str
    example: str


READINGS: Mapping[ColumnType, Reading] = {
    "string": Reading("text", "abc"),
    "integer": Reading("a whole number", "42"),
    "number": Reading("a number", "21.5"),
    "decimal": Reading("a decimal number", "1234.50"),
    "boolean": Reading("true or false", "true"),
    "date": Reading("a date", "2026-01-31"),
    "timestamp": Reading("a time with its zone", "2026-01-31T08:30:00Z"),
    "time": Reading("a time of day", "08:30:00"),
    "json": Reading("JSON", '{"a": 1}'),
}

_ADMITTED: Mapping[ColumnType, str] = {
    "integer": (
        "is beyond the whole numbers of 64 bits (-9223372036854775808 to 9223372036854775807)"
    ),
    "number": "is beyond the numbers of 64 bits (up to about 1.8e308)",
    "date": "is a day that does not exist",
    "timestamp": "is a day or a time that does not exist",
    "time": "is a time of day that does not exist",
}
"""What is wrong with text that the pattern of its type admits."""

_ZONELESS = re.compile(r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9.]*)?\s*$")
_ZONE_ADVICE = (
    " Write its zone, or have the contract declare `dateFormats` without one, which means UTC."
)
"""Spreadsheets know no zones."""

_TOO_FINE = re.compile(r".*[0-9]{2}:[0-9]{2}\.[0-9]{7,}(Z|[+-][0-9:]+)?\s*$")
_FINENESS_ADVICE = " Write at most 6 digits of a second."
"""Parquet files may have nanoseconds."""

_NAMED: Mapping[str, str] = {
    "email": "is not an e-mail address (for example ann@acme.org)",
    "uuid": "is not a UUID (for example 0b5e1c9a-8f7d-4a3b-9c2e-1d6f5a4b3c2d)",
    "uri": "is not a URI (for example https://acme.org/a)",
    "hostname": "is not a host's name (for example www.acme.org)",
    "ipv4": "is not an IPv4 address (for example 192.0.2.1)",
    "ipv6": "is not an IPv6 address (for example 2001:db8::1)",
}
"""ODCS's formats of strings, whose patterns tell a supplier nothing."""

MASK = "•••"


def explain_refusal(rule: RowRule, field: Field, value: str | None) -> str:
    """What is wrong with a cell, where, and what to do: for a supplier who never saw the code."""
    cell = f"{field.name}={value!r}"
    options = field.options
    if rule == "required":
        return f"{field.name} is empty and must have a value."
    if rule == "logicalType":
        reading = READINGS[field.column_type]
        admitted = None if field.formats else _ADMITTED.get(field.column_type)
        pointed = (value or "").strip()
        if field.decimal_mark != ".":
            pointed = pointed.replace(".", "·").replace(field.decimal_mark, ".")
        if admitted and re.match(PATTERNS[field.column_type], pointed):
            return f"{cell} {admitted}."
        if field.formats:
            name = "a day and time" if field.type == "timestamp" else reading.name
            return f"{cell} is not {name} in the format {' or '.join(field.formats)}."
        return f"{cell} is not {reading.name}{_expected(field, reading)}.{_advise(field, value)}"
    if rule == "enum":
        allowed = ", ".join(map(repr, options.enum[:12])) + (" …" if len(options.enum) > 12 else "")
        return f"{cell} is not one of the allowed values: {allowed}."
    if rule == "unique":
        return f"{cell} stands in an earlier row too; {field.name} must be unique in a file."
    bounds: dict[str, str] = {
        "minimum": f"is less than the minimum {options.minimum}",
        "maximum": f"is more than the maximum {options.maximum}",
        "exclusiveMinimum": f"must be more than {options.exclusive_minimum}",
        "exclusiveMaximum": f"must be less than {options.exclusive_maximum}",
        "multipleOf": f"is not a multiple of {options.multiple_of}",
        "minLength": f"is shorter than {options.min_length} characters",
        "maxLength": f"is longer than {options.max_length} characters",
        "pattern": _NAMED.get(
            options.format or "", f"does not match the pattern {options.pattern}"
        ),
        "drift": (
            "stands in a column that the contract does not know, and its drift policy refuses rows "
            "with a value there"
        ),
        "objectColumns": "is not what the object's name says; its rows carry their own only",
    }
    return f"{cell} {bounds[rule]}."


def _advise(field: Field, value: str | None) -> str:
    """What is known to be wrong with a time, and how to mend it."""
    if field.type in ("time", "timestamp") and _TOO_FINE.match(value or ""):
        return _FINENESS_ADVICE
    if field.type == "timestamp" and _ZONELESS.match(value or ""):
        return _ZONE_ADVICE
    return ""


def _expected(field: Field, reading: Reading) -> str:
    if field.column_type == "decimal" and field.precision is not None:
        whole = field.precision - (field.scale or 0)
        mark = "comma" if field.decimal_mark == "," else "point"
        return f" with at most {whole} digits before and {field.scale or 0} after the {mark}"
    return f" (for example {reading.example.replace('.', field.decimal_mark)})"
