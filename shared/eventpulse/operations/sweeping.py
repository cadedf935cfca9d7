"""What sweep decides: how far the log knows the raw bucket, and what has waited too long. Pure.

Invariants:
- every raw generation created up to the watermark is known to the log, or was gone when it was to
  be landed; so what sweep has to compare does not depend on when it last ran;
- the watermark only grows, and never past an object that could not be landed;
- what a live lease holds is never stalled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.leases import Lease
from eventpulse.ports import Json, NewEvent, StoredObject
from eventpulse.values import Value, format_time, parse_time

RAW_SWEEP = "sweep/raw"
"""The stream that remembers how far the raw bucket was compared."""

MARGIN = timedelta(hours=1)
"""Objects may appear with a creation time in the past: clocks differ, and large uploads end late.
So much before the watermark is compared again."""

LEAST_MOVE = timedelta(minutes=15)
"""Each move of the watermark is an event: it waits until there is something to tell."""

MOST_LANDED = 500
LANDING_TIME = timedelta(minutes=4)
"""One sweep lands at most so many objects, and begins none after so long: it must end within a
function's timeout. The next one goes on where it stopped."""

LEAST_PERIOD = timedelta(minutes=1)


class SweepState(Value):
    """The projection of `sweep/raw`; `watermark` is None until a first sweep has compared."""

    watermark: str | None = None

    @property
    def compared_after(self) -> datetime | None:
        """Objects created after this have to be compared with the log; None: all of them."""
        return None if self.watermark is None else parse_time(self.watermark) - MARGIN

    def is_known_since(self, moment: datetime) -> bool:
        """Whether all that was created up to then is known already."""
        return self.watermark is not None and parse_time(self.watermark) > moment

    def should_move(self, until: datetime) -> bool:
        return self.watermark is None or until - parse_time(self.watermark) >= LEAST_MOVE


def project_sweep(
    projection: Mapping[str, Json], _stream: str, event: NewEvent, _at: str
) -> dict[str, Json]:
    """`compared`: everything created up to `until` is known. Of two sweeps the farther counts."""
    if event.type != "compared":
        raise KeyError(event.type)
    before = SweepState.model_validate(projection)
    after = SweepState(watermark=max(before.watermark or "", str(event.data["until"])))
    return after.model_dump(mode="json")


def compared_event(until: datetime) -> NewEvent:
    return NewEvent("compared", {"until": format_time(until)})


class Backlog:
    """The oldest of any number of objects, at most `most`; of the others only the age is kept.

    `beyond` is when the oldest of the others was created; None when there are none.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: list[StoredObject] = []
        self.beyond: datetime | None = None

    def add(self, found: Iterable[StoredObject]) -> None:
        self._found.extend(found)
        if len(self._found) > 2 * self._most:
            self._cut()

    def oldest_first(self) -> list[StoredObject]:
        self._cut()
        return list(self._found)

    def _cut(self) -> None:
        self._found.sort(key=lambda each: (each.created, each.ref.generation, each.ref.name))
        left = [each.created for each in self._found[self._most : self._most + 1]]
        known = [] if self.beyond is None else [self.beyond]
        self.beyond = min([*left, *known], default=None)
        del self._found[self._most :]


def is_held(lease: Lease | None, now: datetime) -> bool:
    return lease is not None and parse_time(lease.until) > now


def is_stalled(ingestion: Ingestion, now: datetime, patience: timedelta) -> bool:
    """Whether a step of its own is due that nobody works on and nothing has touched for so long.

    One that waits for a load is not: its dataset is woken, once for all that wait.
    """
    return (
        ingestion.step not in (None, "load")
        and ingestion.updated_at < format_time(now - patience)
        and not is_held(ingestion.lease, now)
    )


def count_periods(since: str, now: datetime, patience: timedelta) -> int | None:
    """How many whole periods of `patience` (at least a minute each) something has waited; None
    when that is not longer than `patience`.

    It names the task that wakes it: one task a period, however many sweeps there are.
    """
    waited = now - parse_time(since)
    return None if waited <= patience else waited // max(patience, LEAST_PERIOD)
