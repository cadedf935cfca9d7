"""Profiles of columns, gathered in one pass in bounded memory, the same however a file is cut.

Nothing here depends on the order of batches or on chance. Of each column, the values with the
smallest hashes are kept with their counts (a bottom-k sketch): as long as a column has no more
distinct values than are kept, its distinct count, top values and quantiles are exact. Beyond that,
the distinct count is estimated from how dense the hashes lie (standard error 1.6%), and top values
and quantiles are those of a sample of rows that their record numbers choose (a share of the sample
is within one percentage point of the column's, nineteen times in twenty).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.rules import MASK
from eventpulse.ports import Json
from eventpulse.rows.cells import Cells, Rows
from eventpulse.rows.fingerprints import Words, hash_values
from eventpulse.values import format_time

EXACT_DISTINCT = 4_096
"""Up to so many distinct values, a profile is exact."""
SAMPLED_ROWS = 10_000
TOP_VALUES = 10
SHOWN_CHARACTERS = 200
"""Longer texts are cut in profiles, as they may be megabytes."""
QUANTILES: Mapping[str, float] = {
    "p01": 0.01,
    "p05": 0.05,
    "p25": 0.25,
    "p50": 0.50,
    "p75": 0.75,
    "p95": 0.95,
    "p99": 0.99,
}
_SEED = 0x5DEECE66D1CE4E5B
_PENDING = 4 * EXACT_DISTINCT
_ALL = np.uint64(2**64 - 1)


@dataclass(frozen=True, slots=True)
class SeenValues:
    """Values of one batch with their hashes and counts; a value may occur twice among them."""

    hashes: Words
    counts: npt.NDArray[np.int64]
    values: pa.Array


@dataclass(frozen=True, slots=True)
class SeenColumn:
    """What one batch adds to the profile of a column. `sampled` are its values in sampled rows."""

    minimum: Any
    maximum: Any
    lengths: tuple[int, int, int] | None
    """Shortest, longest, sum over all cells; in characters, of text only."""
    seen: SeenValues
    sampled: pa.Array


class DistinctValues:
    """The distinct values with the smallest hashes, and how often each stood in the column."""

    def __init__(self, type_: pa.DataType) -> None:
        self._kept = SeenValues(np.empty(0, np.uint64), np.empty(0, np.int64), pa.array([], type_))
        self._pending: list[SeenValues] = []
        self._waiting = 0
        self._more = False
        self.limit = _ALL
        """Values whose hash is greater are not among those kept."""

    def add(self, seen: SeenValues) -> None:
        self._pending.append(seen)
        self._waiting += len(seen.hashes)
        if self._waiting > _PENDING:
            self._settle()

    def _settle(self) -> None:
        parts = [self._kept, *self._pending]
        hashes = np.concatenate([part.hashes for part in parts])
        distinct, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        counts = np.zeros(len(distinct), np.int64)
        np.add.at(counts, inverse, np.concatenate([part.counts for part in parts]))
        if len(distinct) > EXACT_DISTINCT:
            self._more = True
            self.limit = distinct[EXACT_DISTINCT - 1]
        kept = slice(EXACT_DISTINCT)
        values = pa.chunked_array([part.values for part in parts])
        values = values.take(pa.array(first[kept])).combine_chunks()
        self._kept = SeenValues(distinct[kept], counts[kept], values)
        self._pending, self._waiting = [], 0

    @property
    def values(self) -> SeenValues:
        if self._pending:
            self._settle()
        return self._kept

    @property
    def exact(self) -> bool:
        """Whether all distinct values are kept."""
        if self._pending:
            self._settle()
        return not self._more

    def estimate(self) -> int:
        """How many distinct values there are; exact when `exact` says so."""
        kept = self.values.hashes
        if self.exact:
            return len(kept)
        return round((EXACT_DISTINCT - 1) / (int(kept[-1]) / 2**64))


class SampledRows:
    """The rows whose record numbers have the smallest hashes: which ones, and their values."""

    def __init__(self) -> None:
        self._ranks = np.empty(0, np.uint64)
        self._columns: list[pa.ChunkedArray] = []
        self.limit = _ALL
        self.rows_seen = 0

    def rank(self, records: pa.Array, nth_object: int) -> Words:
        """By what the rows of an object are chosen."""
        (ranks,) = hash_values(records, [_SEED + nth_object])
        return ranks

    def choose(self, ranks: Words) -> Rows:
        """The rows that may be among the sample."""
        return np.flatnonzero(ranks <= self.limit)

    def add(self, ranks: Words, columns: Sequence[pa.Array], rows: int) -> None:
        """Add the values of chosen rows, from a batch of so many rows."""
        self.rows_seen += rows
        chunks = [pa.chunked_array([column]) for column in columns]
        if self._columns:
            chunks = [
                pa.chunked_array([*mine.chunks, *new.chunks])
                for mine, new in zip(self._columns, chunks, strict=True)
            ]
        self._ranks, self._columns = np.concatenate([self._ranks, ranks]), chunks
        if len(self._ranks) > 2 * SAMPLED_ROWS:
            self._settle()

    def _settle(self) -> None:
        order = np.argsort(self._ranks, kind="stable")[:SAMPLED_ROWS]
        self._ranks = self._ranks[order]
        if len(order) == SAMPLED_ROWS:
            self.limit = self._ranks[-1]
        chosen = pa.array(order)
        self._columns = [pa.chunked_array([c.take(chosen).combine_chunks()]) for c in self._columns]

    @property
    def size(self) -> int:
        return min(len(self._ranks), SAMPLED_ROWS)

    def column(self, index: int) -> pa.Array:
        if len(self._ranks) > SAMPLED_ROWS:
            self._settle()
        return self._columns[index].combine_chunks()


@dataclass
class ColumnProfile:
    """Of one column's values, over all rows; values that did not fit its type are left out."""

    type: pa.DataType
    minimum: Any = None
    maximum: Any = None
    lengths: tuple[int, int, int] | None = None
    distinct: DistinctValues = field(init=False)

    def __post_init__(self) -> None:
        self.distinct = DistinctValues(self.type)

    def add(self, seen: SeenColumn) -> None:
        self.distinct.add(seen.seen)
        if seen.minimum is not None:
            self.minimum = seen.minimum if self.minimum is None else min(self.minimum, seen.minimum)
            self.maximum = seen.maximum if self.maximum is None else max(self.maximum, seen.maximum)
        if seen.lengths is not None:
            shortest, longest, total = self.lengths or (seen.lengths[0], 0, 0)
            self.lengths = (
                min(shortest, seen.lengths[0]),
                max(longest, seen.lengths[1]),
                total + seen.lengths[2],
            )

    def to_json(self, cells: int, sample: SampledRows, index: int, hidden: bool) -> dict[str, Json]:
        """`cells` is how many values there are; `hidden` leaves out every value."""
        whole = self.distinct.exact or sample.rows_seen <= sample.size
        top: list[Json] = []
        quantiles: dict[str, Json] | None = None
        if cells and not hidden:
            values, counts = self._weigh(sample, index)
            top = [
                {"value": _plain(value), "count": count}
                for value, count in _find_top(values, counts, 1.0 if whole else cells)
            ]
            quantiles = _find_quantiles(values, counts)
        return {
            "minimum": MASK if hidden and cells else _plain(self.minimum),
            "maximum": MASK if hidden and cells else _plain(self.maximum),
            "distinct": self.distinct.estimate(),
            "distinct_estimated": not self.distinct.exact,
            "top_values": top,
            "quantiles": quantiles,
            "sampled_rows": None if whole else sample.size,
            "lengths": self._describe_lengths(cells),
        }

    def _weigh(self, sample: SampledRows, index: int) -> tuple[pa.Array, npt.NDArray[np.int64]]:
        """Values and how often each was seen: in all rows, or in those of the sample."""
        if self.distinct.exact:
            return self.distinct.values.values, self.distinct.values.counts
        counted = sample.column(index).drop_null().value_counts()
        return counted.field(0), counted.field(1).to_numpy(zero_copy_only=False)

    def _describe_lengths(self, cells: int) -> dict[str, Json] | None:
        if self.lengths is None:
            return None
        shortest, longest, total = self.lengths
        return {"minimum": shortest, "maximum": longest, "mean": round(total / cells, 3)}


def profile_cells(cells: Cells, typed: pa.Array, limit: np.uint64, sampled: Rows) -> SeenColumn:
    """What a batch of cells adds; `typed` has a value for each text, null where it has none.

    Values whose hash is greater than `limit` are left out of the distinct ones.
    """
    lengths = _measure(cells, typed) if pa.types.is_string(typed.type) else None
    shown = typed
    if lengths is not None and lengths[1] > SHOWN_CHARACTERS:
        shown = pc.utf8_slice_codeunits(typed, 0, SHOWN_CHARACTERS)
    elif pa.types.is_floating(typed.type):
        shown = pc.add(typed, 0.0)  # -0.0 and 0.0 are one value
    kept = np.flatnonzero(typed.is_valid().to_numpy(zero_copy_only=False))
    if not len(kept):
        nothing = SeenValues(np.empty(0, np.uint64), np.empty(0, np.int64), shown[:0])
        return SeenColumn(None, None, None, nothing, cells.spread(shown, sampled))
    minimum = maximum = None
    if not pa.types.is_boolean(typed.type):
        extent = pc.min_max(shown)
        minimum, maximum = extent["min"].as_py(), extent["max"].as_py()
    (hashes,) = hash_values(typed, [_SEED])
    kept = kept[hashes[kept] <= limit]
    seen = SeenValues(hashes[kept], cells.counts[kept], shown.take(pa.array(kept)))
    return SeenColumn(minimum, maximum, lengths, seen, cells.spread(shown, sampled))


def _measure(cells: Cells, text: pa.Array) -> tuple[int, int, int] | None:
    if text.null_count == len(text):
        return None
    sizes = pc.binary_length(text) if _is_ascii(text) else pc.utf8_length(text)
    extent = pc.min_max(sizes)
    weighted = np.dot(sizes.fill_null(0).to_numpy(zero_copy_only=False), cells.counts)
    return extent["min"].as_py(), extent["max"].as_py(), int(weighted)


def _is_ascii(text: pa.Array) -> bool:
    data = text.buffers()[2]
    return data is None or bytes(memoryview(data)).isascii()


def _find_top(
    values: pa.Array, counts: npt.NDArray[np.int64], cells: float
) -> Iterator[tuple[Any, int]]:
    """The most frequent values that stand there more than once; `cells` scales a sample up."""
    scale = 1.0 if cells == 1.0 else cells / int(counts.sum())
    enough = np.sort(counts)[-TOP_VALUES:][0]
    likely = np.flatnonzero(counts >= max(int(enough), 2))
    found = zip(values.take(pa.array(likely)).to_pylist(), counts[likely].tolist(), strict=True)
    ranked = sorted(found, key=lambda each: (-each[1], str(each[0])))
    for value, count in ranked[:TOP_VALUES]:
        yield value, round(count * scale)


def _find_quantiles(values: pa.Array, counts: npt.NDArray[np.int64]) -> dict[str, Json] | None:
    """Values of the column itself, none in between: the smallest that so large a share reaches."""
    if pa.types.is_string(values.type) or pa.types.is_boolean(values.type):
        return None
    order = pc.sort_indices(values).to_numpy()
    reached = np.cumsum(counts[order])
    total = int(reached[-1])
    wanted = [max(int(np.ceil(share * total)), 1) for share in QUANTILES.values()]
    at = np.searchsorted(reached, wanted)
    found = values.take(pa.array(order[at])).to_pylist()
    return {name: _plain(value) for name, value in zip(QUANTILES, found, strict=True)}


def _plain(value: Any) -> Json:
    if isinstance(value, datetime):
        return format_time(value)
    return value if isinstance(value, int | float | str | None) else str(value)
