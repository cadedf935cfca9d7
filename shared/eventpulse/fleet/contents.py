"""What a batch's bytes hold, read once when it lands: numbers, gaps, extremes of sensors. Pure.

Whatever the bytes are, the work is bounded: by the size of the file, of its text and of a line.
What cannot be read at all is a `problem`; a line that is no event of the device is only counted,
since `validate` says what is wrong with each row.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from eventpulse.fleet.batches import MOST_LINE_BYTES, MOST_NUMBER, MOST_TEXT_BYTES
from eventpulse.fleet.devices import EPOCH
from eventpulse.fleet.seq_ranges import Range, Ranges, add_ranges

_GREATEST = sys.float_info.max
_LONGEST_TIME = 40


@dataclass
class BatchContents:
    """`foreign` lines name another device or epoch, or are no events. `gaps` are what the device
    gave up, by epoch. `extremes`: (least, greatest, last) value by column; `read_until` is when
    the newest reading was taken."""

    rows: int = 0
    foreign: int = 0
    landed: Ranges = ()
    gaps: dict[str, Ranges] = field(default_factory=dict)
    extremes: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    read_until: str = ""
    problem: str | None = None


def read_contents(data: bytes, device: str, epoch: str, sensors: Collection[str]) -> BatchContents:
    """The contents of a gzip NDJSON file whose rows should be this device's, of this epoch."""
    contents = BatchContents()
    numbers: list[Range] = []
    try:
        for line in _lines(data):
            contents.rows += 1
            event = _parse(line)
            seq = event.get("seq")
            if (
                event.get("device_id") != device
                or event.get("epoch") != epoch
                or type(seq) is not int
                or not 1 <= seq <= MOST_NUMBER
            ):
                contents.foreign += 1
                continue
            if numbers and numbers[-1][1] + 1 == seq:
                numbers[-1] = (numbers[-1][0], seq)
            else:
                numbers.append((seq, seq))
            _note_gap(contents, event)
            _note_values(contents, event, sensors)
    except _Unreadable as error:
        contents.problem = str(error)
    contents.landed = add_ranges((), *numbers)
    return contents


class _Unreadable(Exception):
    """The bytes break off, or unfold to more than a batch may hold."""


def _lines(data: bytes) -> Iterator[bytes]:
    """Lines that are not blank; memory is that of the file and one line."""
    read = 0
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as text:
        while True:
            try:
                line = text.readline(MOST_LINE_BYTES + 1)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise _Unreadable(f"its gzip data is damaged or incomplete ({error})") from error
            if not line:
                return
            read += len(line)
            if len(line) > MOST_LINE_BYTES:
                raise _Unreadable(f"a line has more than {MOST_LINE_BYTES:,} bytes")
            if read > MOST_TEXT_BYTES:
                raise _Unreadable(f"its text has more than {MOST_TEXT_BYTES:,} bytes")
            if line.strip():
                yield line


def _parse(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for a key that stands twice: two readers might see two devices."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _note_gap(contents: BatchContents, event: dict[str, Any]) -> None:
    if event.get("kind") != "gap":
        return
    epoch, first, last = (event.get(name) for name in ("gap_epoch", "gap_first", "gap_last"))
    if not isinstance(epoch, str) or re.fullmatch(EPOCH, epoch) is None:
        return
    if type(first) is int and type(last) is int and 1 <= first <= last <= MOST_NUMBER:
        contents.gaps[epoch] = add_ranges(contents.gaps.get(epoch, ()), (first, last))


def _note_values(contents: BatchContents, event: dict[str, Any], sensors: Collection[str]) -> None:
    recorded = event.get("recorded_at")
    if isinstance(recorded, str) and len(recorded) <= _LONGEST_TIME and recorded.isascii():
        contents.read_until = max(contents.read_until, recorded)
    for column in sensors:
        value = event.get(column)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if -_GREATEST <= value <= _GREATEST:  # no NaN, and no integer that is no float
            least, greatest, _ = contents.extremes.get(column, (value, value, value))
            contents.extremes[column] = (min(least, value), max(greatest, value), value)
