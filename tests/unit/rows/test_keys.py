"""Which keys a file has had: against plain sets, over many batches."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.rows.keys import KeyHash, KeyIndex, Mask, find_repeated_keys

Batch = list[tuple[str | None, int | None]]

_BATCHES = st.lists(
    st.lists(
        st.tuples(
            st.none() | st.sampled_from(["a", "b", "c", "d", ""]), st.none() | st.integers(0, 3)
        ),
        min_size=1,
        max_size=12,
    ),
    min_size=1,
    max_size=6,
)


def columns_of(batch: Batch) -> tuple[pa.Array, pa.Array]:
    letters, numbers = zip(*batch, strict=True)
    return pa.array(letters, pa.string()), pa.array(numbers, pa.int64())


def find_complete(*columns: pa.Array) -> Mask:
    valid = [column.is_valid().to_numpy(zero_copy_only=False) for column in columns]
    complete: Mask = np.logical_and.reduce(valid)
    return complete


@given(_BATCHES)
def test_a_key_is_repeated_when_a_set_has_it(batches: list[Batch]) -> None:
    index, keys = KeyIndex(), KeyHash(2)
    seen: set[tuple[str | None, int | None]] = set()
    for batch in batches:
        letters, numbers = columns_of(batch)
        wanted = []
        for key in batch:
            wanted.append(None not in key and key in seen)
            if None not in key:
                seen.add(key)
        prints = keys.fingerprint([letters, numbers])
        assert index.find_repeated(prints, find_complete(letters, numbers)).tolist() == wanted


@given(_BATCHES)
def test_only_accepted_rows_take_their_keys(batches: list[Batch]) -> None:
    indexes, hashes = [KeyIndex(), KeyIndex()], [KeyHash(1), KeyHash(1)]
    taken: list[set[str | int | None]] = [set(), set()]
    for batch in batches:
        letters, numbers = columns_of(batch)
        wanted: list[list[bool]] = [[], []]
        for row in batch:
            again = [key is not None and key in own for key, own in zip(row, taken, strict=True)]
            for answers, repeats in zip(wanted, again, strict=True):
                answers.append(repeats)
            if not any(again):
                for key, own in zip(row, taken, strict=True):
                    own.add(key)
        prints = [
            keys.fingerprint([own]) for keys, own in zip(hashes, (letters, numbers), strict=True)
        ]
        complete = [find_complete(letters), find_complete(numbers)]
        found = find_repeated_keys(indexes, prints, complete)
        assert [mask.tolist() for mask in found] == wanted


@given(_BATCHES, st.data())
def test_rows_that_are_no_candidates_take_no_part(
    batches: list[Batch], data: st.DataObject
) -> None:
    index, keys, seen = KeyIndex(), KeyHash(1), set()
    for batch in batches:
        letters, _ = columns_of(batch)
        chosen = data.draw(st.lists(st.booleans(), min_size=len(batch), max_size=len(batch)))
        wanted = []
        for (letter, _), candidate in zip(batch, chosen, strict=True):
            wanted.append(candidate and letter is not None and letter in seen)
            if candidate and letter is not None:
                seen.add(letter)
        complete = np.array(chosen, dtype=bool) & find_complete(letters)
        (found,) = find_repeated_keys([index], [keys.fingerprint([letters])], [complete])
        assert found.tolist() == wanted


@pytest.mark.parametrize("batch", [1, 7, 1000, 20_000, 100_000])
def test_an_index_forgets_nothing_as_it_grows(batch: int) -> None:
    index, hash_ = KeyIndex(), KeyHash(1)
    limit = 200_000 if batch >= 1000 else 2_000
    numbers = np.random.default_rng(1).permutation(limit)
    keys = pa.array([str(n) for n in numbers.tolist()])
    for start in range(0, limit, batch):
        part = hash_.fingerprint([keys[start : min(start + batch, limit)]])
        assert not index.find_repeated(part, np.ones(len(part[0]), dtype=bool)).any()
    assert index.find_repeated(hash_.fingerprint([keys]), np.ones(limit, dtype=bool)).all()
    other = hash_.fingerprint([pa.array([f"-{n}" for n in range(100)])])
    assert not index.find_repeated(other, np.ones(100, dtype=bool)).any()


def test_keys_of_one_chain_are_told_apart() -> None:
    index = KeyIndex()
    high = np.array([7, 7, 7, 9], dtype=np.uint64)
    low = np.array([3, 1, 2, 1], dtype=np.uint64)
    index.remember(high, low)
    asked_high = np.array([7, 7, 7, 7, 8, 9, 9], dtype=np.uint64)
    asked_low = np.array([0, 1, 3, 4, 1, 1, 3], dtype=np.uint64)
    known = index.find_known(asked_high, asked_low)
    assert known.tolist() == [False, True, True, False, False, True, False]
    crowd = (np.array([7, 7, 5, 7, 5], np.uint64), np.array([9, 1, 4, 9, 4], np.uint64))
    repeated = index.find_repeated(crowd, np.array([True, True, True, True, True]))
    assert repeated.tolist() == [False, True, False, True, True]
    assert index.find_known(*crowd).all()
