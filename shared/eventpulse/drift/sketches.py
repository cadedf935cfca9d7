"""What a column looks like, in a kilobyte: to tell whether another column is the same one. Pure.

A sketch is made of the first rows of a file (`sketching`). The one of the last accepted schema is
kept in the reports bucket, so it holds no value: values are there as hashes, and of a classified
column not even so.
"""

from __future__ import annotations

from collections.abc import Mapping

from eventpulse.values import Value

MOST_HASHES = 128
MOST_TOP = 48
MOST_SHAPES = 12
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class ColumnSketch(Value):
    """`kinds` are the shares of the types that its cells read as, `shapes` those of their patterns
    (digits as 9, letters as a or A, runs cut short), `top` those of frequent values by their hash.
    `hashes` are the smallest of the distinct values' hashes, and `quantiles` those of numbers, or
    of moments in seconds."""

    cells: int = 0
    nulls: int = 0
    distinct: int = 0
    kinds: dict[str, float] = {}
    shapes: dict[str, float] = {}
    top: dict[str, float] = {}
    hashes: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()

    @property
    def kind(self) -> str:
        """The type that most cells read as; empty without cells."""
        return max(self.kinds, key=lambda kind: self.kinds[kind], default="")

    @property
    def is_unique(self) -> bool:
        """Whether nearly every cell is another: two files of one column then share no values."""
        return self.cells > 20 and self.distinct > 0.9 * self.cells

    @property
    def is_category(self) -> bool:
        return 0 < self.distinct <= MOST_TOP

    @property
    def null_share(self) -> float:
        return self.nulls / (self.cells + self.nulls) if self.cells + self.nulls else 0.0


def share_shapes(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """How much two distributions have in common, from 0 to 1."""
    return sum(min(share, other.get(key, 0.0)) for key, share in one.items())


def compare_sketches(one: ColumnSketch, other: ColumnSketch) -> dict[str, float]:
    """What the values say for two columns being one, each from 0 to 1; what says nothing is absent.

    `overlap` compares values, `distribution` the places of numbers and moments, `shapes` the
    patterns of text, `filled` the shares of empty cells.
    """
    if not one.cells or not other.cells:
        return {}
    found = {
        "shapes": share_shapes(one.shapes, other.shapes),
        "filled": 1.0 - abs(one.null_share - other.null_share),
    }
    overlap = _overlap(one, other)
    if overlap is not None:
        found["overlap"] = overlap
    if one.quantiles and other.quantiles:
        found["distribution"] = _compare_quantiles(one.quantiles, other.quantiles)
    return found


def _overlap(one: ColumnSketch, other: ColumnSketch) -> float | None:
    if not one.hashes or not other.hashes or one.is_unique or other.is_unique:
        return None
    if one.is_category and other.is_category:
        return share_shapes(one.top, other.top)
    mine, theirs = set(one.hashes), set(other.hashes)
    # Both know their distinct values up to the smaller of the two greatest hashes.
    bound = min(
        max(hashes) if len(hashes) == MOST_HASHES else "g" for hashes in (one.hashes, other.hashes)
    )
    mine, theirs = {h for h in mine if h <= bound}, {h for h in theirs if h <= bound}
    smaller = min(len(mine), len(theirs))
    return len(mine & theirs) / smaller if smaller else None


def _compare_quantiles(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    spread = max(one[-1] - one[0], other[-1] - other[0])
    if spread <= 0:
        return 1.0 if one == other else 0.0
    apart = sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)
    return max(0.0, 1.0 - 2.0 * apart / spread)
