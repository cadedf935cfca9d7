"""Bundle: batches of many devices that have landed become one ingestion.

Landing writes documents of its own batch only; the bundle is made by one task a window, so that no
document is written by every device. Two bundles at once never take the same batch: the commit that
takes it is conditional on the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from eventpulse.contracts.contract import Bundling
from eventpulse.fleet.batches import (
    Batch,
    batch_stream,
    bundle_id,
    parse_batch_name,
    query_landed,
)
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.leases import Delivery
from eventpulse.pipeline.catalogue import CATALOGUE, read_catalogue
from eventpulse.pipeline.fleet.land_batch import read_bundling, received_data, source_of
from eventpulse.pipeline.streams import Changes
from eventpulse.pipeline.tasks import wake_changed
from eventpulse.platform import Platform
from eventpulse.ports import NewEvent


def bundle_batches(platform: Platform, dataset: str, _delivery: Delivery) -> list[str]:
    """Make bundles of everything that has landed and return their ingestions."""
    made: list[str] = []
    overtaken = ""
    while True:
        changes = Changes(platform)
        catalogue = read_catalogue(changes.head(CATALOGUE))
        bundling = read_bundling(catalogue.entries, dataset)
        heads = platform.log.query(query_landed(dataset), limit=bundling.objects).heads
        if not heads:
            return made
        changes.adopt(heads)
        members = choose_members([Batch.model_validate(h.projection) for h in heads], bundling)
        ingestion_id = bundle_id(dataset, members)
        bucket = platform.objects.bucket_name("raw")
        sources = [
            source_of(each, bucket, each.generation or 0, each.created or "") for each in members
        ]
        stream = f"ingestion/{ingestion_id}"
        if changes.head(stream).version:
            if ingestion_id == overtaken:
                raise AssertionError(f"{stream} exists, and yet its batches wait")
            overtaken = ingestion_id  # made by another bundling since the query: look again
            continue
        received = received_data(dataset, catalogue.entries.get(dataset, {}), sources)
        changes.add(stream, NewEvent("received", received))
        for batch in members:
            changes.add(batch.stream, NewEvent("bundled", {"ingestion": ingestion_id}))
        if changes.commit():
            made.append(ingestion_id)
            wake_changed(platform, changes)


def choose_members(waiting: Sequence[Batch], bundling: Bundling) -> list[Batch]:
    """The next bundle: the one that waits longest, and with it what else may stand beside it."""
    if waiting[0].alone:
        return [waiting[0]]
    members: list[Batch] = []
    size = 0
    for batch in waiting:
        if batch.alone:
            continue
        size += batch.bytes
        if members and (size > bundling.bytes or len(members) >= bundling.objects):
            break
        members.append(batch)
    return members


def find_offenders(objects: Sequence[Mapping[str, Any]], max_invalid_percent: float) -> list[str]:
    """The objects that were not counted to their end, or of whose rows too many are bad."""
    return [
        each["object"]
        for each in objects
        if "rows_read" not in each
        or 100 * (each["rows_read"] - each["rows_accepted"])
        > max_invalid_percent * each["rows_read"]
    ]


def return_batches(ingestion: Ingestion, offenders: Collection[str], changes: Changes) -> None:
    """A bundle that is rejected for what is in some of its batches gives them all back."""
    names = [parse_batch_name(each.name) for each in ingestion.objects]
    if len(names) < 2 or None in names:
        return
    streams = [batch_stream(n.device, n.epoch, n.first) for n in names if n is not None]
    changes.fetch(*streams)
    for stream, source in zip(streams, ingestion.objects, strict=True):
        projection = changes.projection(stream)
        if projection.get("state") == "bundled" and projection["ingestion"] == ingestion.id:
            alone = not offenders or source.name in offenders
            changes.add(stream, NewEvent("returned", {"alone": alone}))
