"""Sets of sequence numbers, kept as few ranges: which events of an epoch are there. Pure.

A set is a tuple of (first, last) pairs, both ends included, in order, none touching another. So
what is missing can be said exactly however many events there are.
"""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]
Ranges = tuple[Range, ...]


def add_ranges(known: Ranges, *added: Range) -> Ranges:
    """The union. Raises ValueError for a range that ends before it begins."""
    merged: list[Range] = []
    for first, last in sorted([*known, *added]):
        if last < first:
            raise ValueError(f"the range {first}-{last} ends before it begins")
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def find_missing(known: Ranges, first: int, last: int) -> Ranges:
    """What of first to last is not in the set."""
    missing: list[Range] = []
    next_wanted = first
    for start, end in known:
        if start > last:
            break
        if start > next_wanted:
            missing.append((next_wanted, start - 1))
        next_wanted = max(next_wanted, end + 1)
    if next_wanted <= last:
        missing.append((next_wanted, last))
    return tuple(missing)


def count_numbers(ranges: Iterable[Range]) -> int:
    return sum(last - first + 1 for first, last in ranges)
