"""What a batch's bytes hold: whatever they are, reading them ends, within bounds."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.fleet.batches import MOST_LINE_BYTES, BatchName, parse_batch_name
from eventpulse.fleet.contents import read_contents
from tests.device import EPOCH, reading

DEVICE = "station-0001"


def pack(*lines: bytes) -> bytes:
    return gzip.compress(b"".join(line + b"\n" for line in lines))


def event(seq: int, **values: Any) -> bytes:
    return json.dumps(reading(DEVICE, seq, **values)).encode()


def test_numbers_gaps_and_extremes_are_noted() -> None:
    lines = [event(seq, temperature=float(seq)) for seq in (1, 2, 3, 7, 8)]
    lines.append(
        event(9, kind="gap", gap_epoch="0" * 16, gap_first=4, gap_last=6, temperature=-1.0)
    )
    found = read_contents(pack(*lines), DEVICE, EPOCH, {"temperature"})
    assert (found.rows, found.foreign, found.problem) == (6, 0, None)
    assert found.landed == ((1, 3), (7, 9))
    assert found.gaps == {"0" * 16: ((4, 6),)}
    assert found.extremes == {"temperature": (-1.0, 8.0, -1.0)}


@pytest.mark.parametrize(
    "line",
    [
        event(1, device_id="station-0002"),
        event(1, epoch="0" * 16),
        event(0),
        json.dumps({**reading(DEVICE, 1), "seq": True}).encode(),
        json.dumps({**reading(DEVICE, 1), "seq": "1"}).encode(),
        event(1).replace(b"{", b'{"seq": 1, ', 1),
        b"[]",
        b"not JSON",
        b'{"device_id": "\xff"}',
        b"[" * 5_000,
    ],
)
def test_a_line_that_is_no_event_of_the_device_is_foreign(line: bytes) -> None:
    found = read_contents(pack(line, event(2)), DEVICE, EPOCH, ())
    assert (found.rows, found.foreign, found.landed) == (2, 1, ((2, 2),))


def test_several_members_are_one_file() -> None:
    found = read_contents(pack(event(1)) + pack(event(2)), DEVICE, EPOCH, ())
    assert found.landed == ((1, 2),)


def test_a_line_beyond_the_limit_is_a_problem() -> None:
    found = read_contents(pack(b"x" * (MOST_LINE_BYTES + 1)), DEVICE, EPOCH, ())
    assert "16,384" in (found.problem or "")


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_a_problem(data: bytes) -> None:
    found = read_contents(data, DEVICE, EPOCH, {"temperature"})
    assert found.landed == () or found.problem is None


@given(st.binary(max_size=300))
def test_any_text_in_gzip_is_read(data: bytes) -> None:
    found = read_contents(gzip.compress(data), DEVICE, EPOCH, {"temperature"})
    assert found.problem is None
    assert found.foreign == found.rows


# --- Names ---------------------------------------------------------------------------------------


@given(
    st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,62}\Z"),
    st.from_regex(r"\A[0-9a-f]{16}\Z"),
    st.integers(1, 10**12 - 1),
    st.integers(0, 5_000),
    st.from_regex(r"\A[0-9a-f]{64}\Z"),
)
def test_a_name_is_read_as_it_was_made(
    device: str, epoch: str, first: int, more: int, sha256: str
) -> None:
    last = min(first + more, 10**12 - 1)
    name = BatchName(device, epoch, first, last, sha256)
    assert parse_batch_name(name.object_name) == name


@pytest.mark.parametrize(
    "name",
    [
        "edge_telemetry/2024.csv",
        f"edge_telemetry/Station/{EPOCH}/000000000001-000000000002-{'0' * 64}.ndjson.gz",
        f"edge_telemetry/a/{EPOCH}/000000000002-000000000001-{'0' * 64}.ndjson.gz",
        f"edge_telemetry/a/{EPOCH}/000000000000-000000000001-{'0' * 64}.ndjson.gz",
        f"edge_telemetry/a/../a/{EPOCH}/000000000001-000000000002-{'0' * 64}.ndjson.gz",
        f"other/a/{EPOCH}/000000000001-000000000002-{'0' * 64}.ndjson.gz",
        f"edge_telemetry/a/{EPOCH}/000000000001-000000000002-{'0' * 64}.ndjson.gz\n",
    ],
)
def test_other_objects_are_no_batches(name: str) -> None:
    assert parse_batch_name(name) is None
