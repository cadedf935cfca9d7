"""Leases: who works on something now, for how long, and how often it was begun. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from eventpulse.ports import Json, NewEvent
from eventpulse.values import Value, format_time, parse_time


class Lease(Value):
    """Who works on a stream now. `task` and `delivery` name the delivery that began it."""

    step: str
    attempt: int
    until: str
    task: str = ""
    delivery: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """The call that a step runs in: the task's name and how often it was retried before."""

    task: str = ""
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Begin:
    """The step may begin: append `event`, then work."""

    event: NewEvent
    attempt: int
    last: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Another delivery works on it; look again at `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Every attempt began and none ended: killed, or timed out."""

    attempts: int


def begin_step(
    step: str,
    lease: Lease | None,
    attempts: int,
    *,
    now: datetime,
    lease_for: timedelta,
    max_attempts: int,
    delivery: Delivery,
) -> Begin | Held | Exhausted:
    """Whether a step may begin now.

    A later delivery of the task that took the lease may take it over at once: a task is delivered
    again only after its delivery before ended, because functions time out before dispatches do.
    """
    if lease is not None and parse_time(lease.until) > now:
        again = bool(delivery.task) and lease.task == delivery.task
        if not (again and delivery.retries > lease.delivery):
            return Held(parse_time(lease.until))
    if attempts >= max_attempts:
        return Exhausted(attempts)
    started: dict[str, Json] = {
        "step": step,
        "attempt": attempts + 1,
        "until": format_time(now + lease_for),
        "task": delivery.task,
        "delivery": delivery.retries,
    }
    return Begin(NewEvent("step.started", started), attempts + 1, attempts + 1 >= max_attempts)
