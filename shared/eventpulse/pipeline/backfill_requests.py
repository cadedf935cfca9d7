"""Backfills as operators ask for and decide about them, and the tasks that take them further."""

from __future__ import annotations

from pydantic import TypeAdapter

from eventpulse.errors import ObjectMissing, RequestRefused
from eventpulse.operations.backfills import ACTIVE, DECISIONS, Backfill, Item
from eventpulse.pipeline.registry import contract_entry
from eventpulse.pipeline.streams import Changes, begin_stream
from eventpulse.pipeline.tasks import enqueue_operation
from eventpulse.platform import Platform
from eventpulse.ports import Json, NewEvent

CHUNK = 500
"""Items in one document of the plan."""

_ITEMS = TypeAdapter(list[Item])


def request_backfill(
    platform: Platform,
    backfill_id: str,
    dataset: str,
    *,
    since: str | None,
    until: str | None,
    check: bool,
    force: bool,
    actor: str,
) -> Backfill:
    """Begin to plan a backfill; the same id again is the same one. Raises RequestRefused (404)."""
    version = str(contract_entry(platform, dataset, None)["version"])
    requested: dict[str, Json] = {
        "dataset": dataset,
        "since": since,
        "until": until,
        "check": check,
        "force": force,
        "requested_by": actor,
        "contract_version": version,
    }
    begin_stream(platform, f"backfill/{backfill_id}", NewEvent("requested", requested))
    enqueue_backfill(platform, backfill_id)
    return find_backfill(platform, backfill_id)


def find_backfill(platform: Platform, backfill_id: str) -> Backfill:
    """Raises RequestRefused (404)."""
    return read_backfill(Changes(platform), backfill_id)


def read_backfill(changes: Changes, backfill_id: str) -> Backfill:
    projection = changes.projection(f"backfill/{backfill_id}")
    if not projection:
        raise RequestRefused(
            404,
            "backfill_not_found",
            "No such backfill",
            f"There is no backfill {backfill_id!r}. List them with GET /api/backfills.",
        )
    return Backfill.model_validate(projection)


def decide_backfill(platform: Platform, backfill_id: str, decision: str) -> Backfill:
    """Start, pause, resume or cancel; what was decided before changes nothing.

    Raises RequestRefused (404, 409).
    """
    event, allowed = DECISIONS[decision]
    while True:
        changes = Changes(platform)
        backfill = read_backfill(changes, backfill_id)
        if backfill.state not in allowed:
            raise RequestRefused(
                409,
                "not_possible_now",
                f"This backfill cannot {decision} now",
                f"It is {backfill.state}; only {' or '.join(sorted(allowed))} ones can.",
                state=backfill.state,
            )
        changes.add(backfill.stream, NewEvent(event))
        if changes.commit():
            enqueue_backfill(platform, backfill_id)
            return find_backfill(platform, backfill_id)


def enqueue_backfill(platform: Platform, backfill_id: str, *, wait: bool = False) -> None:
    """Have it taken further, if it is under way."""
    head = platform.log.head(f"backfill/{backfill_id}")
    if Backfill.model_validate(head.projection).state in ACTIVE:
        enqueue_operation(platform, head, wait=wait)


def chunk_name(backfill: Backfill, number: int) -> str:
    return f"_backfills/{backfill.id}/items-{number:06}.json"


def read_items(platform: Platform, backfill: Backfill, start: int, count: int) -> list[Item]:
    """Items of the plan from the `start`-th on, at most `count`."""
    items: list[Item] = []
    end = min(start + count, backfill.items)
    for number in range(start // CHUNK, -(-end // CHUNK)):
        stored = platform.objects.stat("reports", chunk_name(backfill, number))
        if stored is None:
            raise ObjectMissing("reports", chunk_name(backfill, number))
        with platform.objects.open(stored.ref) as stream:
            chunk = _ITEMS.validate_json(stream.read())
        base = number * CHUNK
        items += chunk[max(0, start - base) : end - base]
    return items
