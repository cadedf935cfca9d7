"""Words that stand for values: equal values of one type have equal words, whatever the batch.

A word is 64 bits that depend on the value and a seed; two words under two seeds are as good as
independent. Two values share a word under one seed with a chance of about 1 in 2**64, and nobody
can choose values that do without knowing the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Words = npt.NDArray[np.uint64]

LONG_CELL = 256
"""Bytes; longer text is first cut down to its digest."""

_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_FOLD = np.uint64(32)


def hash_values(values: pa.Array, seeds: Sequence[int]) -> list[Words]:
    """A word for each value under each seed (64 bits). Those of nulls mean nothing."""
    with np.errstate(over="ignore"):
        if pa.types.is_string(values.type) or pa.types.is_binary(values.type):
            return _hash_text(values, seeds)
        if pa.types.is_decimal(values.type):
            halves = _read_halves(values)
            return [_mix(_mix(halves[:, 0], seed) + halves[:, 1], seed ^ 1) for seed in seeds]
        return [_mix(_read_words(values), seed) for seed in seeds]


def _mix(words: Words, seed: int) -> Words:
    """A permutation of 64 bits for each seed (the finaliser of SplitMix64)."""
    mixed = words + np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed ^= mixed >> np.uint64(27)
    mixed = (mixed + np.uint64(seed >> 32)) * _MIX_2
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _read_words(values: pa.Array) -> Words:
    """Values of at most 64 bits as words; -0.0 as 0.0, which it equals."""
    if pa.types.is_floating(values.type):
        plain = values.fill_null(0.0).to_numpy(zero_copy_only=False) + 0.0
        words: Words = plain.view(np.uint64)
        return words
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    if not pa.types.is_boolean(values.type):
        values = values.cast(pa.int64())
    whole = values.fill_null(False if pa.types.is_boolean(values.type) else 0)
    return np.asarray(whole.to_numpy(zero_copy_only=False)).astype(np.int64).view(np.uint64)


def _read_halves(values: pa.Array) -> npt.NDArray[np.uint64]:
    size = values.type.byte_width // 8
    buffer = np.frombuffer(values.buffers()[1], np.uint64)
    return buffer.reshape(-1, size)[values.offset : values.offset + len(values), :2]


def _hash_text(text: pa.Array, seeds: Sequence[int]) -> list[Words]:
    """Eight bytes at a time, read straight from Arrow's buffer, however the cells stand in it."""
    offsets = np.frombuffer(text.buffers()[1], np.int32)
    offsets = offsets[text.offset : text.offset + len(text) + 1].astype(np.int64)
    starts, sizes = offsets[:-1], np.diff(offsets)
    if len(sizes) and int(sizes.max()) > LONG_CELL:
        return _hash_text(_shorten(text), seeds)
    data = text.buffers()[2]
    padded = np.zeros((len(data) if data else 0) + 8, np.uint8)
    if data:
        padded[: len(data)] = np.frombuffer(data, np.uint8)
    at_byte = np.ndarray((len(padded) - 7,), np.uint64, padded, strides=(1,))
    hashed = [_mix(sizes.view(np.uint64), seed) for seed in seeds]
    rows: npt.NDArray[np.int64] | slice = slice(None)
    for done in range(0, int(sizes.max()) if len(sizes) else 0, 8):
        left = sizes[rows] - done
        if int(left.min()) <= 0:
            rows = np.flatnonzero(sizes > done)
            left = sizes[rows] - done
        words = at_byte[starts[rows] + done]
        cut = left < 8
        if cut.any():
            words = np.where(cut, words & _LOW_BYTES[np.minimum(left, 8)], words)
        for word, seed in zip(hashed, seeds, strict=True):
            mixed = (word[rows] ^ words) * (_ODD ^ np.uint64(seed & ~1))
            mixed ^= mixed >> _FOLD
            word[rows] = mixed
    return [_mix(word, seed) for word, seed in zip(hashed, seeds, strict=True)]


_LOW_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)


def _shorten(text: pa.Array) -> pa.Array:
    """Long cells by their digests, each with a mark of its own; the others as they stand."""
    long = pc.greater(pc.binary_length(text), LONG_CELL)
    digests = [
        blake2b(cell, digest_size=32).digest() + b"\xff"  # no text ends so
        for cell in text.filter(long).cast(pa.binary()).to_pylist()
    ]
    return pc.replace_with_mask(
        text.cast(pa.binary()), long.fill_null(False), pa.array(digests, pa.binary())
    )
