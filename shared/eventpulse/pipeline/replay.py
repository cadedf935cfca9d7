"""What operators decide about an ingestion: replay it, or retract it."""

from __future__ import annotations

from eventpulse.errors import RequestRefused
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.pipeline.streams import Changes
from eventpulse.pipeline.tasks import wake
from eventpulse.platform import Platform
from eventpulse.ports import Json, NewEvent
from eventpulse.values import derive_id

REPLAYABLE = frozenset({"loaded", "rejected", "failed"})


def replay_ingestion(platform: Platform, ingestion_id: str, key: str = "") -> str:
    """Read an ingestion's raw objects again under the current contract; returns the new id.

    The same idempotency key gives the same replay. When the replay loads, it takes the place of
    the first, rows that no longer pass included. Raises RequestRefused (404, 409).
    """
    while True:
        changes = Changes(platform)
        ingestion = changes.ingestion(ingestion_id)
        version = changes.head(ingestion.stream).version
        reason = f"key {key}" if key else f"version {version}"
        replay_id = derive_id("replay", ingestion_id, reason)
        stream = f"ingestion/{replay_id}"
        if changes.head(stream).version == 0:
            _check_replayable(ingestion)
            root = changes.ingestion(ingestion.root)
            changes.add(root.stream, NewEvent("replayed", {"by": replay_id}))
            if root.id != ingestion.id:
                changes.add(ingestion.stream, NewEvent("replayed", {"by": replay_id}))
            received = _describe_replay(platform, ingestion, root.replays + 1)
            changes.add(stream, NewEvent("received", received))
            if not changes.commit():
                continue
        wake(platform, [replay_id])
        return replay_id


def _check_replayable(ingestion: Ingestion) -> None:
    if ingestion.replaced_by is not None:
        raise RequestRefused(
            409,
            "already_replaced",
            "This ingestion was replaced",
            f"The replay {ingestion.replaced_by} took its place; replay that one.",
            replaced_by=ingestion.replaced_by,
        )
    if ingestion.retract_requested:
        raise RequestRefused(
            409,
            "being_retracted",
            "This ingestion is being retracted",
            "Wait until it is retracted, and upload the file again if its rows are wanted.",
        )
    if ingestion.state not in REPLAYABLE:
        raise RequestRefused(
            409,
            "not_replayable",
            "This ingestion cannot be replayed now",
            f"It is {ingestion.state}; only {', '.join(sorted(REPLAYABLE))} ones can be replayed.",
            state=ingestion.state,
        )


def _describe_replay(platform: Platform, ingestion: Ingestion, number: int) -> dict[str, Json]:
    catalogue = get_catalogue(platform)
    datasets = catalogue.route(ingestion.object)
    dataset = ingestion.dataset or (datasets[0] if len(datasets) == 1 else None)
    received: dict[str, Json] = {
        "objects": [each.model_dump(mode="json") for each in ingestion.objects],
        "replay_of": ingestion.id,
        "replay_root": ingestion.root,
        "replay_number": number,
    }
    if dataset is not None:
        entry = catalogue.entries[dataset]
        received["dataset"] = dataset
        received["contract_version"] = entry["version"]
        received["contract_sha256"] = entry["sha256"]
    return received


def retract_ingestion(platform: Platform, ingestion_id: str) -> None:
    """Take a loaded ingestion's rows out of its table, as if it had never come.

    Asking again changes nothing. Raises RequestRefused (404, 409).
    """
    while True:
        changes = Changes(platform)
        ingestion = changes.ingestion(ingestion_id)
        if ingestion.state == "retracted" or ingestion.retract_requested:
            break
        if ingestion.state != "loaded" or ingestion.replaced_by is not None:
            instead = (
                f"The replay {ingestion.replaced_by} took its place; retract that one."
                if ingestion.replaced_by
                else f"It is {ingestion.state}; only loaded ingestions have rows to take back."
            )
            raise RequestRefused(
                409, "not_retractable", "This ingestion cannot be retracted", instead
            )
        changes.add(ingestion.stream, NewEvent("retract.requested"))
        if changes.commit():
            break
    wake(platform, [ingestion_id])
