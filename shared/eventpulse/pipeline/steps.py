"""Running one step of one ingestion under a lease, whatever happens to the process that runs it.

A step's work is deterministic and writes under derived names, so doing it twice is doing it once;
the lease only saves the second doing. A transient fault is raised, so that the queue tries again;
the last attempt ends as `failed`, visible and replayable.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from eventpulse.errors import EventPulseError, TerminalError
from eventpulse.ingestions.ingestion import Ingestion, Step
from eventpulse.leases import Begin, Delivery, Exhausted, Held, Lease, begin_step
from eventpulse.pipeline.streams import Changes, note_end, release_content
from eventpulse.pipeline.tasks import enqueue_call, enqueue_step, wake, wake_changed
from eventpulse.platform import Platform
from eventpulse.ports import NewEvent

logger = logging.getLogger(__name__)

Work = Callable[[Ingestion], "Outcome"]
Holder = tuple[Lease | None, int]
"""The lease of a stream, and how often its step was begun."""

ENDS_OTHERWISE = frozenset({"rejected", "failed", "retracted"})
"""Events that take an ingestion out of the way of its waiting copies."""


def _nothing_else(_: Changes) -> None:
    return None


class Outcome:
    """What a step decided: events for the ingestion, and what else changes in the same commit."""

    def __init__(
        self, *events: NewEvent, others: Callable[[Changes], None] = _nothing_else
    ) -> None:
        self.events = events
        self.others = others


def run_step(
    platform: Platform, step: Step, ingestion_id: str, delivery: Delivery, work: Work
) -> None:
    """Run a step if it is due; enqueue what comes next. Raises TransientError to be tried again."""
    for port in (platform.log, platform.objects, platform.tasks):
        assert port is not None  # a wrong setting shows before a lease is taken

    def look(changes: Changes) -> Holder | None:
        ingestion = changes.ingestion(ingestion_id)
        due = ingestion.step == step
        return (ingestion.lease, ingestion.attempts.get(step, 0)) if due else None

    stream = f"ingestion/{ingestion_id}"
    changes, decision = begin_leased(platform, step, stream, delivery, look)
    ingestion, version = changes.ingestion(ingestion_id), changes.head(stream).version
    if decision is None:
        enqueue_step(platform, ingestion, version)
    elif isinstance(decision, Held):
        name = f"{step}-{ingestion_id}-v{version}-lease"
        enqueue_call(platform, name, step, {"ingestion": ingestion_id}, decision.until)
    elif isinstance(decision, Exhausted):
        problem = f"The step {step} began {decision.attempts} times and never ended."
        settle_step(platform, ingestion_id, step, None, Outcome(fail_event(step, problem)))
    else:
        outcome = _attempt(step, ingestion, decision, work)
        settle_step(platform, ingestion_id, step, ingestion.lease, outcome)


def begin_leased(
    platform: Platform,
    step: str,
    stream: str,
    delivery: Delivery,
    look: Callable[[Changes], Holder | None],
    *,
    max_attempts: int | None = None,
) -> tuple[Changes, Begin | Held | Exhausted | None]:
    """Take the lease of a stream for a step, if it is due: `look` says who holds it, and how often
    the step was begun; None when it is not due, and then the decision is None too.

    Returns the stream as it was decided on: with Begin it is committed, else nothing is changed.
    """
    while True:
        changes = Changes(platform)
        holder = look(changes)
        if holder is None:
            return changes, None
        decision = begin_step(
            step,
            *holder,
            now=platform.clock(),
            lease_for=platform.settings.lease,
            max_attempts=max_attempts or platform.settings.max_attempts,
            delivery=delivery,
        )
        if not isinstance(decision, Begin):
            return changes, decision
        changes.add(stream, decision.event)
        if changes.commit():
            return changes, decision


def _attempt(step: Step, ingestion: Ingestion, begun: Begin, work: Work) -> Outcome:
    try:
        return work(ingestion)
    except TerminalError as error:
        return Outcome(fail_event(step, error.message))
    except Exception as error:
        problem = describe_fault(error)
        logger.exception("step faulted", extra={"fields": {"ingestion": ingestion.id}})
        if begun.last:
            return Outcome(fail_event(step, problem))
        return Faulted(error, NewEvent("step.faulted", {"step": step, "problem": problem}))


class Faulted(Outcome):
    """An attempt that failed and is not the last: recorded, then raised to the queue."""

    def __init__(self, error: Exception, event: NewEvent) -> None:
        super().__init__(event)
        self.error = error


def settle_step(
    platform: Platform, ingestion_id: str, step: Step, lease: Lease | None, outcome: Outcome
) -> None:
    """Commit a step's outcome unless another attempt took the step over, and wake what follows."""
    while True:
        changes = Changes(platform)
        ingestion = changes.ingestion(ingestion_id)
        if ingestion.step != step or (lease is not None and ingestion.lease != lease):
            wake(platform, [ingestion_id])
            return
        changes.add(ingestion.stream, *outcome.events)
        outcome.others(changes)
        if any(event.type in ENDS_OTHERWISE for event in outcome.events):
            release_content(changes, ingestion)
            note_end(changes, ingestion_id)
        if changes.commit():
            break
    if isinstance(outcome, Faulted):
        raise outcome.error
    wake_changed(platform, changes)


def fail_event(step: str, problem: str) -> NewEvent:
    detail = f"{problem.rstrip('.')}. The file is kept; replay it when the cause is gone."
    return NewEvent("failed", {"failed_step": step, "detail": detail})


def describe_fault(error: Exception) -> str:
    if isinstance(error, EventPulseError):
        return error.message
    return f"{type(error).__name__}: {error}"
