"""Verifications as operators ask for them, and the tasks that take them further."""

from __future__ import annotations

from eventpulse.errors import RequestRefused
from eventpulse.operations.verifications import Verification
from eventpulse.pipeline.registry import contract_entry
from eventpulse.pipeline.streams import Changes, begin_stream
from eventpulse.pipeline.tasks import enqueue_operation
from eventpulse.platform import Platform
from eventpulse.ports import NewEvent


def request_verification(
    platform: Platform, verification_id: str, dataset: str, actor: str
) -> Verification:
    """Begin a verification; the same id again is the same one. Raises RequestRefused (404)."""
    contract_entry(platform, dataset, None)
    requested = NewEvent("requested", {"dataset": dataset, "requested_by": actor})
    begin_stream(platform, f"verification/{verification_id}", requested)
    enqueue_verification(platform, verification_id)
    return find_verification(platform, verification_id)


def enqueue_verification(platform: Platform, verification_id: str) -> None:
    """Have it taken further, if it is under way."""
    head = platform.log.head(f"verification/{verification_id}")
    if Verification.model_validate(head.projection).state == "running":
        enqueue_operation(platform, head)


def find_verification(platform: Platform, verification_id: str) -> Verification:
    """Raises RequestRefused (404)."""
    return read_verification(Changes(platform), verification_id)


def read_verification(changes: Changes, verification_id: str) -> Verification:
    projection = changes.projection(f"verification/{verification_id}")
    if not projection:
        raise RequestRefused(
            404,
            "verification_not_found",
            "No such verification",
            f"There is no verification {verification_id!r}. List them with GET /api/verifications.",
        )
    return Verification.model_validate(projection)
