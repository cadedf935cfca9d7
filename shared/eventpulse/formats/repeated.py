"""Text in Arrow: one string a cell or, where texts repeat, a dictionary array."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

REPEATED_TEXT = pa.dictionary(pa.int32(), pa.string())
LOOKED_AT = 512
"""Cells spread over a column, by which it is judged whether its texts repeat."""
REPEATING = 0.75
"""Up to this share of distinct texts among those, they do."""


def repeats(text: pa.Array) -> bool:
    """Whether so many cells have the same text that each is better known once."""
    if not len(text):
        return False
    step = max(len(text) // LOOKED_AT, 1)
    seen = text.take(pa.array(np.arange(0, len(text), step)))
    return len(seen.unique()) <= REPEATING * len(seen)


def spell_out(text: pa.Array) -> pa.Array:
    """One string a cell."""
    return text.dictionary_decode() if pa.types.is_dictionary(text.type) else text


def find_substring(array: pa.Array, part: str) -> list[int]:
    """The rows whose text has that part."""
    repeated = pa.types.is_dictionary(array.type)
    found = pc.match_substring(array.dictionary if repeated else array, part)
    if not pc.any(found).as_py():
        return []
    rows: list[int] = pc.indices_nonzero(
        found.take(array.indices) if repeated else found
    ).to_pylist()
    return rows
