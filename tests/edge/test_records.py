"""Framed records survive any damage but their own."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse_edge.records import Damage, Mark, frame, scan

PAYLOADS = [json.dumps([n, "x" * (n % 7), {"t": n / 3}]).encode() for n in range(1, 12)]
FILE = b"".join(frame(each) for each in PAYLOADS)


def payloads(content: bytes) -> list[bytes]:
    return [each for each in scan(io.BytesIO(content)) if not isinstance(each, Damage)]


def damages(content: bytes) -> list[Damage]:
    return [each for each in scan(io.BytesIO(content)) if isinstance(each, Damage)]


@given(st.lists(st.binary(max_size=200).map(lambda b: b.replace(b"\n", b""))))
def test_what_is_framed_is_read_back(written: list[bytes]) -> None:
    content = b"".join(map(frame, written))
    assert list(scan(io.BytesIO(content))) == written


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_costs_at_most_its_own_record(bit: int) -> None:
    for at in range(len(FILE)):
        content = bytearray(FILE)
        content[at] ^= 1 << bit
        found = payloads(bytes(content))
        owner = FILE.count(b"\n", 0, at)
        others = [each for n, each in enumerate(PAYLOADS) if n != owner]
        assert found in (others, PAYLOADS), at
        if found == others:
            assert sum(each.size for each in damages(bytes(content))) >= 1


@pytest.mark.parametrize("value", [0, 0x0A, 0xFF])
def test_a_byte_of_any_value_costs_at_most_its_own_record(value: int) -> None:
    for at in range(len(FILE)):
        content = FILE[:at] + bytes([value]) + FILE[at + 1 :]
        owner = FILE.count(b"\n", 0, at)
        assert payloads(content) in ([p for n, p in enumerate(PAYLOADS) if n != owner], PAYLOADS)


def test_a_torn_tail_leaves_the_records_before_it() -> None:
    ends = [at + 1 for at, byte in enumerate(FILE) if byte == 0x0A]
    for size in range(len(FILE) + 1):
        whole = sum(end <= size + 1 for end in ends)  # all but the newline is enough
        assert payloads(FILE[:size]) == PAYLOADS[:whole]
        torn = sum(each.size for each in damages(FILE[:size]) if each.torn)
        assert torn + sum(len(frame(each)) for each in PAYLOADS[:whole]) in (size, size + 1)


@pytest.mark.parametrize("garbage", [b"\0", b"x", b"\n", b"\xff\x00\n"])
@pytest.mark.parametrize("size", [1, 5_000, 300_000])
def test_garbage_between_records_costs_none_and_no_memory(garbage: bytes, size: int) -> None:
    content = FILE + garbage * (size // len(garbage) + 1) + b"\n" + FILE
    assert payloads(content) == PAYLOADS * 2


@pytest.mark.parametrize(("mark", "events"), [("event", 1), ("note", 0)])
def test_damage_tells_events_from_notes_whichever_byte_it_hit(mark: Mark, events: int) -> None:
    record = frame(b'[1,"a"]' if mark == "event" else b'{"a":1}', mark)
    for at in set(range(len(record) - 1)) - {8, 13}:  # without the mark, the record is still whole
        content = bytearray(record + FILE)
        content[at] ^= 0xFF
        (found,) = damages(bytes(content))
        assert found == Damage(len(record), events, torn=False)


@pytest.mark.parametrize("zeros", [1, 100, 65_536, 200_000])
def test_zeros_at_the_end_are_nothing(zeros: int) -> None:
    for size in {*range(0, len(FILE), 7), len(FILE) - 1, len(FILE)}:
        whole, torn = FILE[:size], FILE[:size] + bytes(zeros)
        assert payloads(torn) == payloads(whole)
        assert damages(torn) == damages(whole)
