"""What a timeline says of each attempt of a step: when it began, how it ended, how long it took.
Pure.

Loading is the group's work and not begun in the ingestion's own stream: it counts from the moment
that the ingestion was accepted, waiting included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from eventpulse.ports import Event

_ENDS = frozenset(
    {"validated", "accepted", "rejected", "returned", "failed", "step.faulted", "woken", "loaded"}
)


@dataclass(frozen=True, slots=True)
class StepRun:
    """`outcome` is the type of the event that ended the attempt; None while it runs, or when it was
    killed and another began."""

    step: str
    attempt: int
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    problem: str | None = None

    @property
    def seconds(self) -> float | None:
        if self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


def list_runs(events: Iterable[Event]) -> list[StepRun]:
    """The attempts, in the order in which they began."""
    runs: list[StepRun] = []
    for event in events:
        if event.type in _ENDS and runs and runs[-1].ended_at is None:
            problem = event.data.get("problem") or event.data.get("detail")
            shown = str(problem) if problem and event.type in ("step.faulted", "failed") else None
            runs[-1] = replace(runs[-1], ended_at=event.at, outcome=event.type, problem=shown)
        if event.type == "step.started":
            attempt = int(str(event.data["attempt"]))
            runs.append(StepRun(str(event.data["step"]), attempt, event.at))
        elif event.type == "accepted":
            runs.append(StepRun("load", 1, event.at))
    return runs
