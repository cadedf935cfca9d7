"""Words that stand for values."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.rows.fingerprints import LONG_CELL, hash_values

SEEDS = (0x1234_5678_9ABC_DEF0, 7)


def words_of(values: pa.Array) -> list[tuple[int, int]]:
    first, second = hash_values(values, SEEDS)
    return list(zip(first.tolist(), second.tolist(), strict=True))


_TEXT = (
    st.text(max_size=20)
    | st.integers(1, 40).map(lambda n: "a" * n)
    | st.sampled_from(
        ["", "\0", "a\0", "a\0\0", "x" * LONG_CELL, "x" * (LONG_CELL + 1), "é" * LONG_CELL]
    )
)
_VALUES = [
    (pa.string(), _TEXT),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.date32(), st.dates()),
    (pa.time64("us"), st.times()),
    (pa.bool_(), st.booleans()),
    (pa.timestamp("us", tz="UTC"), st.datetimes(timezones=st.timezones())),
    (pa.decimal128(38, 9), st.decimals(-(10**20), 10**20, places=9, allow_nan=False)),
]


@pytest.mark.parametrize(("type_", "strategy"), _VALUES, ids=lambda each: str(each)[:20])
@given(data=st.data())
def test_words_are_equal_exactly_when_values_are(
    type_: pa.DataType, strategy: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    values = data.draw(st.lists(strategy, min_size=1, max_size=30))
    array = pa.array(values, type_)
    words = words_of(array)
    stored = array.to_pylist()
    by_value: dict[Any, tuple[int, int]] = {}
    for value, word in zip(stored, words, strict=True):
        assert by_value.setdefault(value, word) == word
    for place in (0, 1):
        assert len({word[place] for word in words}) == len(set(stored))


@given(st.lists(st.none() | _TEXT, min_size=1, max_size=20), st.data())
def test_where_a_value_stands_changes_nothing(texts: list[str | None], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(texts) - 1))
    array = pa.array(texts, pa.string())
    part = words_of(array[start:])
    for text, word in zip(texts[start:], part, strict=True):
        if text is not None:
            assert word == words_of(pa.array([text]))[0]


def test_words_never_change() -> None:
    """They choose what profiles sample, so a new version must not tell another story."""
    values = pa.array(["", "station-0001/ee542676/1", "x" * 300])
    (words,) = hash_values(values, [SEEDS[0]])
    assert [f"{word:016x}" for word in words.tolist()] == [
        "94cfc855bbde9a2b",
        "101839e9935f80fd",
        "8dcc8c79a07b51a4",
    ]
