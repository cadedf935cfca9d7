"""What is spooled: readings, gaps and errors. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Scalar = bool | int | float | str | None
Kind = Literal["reading", "gap", "error"]
GapReason = Literal[
    "cap", "disk_full", "read_only", "disk_error", "overload", "corrupt", "isolated"
]
ErrorReason = Literal["sensor_failed", "contract", "late"]

MAX_DETAIL = 2_000
"""Characters of an error's words."""

GAP_COLUMNS = ("gap_epoch", "gap_first", "gap_last", "reason")


class Event(NamedTuple):
    """One event before it has a number.

    `mono` is CLOCK_BOOTTIME in seconds: the only clock that neither jumps nor stops. `values` are
    columns of the contract, or of the sensor's own. An event with `alarm` overtakes all others.
    `checked` is the version of the contract that the values were held against.
    """

    kind: Kind
    mono: float
    values: Mapping[str, Scalar]
    sensor: str | None = None
    alarm: bool = False
    checked: str | None = None


class Numbered(NamedTuple):
    """An event and its number in its epoch."""

    seq: int
    event: Event


def make_error(
    reason: ErrorReason,
    detail: str,
    mono: float,
    sensor: str | None,
    *,
    checked: str | None = None,
    kept: Mapping[str, Scalar] | None = None,
) -> Event:
    """Says what a sensor did wrong; `kept` are values that were good."""
    clean = detail.replace("\0", " ").encode(errors="replace").decode()[:MAX_DETAIL]
    values = {**(kept or {}), "reason": reason, "detail": clean}
    return Event("error", mono, values, sensor, checked=checked)


def make_gap(epoch: str, first: int, last: int, reason: GapReason, mono: float) -> Event:
    """Says that the events `first` to `last` are gone. It takes the number `first` itself."""
    return Event(
        "gap", mono, {"gap_epoch": epoch, "gap_first": first, "gap_last": last, "reason": reason}
    )


def last_covered(numbered: Numbered) -> int:
    """The last number that an event accounts for: its own, or the end of the gap it stands for."""
    seq, event = numbered
    last = event.values.get("gap_last") if event.kind == "gap" else None
    return max(seq, last) if isinstance(last, int) else seq
