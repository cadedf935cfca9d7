"""Sweep: whatever no event and no task will wake. Compares what is there with what the log knows.

It finds raw objects that were never announced, ingestions and load groups that nobody works on,
and marts that are behind. Doing it at any time, or twice at once, changes nothing that is well.
Whatever faults is logged and counted, stops nothing else, and is found again by the next sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from eventpulse.contracts.freshness import judge_freshness
from eventpulse.ingestions.ingestion import Ingestion, query_awaiting_load, query_unfinished
from eventpulse.ingestions.loading import ALL_DATASETS, DatasetState
from eventpulse.leases import Lease
from eventpulse.operations import backfills, verifications
from eventpulse.operations.sweeping import (
    LANDING_TIME,
    MOST_LANDED,
    RAW_SWEEP,
    Backlog,
    SweepState,
    compared_event,
    count_periods,
    is_held,
    is_stalled,
)
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.pipeline.fleet.land_batch import leave_out_landed
from eventpulse.pipeline.fleet.sweep import (
    close_bundles,
    expire_commands,
    notice_gaps,
    notice_silence,
    settle_claims,
)
from eventpulse.pipeline.land import FinalizedObject, identify, land_object
from eventpulse.pipeline.marts import stale_datasets
from eventpulse.pipeline.signals import report_late, report_sweep
from eventpulse.pipeline.streams import Changes, list_heads
from eventpulse.pipeline.tasks import enqueue_load, enqueue_marts, enqueue_operation, wake_changed
from eventpulse.platform import Platform
from eventpulse.ports import NewEvent, Query, StoredObject
from eventpulse.values import format_time, parse_time

logger = logging.getLogger(__name__)

BATCH = 200


@dataclass
class Swept:
    """How much was landed, woken or found overdue, and how many faults kept something from it."""

    objects: int = 0
    ingestions: int = 0
    groups: int = 0
    marts: int = 0
    claims: int = 0
    bundles: int = 0
    commands: int = 0
    backfills: int = 0
    verifications: int = 0
    alerts: int = 0
    faults: int = 0


def sweep(platform: Platform, *, most_landed: int = MOST_LANDED) -> Swept:
    """Find and wake everything, at most `most_landed` objects. Raises SettingInvalid."""
    for port in (platform.log, platform.objects, platform.tasks):
        assert port is not None  # a wrong setting is the answer, not one more fault
    swept = Swept()
    # Landing may take minutes: what is quickly woken comes first.
    with _isolated(swept, "ingestions"):
        _wake_ingestions(platform, swept)
    with _isolated(swept, "datasets"):
        _wake_datasets(platform, swept)
    with _isolated(swept, "marts"):
        _wake_marts(platform, swept)
    _settle_fleet(platform, swept)
    untouched = format_time(platform.clock() - _patience(platform))
    with _isolated(swept, "backfills"):
        swept.backfills = _wake_operations(platform, backfills.query_stalled(untouched))
    with _isolated(swept, "verifications"):
        swept.verifications = _wake_operations(platform, verifications.query_stalled(untouched))
    with _isolated(swept, "objects"):
        _land_unannounced(platform, swept, most_landed)
    waiting = 0.0
    with _isolated(swept, "freshness"):
        _watch_freshness(platform)
        waiting = _oldest_waiting(platform)
    report_sweep(asdict(swept), waiting)
    return swept


@contextmanager
def _isolated(swept: Swept, what: str) -> Iterator[None]:
    """A fault in here is logged and counted, and goes no further."""
    try:
        yield
    except Exception:
        swept.faults += 1
        logger.exception("sweep faulted: %s", what)


def _patience(platform: Platform) -> timedelta:
    return timedelta(seconds=platform.settings.sweep_after_seconds)


# --- Objects -------------------------------------------------------------------------------------


def _land_unannounced(platform: Platform, swept: Swept, most: int) -> None:
    """Land raw generations that the log has never heard of, oldest first, and note how far it now
    knows them all."""
    state = SweepState.model_validate(Changes(platform).projection(RAW_SWEEP))
    newest = platform.clock() - _patience(platform)
    if state.is_known_since(newest - timedelta(seconds=platform.settings.compare_seconds)):
        return  # a listing costs an operation for every thousand objects that were ever put
    backlog = Backlog(most)
    for batch in _list_created(platform, state.compared_after, newest):
        backlog.add(_unknown(platform, batch))
    unsettled = [] if backlog.beyond is None else [backlog.beyond]
    deadline = platform.clock() + LANDING_TIME
    for stored in backlog.oldest_first():
        if platform.clock() > deadline:
            unsettled.append(stored.created)
            break
        if not _land(platform, swept, stored):
            unsettled.append(stored.created)
    _move_watermark(platform, min([newest, *unsettled]))


def _list_created(
    platform: Platform, after: datetime | None, newest: datetime
) -> Iterator[list[StoredObject]]:
    """Batches of the raw generations of a time, noncurrent ones too; younger ones are left to
    their events."""
    batch: list[StoredObject] = []
    for stored in platform.objects.list("raw", generations=True):
        if stored.created <= newest and (after is None or stored.created > after):
            batch.append(stored)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _unknown(platform: Platform, batch: list[StoredObject]) -> list[StoredObject]:
    bucket = platform.objects.bucket_name("raw")
    ids = [identify(bucket, each.ref.name, each.ref.generation) for each in batch]
    heads = platform.log.heads([f"ingestion/{each}" for each in ids])
    unknown = [stored for stored, head in zip(batch, heads, strict=True) if head.version == 0]
    return leave_out_landed(platform, unknown)


def _land(platform: Platform, swept: Swept, stored: StoredObject) -> bool:
    """False when it could not be landed, and has to be found again."""
    finalized = FinalizedObject(
        bucket=platform.objects.bucket_name("raw"),
        name=stored.ref.name,
        generation=stored.ref.generation,
        size=stored.size,
        created=stored.created,
        content_type=stored.content_type,
    )
    with _isolated(swept, f"object {stored.ref.name!r}, generation {stored.ref.generation}"):
        if land_object(platform, finalized) is not None:
            swept.objects += 1
        return True
    return False


def _move_watermark(platform: Platform, until: datetime) -> None:
    while True:
        changes = Changes(platform)
        state = SweepState.model_validate(changes.projection(RAW_SWEEP))
        if not state.should_move(until):
            return
        changes.add(RAW_SWEEP, compared_event(until))
        if changes.commit():
            return


# --- The fleet -----------------------------------------------------------------------------------


def _settle_fleet(platform: Platform, swept: Swept) -> None:
    """Claims, bundles, commands and alerts; each by itself, so that no fault stops the rest."""
    with _isolated(swept, "claims"):
        for what, settle in settle_claims(platform, lambda each: _land(platform, swept, each)):
            with _isolated(swept, what):
                swept.claims += settle()
    with _isolated(swept, "bundles"):
        swept.bundles += len(close_bundles(platform))
    with _isolated(swept, "commands"):
        for what, expire in expire_commands(platform):
            with _isolated(swept, what):
                swept.commands += expire()
    for kind, notice in (("silence", notice_silence), ("gaps", notice_gaps)):
        with _isolated(swept, kind):
            for what, open_alert in notice(platform):
                with _isolated(swept, what):
                    swept.alerts += open_alert()


# --- Ingestions ----------------------------------------------------------------------------------


def _wake_ingestions(platform: Platform, swept: Swept) -> None:
    """Unfinished ingestions that nothing has touched for a while and that nobody holds."""
    now, patience = platform.clock(), _patience(platform)
    cursor: str | None = None
    while True:
        unfinished = query_unfinished(format_time(now - patience))
        page = platform.log.query(unfinished, limit=BATCH, cursor=cursor)
        for head in page.heads:
            ingestion = Ingestion.model_validate(head.projection)
            if is_stalled(ingestion, now, patience):
                with _isolated(swept, ingestion.stream):
                    swept.ingestions += _wake_ingestion(platform, ingestion.id)
        cursor = page.cursor
        if cursor is None:
            return


def _wake_ingestion(platform: Platform, ingestion_id: str) -> bool:
    """Note that it was woken, so that the task's name is a new one, and enqueue its step.

    It is judged again by the very head that the note is appended to: a step that has begun since
    the query keeps its lease.
    """
    changes = Changes(platform)
    ingestion = changes.ingestion(ingestion_id)
    if not is_stalled(ingestion, platform.clock(), _patience(platform)):
        return False
    changes.add(ingestion.stream, NewEvent("woken", {"by": "sweep"}))
    if not changes.commit():
        return False
    wake_changed(platform, changes)
    return True


# --- Datasets and marts --------------------------------------------------------------------------


def _wake_datasets(platform: Platform, swept: Swept) -> None:
    for head in list_heads(platform, ALL_DATASETS):
        with _isolated(swept, head.stream):
            dataset = DatasetState.model_validate(head.projection)
            reason = _overdue_load(platform, dataset)
            if reason is not None:
                swept.groups += 1
                enqueue_load(platform, dataset.name, reason)


def _overdue_load(platform: Platform, dataset: DatasetState) -> str | None:
    """Which load should long have begun, as a task's reason; None when all is well.

    An open group comes first: nothing else of its dataset is loaded before it is closed. Others
    are waited for during the window in which their load is scheduled anyway.
    """
    now, patience = platform.clock(), _patience(platform)
    if dataset.open_group is not None:
        group = Changes(platform).group(dataset.open_group)
        if is_held(group.lease, now):
            return None
        subject, periods = group.id, count_periods(group.opened_at, now, patience)
    else:
        page = platform.log.query(query_awaiting_load(dataset.name), limit=1)
        if not page.heads:
            return None
        longest = Ingestion.model_validate(page.heads[0].projection)
        patience += timedelta(seconds=platform.settings.load_window_seconds)
        subject, periods = longest.id, count_periods(longest.updated_at, now, patience)
    return None if periods is None else f"sweep-{subject}-{periods}"


def _wake_marts(platform: Platform, swept: Swept) -> None:
    """Marts that are behind the loads of their datasets."""
    minute = int(platform.clock().timestamp()) // 60
    for name, loads in stale_datasets(platform).items():
        with _isolated(swept, f"marts of {name}"):
            enqueue_marts(platform, name, loads, f"-sweep-{minute}")
            swept.marts += 1


# --- What operators have asked for --------------------------------------------------------------


def _wake_operations(platform: Platform, stalled: Query) -> int:
    """Have long operations taken further that nobody works on; how many there are."""
    woken = 0
    for head in platform.log.query(stalled, limit=BATCH).heads:
        held = head.projection.get("lease")
        lease = None if held is None else Lease.model_validate(held)
        if not is_held(lease, platform.clock()):
            enqueue_operation(platform, head, wait=True)
            woken += 1
    return woken


# --- What operators are told --------------------------------------------------------------------


def _watch_freshness(platform: Platform) -> None:
    """Tell of each dataset that was not loaded for longer than its contract says."""
    now = platform.clock()
    catalogue = get_catalogue(platform)
    for head in list_heads(platform, ALL_DATASETS):
        dataset = DatasetState.model_validate(head.projection)
        if dataset.loaded_at is None:
            continue
        level, loaded_at = catalogue.service_level(dataset.name), parse_time(dataset.loaded_at)
        fresh = judge_freshness(level, loaded_at, now)
        if fresh.word == "late" and fresh.due is not None:
            report_late(dataset.name, loaded_at, now, fresh.due)


def _oldest_waiting(platform: Platform) -> float:
    """For how many seconds the longest waiting ingestion has been on its way."""
    now = platform.clock()
    page = platform.log.query(query_unfinished(format_time(now)), limit=BATCH)
    received = [Ingestion.model_validate(head.projection).received_at for head in page.heads]
    return max(((now - parse_time(each)).total_seconds() for each in received), default=0.0)
