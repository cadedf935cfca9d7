"""A column of a sheet's cells becomes text: by their types and styles, never by how they look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.contract import Field
from eventpulse.formats.canonical import (
    Shown,
    write_boolean,
    write_duration,
    write_moment,
    write_number,
)
from eventpulse.formats.sheet_xml import RawCell
from eventpulse.formats.workbook import Epoch, Style
from eventpulse.formats.xml import XmlBroken, resolve_escapes

NO_CELL: RawCell = (b"", b"", b"", b"", b"", b"")
_DAY_MS = 86_400_000
_EPOCH_DAYS: Mapping[Epoch, int] = {1900: -25_569, 1904: -24_107}
"""Day 0 of each epoch, in days from 1970. The 1900 epoch counts a 29 February 1900 (day 60)."""
_LAST_DAY: Mapping[Epoch, int] = {1900: 2_958_466, 1904: 2_957_004}
"""The day after 9999-12-31."""
_LEAP_DAY = 60
_PLAIN_NUMBER = r"^-?(0|[1-9][0-9]*)$"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CellTypes:
    """What a workbook's cells refer to, and how the contract writes numbers and nulls."""

    styles: Sequence[Style]
    shared: pa.Array
    epoch: Epoch
    decimal_mark: str
    null_markers: frozenset[str]


Fault = tuple[str, str]
"""What is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class ColumnText:
    """One string array, null where a cell is empty, and what is wrong with cells of no value."""

    text: pa.Array
    problems: Mapping[int, Fault]


def read_column(cells: Sequence[RawCell], types: CellTypes, known: Field | None) -> ColumnText:
    """`known` is the contract's field, None where it knows none. Raises XmlBroken.

    An error such as `#N/A` is no value, unless it is a null marker; nor is a formula whose result
    was not stored. In a column that the contract does not know both are text.
    """
    keys = [cell[1:3] for cell in cells]
    if keys.count(keys[0]) == len(keys):
        return ColumnText(*_read_group(cells, *keys[0], types, known))
    groups: dict[tuple[bytes, bytes], list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    parts: list[pa.Array] = []
    problems: dict[int, Fault] = {}
    for key, rows in groups.items():
        text, wrong = _read_group([cells[row] for row in rows], *key, types, known)
        parts.append(text)
        problems.update((rows[row], problem) for row, problem in wrong.items())
    order = np.argsort(np.concatenate([np.array(rows) for rows in groups.values()]))
    return ColumnText(pa.concat_arrays(parts).take(pa.array(order)), problems)


def _style(types: CellTypes, number: bytes) -> Style:
    index = int(number or b"0") if number.isdigit() or not number else 0
    return types.styles[index] if index < len(types.styles) else Style()


Group = tuple[pa.Array, dict[int, Fault]]


def _read_group(
    cells: Sequence[RawCell], style: bytes, kind: bytes, types: CellTypes, known: Field | None
) -> Group:
    """Cells of one style and type."""
    if kind == b"s":
        return _take_shared([cell[4] for cell in cells], types.shared), {}
    if kind == b"inlineStr":
        return _to_text([resolve_escapes(cell[5]) for cell in cells]), {}
    if kind == b"str":
        return _to_text([resolve_escapes(cell[4]) for cell in cells]), {}
    if kind == b"e":
        return _read_errors(cells, types, known)
    problems = _find_unstored(cells) if known is not None else {}
    text = _to_text([cell[4] or None for cell in cells])
    if kind == b"b":
        truth = pc.is_in(text, value_set=pa.array(["1", "true"]))
        return pc.if_else(pc.is_valid(text), write_boolean(truth), text), problems
    if kind == b"d":
        return _read_iso(text, known), problems
    return _read_numbers(text, _style(types, style), types, known), problems


def _find_unstored(cells: Sequence[RawCell]) -> dict[int, Fault]:
    return {
        row: (
            "has a formula without a stored result",
            "Open the workbook in a spreadsheet program, save it and upload it again.",
        )
        for row, cell in enumerate(cells)
        if cell[3] and not cell[4]
    }


def _read_errors(cells: Sequence[RawCell], types: CellTypes, known: Field | None) -> Group:
    text = _to_text([cell[4] for cell in cells])
    if known is None:
        return text, {}
    problems = {
        row: (f"has the error {shown}", "Correct it, or declare it as one of the `nullMarkers`.")
        for row, shown in enumerate(text.to_pylist())
        if shown not in types.null_markers
    }
    return text, problems


def _to_text(values: Sequence[bytes | None]) -> pa.Array:
    try:
        return pa.array(values, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid as error:
        raise XmlBroken("a cell is not UTF-8") from error


def _take_shared(indices: Sequence[bytes], shared: pa.Array) -> pa.Array:
    try:
        wanted = pa.array([int(each) if each else None for each in indices], pa.int64())
        return shared.take(wanted)
    except (ValueError, IndexError, OverflowError) as error:
        raise XmlBroken("a cell points to a text that is not there") from error


def _read_iso(text: pa.Array, known: Field | None) -> pa.Array:
    """Dates as ISO 8601, which only some programs write."""
    moments = pc.coalesce(
        *(
            pc.strptime(text, format=each, unit="us", error_is_null=True)
            for each in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%Y-%m-%dT%H:%M")
        )
    )
    return pc.coalesce(write_moment(moments, known, "date"), text)


# --- Numbers -------------------------------------------------------------------------------------


def _read_numbers(text: pa.Array, style: Style, types: CellTypes, known: Field | None) -> pa.Array:
    """What is no number stays as it is written."""
    if (
        style.shown == "number"
        and not style.digits
        and _all(pc.match_substring_regex(text, _PLAIN_NUMBER))
    ):
        return text
    numbers = _to_floats(text)
    written = _write_numbers(text, numbers, types.decimal_mark)
    if style.digits:
        whole = pc.match_substring_regex(written, r"^[0-9]+$")
        return pc.if_else(whole, pc.utf8_lpad(written, style.digits, "0"), written)
    if style.shown == "duration":
        return pc.coalesce(_write_spans(numbers), written)
    if style.shown == "number":
        return written
    return pc.coalesce(_write_serials(numbers, style.shown, types.epoch, known), written)


def _to_floats(text: pa.Array) -> pa.Array:
    """Null where there is no finite number."""
    try:
        numbers = text.cast(pa.float64())
    except pa.ArrowInvalid:
        numbers = pa.array([_to_float(each) for each in text.to_pylist()], pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))


def _to_float(text: str | None) -> float | None:
    try:
        return None if text is None or "_" in text else float(text)
    except ValueError:
        return None


def _write_numbers(text: pa.Array, numbers: pa.Array, decimal_mark: str) -> pa.Array:
    """Whole numbers keep all the digits that they are written with."""
    plain = pc.match_substring_regex(text, _PLAIN_NUMBER)
    keep = pc.or_(pc.fill_null(plain, True), pc.is_null(numbers))
    return pc.if_else(keep, text, write_number(numbers, decimal_mark))


def _write_spans(numbers: pa.Array) -> pa.Array:
    """Fractions of days as hours; null where they are beyond any sense."""
    days = numbers.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        sensible = np.abs(days) < _LAST_DAY[1900]
    milliseconds = np.round(np.where(sensible, days, 0.0) * _DAY_MS).astype(np.int64)
    return write_duration(pa.array(milliseconds, pa.duration("ms"), mask=~sensible))


def _write_serials(numbers: pa.Array, shown: Shown, epoch: Epoch, known: Field | None) -> pa.Array:
    """Days since the epoch as text; null where they are none."""
    days = numbers.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        valid = (days >= 0) & (days < _LAST_DAY[epoch])
        timeless = known is not None and known.type == "time"
        if epoch == 1900 and shown != "time" and not timeless:
            valid &= days >= 1  # day 0 is no date: spreadsheets show 1900-01-00
    safe = np.where(valid, days, 0.0)
    clock = (safe < 1) & (shown == "time" or timeless)
    whole = np.floor(safe)
    milliseconds = np.round((safe - whole) * _DAY_MS).astype(np.int64)
    if epoch == 1900:
        whole = np.where(whole < _LEAP_DAY, whole + 1, whole)
    since = (whole.astype(np.int64) + _EPOCH_DAYS[epoch]) * _DAY_MS + milliseconds
    moments = pa.array(since, pa.timestamp("ms"), mask=~valid | clock)
    text = write_moment(moments, known, "moment" if shown == "time" else shown)
    if clock.any():
        times = pa.array(milliseconds % _DAY_MS, pa.timestamp("ms"), mask=~(valid & clock))
        text = pc.coalesce(text, write_moment(times, known, "time"))
    if epoch == 1900:
        leap = valid & (np.floor(safe) == _LEAP_DAY)
        text = pc.if_else(pa.array(leap), "1900-02-29", text) if leap.any() else text
    return text


def _all(mask: pa.Array) -> bool:
    return bool(pc.all(mask).as_py())
