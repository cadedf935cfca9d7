"""Profiles against what plain Python says of the same cells."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import MASKED_CLASSIFICATIONS
from eventpulse.contracts.rules import MASK
from eventpulse.rows.profiles import EXACT_DISTINCT, QUANTILES, SHOWN_CHARACTERS
from tests.unit.rows.row_checks import Cells, cells_of, check, contract_of, field_of


def profile_of(
    type_: str, cells: Sequence[str], *, batches: Sequence[int] = (), **changed: Any
) -> dict[str, Any]:
    contract = contract_of(field_of(type_, **changed))
    (found,) = check(contract, cells_of(*cells), batches=batches).checker.describe_columns()
    return found


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=60))
def test_few_values_are_profiled_exactly(numbers: list[int]) -> None:
    found = profile_of("integer", [str(n) for n in numbers], batches=[len(numbers) // 2])
    ordered = sorted(numbers)
    assert found["distinct"] == len(set(numbers))
    assert found["distinct_estimated"] is False
    assert found["sampled_rows"] is None
    assert found["quantiles"] == {
        name: ordered[max(math.ceil(share * len(ordered)), 1) - 1]
        for name, share in QUANTILES.items()
    }
    frequent = sorted(
        ((n, c) for n, c in Counter(numbers).items() if c > 1), key=lambda e: (-e[1], str(e[0]))
    )
    assert found["top_values"] == [{"value": n, "count": c} for n, c in frequent[:10]]


@given(st.lists(st.text("aé𝄞", max_size=5).filter(bool), min_size=1, max_size=30))
def test_lengths_are_in_characters(texts: list[str]) -> None:
    found = profile_of("string", texts)
    sizes = [len(each) for each in texts]
    assert found["lengths"] == {
        "minimum": min(sizes),
        "maximum": max(sizes),
        "mean": round(sum(sizes) / len(sizes), 3),
    }
    assert found["quantiles"] is None


def test_what_does_not_fit_the_type_is_left_out() -> None:
    found = profile_of("integer", ["1", "x", "", "1", "2"])
    assert (found["cells"], found["nulls"], found["mistyped"], found["distinct"]) == (4, 1, 1, 2)
    assert found["top_values"] == [{"value": 1, "count": 2}]
    assert found["lengths"] is None


def test_refused_rows_are_profiled_too() -> None:
    found = profile_of("integer", ["1", "99"], maximum="9")
    assert (found["maximum"], found["distinct"]) == (99, 2)


def test_texts_of_one_value_are_one_value() -> None:
    found = profile_of("number", ["1", "1.0", "+1", "0", "-0", "1e0"])
    assert found["distinct"] == 2
    assert found["top_values"] == [{"value": 1.0, "count": 4}, {"value": 0.0, "count": 2}]
    assert str(found["minimum"]) == "0.0"


def test_an_empty_column_has_a_profile() -> None:
    found = profile_of("string", ["", ""])
    assert (found["distinct"], found["top_values"], found["quantiles"]) == (0, [], None)
    assert (found["minimum"], found["lengths"]) == (None, None)


def test_many_distinct_values_are_estimated_closely() -> None:
    count = 60_000
    numbers = [str(n * 7) for n in range(count)]
    found = profile_of("integer", numbers, batches=range(0, count, 9_000))
    assert found["distinct_estimated"] is True
    assert abs(found["distinct"] - count) < 0.05 * count
    assert found["top_values"] == []
    for name, share in QUANTILES.items():
        assert abs(found["quantiles"][name] / 7 / count - share) < 0.02


def test_frequent_values_are_found_among_very_many() -> None:
    count = 60_000
    cells = [("often" if n % 4 == 0 else "less" if n % 10 == 1 else str(n)) for n in range(count)]
    found = profile_of("string", cells, batches=range(0, count, 20_000))
    top = {each["value"]: each["count"] for each in found["top_values"]}
    assert list(top)[:2] == ["often", "less"]
    assert abs(top["often"] - cells.count("often")) < 0.02 * count
    assert abs(top["less"] - cells.count("less")) < 0.02 * count


def test_as_many_values_as_are_kept_are_counted_exactly() -> None:
    exact = profile_of("integer", [str(n) for n in range(EXACT_DISTINCT)])
    assert (exact["distinct"], exact["distinct_estimated"]) == (EXACT_DISTINCT, False)
    more = profile_of("integer", [str(n) for n in range(EXACT_DISTINCT + 1)])
    assert more["distinct_estimated"] is True


def test_long_texts_are_cut() -> None:
    cell = "x" * 5_000
    found = profile_of("string", [cell, cell, "y" * 5_000])
    assert found["top_values"] == [{"value": "x" * SHOWN_CHARACTERS, "count": 2}]
    assert found["maximum"] == "y" * SHOWN_CHARACTERS
    assert found["distinct"] == 2
    assert found["lengths"]["maximum"] == 5_000


@pytest.mark.parametrize("classification", sorted(MASKED_CLASSIFICATIONS))
def test_profiles_of_classified_columns_show_no_value(classification: Any) -> None:
    rows: list[Cells] = [["4711", "1"], ["4711", "1"], ["4712", "1"]]
    contract = contract_of(
        field_of("integer", name="secret", classification=classification),
        field_of("integer", name="open"),
    )
    secret, open_ = check(contract, rows).checker.describe_columns()
    assert "471" not in str({**secret, "distinct": None})
    assert (secret["minimum"], secret["top_values"], secret["quantiles"]) == (MASK, [], None)
    assert (secret["distinct"], secret["cells"]) == (2, 3)
    assert open_["top_values"] == [{"value": 1, "count": 3}]
