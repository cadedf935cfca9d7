"""Which task wakes which function. Asking again for what was asked for does nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.logs import propagation_headers
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import Head, Json, Task
from eventpulse.values import Document

WAIT_SECONDS = 3
"""How often a long operation looks for what it waits for."""


def enqueue_call(
    platform: Platform,
    name: str,
    function: str,
    body: dict[str, Json],
    not_before: datetime | None = None,
) -> None:
    task = Task(name, function, body, not_before=not_before, headers=propagation_headers())
    platform.tasks.enqueue(task)


def wake(platform: Platform, ingestion_ids: Iterable[str]) -> None:
    """Enqueue whatever these ingestions wait for, as their streams stand now."""
    for ingestion_id in ingestion_ids:
        changes = Changes(platform)
        ingestion = changes.ingestion(ingestion_id)
        enqueue_step(platform, ingestion, changes.head(ingestion.stream).version)


def wake_changed(platform: Platform, changes: Changes) -> None:
    """Enqueue whatever the ingestions wait for that a commit has just changed."""
    for ingestion, version in changes.changed_ingestions():
        enqueue_step(platform, ingestion, version)
    for dataset, reason in changes.returned_batches().items():
        enqueue_bundle(platform, dataset, 0, reason)


def enqueue_step(platform: Platform, ingestion: Ingestion, version: int) -> None:
    """Call the function that the ingestion waits for.

    The name holds the stream's version: a name once used blocks nothing that comes later.
    """
    if ingestion.lineage is not None:
        enqueue_lineage(platform, ingestion.lineage)
    if ingestion.awaiting_load:
        enqueue_load(platform, ingestion.dataset or "", f"{ingestion.id}-v{version}")
    elif ingestion.step is not None:
        name = f"{ingestion.step}-{ingestion.id}-v{version}"
        enqueue_call(platform, name, ingestion.step, {"ingestion": ingestion.id})


def enqueue_load(platform: Platform, dataset: str, reason: str) -> None:
    """Ask for a load of whatever waits; within one window all requests are one task."""
    window = platform.settings.load_window_seconds
    not_before = None
    if window:
        number = int(platform.clock().timestamp()) // window + 1
        reason = f"w{number}"
        not_before = datetime.fromtimestamp(number * window, UTC)
    name = f"load-{task_safe(dataset)}-{reason}"
    enqueue_call(platform, name, "load", {"dataset": dataset}, not_before)


def enqueue_bundle(platform: Platform, dataset: str, seconds: float, reason: str) -> None:
    """Ask for what has landed to be bundled at the end of the window; all requests within one
    window are one task. Without a window it is asked for at once, under the reason's name."""
    window = int(min(seconds, platform.settings.bundle_most_seconds))
    not_before = None
    if window:
        number = int(platform.clock().timestamp()) // window + 1
        reason = f"w{window}-{number}"
        not_before = datetime.fromtimestamp(number * window, UTC)
    name = f"bundle-{task_safe(dataset)}-{task_safe(reason)}"
    enqueue_call(platform, name, "bundle", {"dataset": dataset}, not_before)


def enqueue_marts(platform: Platform, dataset: str, loads: int, reason: str = "") -> None:
    name = f"marts-{task_safe(dataset)}-{loads}{reason}"
    enqueue_call(platform, name, "marts", {"dataset": dataset})


def enqueue_lineage(platform: Platform, document: Document) -> None:
    """Have a lineage artifact forwarded, where an endpoint is configured."""
    if platform.settings.openlineage_url:
        enqueue_call(platform, f"lineage-{document.sha256}", "lineage", document.model_dump())


def enqueue_operation(
    platform: Platform, head: Head, *, wait: bool = False, held_until: datetime | None = None
) -> None:
    """Have a long operation of an operator, `backfill/<id>` or `verification/<id>`, taken further:
    one task a version of its stream; while waiting one a period, and one when a lease ends."""
    kind, _, id_ = head.stream.partition("/")
    name = f"{kind}-{id_}-v{head.version}"
    not_before = held_until
    if held_until is not None:
        name = f"{name}-lease"
    elif wait:
        period = int(platform.clock().timestamp()) // WAIT_SECONDS + 1
        name = f"{name}-w{period}"
        not_before = datetime.fromtimestamp(period * WAIT_SECONDS, UTC)
    enqueue_call(platform, name, "backfill", {kind: id_}, not_before)


def task_safe(text: str) -> str:
    """A dataset's name within a task's name, which admits few characters."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "-" for c in text)
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
