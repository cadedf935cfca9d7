"""Backfill: plan it, say what it would change, run it slice by slice.

Each task takes a backfill one slice further and asks for the next, so it goes on where it stopped
whatever was killed. All that is done is done under derived names and keys: twice is once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from eventpulse.contracts.contract import Contract
from eventpulse.errors import FileUnreadable, ObjectMissing, RequestRefused
from eventpulse.ingestions.ingestion import STEP_OF_STATE, Ingestion, SourceObject, from_head
from eventpulse.ingestions.quality import QualityReport
from eventpulse.operations.backfills import (
    ACTIVE,
    Backfill,
    Example,
    Foreseen,
    Item,
    decide_item,
)
from eventpulse.pipeline.backfill_requests import (
    CHUNK,
    chunk_name,
    enqueue_backfill,
    find_backfill,
    read_backfill,
    read_items,
)
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.pipeline.drift import foresee
from eventpulse.pipeline.land import FinalizedObject, identify, land_object
from eventpulse.pipeline.registry import load_contract
from eventpulse.pipeline.replay import replay_ingestion
from eventpulse.pipeline.streams import Changes, dataset_of
from eventpulse.pipeline.validate import gather_facts
from eventpulse.platform import Platform
from eventpulse.ports import Bucket, Json, NewEvent, ObjectRef, StoredObject
from eventpulse.values import format_time, parse_time

logger = logging.getLogger(__name__)

CHECKED_AT_ONCE = 20
CHECKED_BYTES = 256 << 20
"""A task of the dry run reads so many files, or stops after so many bytes."""

SLICE = 39
"""Items that run side by side: what one load group takes."""

_HEADS = 200
_SCRATCH: tuple[Bucket, ...] = ("staged", "quarantine")


def advance_backfill(platform: Platform, backfill_id: str) -> None:
    """Take it one slice further, and ask for the next. Raises RequestRefused (404)."""
    backfill = find_backfill(platform, backfill_id)
    if backfill.state not in ACTIVE:
        return
    if backfill.state == "running":
        if not _run(platform, backfill):
            enqueue_backfill(platform, backfill_id, wait=True)
            return
    elif not backfill.listed:
        _list(platform, backfill)
    elif not backfill.is_planned:
        _check(platform, backfill)
    else:
        _append(platform, backfill, NewEvent("planned"))
    enqueue_backfill(platform, backfill_id)


def _append(platform: Platform, backfill: Backfill, *events: NewEvent) -> bool:
    """False when the backfill is no longer as it was read: the next task decides again."""
    changes = Changes(platform)
    if read_backfill(changes, backfill.id) != backfill:
        return False
    changes.add(backfill.stream, *events)
    return changes.commit()


# --- Planning ------------------------------------------------------------------------------------


def _list(platform: Platform, backfill: Backfill) -> None:
    """Write the plan: what would run, in the order of creation, and why other objects would not."""
    skipped: dict[str, int] = {}
    items: list[Item] = []
    schema = dataset_of(platform, backfill.dataset).table_schema
    for stored, ingestion in _find_objects(platform, backfill):
        decided = decide_item(
            ingestion,
            dataset=backfill.dataset,
            contract_version=backfill.contract_version or "",
            schema_version=schema.version,
            force=backfill.force,
        )
        if decided in ("replay", "land"):
            items.append(_make_item(platform, stored, ingestion))
        else:
            skipped[decided] = skipped.get(decided, 0) + 1
    items.sort(key=lambda each: (each.created, each.generation, each.object))
    for number in range(0, len(items), CHUNK):
        _write_chunk(platform, backfill, number // CHUNK, items[number : number + CHUNK])
    listed: dict[str, Json] = {"items": len(items), "skipped": dict(skipped)}
    _append(platform, backfill, NewEvent("listed", listed))


def _find_objects(
    platform: Platform, backfill: Backfill
) -> Iterator[tuple[StoredObject, Ingestion | None]]:
    """The raw generations of the dataset and time, each with the ingestion that stands for it."""
    batch: list[StoredObject] = []
    for stored in _list_raw(platform, backfill):
        batch.append(stored)
        if len(batch) == _HEADS:
            yield from _match(platform, batch)
            batch = []
    yield from _match(platform, batch)


def _list_raw(platform: Platform, backfill: Backfill) -> Iterator[StoredObject]:
    catalogue = get_catalogue(platform)
    declared = catalogue.entries[backfill.dataset]["patterns"]
    patterns = [str(each) for each in declared] if isinstance(declared, list) else []
    seen: set[ObjectRef] = set()
    for prefix in sorted({_literal(each) for each in patterns or [f"{backfill.dataset}/*"]}):
        for stored in platform.objects.list("raw", prefix, generations=True):
            created = format_time(stored.created)
            early = backfill.since is not None and created < backfill.since
            late = backfill.until is not None and created >= backfill.until
            if early or late or stored.ref in seen:
                continue
            if catalogue.route(stored.ref.name) == (backfill.dataset,):
                seen.add(stored.ref)
                yield stored


def _literal(pattern: str) -> str:
    return pattern.split("*", 1)[0].split("?", 1)[0].split("[", 1)[0]


def _match(
    platform: Platform, batch: Sequence[StoredObject]
) -> Iterator[tuple[StoredObject, Ingestion | None]]:
    """With the replay that took an ingestion's place, where one did."""
    if not batch:
        return
    bucket = platform.objects.bucket_name("raw")
    ids = [identify(bucket, each.ref.name, each.ref.generation) for each in batch]
    found = [from_head(head) for head in platform.log.heads([f"ingestion/{each}" for each in ids])]
    standing = {each.standing_replay for each in found if each and each.standing_replay}
    heads = platform.log.heads([f"ingestion/{each}" for each in sorted(standing)])
    replays = {each.id: each for each in map(from_head, heads) if each is not None}
    for stored, ingestion in zip(batch, found, strict=True):
        replay = replays.get(ingestion.standing_replay or "") if ingestion else None
        yield stored, replay or ingestion


def _make_item(platform: Platform, stored: StoredObject, ingestion: Ingestion | None) -> Item:
    bucket = platform.objects.bucket_name("raw")
    ref = stored.ref
    return Item(
        object=ref.name,
        generation=ref.generation,
        created=format_time(stored.created),
        size=stored.size,
        action="land" if ingestion is None else "replay",
        ingestion=ingestion.id if ingestion else identify(bucket, ref.name, ref.generation),
        state=ingestion.state if ingestion else None,
    )


def _write_chunk(platform: Platform, backfill: Backfill, number: int, items: list[Item]) -> None:
    from pydantic import TypeAdapter

    data = TypeAdapter(list[Item]).dump_json(items)
    name = chunk_name(backfill, number)
    with platform.objects.write(
        "reports", name, content_type="application/json", replace=True
    ) as out:
        out.write(data)


# --- The dry run ---------------------------------------------------------------------------------


def _check(platform: Platform, backfill: Backfill) -> None:
    """Read and judge some more files, and keep nothing but the difference."""
    contract = load_contract(platform, backfill.dataset, backfill.contract_version)
    found = Foreseen()
    checked, read = backfill.checked, 0
    for item in read_items(platform, backfill, backfill.checked, CHECKED_AT_ONCE):
        if read and read + item.size > CHECKED_BYTES:
            break
        found = found.plus(_foresee(platform, backfill, contract, item))
        checked, read = checked + 1, read + item.size
    data: dict[str, Json] = {"checked": checked, "foreseen": found.model_dump(mode="json")}
    _append(platform, backfill, NewEvent("checked", data))


def _foresee(platform: Platform, backfill: Backfill, contract: Contract, item: Item) -> Foreseen:
    before = from_head(platform.log.head(f"ingestion/{item.ingestion}"))
    report = _judge(platform, backfill, contract, item)
    accepted = report is not None and report.outcome == "accepted"
    balance = report.balance if report else None
    was_loaded = before is not None and before.state == "loaded"
    rows_before = (before.rows_accepted or 0) if before and was_loaded else 0
    refused_before = (before.rows_quarantined or 0) + (before.rows_duplicate or 0) if before else 0
    rows_after = balance.rows_accepted if balance and accepted else 0
    refused_after = balance.rows_quarantined + balance.rows_duplicate if balance else 0
    changed = (was_loaded, rows_before, refused_before) != (accepted, rows_after, refused_after)
    example = Example(
        object=item.object,
        ingestion=item.ingestion,
        before=_word(item.state or "never landed", rows_before, refused_before),
        after=_word(
            "unreadable" if report is None else "loaded" if accepted else f"{report.reason}",
            rows_after,
            refused_after,
        ),
    )
    return Foreseen(
        files=1,
        unreadable=int(report is None),
        changed=int(changed),
        accepted_before=int(was_loaded),
        accepted_after=int(accepted),
        rows_accepted_before=rows_before,
        rows_accepted_after=rows_after,
        rows_refused_before=refused_before,
        rows_refused_after=refused_after,
        examples=(example,) if changed else (),
    )


def _word(state: str, accepted: int, refused: int) -> str:
    return f"{state}: {accepted} rows accepted, {refused} refused"


def _judge(
    platform: Platform, backfill: Backfill, contract: Contract, item: Item
) -> QualityReport | None:
    """What the file's report would say; None when it cannot be read."""
    scratch = f"{backfill.dataset}__check"
    source = SourceObject(
        bucket=platform.objects.bucket_name("raw"),
        name=item.object,
        generation=item.generation,
        size=item.size,
        created=item.created,
    )
    copy = Ingestion(
        id=f"{backfill.id}-{item.generation}",
        dataset=scratch,
        object=item.object,
        objects=(source,),
        contract_version=backfill.contract_version,
    )
    schema = dataset_of(platform, backfill.dataset).table_schema
    try:
        facts = gather_facts(platform, copy, contract, schema)
        return foresee(copy, contract, schema, facts.to_json())
    except (FileUnreadable, ObjectMissing) as error:
        logger.info("a backfill could not read %s: %s", item.object, error.message)
        return None
    finally:
        for bucket in _SCRATCH:
            for stored in platform.objects.list(bucket, f"{scratch}/{copy.id}/"):
                platform.objects.delete(stored.ref)


# --- Running -------------------------------------------------------------------------------------


def _run(platform: Platform, backfill: Backfill) -> bool:
    """One slice further; False while the slice under way has not ended."""
    events: list[NewEvent] = []
    if backfill.in_flight:
        outcomes = _find_outcomes(platform, backfill.in_flight)
        if outcomes is None:
            return False
        events.append(NewEvent("settled", {"outcomes": dict(outcomes)}))
    if backfill.position >= backfill.items:
        _append(platform, backfill, *events, NewEvent("completed"))
        return True
    items = read_items(platform, backfill, backfill.position, SLICE)
    begun = [_begin(platform, backfill, each) for each in items]
    advanced: dict[str, Json] = {
        "position": backfill.position + len(items),
        "in_flight": [each for each in begun if each is not None],
        "refused": begun.count(None),
    }
    events.append(NewEvent("advanced", advanced))
    _note_advance(platform, backfill, events)
    return True


def _note_advance(platform: Platform, backfill: Backfill, events: Sequence[NewEvent]) -> None:
    """Also when somebody paused or cancelled meanwhile: the slice has begun and will end."""
    while True:
        changes = Changes(platform)
        if read_backfill(changes, backfill.id).position != backfill.position:
            return
        changes.add(backfill.stream, *events)
        if changes.commit():
            return


def _find_outcomes(platform: Platform, ids: Sequence[str]) -> dict[str, int] | None:
    """How these ingestions ended, by state; None while one has not."""
    counted: dict[str, int] = {}
    for head in platform.log.heads([f"ingestion/{each}" for each in ids]):
        ingestion = from_head(head)
        if ingestion is None or ingestion.state in STEP_OF_STATE:
            return None
        counted[ingestion.state] = counted.get(ingestion.state, 0) + 1
    return counted


def _begin(platform: Platform, backfill: Backfill, item: Item) -> str | None:
    """The ingestion that the item begins; None when it cannot any more."""
    if item.action == "replay":
        try:
            return replay_ingestion(platform, item.ingestion, f"backfill {backfill.id}")
        except RequestRefused as error:
            logger.info("a backfill leaves out %s: %s", item.ingestion, error.message)
            return None
    landed = land_object(
        platform,
        FinalizedObject(
            bucket=platform.objects.bucket_name("raw"),
            name=item.object,
            generation=item.generation,
            size=item.size,
            created=parse_time(item.created),
            content_type=_content_type(platform, item),
        ),
    )
    return landed if landed == item.ingestion else None


def _content_type(platform: Platform, item: Item) -> str:
    stored = platform.objects.stat("raw", item.object, item.generation)
    return stored.content_type if stored else "application/octet-stream"
