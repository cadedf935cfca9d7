"""One column of a batch as text, told apart by value where values repeat.

Most columns of most files hold few distinct texts per batch. Those are cast, checked and counted
once per distinct text; a column whose texts hardly repeat is worked on row by row. Which of the two
happens changes nothing but the time that it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.formats.repeated import REPEATING, repeats
from eventpulse.rows.casting import Mask

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Cells:
    """`texts` are the distinct texts, null where a null marker stands, and `places` says for each
    row which of them it has; without `places`, each row has its own."""

    texts: pa.Array
    places: npt.NDArray[np.int32] | None
    rows: int

    @cached_property
    def at(self) -> Rows | None:
        """`places` as numpy indexes by them, without converting them each time."""
        return None if self.places is None else self.places.astype(np.intp)

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many rows have each text."""
        if self.at is None:
            return np.ones(self.rows, np.int64)
        return np.bincount(self.at, minlength=len(self.texts))

    @cached_property
    def empty(self) -> Mask:
        """Which texts are null."""
        mask: Mask = self.texts.is_null().to_numpy(zero_copy_only=False)
        return mask

    def count(self, mask: Mask) -> int:
        """How many rows have one of these texts."""
        return int(mask.sum() if self.places is None else self.counts[mask].sum())

    def find_rows(self, mask: Mask) -> Rows:
        """Which rows have one of these texts, ascending."""
        return np.flatnonzero(mask if self.at is None else mask[self.at])

    def spread(self, values: pa.Array, rows: Rows | None = None) -> pa.Array:
        """One value for each row, or for each of some rows, from one for each text."""
        if self.places is None:
            return values if rows is None else values.take(pa.array(rows))
        places = self.places if rows is None else self.places[rows]
        return _take(values, places)

    def encode(self, values: pa.Array, left_out: Rows) -> pa.Array:
        """As `spread`, for all rows but a few. Text that repeats comes as Arrow's dictionary array,
        without a copy."""
        if self.places is None:
            return (
                _take(values, _leave_out(np.arange(self.rows), left_out))
                if len(left_out)
                else values
            )
        places = _leave_out(self.places, left_out)
        if not pa.types.is_string(values.type):
            return _take(values, places)
        if not values.null_count:
            return pa.DictionaryArray.from_arrays(pa.array(places), values)
        valid = values.is_valid().to_numpy(zero_copy_only=False)
        moved = np.cumsum(valid, dtype=np.int32) - np.int32(1)
        moved_places = pa.array(moved[places], mask=~valid[places])
        return pa.DictionaryArray.from_arrays(moved_places, values.drop_null())


def _take(values: pa.Array, places: npt.NDArray[Any]) -> pa.Array:
    return pc.take(values, pa.array(places), boundscheck=False)


def _leave_out(places: npt.NDArray[Any], rows: Rows) -> npt.NDArray[Any]:
    """All places but those of these rows (ascending): mostly a few, between which much is copied
    at once."""
    if not len(rows):
        return places
    if len(rows) * 64 > len(places):
        return np.delete(places, rows)
    edges = zip([0, *(rows + 1).tolist()], [*rows.tolist(), len(places)], strict=True)
    return np.concatenate([places[start:end] for start, end in edges])


def tell_apart(text: pa.Array, null_markers: Sequence[str]) -> Cells:
    """The cells of a text column; null markers become null."""
    if pa.types.is_dictionary(text.type):
        if len(text.dictionary) > REPEATING * len(text):
            text = text.dictionary_decode()
    elif repeats(text):
        text = text.dictionary_encode(null_encoding="encode")
    if not pa.types.is_dictionary(text.type):
        return Cells(_without_markers(text, null_markers), None, len(text))
    places = text.indices.to_numpy(zero_copy_only=False)
    return Cells(_without_markers(text.dictionary, null_markers), places, len(text))


def _without_markers(text: pa.Array, null_markers: Sequence[str]) -> pa.Array:
    for marker in null_markers:
        found = pc.equal(text, pa.scalar(marker, pa.string()))
        if pc.any(found).as_py():
            text = pc.if_else(found, pa.scalar(None, pa.string()), text)
    return text
