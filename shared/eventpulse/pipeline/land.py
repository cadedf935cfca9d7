"""Land: a finalized raw object becomes exactly one ingestion, however often it is announced."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from eventpulse.errors import ObjectMissing
from eventpulse.fleet.batches import Batch, parse_batch_name
from eventpulse.ingestions.ingestion import (
    Ingestion,
    Landing,
    SourceObject,
    is_duplicate,
    landing_of,
)
from eventpulse.ingestions.recovery import PREFIX, recovery_stream
from eventpulse.pipeline.catalogue import CATALOGUE, read_catalogue
from eventpulse.pipeline.fleet.land_batch import find_batch, land_batch
from eventpulse.pipeline.streams import (
    Changes,
    history_stream,
    hold_content,
    note_end,
    note_landing,
    resume_copy,
)
from eventpulse.pipeline.tasks import wake, wake_changed
from eventpulse.platform import Platform
from eventpulse.ports import Json, NewEvent, ObjectRef
from eventpulse.values import derive_id, format_time

logger = logging.getLogger(__name__)

READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FinalizedObject:
    """What a finalize event says; `bucket` is the bucket's own name."""

    bucket: str
    name: str
    generation: int
    size: int
    created: datetime
    content_type: str


def land_object(platform: Platform, finalized: FinalizedObject) -> str | None:
    """Register the ingestion of a raw object and return its id; of a device's batch, which waits
    for its bundle, the batch's stream.

    None when the object is not in the raw bucket or is gone (its generation was removed before it
    was read): nothing can be registered then, and trying again would change nothing.
    """
    if finalized.bucket != platform.objects.bucket_name("raw"):
        logger.warning("ignored an object outside the raw bucket: %s", finalized.bucket)
        return None
    ingestion_id = identify(finalized.bucket, finalized.name, finalized.generation)
    batch_name = parse_batch_name(finalized.name)
    batch = find_batch(platform, batch_name) if batch_name else None
    if batch is not None:
        return _land_claimed(platform, finalized, batch, ingestion_id)
    if platform.log.head(f"ingestion/{ingestion_id}").version:
        wake(platform, [ingestion_id])
        return ingestion_id
    try:
        source = _read_source(platform, finalized)
    except ObjectMissing:
        logger.exception("a finalized object is gone")
        return None
    _register(platform, ingestion_id, source)
    return ingestion_id


def _land_claimed(
    platform: Platform, finalized: FinalizedObject, batch: Batch, ingestion_id: str
) -> str | None:
    ref = ObjectRef("raw", finalized.name, finalized.generation)
    try:
        land_batch(platform, batch, ingestion_id, ref, finalized.created)
        return batch.stream
    except ObjectMissing:
        logger.exception("a finalized batch is gone")
        return None


def identify(bucket: str, name: str, generation: int) -> str:
    """The ingestion's id: a UUID of (bucket, object, generation)."""
    return derive_id("object", bucket, name, generation)


def _read_source(platform: Platform, finalized: FinalizedObject) -> SourceObject:
    digest = hashlib.sha256()
    ref = ObjectRef("raw", finalized.name, finalized.generation)
    with platform.objects.open(ref) as stream:
        while block := stream.read(READ_BYTES):
            digest.update(block)
    return SourceObject(
        bucket=finalized.bucket,
        name=finalized.name,
        generation=finalized.generation,
        size=finalized.size,
        created=format_time(finalized.created),
        content_type=finalized.content_type,
        sha256=digest.hexdigest(),
    )


def _register(platform: Platform, ingestion_id: str, source: SourceObject) -> None:
    """Commit the ingestion, unless another delivery was faster."""
    stream = f"ingestion/{ingestion_id}"
    while True:
        changes = Changes(platform)
        changes.fetch(stream, CATALOGUE, history_stream(source))
        if changes.head(stream).version:
            wake(platform, [ingestion_id])
            return
        _decide(changes, stream, source)
        if changes.commit():
            wake_changed(platform, changes)
            return


def _decide(changes: Changes, stream: str, source: SourceObject) -> None:
    """Received, or a duplicate of what holds this content; and what else that moves."""
    catalogue = read_catalogue(changes.head(CATALOGUE))
    datasets = catalogue.route(source.name)
    received: dict[str, Json] = {"objects": [source.model_dump(mode="json")]}
    if source.name.startswith(PREFIX):
        recovery = changes.projection(recovery_stream(source.bucket, source.name))
        if recovery:
            datasets = (str(recovery["dataset"]),)
            received["recovers"] = recovery["ingestion"]
    if len(datasets) == 1:
        entry = catalogue.entries[datasets[0]]
        received["dataset"] = datasets[0]
        received["contract_version"] = entry["version"]
        received["contract_sha256"] = entry["sha256"]
    changes.add(stream, NewEvent("received", received))
    ingestion = changes.ingestion(stream.partition("/")[2])
    if ingestion.dataset is None:
        note_landing(changes, ingestion)
        return
    first = _find_first(changes, ingestion)
    if first is not None:
        detail = (
            f"The same content as {first.object!r} (generation {first.source.generation}); "
            "nothing is loaded twice."
        )
        changes.add(stream, NewEvent("duplicate", {"duplicate_of": first.id, "detail": detail}))
        waiting = NewEvent("waiting", {"ingestion": ingestion.id})
        changes.add(f"content/{ingestion.content_key}", waiting)
        note_landing(changes, ingestion, of=first)
        note_end(changes, ingestion.id)
        return
    later = changes.history(source).duplicates_after(landing_of(ingestion))
    hold_content(changes, ingestion)
    note_landing(changes, ingestion)
    _resume_later_copies(changes, later, ingestion)


def _find_first(changes: Changes, ingestion: Ingestion) -> Ingestion | None:
    """The ingestion that this one only repeats, if there is one."""
    holder = changes.content(ingestion.content_key).holder
    if holder is None:
        return None
    first = changes.ingestion(holder)
    return first if is_duplicate(first, changes.history(first.source)) else None


def _resume_later_copies(changes: Changes, later: Iterable[Landing], ingestion: Ingestion) -> None:
    """Events are unordered: when B lands after a later copy of A was set aside, that copy counts
    again, since A after B must end as A."""
    contents: set[str] = set()
    for landing in later:
        copy = changes.ingestion(landing.ingestion)
        if copy.state == "duplicate" and copy.content_key not in contents:
            contents.add(copy.content_key)
            resume_copy(changes, copy, ingestion.id)
