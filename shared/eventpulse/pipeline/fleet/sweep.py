"""Sweep, for the fleet: claims against what landed, bundles, commands and silence.

Each part is found by a query for what is due and marked when it is done, so that a sweep costs what
changed and not what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from eventpulse.fleet.alerts import Finding
from eventpulse.fleet.batches import (
    DATASET,
    Batch,
    Epoch,
    epoch_stream,
    query_incomplete_epochs,
    query_landed,
    query_outstanding,
)
from eventpulse.fleet.commands import Command, query_overdue
from eventpulse.fleet.devices import Device, judge_status, query_silent
from eventpulse.leases import Delivery
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.pipeline.fleet.batches import URL_LIFETIME
from eventpulse.pipeline.fleet.bundle import bundle_batches
from eventpulse.pipeline.fleet.commands import expire_command
from eventpulse.pipeline.fleet.land_batch import read_bundling
from eventpulse.pipeline.fleet.state import apply_findings, device_in, fleet_rules, presence_in
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import Head, Json, NewEvent, Query, StoredObject
from eventpulse.values import format_time

PAGE = 200
MOST_SETTLED = 2_000
"""Of each kind, in one sweep: it must end within a function's timeout."""

Land = Callable[[StoredObject], object]


def settle_claims(platform: Platform, land: Land) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Claims whose URL has expired: what landed is landed, what did not come is missing."""
    before = format_time(platform.clock() - URL_LIFETIME - _patience(platform))
    for head in _heads(platform, query_outstanding(before)):
        yield head.stream, lambda stream=head.stream: _settle_claim(platform, stream, land)  # type: ignore[misc]


def _settle_claim(platform: Platform, stream: str, land: Land) -> bool:
    changes = Changes(platform)
    batch = Batch.model_validate(changes.projection(stream))
    if batch.state != "claimed" or batch.expires > format_time(platform.clock()):
        return False
    stored = platform.objects.stat("raw", batch.name.object_name)
    if stored is not None:
        land(stored)
        return True
    changes.add(stream, NewEvent("lapsed"))
    announced: dict[str, Json] = {"last": batch.last}
    changes.add(epoch_stream(batch.device, batch.epoch), NewEvent("announced", announced))
    return changes.commit()


def close_bundles(platform: Platform) -> list[str]:
    """Make the bundles that no task has made in time."""
    bundling = read_bundling(get_catalogue(platform).entries, DATASET)
    window = min(bundling.window_seconds, platform.settings.bundle_most_seconds)
    waiting = platform.log.query(query_landed(DATASET), limit=1).heads
    due = platform.clock() - _patience(platform) - timedelta(seconds=window)
    if not waiting or str(waiting[0].projection["landed_at"]) > format_time(due):
        return []
    return bundle_batches(platform, DATASET, Delivery())


def expire_commands(platform: Platform) -> Iterator[tuple[str, Callable[[], bool]]]:
    for head in _heads(platform, query_overdue(format_time(platform.clock()))):
        command = Command.model_validate(head.projection)
        yield head.stream, lambda each=command: expire_command(platform, each)  # type: ignore[misc]


def notice_silence(platform: Platform) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Devices that are offline and were not noticed to be."""
    for head in _heads(platform, query_silent(format_time(platform.clock()))):
        device = head.stream.partition("/")[2]
        yield head.stream, lambda each=device: _notice_silence(platform, each)  # type: ignore[misc]


def _notice_silence(platform: Platform, device_id: str) -> bool:
    changes = Changes(platform)
    changes.fetch(f"device/{device_id}", f"presence/{device_id}")
    device, presence = device_in(changes, device_id), presence_in(changes, device_id)
    if presence.offline_due is None or presence.offline_due > format_time(platform.clock()):
        return False
    status, basis = judge_status(device, presence, platform.clock())
    if status == "offline" and fleet_rules(platform).offline:
        apply_findings(changes, device_id, [Finding("offline", basis)])
    noticed = presence_in(changes, device_id).model_copy(update={"offline_due": None})
    changes.replace(presence.stream, noticed.model_dump(mode="json"))
    return changes.commit()


def notice_gaps(platform: Platform) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Epochs that have missed events for so long that they will hardly come."""
    seconds = fleet_rules(platform).missing_range_seconds
    if seconds is None:
        return
    before = format_time(platform.clock() - timedelta(seconds=seconds))
    for head in _heads(platform, query_incomplete_epochs(before)):
        yield head.stream, lambda stream=head.stream: _notice_gap(platform, stream)  # type: ignore[misc]


def _notice_gap(platform: Platform, stream: str) -> bool:
    """An alert, unless the device says that it holds events back, or has not spoken since."""
    changes = Changes(platform)
    epoch = Epoch.model_validate(changes.projection(stream))
    presence = presence_in(changes, epoch.device)
    device = Device.model_validate(changes.projection(f"device/{epoch.device}"))
    since = epoch.unalerted_since
    if since is None:
        return False
    beat = presence.heartbeat
    heard_since = presence.last_seen is not None and presence.last_seen > since
    holds_none = beat is None or beat.spool.events == 0
    if device.state == "enrolled" and not (heard_since and holds_none):
        return False
    shown = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in epoch.missing[:5])
    more = " …" if len(epoch.missing) > 5 else ""
    detail = (
        f"{epoch.missing_count:,} events of epoch {epoch.epoch} are missing: {shown}{more}. The "
        "device holds none of them."
    )
    apply_findings(
        changes, epoch.device, [Finding("missing_range", detail, float(epoch.missing_count))]
    )
    changes.add(stream, NewEvent("alerted"))
    return changes.commit()


def _heads(platform: Platform, query: Query) -> Iterator[Head]:
    cursor: str | None = None
    for _ in range(MOST_SETTLED // PAGE):
        page = platform.log.query(query, limit=PAGE, cursor=cursor)
        yield from page.heads
        cursor = page.cursor
        if cursor is None:
            return


def _patience(platform: Platform) -> timedelta:
    return timedelta(seconds=platform.settings.sweep_after_seconds)
