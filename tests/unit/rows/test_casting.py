"""Which text each type admits, and which value it then is."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import Field
from eventpulse.rows.arrow import arrow_type
from eventpulse.rows.casting import cast_text
from tests.unit.rows.row_checks import field_of


@pytest.mark.parametrize(
    ("typed", "text", "value"),
    [
        (field_of("string"), "00501", "00501"),
        (field_of("string"), " x ", " x "),
        (field_of("integer"), "42", 42),
        (field_of("integer"), "-7", -7),
        (field_of("integer"), "+7", 7),
        (field_of("integer"), "007", 7),
        (field_of("integer"), "-0", 0),
        (field_of("integer"), " 42\t", 42),
        (field_of("integer"), "9223372036854775807", 2**63 - 1),
        (field_of("integer"), "-9223372036854775808", -(2**63)),
        (field_of("integer"), "0" * 30 + "42", 42),
        (field_of("number"), "21.5", 21.5),
        (field_of("number"), "-.5", -0.5),
        (field_of("number"), "5.", 5.0),
        (field_of("number"), "+1e3", 1000.0),
        (field_of("number"), "1E-03", 0.001),
        (field_of("number", decimal_mark=","), "-21,5", -21.5),
        (field_of("number", decimal_mark=","), " 3 ", 3.0),
        (field_of("number", precision=9, scale=2, decimal_mark=","), "1,5", Decimal("1.50")),
        (field_of("number"), "99999999999999999999", 1e20),
        (field_of("number", precision=9, scale=2), "1234567.89", Decimal("1234567.89")),
        (field_of("number", precision=9, scale=2), "1.5", Decimal("1.50")),
        (field_of("number", precision=9, scale=2), "1.500", Decimal("1.50")),
        (field_of("number", precision=9, scale=2), "+0001.5", Decimal("1.50")),
        (field_of("number", precision=9, scale=2), "-.25", Decimal("-0.25")),
        (field_of("number", precision=38, scale=0), "9" * 38, Decimal("9" * 38)),
        (field_of("boolean"), "true", True),
        (field_of("boolean"), "FALSE", False),
        (field_of("boolean"), " True ", True),
        (field_of("date"), "2026-01-31", date(2026, 1, 31)),
        (field_of("date"), "2024-02-29", date(2024, 2, 29)),
        (field_of("date"), "0001-01-01", date(1, 1, 1)),
        (field_of("date"), "9999-12-31", date(9999, 12, 31)),
        (field_of("timestamp"), "2026-01-31T08:30:00Z", datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
        (field_of("timestamp"), "2026-01-31 08:30Z", datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
        (
            field_of("timestamp"),
            "2026-01-31T08:30:00.000001+02:00",
            datetime(2026, 1, 31, 6, 30, 0, 1, tzinfo=UTC),
        ),
        (
            field_of("timestamp"),
            "2026-01-31T08:30:00-0330",
            datetime(2026, 1, 31, 12, 0, tzinfo=UTC),
        ),
        (field_of("time"), "08:30", time(8, 30)),
        (field_of("time"), "23:59:59.25", time(23, 59, 59, 250000)),
        (
            field_of("object"),
            '{"a": [1, "\\u00e9", "\\\\u0000"]}',
            '{"a": [1, "\\u00e9", "\\\\u0000"]}',
        ),
        (field_of("array"), " [1, 2] ", "[1, 2]"),
        (field_of("array"), "[1e300, 1e-400]", "[1e300, 1e-400]"),
        (field_of("array"), "[" * 500 + "]" * 500, "[" * 500 + "]" * 500),
        (field_of("array"), "[" + "[[], []], " * 400 + "1]", "[" + "[[], []], " * 400 + "1]"),
        (field_of("date", formats=("%d/%m/%Y",)), "31/01/2026", date(2026, 1, 31)),
        (field_of("date", formats=("%d/%m/%Y",)), " 1/2/2026 ", date(2026, 2, 1)),
        (field_of("date", formats=("%d/%m/%Y", "%Y-%m-%d")), "2026-01-31", date(2026, 1, 31)),
        (field_of("date", formats=("%d.%m.%y",)), "31.01.26", date(2026, 1, 31)),
        (
            field_of("timestamp", formats=("%d/%m/%Y %H:%M",)),
            "31/01/2026 08:30",
            datetime(2026, 1, 31, 8, 30, tzinfo=UTC),
        ),
        (
            field_of("timestamp", formats=("%Y-%m-%d %H:%M:%S%z",)),
            "2026-01-31 08:30:00+0200",
            datetime(2026, 1, 31, 6, 30, tzinfo=UTC),
        ),
        (field_of("time", formats=("%I.%M %p",)), "08.30 PM", time(20, 30)),
    ],
)
def test_text_that_a_type_admits(typed: Field, text: str, value: Any) -> None:
    """Among cells that do not fit, too: a neighbour never changes how a cell is read."""
    for neighbours in ([], ["~", None], ["2026-02-30", "9" * 40, "{"]):
        values, mistyped = cast_text(typed, pa.array([text, *neighbours], pa.string()))
        assert not mistyped[0]
        assert values.type == arrow_type(typed.column)
        assert values[0].as_py() == value


@pytest.mark.parametrize(
    ("typed", "texts"),
    [
        (
            field_of("integer"),
            [
                "1.5",
                "1.0",
                "1e3",
                "0x1F",
                "1_000",
                "1,000",
                "yes",
                "",
                " ",
                "--1",
                "+-1",
                "9223372036854775808",
                "12345678901234567890",
                "١٢",
                "1\n2",
            ],
        ),
        (field_of("number", decimal_mark=","), ["1.5", "1.234,5", "1,2,3", ",", "1·5"]),
        (
            field_of("number"),
            [
                "NaN",
                "inf",
                "-Infinity",
                "1e999",
                "-1e999",
                "1e1000",
                ".",
                "1,5",
                "0x1p3",
                "1 000",
                "e5",
            ],
        ),
        (
            field_of("number", precision=9, scale=2),
            ["1.239", "0.001", "12345678.90", "1e2", "NaN", "9" * 40, "1.2.3", "$1.50", "1,50"],
        ),
        (field_of("number", precision=5), ["1.5", "123456"]),
        (field_of("boolean"), ["yes", "no", "1", "0", "t", "tRUE", "wahr"]),
        (
            field_of("date"),
            [
                "2026-02-30",
                "2023-02-29",
                "2026-13-01",
                "2026-00-10",
                "0000-01-01",
                "01/02/2024",
                "2026-1-31",
                "20260131",
                "2026-01-31T00:00:00",
                "10000-01-01",
            ],
        ),
        (
            field_of("timestamp"),
            [
                "2026-01-31T08:30:00",
                "2026-01-31",
                "2026-01-31T24:00:00Z",
                "2026-01-31T23:59:60Z",
                "2026-02-30T08:30:00Z",
                "2026-01-31T08:30:00.1234567Z",
                "2026-01-31T08:30:00+25:00",
                "0001-01-01T00:00:00+14:00",
                "9999-12-31T23:59:59-10:00",
                "1769848200",
            ],
        ),
        (field_of("time"), ["24:00", "8:30", "08:60", "23:59:60", "08:30Z", "08:30 PM"]),
        (
            field_of("object"),
            [
                "{",
                '"text"',
                "1",
                "{} x",
                "{'a': 1}",
                '{"a": NaN}',
                "[Infinity]",
                '["\\u0000"]',
                '["\\\\\\u0000"]',
                '["\\ud800"]',
                '[{"a": 1, "b": {}, "a": 2}]',
                "[1e400]",
                "[-1.5e999]",
                f"[1{'0' * 400}]",
                "[" * 100_000,
                "[" * 501 + "]" * 501,
            ],
        ),
        (
            field_of("date", formats=("%d/%m/%Y",)),
            [
                "30/02/2026",
                "31/04/2026",
                "31/01/26",
                "31/01/0026",
                "2026-01-31",
                "31/01/2026x",
                "01/32/2026",
            ],
        ),
        (
            field_of("timestamp", formats=("%d/%m/%Y %H:%M",)),
            ["29/02/2026 08:30", "31/01/2026 24:30"],
        ),
    ],
)
def test_text_that_a_type_refuses(typed: Field, texts: list[str]) -> None:
    values, mistyped = cast_text(typed, pa.array([*texts, None], pa.string()))
    shown = {text[:40]: values[n].as_py() for n, text in enumerate(texts) if not mistyped[n]}
    assert shown == {}
    assert not mistyped[-1], "a null is not mistyped"
    assert values.null_count == len(texts) + 1


@given(st.integers(-(2**70), 2**70))
def test_whole_numbers_are_exact_or_refused(number: int) -> None:
    values, mistyped = cast_text(field_of("integer"), pa.array([str(number)]))
    if -(2**63) <= number < 2**63:
        assert values[0].as_py() == number
    else:
        assert mistyped.tolist() == [True]


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=3, min_value=-(10**8), max_value=10**8
    )
)
def test_decimals_are_exact_or_refused(number: Decimal) -> None:
    typed = field_of("number", precision=9, scale=2)
    values, mistyped = cast_text(typed, pa.array([f"{number:f}"]))
    if number == round(number, 2) and abs(number) < 10**7:
        assert values[0].as_py() == number
    else:
        assert mistyped.tolist() == [True]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floating_numbers_are_read_to_the_last_bit(number: float) -> None:
    values, mistyped = cast_text(field_of("number"), pa.array([repr(number)]))
    assert not mistyped[0]
    assert math.copysign(1, values[0].as_py()) == math.copysign(1, number)
    assert values[0].as_py() == number


@given(st.lists(st.dates(), min_size=1, max_size=20))
def test_dates_are_read_back(days: list[date]) -> None:
    values, mistyped = cast_text(field_of("date"), pa.array([day.isoformat() for day in days]))
    assert not mistyped.any()
    assert values.to_pylist() == days


TYPES = ["string", "integer", "number", "boolean", "date", "timestamp", "time", "object", "array"]


@given(
    st.lists(
        st.none()
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
        max_size=10,
    ),
    st.sampled_from(TYPES),
)
def test_no_text_brings_a_type_down(texts: list[str | None], type_: str) -> None:
    values, mistyped = cast_text(field_of(type_), pa.array(texts, pa.string()))
    assert values.type == arrow_type(field_of(type_).column)
    assert len(values) == len(mistyped) == len(texts)
    assert values.null_count == mistyped.sum() + texts.count(None)


@pytest.mark.parametrize("type_", TYPES)
def test_cells_that_are_all_null_have_their_type(type_: str) -> None:
    values, mistyped = cast_text(field_of(type_), pa.nulls(3, pa.string()))
    assert values.equals(pa.nulls(3, arrow_type(field_of(type_).column)))
    assert mistyped.tolist() == [False] * 3


@given(st.lists(st.text("0123456789-.", min_size=1, max_size=8), min_size=1, max_size=6))
@pytest.mark.parametrize("type_", ["integer", "number"])
def test_plain_numbers_are_read_as_their_pattern_says(type_: str, cells: list[str]) -> None:
    """Also without the pattern being asked: see _PLAIN_CHARACTERS."""
    typed, mistyped = cast_text(field_of(type_), pa.array(cells))
    pattern, read = {"integer": ("[+-]?[0-9]+", int), "number": (NUMBER, float)}[type_]
    wanted = [read(each) if re.fullmatch(pattern, each) else None for each in cells]
    assert typed.to_pylist() == wanted
    assert mistyped.tolist() == [value is None for value in wanted]


NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)"
