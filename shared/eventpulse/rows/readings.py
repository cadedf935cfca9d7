"""How the cells of a column could be read otherwise: never to read them so, only to say so.

`01/02/2024` is the first of February or the second of January, `1,234` a fraction or a thousand.
Where cells are refused, the report says which readings fit every cell of the column, over all rows:
one, and the contract can declare it; two, and only the supplier knows. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.contract import Field
from eventpulse.rows.casting import cast_text

_ORDERS = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%Y{0}%m{0}%d", "%d{0}%m{0}%y", "%m{0}%d{0}%y")
_DAYS = (
    *(order.format(separator) for separator in "./-" for order in _ORDERS),
    *("%y/%m/%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y"),
)
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
DATE_FORMATS: tuple[str, ...] = (
    *_DAYS,
    *(f"{day} {clock}" for day in _DAYS for clock in _CLOCKS),
    *(f"{day} {clock} %z" for day in _DAYS for clock in _CLOCKS[:2]),
    *(f"%Y-%m-%dT{clock}" for clock in _CLOCKS[:2]),
)
"""The formats in which days and moments are looked for, ISO 8601 aside."""

_LITERALS = {each: frozenset(re.sub("%.| ", "", each)) for each in DATE_FORMATS}
"""What a text that a format reads must hold; white space may be missing."""

_DIGITS = "[0-9]{1,3}"
_SPACE = r"[ \x{a0}\x{202f}]"
NUMBER_READINGS: Mapping[str, tuple[str, str]] = {
    "decimal comma": (",", "[0-9]+(,[0-9]+)?"),
    "decimal comma, points between thousands": (",", rf"{_DIGITS}(\.[0-9]{{3}})*(,[0-9]+)?"),
    "decimal comma, spaces between thousands": (",", f"{_DIGITS}({_SPACE}[0-9]{{3}})*(,[0-9]+)?"),
    "decimal point": (".", r"[0-9]+(\.[0-9]+)?"),
    "decimal point, commas between thousands": (".", rf"{_DIGITS}(,[0-9]{{3}})*(\.[0-9]+)?"),
    "decimal point, spaces between thousands": (
        ".",
        rf"{_DIGITS}({_SPACE}[0-9]{{3}})*(\.[0-9]+)?",
    ),
}
"""Numbers that people write, by name: their decimal mark, and what they look like, in RE2."""

_NUMBERS = ("integer", "number", "decimal")
_SAMPLE = 50
"""Cells on which a format is tried before all others."""

Candidates = tuple[str, ...]


def list_candidates(own: Field) -> Candidates:
    """What may be another reading of a column. Declared formats are the contract's own reading."""
    if own.type in ("date", "timestamp"):
        return tuple(each for each in DATE_FORMATS if each not in own.formats)
    return tuple(NUMBER_READINGS) if own.column_type in _NUMBERS else ()


def keep_fitting(
    candidates: Candidates, own: Field, texts: pa.Array, mistyped: npt.NDArray[np.bool_]
) -> Candidates:
    """The candidates that fit each of the texts, of which the field's type refuses the `mistyped`.

    Nulls fit everything.
    """
    if not candidates:
        return candidates
    if own.column_type in _NUMBERS:
        return _keep_numbers(candidates, own, texts, mistyped)
    texts = pc.utf8_trim_whitespace(texts.drop_null())
    if not len(texts):
        return candidates
    signs = set(texts[0].as_py())
    possible = [each for each in candidates if _LITERALS[each] <= signs]
    first = [each for each in possible if _reads(each, texts[:_SAMPLE])]
    return tuple(each for each in first if _reads(each, texts))


def _reads(date_format: str, texts: pa.Array) -> bool:
    reading = Field("", type="timestamp", formats=(date_format,))
    return not cast_text(reading, texts)[1].any()


def _keep_numbers(
    candidates: Candidates, own: Field, texts: pa.Array, mistyped: npt.NDArray[np.bool_]
) -> Candidates:
    """What the type admits is a number with the contract's mark, or a whole one: these fit too."""
    others = [each for each in candidates if NUMBER_READINGS[each][0] != own.decimal_mark]
    if others and own.column_type != "integer":
        marked = pc.match_substring(texts, own.decimal_mark).fill_null(False)
        if (marked.to_numpy(zero_copy_only=False) & ~mistyped).any():
            candidates = tuple(each for each in candidates if each not in others)
    if not mistyped.any():
        return candidates
    wrong = pc.utf8_trim_whitespace(texts.filter(pa.array(mistyped)))
    return tuple(each for each in candidates if _matches(NUMBER_READINGS[each][1], wrong))


def _matches(pattern: str, texts: pa.Array) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, f"^[+-]?{pattern}$")).as_py())
