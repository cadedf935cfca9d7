"""Which keys an object has had: in bounded memory, and exact for all practical purposes.

A key is known by 103 bits of a keyed hash. The secret is drawn anew for every object, so that no
file can be made in which two keys collide; among a hundred million keys, the chance that any two do
is below 10**-15, less than that of a fault of the memory that they lie in. So which row is a
repeated one depends on the rows alone.

An index is a hash table with chains, in arrays: the first 23 bits choose a chain, the other 80 are
kept with a link to the key before in the same chain, 14 bytes a key beside 32 MiB for the chains'
heads (of which a small file touches little). It never has to be sorted, rebuilt or copied.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from eventpulse.rows.fingerprints import Words, hash_values

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]
Prints = tuple[Words, Words]
"""Fingerprints of keys: 64 bits and as many again, as two aligned arrays."""

_CHAIN_BITS = 23
_FIRST_KEYS = 1 << 16
_MORE_KEYS = 1 << 20


class KeyHash:
    """Fingerprints of a key of several columns, under a secret of its own."""

    def __init__(self, columns: int) -> None:
        self._seeds = [(secrets.randbits(64), secrets.randbits(64)) for _ in range(columns)]

    def hash_column(self, place: int, values: pa.Array) -> Prints:
        """The share of the key's n-th column in the fingerprints of its rows, in their order.

        Equal for equal values; that of a null means nothing.
        """
        high, low = hash_values(values, self._seeds[place])
        return high, low

    def fingerprint(self, columns: Sequence[pa.Array]) -> Prints:
        """The fingerprints of rows whose key stands in these columns."""
        return combine_words([self.hash_column(*each) for each in enumerate(columns)])


def combine_words(columns: Sequence[Prints]) -> Prints:
    high, low = columns[0]
    for other_high, other_low in columns[1:]:
        high, low = high + other_high, low + other_low
    return high, low


class KeyIndex:
    """The keys of the rows so far."""

    def __init__(self) -> None:
        self._heads = np.zeros(1 << _CHAIN_BITS, np.int32)
        """For each chain, the number of its last key from 1; 0 without any."""
        self._count = 0
        self._links = np.zeros(_FIRST_KEYS, np.int32)
        self._low = np.zeros(_FIRST_KEYS, np.uint64)
        self._middle = np.zeros(_FIRST_KEYS, np.uint16)

    def find_repeated(self, keys: Prints, candidates: Mask) -> Mask:
        """Which candidate rows repeat a key of an earlier one; the others are remembered."""
        rows = np.flatnonzero(candidates)
        high, low = keys if len(rows) == len(candidates) else (keys[0][rows], keys[1][rows])
        order = np.argsort(high)
        again = _find_again(high, low, order)
        high, low = high[order], low[order]
        known = self.find_known(high, low) | again[order]
        if known.any():
            high, low = high[~known], low[~known]
        self._append(high, low)
        repeated = np.zeros(len(candidates), dtype=bool)
        repeated[rows[order[known]]] = True
        return repeated

    def find_known(self, high: Words, low: Words) -> Mask:
        """Which of these keys were remembered; asked in ascending order, memory answers faster."""
        known = np.zeros(len(high), dtype=bool)
        links = self._heads[_chain_of(high)]
        rows = np.flatnonzero(links)
        links = links[rows]
        while len(rows):
            same = self._low[links] == low[rows]
            if same.any():
                same &= self._middle[links] == _middle_of(high[rows])
                known[rows[same]] = True
                rows, links = rows[~same], links[~same]
            links = self._links[links]
            left = np.flatnonzero(links)
            rows, links = rows[left], links[left]
        return known

    def remember(self, high: Words, low: Words) -> None:
        """Add keys that are not known and differ from each other."""
        order = np.argsort(high)
        self._append(high[order], low[order])

    def _append(self, high: Words, low: Words) -> None:
        """Chain up keys that come in ascending order, so that those of one chain stand together."""
        first, self._count = self._count + 1, self._count + len(high)
        while self._count >= len(self._low):
            # A reallocation moves large arrays without a copy; what it adds is memory at once.
            size = self._count + max(_FIRST_KEYS, min(self._count // 2, _MORE_KEYS))
            for array in (self._links, self._low, self._middle):
                array.resize(size, refcheck=False)
        new = slice(first, self._count + 1)
        self._low[new] = low
        self._middle[new] = _middle_of(high)
        numbers = np.arange(first, self._count + 1, dtype=np.int32)
        chains = _chain_of(high)
        before = self._heads[chains]
        together = chains[1:] == chains[:-1]
        before[1:][together] = numbers[:-1][together]
        self._links[new] = before
        self._heads[chains] = numbers  # of one chain, the last one stays


def _chain_of(high: Words) -> Places:
    return (high >> np.uint64(64 - _CHAIN_BITS)).view(np.int64)


def _middle_of(high: Words) -> npt.NDArray[np.uint16]:
    return high.astype(np.uint16)


def _find_again(high: Words, low: Words, order: Places) -> Mask:
    """Which keys repeat an earlier one among these; `order` is ascending by their first word."""
    again = np.zeros(len(high), dtype=bool)
    rows = _find_close(high, order)
    if len(rows):
        order = rows[np.lexsort((low[rows], high[rows]))]
        again[order[1:][_find_pairs(high[order], low[order])]] = True
    return again


def _find_close(high: Words, order: Places) -> Places:
    """The rows of whose word there is another, ascending: hardly any where keys differ."""
    ordered = high[order]
    same = ordered[1:] == ordered[:-1]
    if not same.any():
        return order[:0]
    return np.unique(np.concatenate([order[1:][same], order[:-1][same]]))


def _find_pairs(high: Words, low: Words) -> Mask:
    """Which keys but the first are equal to the one before."""
    pairs: Mask = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    return pairs


def find_repeated_keys(
    indexes: Sequence[KeyIndex], keys: Sequence[Prints], complete: Sequence[Mask]
) -> list[Mask]:
    """For each of several keys: which rows repeat that key of an earlier accepted row.

    `complete` says for each key which rows compete for it: those that pass every other rule and
    have no null in it. A row is accepted when it repeats none of its keys; only accepted rows are
    remembered, so that a row that is refused for one key does not take another key away.
    """
    if len(indexes) <= 1:
        return [
            index.find_repeated(prints, filled)
            for index, prints, filled in zip(indexes, keys, complete, strict=True)
        ]
    repeated = [
        filled & index.find_known(high, low)
        for index, (high, low), filled in zip(indexes, keys, complete, strict=True)
    ]
    shared = np.zeros(len(complete[0]), dtype=bool)
    for (high, low), filled in zip(keys, complete, strict=True):
        shared |= _find_shared(high, low, filled)
    taken: list[set[tuple[int, int]]] = [set() for _ in indexes]
    for row in np.flatnonzero(shared).tolist():
        own_keys = [(int(high[row]), int(low[row])) for high, low in keys]
        again = [
            filled[row] and (known[row] or key in own)
            for filled, known, key, own in zip(complete, repeated, own_keys, taken, strict=True)
        ]
        for own, key, mask, repeats, filled in zip(
            taken, own_keys, repeated, again, complete, strict=True
        ):
            mask[row] = repeats
            if filled[row] and not any(again):
                own.add(key)
    accepted = ~np.logical_or.reduce(repeated)
    for index, (high, low), filled in zip(indexes, keys, complete, strict=True):
        index.remember(high[accepted & filled], low[accepted & filled])
    return repeated


def _find_shared(high: Words, low: Words, candidates: Mask) -> Mask:
    """The candidates whose key another candidate has too."""
    rows = np.flatnonzero(candidates)
    rows = rows[_find_close(high[rows], np.argsort(high[rows]))]
    order = rows[np.lexsort((low[rows], high[rows]))]
    same = _find_pairs(high[order], low[order])
    shared = np.zeros(len(candidates), dtype=bool)
    shared[order[1:][same]] = True
    shared[order[:-1][same]] = True
    return shared
