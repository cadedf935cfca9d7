"""From text cells to typed columns: only text that a type admits is cast. Pure.

A cell is first matched against its type's pattern, then cast; what cannot be cast, or would be cast
to something that a warehouse cannot hold (infinity, the year 0, a NUL in JSON), is mistyped too.
Nothing is rounded, wrapped around or guessed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.contract import Field
from eventpulse.contracts.rules import PATTERNS
from eventpulse.ports import ColumnType
from eventpulse.rows.arrow import arrow_type

Mask = npt.NDArray[np.bool_]

FIRST_FULL_YEAR = 1000
"""A declared format with %Y also reads `26`; that is no year of four digits."""


def cast_text(contract_field: Field, text: pa.Array) -> tuple[pa.Array, Mask]:
    """Text cells in the field's Arrow type, and which cells are not of that type (then null).

    Nulls stay null and are not mistyped.
    """
    none = np.zeros(len(text), dtype=bool)
    kind = contract_field.column_type
    target = arrow_type(contract_field.column)
    if kind == "string":
        return text.cast(target), none
    if text.null_count == len(text):
        return pa.nulls(len(text), target), none
    if contract_field.narrow is not None:
        return _cast_widened(contract_field, contract_field.narrow, text, target)
    if contract_field.formats:
        return _cast_formats(contract_field, text, target)
    if contract_field.decimal_mark != ".":
        text = _point_decimals(text, contract_field.decimal_mark)
    if kind in _PLAIN_CHARACTERS and _has_only(text, _PLAIN_CHARACTERS[kind]):
        with suppress(pa.ArrowInvalid):
            typed = text.cast(target)
            if not _find_beyond(kind, typed).any():
                return typed, none
    fits = pc.match_substring_regex(text, PATTERNS[kind])
    if kind == "json" or pc.all(fits).as_py() is False:
        text = pc.utf8_trim_whitespace(text)
        fits = pc.match_substring_regex(text, PATTERNS[kind])
    mistyped = to_mask(pc.invert(fits))
    candidates = text
    if mistyped.any():
        candidates = pc.if_else(pa.array(mistyped), pa.scalar(None, pa.string()), text)
    typed, uncastable = _cast_matching(kind, candidates, target)
    return typed, mistyped | uncastable


def _point_decimals(text: pa.Array, mark: str) -> pa.Array:
    """With a point where the decimal mark was; where a point was, no number is left."""
    return pc.replace_substring(pc.replace_substring(text, ".", "·"), mark, ".")


def _cast_widened(
    wide: Field, narrow: Field, text: pa.Array, target: pa.DataType
) -> tuple[pa.Array, Mask]:
    """What the narrow field reads, as it reads it; the rest as the wide type."""
    narrow_typed, left = cast_text(narrow, text)
    if not left.any():
        return narrow_typed.cast(target), left
    rest = pc.if_else(pa.array(left), text, pa.scalar(None, pa.string()))
    typed, mistyped = cast_text(replace(wide, narrow=None), rest)
    return pc.coalesce(typed, narrow_typed.cast(target)), left & mistyped


_PLAIN_CHARACTERS: Mapping[ColumnType, bytes] = {
    "integer": b"0123456789-",
    "number": b"0123456789-.",
}
"""Of text in no other characters, Arrow casts exactly what the type's pattern matches: there is no
sign +, no exponent, no `0x1F` and no `nan` among it."""


def _has_only(text: pa.Array, characters: bytes) -> bool:
    """Whether the cells' text has no other characters; a scan that costs less than a pattern."""
    offsets = np.frombuffer(text.buffers()[1], np.int32)
    data = text.buffers()[2]
    if data is None:
        return True
    start, end = offsets[text.offset], offsets[text.offset + len(text)]
    return not bytes(memoryview(data)[start:end]).translate(None, characters)


def _cast_matching(kind: ColumnType, text: pa.Array, target: pa.DataType) -> tuple[pa.Array, Mask]:
    """Cast what matched its pattern; the few that still cannot be (31 February) one by one."""
    try:
        typed = _cast(kind, text, target)
    except pa.ArrowInvalid:
        return _cast_halves(kind, text, target)
    beyond = _find_beyond(kind, typed)
    if not beyond.any():
        return typed, beyond
    return pc.if_else(pa.array(beyond), pa.scalar(None, target), typed), beyond


def _cast_halves(kind: ColumnType, text: pa.Array, target: pa.DataType) -> tuple[pa.Array, Mask]:
    if len(text) == 1:
        return pa.nulls(1, target), np.ones(1, dtype=bool)
    middle = len(text) // 2
    left, left_failed = _cast_matching(kind, text[:middle], target)
    right, right_failed = _cast_matching(kind, text[middle:], target)
    return pa.concat_arrays([left, right]), np.concatenate([left_failed, right_failed])


def _cast(kind: ColumnType, text: pa.Array, target: pa.DataType) -> pa.Array:
    if kind == "boolean":
        return pc.equal(pc.utf8_lower(text), "true")
    if kind == "time":
        moment = pc.binary_join_element_wise(pa.scalar("1970-01-01"), text, "T")
        return moment.cast(pa.timestamp("us")).cast(target)
    if kind in ("integer", "decimal", "number") and pc.any(pc.starts_with(text, "+")).as_py():
        text = pc.replace_substring_regex(text, r"^\+", "")
    return text.cast(target)


def _find_beyond(kind: ColumnType, typed: pa.Array) -> Mask:
    """The values that Arrow can hold and a warehouse cannot."""
    if kind == "number":
        return to_mask(pc.is_inf(typed))
    if kind == "json":
        return np.array([each is not None and not _is_json(each) for each in typed.to_pylist()])
    if kind == "date":
        first, last = pa.scalar(date.min), pa.scalar(date.max)
    elif kind == "timestamp":
        first = pa.scalar(datetime.min.replace(tzinfo=UTC), typed.type)
        last = pa.scalar(datetime.max.replace(tzinfo=UTC), typed.type)
    else:
        return np.zeros(len(typed), dtype=bool)
    return to_mask(pc.or_(pc.less(typed, first), pc.greater(typed, last)))


_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


MOST_NESTED = 500
"""Of JSON: deeper than this BigQuery takes none."""

_WIDE_NUMBER = re.compile(r"[0-9]{300}|[eE]\+?[0-9]{3}")


def _is_json(cell: str) -> bool:
    """Whether every JSON parser takes it, and alike: no key twice, no NaN, no NUL, no half of a
    surrogate pair, no number beyond all floating ones, no abyss."""
    try:
        value = json.loads(cell, parse_constant=_refuse_constant, object_pairs_hook=_take_pairs)
        if "\\u" in cell:
            json.dumps(value, ensure_ascii=False).encode()
        if _WIDE_NUMBER.search(cell):
            json.loads(cell, parse_int=_read_finite, parse_float=_read_finite)
    except (ValueError, RecursionError):
        return False
    if cell.count("[") + cell.count("{") > MOST_NESTED and _depth_of(value) > MOST_NESTED:
        return False
    return _ESCAPED_NUL.search(cell) is None


def _depth_of(value: object) -> int:
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, (dict, list))]:
        depth += 1
        level = [
            inner for each in level for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth


def _take_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice: BigQuery keeps its first value, others the last")
    return found


def _read_finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is beyond every floating number")
    return number


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


# --- Declared formats ----------------------------------------------------------------------------


def _cast_formats(
    contract_field: Field, text: pa.Array, target: pa.DataType
) -> tuple[pa.Array, Mask]:
    """Read dates and times by the declared formats; the first that fits a cell wins."""
    trimmed = pc.utf8_trim_whitespace(text)
    typed = pa.nulls(len(text), pa.timestamp("us"))
    for each in contract_field.formats:
        typed = pc.coalesce(typed, _read_format(trimmed, each))
    mistyped = to_mask(pc.and_(pc.is_valid(text), pc.is_null(typed)))
    if pa.types.is_timestamp(target):
        return pc.assume_timezone(typed, "UTC").cast(target), mistyped
    return typed.cast(target), mistyped


def _read_format(text: pa.Array, declared: str) -> pa.Array:
    """Timestamps of the cells that the format fits, null for the others.

    Arrow reads 30 February as 2 March, so what it puts on the first days of a month is read again
    by Python, once per distinct text.
    """
    read = pc.strptime(text, format=declared, unit="us", error_is_null=True)
    if "%Y" in declared:
        short = pc.less(pc.year(read), FIRST_FULL_YEAR)
        read = pc.if_else(pc.fill_null(short, False), pa.scalar(None, read.type), read)
    rolled = pc.fill_null(pc.less_equal(pc.day(read), 3), False)
    if not pc.any(rolled).as_py():
        return read
    impossible = [
        cell for cell in pc.unique(text.filter(rolled)).to_pylist() if not _is_real(cell, declared)
    ]
    if not impossible:
        return read
    wrong = pc.is_in(text, value_set=pa.array(impossible, pa.string()))
    return pc.if_else(wrong, pa.scalar(None, read.type), read)


def _is_real(cell: str, declared: str) -> bool:
    try:
        datetime.strptime(cell, declared)  # noqa: DTZ007 - only whether there is such a day
    except ValueError:
        return False
    return True


# --- Other readings ------------------------------------------------------------------------------


_OTHERWISE: tuple[ColumnType, ...] = ("integer", "number", "boolean", "date", "timestamp")


def read_otherwise(text: pa.Array) -> Iterator[tuple[ColumnType, Mask]]:
    """Cells that do not fit their column's type, by the narrowest type that they do fit."""
    trimmed = pc.utf8_trim_whitespace(text)
    left = np.ones(len(text), dtype=bool)
    for kind in _OTHERWISE:
        fits = to_mask(pc.match_substring_regex(trimmed, PATTERNS[kind])) & left
        left &= ~fits
        yield kind, fits
    yield "string", left


def to_mask(values: pa.Array) -> Mask:
    """A boolean array as numpy's, null as False."""
    filled: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return filled
