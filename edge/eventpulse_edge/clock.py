"""What time it is, and how sure that is.

Events are stamped with CLOCK_BOOTTIME, which neither jumps nor stops. What time that was is decided
when a batch is sealed, from a *reference*: a moment at which the true time was known within a
bound, from the server or from a system clock that says of itself that it is synchronised. The wall
clock of a device alone (1970 after a power cut, an hour off, jumping) decides nothing.

The part above `SystemClock` is pure.
"""

from __future__ import annotations

import ctypes
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

ClockState = Literal["synchronised", "corrected", "estimated"]

DRIFT = 200e-6
"""How fast a crystal, or a clock that is being slewed, may go wrong: seconds a second."""
RIGHT = 1.0
"""A wall clock that is off by no more than this many seconds was right."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - in UTC; a zone takes as long to write as the rest


class Reference(NamedTuple):
    """At `mono` it was `utc` (seconds since 1970), give or take `bound` seconds."""

    mono: float
    utc: float
    bound: float


class Stamp(NamedTuple):
    """A time in seconds since 1970, how it was found, and within how many seconds it is right."""

    utc: float
    state: ClockState
    bound: float


class Clock(Protocol):
    """The machine's clocks. `boot_id` tells one boot's monotonic times from another's."""

    boot_id: str

    def mono(self) -> float:
        """CLOCK_BOOTTIME in seconds."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 by the wall clock, right or wrong."""
        ...

    def synchronised(self) -> float | None:
        """The bound of the wall clock's error in seconds if the system keeps it in step."""
        ...


def bound_at(reference: Reference, mono: float) -> float:
    return reference.bound + DRIFT * abs(mono - reference.mono)


class Timeline:
    """The references of this boot, and with them the true time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._reference: Reference | None = None

    @property
    def reference(self) -> Reference | None:
        return self._reference

    def observe(self, seen: Reference, *, replace: bool = False) -> bool:
        """Take a reference in if it is better than the present one has become by now.

        `replace`: whatever there was has been shown to be wrong. True when it was taken in.
        """
        mono = self.clock.mono()
        known = self._reference
        if known is None or replace or bound_at(seen, mono) < bound_at(known, mono):
            self._reference = seen
            return True
        return False

    def observe_server(
        self, now: datetime, sent: float, received: float, *, replace: bool = False
    ) -> bool:
        """The server's clock, read between two moments: half the round trip is the bound."""
        half = (received - sent) / 2
        seen = Reference(sent + half, now.timestamp(), half + 0.001)
        return self.observe(seen, replace=replace)

    def observe_system(self) -> bool:
        """The system's clock, if it says that it is synchronised."""
        bound = self.clock.synchronised()
        if bound is None:
            return False
        return self.observe(Reference(self.clock.mono(), self.clock.wall(), bound))

    def now(self) -> Stamp | None:
        """None while there is no reference."""
        if self._reference is None:
            return None
        mono = self.clock.mono()
        return place(mono, self._reference, self.clock.wall() - mono)

    def offset(self) -> float | None:
        """What is to be added to the wall clock."""
        now = self.now()
        return None if now is None else now.utc - self.clock.wall()

    def boot_time(self) -> float | None:
        """When this boot began, in seconds since 1970."""
        reference = self._reference
        return None if reference is None else reference.utc - reference.mono


def place(mono: float, reference: Reference, wall_offset: float | None) -> Stamp:
    """The time of a moment in a boot that has a reference. `wall_offset`: what the wall clock
    showed then, less the monotonic one."""
    utc = reference.utc + (mono - reference.mono)
    bound = bound_at(reference, mono)
    right = wall_offset is not None and abs(mono + wall_offset - utc) <= max(RIGHT, bound)
    return Stamp(utc, "synchronised" if right else "corrected", bound)


def estimate(mono: float, floor: float, ceiling: float, wall_offset: float | None) -> Stamp:
    """The time of a moment in a boot that never had a reference.

    The boot began after `floor` and ended before `ceiling` (seconds since 1970). The wall clock is
    believed if it shows something in between.
    """
    earliest, latest = floor + mono, max(floor + mono, ceiling)
    wall = None if wall_offset is None else mono + wall_offset
    utc = wall if wall is not None and earliest <= wall <= latest else (earliest + latest) / 2
    return Stamp(utc, "estimated", max(utc - earliest, latest - utc))


def format_time(utc: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC with six decimals."""
    return f"{(_EPOCH + timedelta(seconds=utc)).isoformat(timespec='microseconds')}Z"


def parse_time(text: str) -> datetime:
    """ISO 8601 with a zone; ValueError otherwise."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    return moment.astimezone(UTC)


# --- The machine ---------------------------------------------------------------------------------

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMEX_BYTES = 256
_STA_UNSYNC = 0x40
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """The head of Linux's struct timex (adjtimex(2)); the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * _TIMEX_BYTES),
    )


class SystemClock:
    """Linux's clocks; synchronised as the kernel says (adjtimex)."""

    def __init__(self) -> None:
        self.boot_id = _BOOT_ID.read_text().strip()
        self._adjtimex = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)

    def mono(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        return time.time()

    def synchronised(self) -> float | None:
        if self._adjtimex is None:
            return None
        timex = _Timex()
        state = self._adjtimex(ctypes.byref(timex))
        if state in (-1, _TIME_ERROR) or timex.status & _STA_UNSYNC:
            return None
        return max(float(timex.maxerror) / 1e6, 0.001)
