"""Where cells are refused, the report says how all of a column could be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import Contract, Field
from eventpulse.formats import TextBatch
from eventpulse.rows.readings import NUMBER_READINGS, keep_fitting, list_candidates
from eventpulse.rows.validation import RowChecker
from tests.unit.rows.row_checks import contract_of, field_of

DAY = field_of("date")
PRICE = field_of("number")


def other_readings(own: Field, *batches: Sequence[str | None]) -> list[Any]:
    """What the report's column says after these batches of one column."""
    contract: Contract = contract_of(own)
    checker = RowChecker(contract, [own.name], [0])
    first = 1
    for cells in batches:
        numbers = pa.array(np.arange(first, first + len(cells)))
        checker.check(TextBatch(numbers, [pa.array(cells, pa.string())]))
        first += len(cells)
    [column] = checker.describe_columns()
    found = column["other_readings"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("why", "cells", "readings"),
    [
        ("two readings survive", ["01/02/2024", "03/04/2024"], ["%d/%m/%Y", "%m/%d/%Y"]),
        ("a day after the 12th decides", ["01/02/2024", "25/12/2024"], ["%d/%m/%Y"]),
        ("and so it does in America", ["01/02/2024", "12/25/2024"], ["%m/%d/%Y"]),
        ("nothing fits both", ["25/12/2024", "12/25/2024"], []),
        ("nulls do not matter", ["01/02/2024", None, "", "25/12/2024"], ["%d/%m/%Y"]),
        ("dots", ["31.12.2024"], ["%d.%m.%Y"]),
        ("ISO needs no other reading", ["2024-01-31"], []),
        ("ISO among others leaves none", ["2024-01-31", "01/02/2024"], []),
        ("a month by name", ["31 Jan 2024"], ["%d %b %Y", "%d %B %Y"]),
        ("with a time of day", ["31.12.2024 08:30"], ["%d.%m.%Y %H:%M"]),
    ],
)
def test_dates(why: str, cells: list[str | None], readings: list[str]) -> None:
    assert other_readings(DAY, cells) == readings, why


def test_the_last_row_of_many_batches_decides() -> None:
    batches = [["01/02/2024"] * 10 for _ in range(5)]
    assert other_readings(DAY, *batches) == ["%d/%m/%Y", "%m/%d/%Y"]
    assert other_readings(DAY, *batches, ["02/13/2024"]) == ["%m/%d/%Y"]


def test_a_wrong_declaration_shows_by_the_reading_that_fits_all() -> None:
    declared = field_of("date", formats=("%d/%m/%Y",))
    assert other_readings(declared, ["01/02/2024", "12/25/2024"]) == ["%m/%d/%Y"]
    assert other_readings(declared, ["01/02/2024", "03/04/2024"]) == [], "no cell is refused"


@pytest.mark.parametrize(
    ("why", "cells", "readings"),
    [
        (
            "a comma",
            ["1,5", "2", "10,25"],
            [
                "decimal comma",
                "decimal comma, points between thousands",
                "decimal comma, spaces between thousands",
            ],
        ),
        (
            "a comma or thousands",
            ["1,234", "12"],
            [
                "decimal comma",
                "decimal comma, points between thousands",
                "decimal comma, spaces between thousands",
                "decimal point, commas between thousands",
            ],
        ),
        ("thousands for sure", ["1,234", "1,234,567"], ["decimal point, commas between thousands"]),
        ("points for thousands", ["1.234,5"], ["decimal comma, points between thousands"]),
        (
            "a cell with a point decides",
            ["1,234", "1.5"],
            ["decimal point, commas between thousands"],
        ),
        ("narrow spaces", ["1\u202f234,5"], ["decimal comma, spaces between thousands"]),
        ("nothing fits", ["1,5", "2.5"], []),
        ("nor text", ["1,5", "many"], []),
        ("all is well", ["1.5", "2"], []),
    ],
)
def test_numbers(why: str, cells: list[str | None], readings: list[str]) -> None:
    assert other_readings(PRICE, cells) == readings, why


def test_numbers_under_a_declared_comma() -> None:
    comma = field_of("number", decimal_mark=",")
    assert other_readings(comma, ["1.5", "2"]) == [
        "decimal point",
        "decimal point, commas between thousands",
        "decimal point, spaces between thousands",
    ]
    assert other_readings(comma, ["1.5", "2,5"]) == []


def test_whole_numbers_and_text() -> None:
    assert other_readings(field_of("integer"), ["1,234"]) == [
        "decimal comma",
        "decimal comma, points between thousands",
        "decimal comma, spaces between thousands",
        "decimal point, commas between thousands",
    ]
    assert other_readings(field_of("string"), ["1,234"]) == []
    assert other_readings(field_of("boolean"), ["yes"]) == []


@given(
    st.sampled_from([DAY, PRICE]),
    st.lists(
        st.sampled_from(
            ["01/02/2024", "25/12/2024", "2024-01-31", "1,5", "1.5", "1,234", "7", "x", None]
        ),
        max_size=12,
    ),
    st.integers(1, 5),
)
def test_where_a_batch_ends_changes_nothing(own: Field, cells: list[str | None], size: int) -> None:
    batches = [cells[start : start + size] for start in range(0, len(cells), size)]
    assert other_readings(own, *batches) == other_readings(own, cells)


def test_every_number_reading_admits_whole_numbers() -> None:
    none = np.array([True])
    for reading in NUMBER_READINGS:
        assert keep_fitting((reading,), PRICE, pa.array(["12"]), none) == (reading,)
    assert list_candidates(field_of("time")) == ()
