"""Sets of sequence numbers as ranges: they are what the plain sets are."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.fleet.seq_ranges import Range, Ranges, add_ranges, count_numbers, find_missing

MANY = st.lists(
    st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda each: (each[0], sum(each))),
    max_size=12,
)


def numbers(ranges: Ranges | list[Range]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(MANY, MANY)
def test_a_union_holds_what_both_hold_in_as_few_ranges_as_can_be(
    first: list[Range], second: list[Range]
) -> None:
    known = add_ranges((), *first)
    union = add_ranges(known, *second)
    assert numbers(union) == numbers(first) | numbers(second)
    assert count_numbers(union) == len(numbers(union))
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(union))


@given(MANY, st.integers(1, 40), st.integers(0, 40))
def test_what_is_missing_is_all_that_is_not_there(
    ranges: list[Range], first: int, more: int
) -> None:
    known = add_ranges((), *ranges)
    missing = find_missing(known, first, first + more)
    assert numbers(missing) == set(range(first, first + more + 1)) - numbers(known)
    assert add_ranges((), *missing) == missing


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="5-4"):
        add_ranges((), (5, 4))
