"""Typed values as text, written the way the contract writes text, so that every rule works alike.

Parquet and XLSX know numbers, dates and booleans. A reader of theirs hands out text all the same,
made by exactly one function per type:

- a number: the shortest text that reads back as the same number, whole ones without `.0`, with the
  contract's decimal mark, and without an exponent from 1e-18 to 1e21;
- a boolean: `true` or `false`;
- a date or a moment: in the first of the field's declared formats that loses nothing, else in ISO
  8601. A moment at midnight is a date in a column of dates. A moment without a zone gets none;
- a time of day, or a span of time: `08:30:00`, with a fraction of a second where there is one;
- bytes: base64; nested values: JSON.

All take Arrow arrays and return string arrays of the same length; nulls stay null. Pure.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.contract import Field

Shown = Literal["date", "moment", "time"]
"""How the file shows a moment: what a column of text makes of it."""

_LARGEST_WHOLE = 2.0**63
_FIXED = (1e-18, 1e21)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_YEARS = (-62_135_596_800, 253_402_300_800)
"""The years 1 to 9999, in seconds from 1970."""


def write_values(values: pa.Array, field: Field | None, decimal_mark: str) -> pa.Array:
    """Of any Arrow type, as the function of that type writes it."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if isinstance(values.type, pa.BaseExtensionType):
        if values.type.extension_name == "arrow.uuid":
            return _map(values, str)
        values = values.storage
    kind = values.type
    if pa.types.is_floating(kind):
        return write_number(values, decimal_mark)
    if pa.types.is_decimal(kind):
        return write_decimal(values, decimal_mark)
    if pa.types.is_timestamp(kind):
        return write_moment(values, field, "moment")
    if pa.types.is_date(kind):
        return write_date(values, field)
    if pa.types.is_time(kind):
        return write_time(values, field)
    return next((write for fits, write in _WRITERS if fits(kind)), write_nested)(values)


def write_text(values: pa.Array) -> pa.Array:
    return values.cast(pa.string())


def write_boolean(values: pa.Array) -> pa.Array:
    return pc.if_else(values, "true", "false")


def write_integer(values: pa.Array) -> pa.Array:
    return values.cast(pa.string())


def write_number(values: pa.Array, decimal_mark: str) -> pa.Array:
    """Of 64-bit or shorter floats. Not a number is `NaN`, infinities are `inf` and `-inf`."""
    numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    text = _shortest(values)
    with np.errstate(invalid="ignore"):
        whole = (np.abs(numbers) < _LARGEST_WHOLE) & (np.trunc(numbers) == numbers)
    if whole.any():
        integers = pa.array(np.where(whole, numbers, 0).astype(np.int64)).cast(pa.string())
        text = pc.if_else(pa.array(whole), integers, text)
    scientific = pc.match_substring(text, "e")
    if pc.any(scientific).as_py():
        text = _map(text, _write_fixed)
    text = pc.if_else(pc.equal(text, "nan"), "NaN", text)
    text = pc.replace_substring(text, ".", ",") if decimal_mark == "," else text
    return pc.if_else(pc.is_valid(values), text, pa.scalar(None, pa.string()))


def _shortest(values: pa.Array) -> pa.Array:
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float32())
    return values.cast(pa.string())


def _write_fixed(text: str) -> str:
    if "e" not in text or not _FIXED[0] <= abs(float(text)) < _FIXED[1]:
        return text
    return f"{Decimal(text):f}"


def write_decimal(values: pa.Array, decimal_mark: str) -> pa.Array:
    """All the digits that the type has after its point."""
    return _map(values, lambda value: f"{value:f}".replace(".", decimal_mark))


def write_bytes(values: pa.Array) -> pa.Array:
    return _map(values, lambda value: base64.b64encode(value).decode())


def write_nested(values: pa.Array) -> pa.Array:
    """A moment beyond Python's years inside makes the whole value `…`, which is no JSON."""
    texts = [None if each is None else _write_json(each) for each in _items(values)]
    return pa.array(texts, pa.string())


def _items(values: pa.Array) -> Iterator[Any]:
    for value in values:
        try:
            yield value.as_py()
        except (OverflowError, ValueError):  # pyarrow's ArrowInvalid is a ValueError too
            yield ...


def _write_json(value: object) -> str:
    return "…" if value is ... else json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    """What JSON has no word for, inside a nested value."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, date | datetime | time) else str(value)


def write_time(values: pa.Array, field: Field | None) -> pa.Array:
    """Of times of day, in any unit."""
    since = values.cast(pa.time64("ns")).cast(pa.int64()).cast(pa.timestamp("ns"))
    return write_moment(since, field, "time")


def write_duration(values: pa.Array) -> pa.Array:
    """Of spans of time as hours, minutes and seconds, perhaps more than 24 hours."""
    second = _PER_SECOND[values.type.unit]
    return _map(values.cast(pa.int64()), lambda units: _write_hours(units, second))


def _write_hours(units: int, second: int) -> str:
    seconds, rest = divmod(abs(units), second)
    fraction = f".{rest * 10**9 // second:09d}".rstrip("0").rstrip(".")
    sign = "-" if units < 0 else ""
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


def write_moment(values: pa.Array, field: Field | None, shown: Shown) -> pa.Array:
    """Of timestamps: with a zone they end in `Z`, without one they have none. Beyond the years 1 to
    9999 there is no date to write; the number that is stored stands for it."""
    zone = "Z" if values.type.tz is not None else ""
    values = values.cast(pa.timestamp(values.type.unit))
    stored = values.cast(pa.int64())
    inside = _is_in_years(stored, _PER_SECOND[values.type.unit])
    if pc.all(inside).as_py() is False:
        kept = pc.if_else(inside, values, pa.scalar(None, values.type))
        kept = kept.cast(pa.timestamp(values.type.unit, "UTC" if zone else None))
        return pc.coalesce(write_moment(kept, field, shown), stored.cast(pa.string()))
    values = _to_microseconds(values)
    kind = field.type if field is not None else "string"
    if kind in ("date", "timestamp"):
        shown = "date" if kind == "date" else "moment"
    text = _write_iso(values, shown, zone)
    for declared in reversed(field.formats if field is not None else ()):
        text = pc.coalesce(_write_format(values, declared, kind == "time"), text)
    return text


def _is_in_years(stored: pa.Array, second: int) -> pa.Array:
    first, last = (bound * second for bound in _YEARS)
    if last >= 2**63:
        return pc.true_unless_null(stored)
    return pc.and_(pc.greater_equal(stored, first), pc.less(stored, last))


def _to_microseconds(values: pa.Array) -> pa.Array:
    """Nanoseconds stay where microseconds would lose something."""
    try:
        return values.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        return values


def write_date(values: pa.Array, field: Field | None) -> pa.Array:
    return write_moment(values.cast(pa.timestamp("us")), field, "date")


def _write_iso(values: pa.Array, shown: Shown, zone: str) -> pa.Array:
    seconds = values.cast(pa.timestamp("s"), safe=False)
    text = pc.strftime(seconds, format="%Y-%m-%dT%H:%M:%S")
    if not pc.all(pc.equal(seconds, values)).as_py():
        text = _drop_zeros(pc.strftime(values, format="%Y-%m-%dT%H:%M:%S"))
    if zone:
        text = pc.binary_join_element_wise(text, zone, "")
    if shown == "date":
        midnight = pc.equal(values, pc.floor_temporal(values, unit="day"))
        return pc.if_else(midnight, pc.strftime(seconds, format="%Y-%m-%d"), text)
    return pc.utf8_slice_codeunits(text, 11) if shown == "time" else text


def _write_format(values: pa.Array, declared: str, clock: bool) -> pa.Array:
    """Null where the format leaves something out; of a `clock` the day counts for nothing."""
    if "%z" in declared:
        return pa.nulls(len(values), pa.string())
    seconds = values.cast(pa.timestamp("s"), safe=False)
    text = pc.strftime(seconds, format=declared)
    again = pc.strptime(text, format=declared, unit=values.type.unit, error_is_null=True)
    if clock:
        again, values = again.cast(pa.time64("ns")), values.cast(pa.time64("ns"))
    return pc.if_else(pc.equal(again, values), text, pa.scalar(None, pa.string()))


def _drop_zeros(text: pa.Array) -> pa.Array:
    """Without the zeros at the end of a fraction of a second."""
    return pc.replace_substring_regex(text, r"(?:\.|(\.[0-9]*[1-9]))0+$", r"\1")


def _map(values: pa.Array, write: Callable[..., str]) -> pa.Array:
    """One by one, for what Arrow cannot write."""
    done = [None if each is None else write(each) for each in values.to_pylist()]
    return pa.array(done, pa.string())


_WRITERS: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]]] = (
    (pa.types.is_string, write_text),
    (pa.types.is_large_string, write_text),
    (pa.types.is_null, write_text),
    (pa.types.is_boolean, write_boolean),
    (pa.types.is_integer, write_integer),
    (pa.types.is_duration, write_duration),
    (pa.types.is_binary, write_bytes),
    (pa.types.is_large_binary, write_bytes),
    (pa.types.is_fixed_size_binary, write_bytes),
)
"""Types that are written alike whatever the contract says; what is in no table is nested."""
