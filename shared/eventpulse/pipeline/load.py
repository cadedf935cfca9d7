"""Load: accepted ingestions into the warehouse, once, and the curated rows recomputed.

The order of effects makes a crash harmless at any point: the group's stream freezes the members,
the load job is idempotent by its id, publishing is idempotent by nature, and one commit closes the
group together with its members. Whoever comes next finds the open group and goes on from there.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import asdict

from eventpulse.contracts.contract import Contract, union_table
from eventpulse.drift.accepted_schema import extend_contract
from eventpulse.drift.verdict import DriftVerdict
from eventpulse.errors import (
    BooksUnbalanced,
    EventPulseError,
    PublishOvertaken,
    SettingInvalid,
    TerminalError,
)
from eventpulse.ingestions.ingestion import Ingestion, query_awaiting_load
from eventpulse.ingestions.loading import LoadGroup, Member, Waiting, choose_members
from eventpulse.ingestions.quality import QualityReport
from eventpulse.leases import Delivery, Exhausted, Held
from eventpulse.pipeline.documents import read_json, ref_of
from eventpulse.pipeline.registry import load_contract, load_versions
from eventpulse.pipeline.reports import write_lineage
from eventpulse.pipeline.steps import Holder, begin_leased, describe_fault, fail_event
from eventpulse.pipeline.streams import (
    Changes,
    dataset_of,
    hold_content,
    note_end,
    note_load,
    release_content,
)
from eventpulse.pipeline.tasks import (
    enqueue_call,
    enqueue_load,
    enqueue_marts,
    task_safe,
    wake_changed,
)
from eventpulse.platform import Platform
from eventpulse.ports import (
    Activation,
    DatasetTable,
    JobStats,
    Json,
    NewEvent,
    ObjectRef,
    RowCounts,
)
from eventpulse.values import parse_time

logger = logging.getLogger(__name__)

Counts = dict[str, RowCounts]


def load_dataset(platform: Platform, dataset: str, delivery: Delivery) -> None:
    """Load one group of a dataset, and ask for the next if more waits."""
    assert platform.warehouse is not None  # a wrong setting shows before a lease is taken
    waiting = _open_group(platform, dataset)
    if waiting is None:
        _catch_up(platform, dataset)
        return
    group = _begin(platform, waiting, delivery)
    if group is None:
        return
    try:
        if _release_outdated(platform, group):
            return
        lineage = {m.ingestion: _lineage(platform, group, m) for m in group.members}
        if group.published is None:
            group = _publish_alone(platform, group)
    except SettingInvalid:
        raise
    except PublishOvertaken as error:
        logger.warning("the group %s is over: %s", group.id, error.message)
        return
    except TerminalError as error:
        _give_up(platform, group, error.message)
        return
    except Exception as error:
        _fault(platform, group, error)
        raise
    _close(platform, group, lineage)


def _catch_up(platform: Platform, dataset: str) -> None:
    """Nothing waits; the marts may, if the last load was killed before it woke them."""
    loads = dataset_of(platform, dataset).loads
    if loads:
        enqueue_marts(platform, dataset, loads)


# --- Gathering -----------------------------------------------------------------------------------


def _open_group(platform: Platform, dataset: str) -> str | None:
    """The id of the dataset's open group, or of a new one of all that waits; None for nothing."""
    while True:
        changes = Changes(platform)
        state = changes.dataset(dataset)
        if state.open_group is not None:
            return state.open_group
        limit = min(state.group_limit or platform.settings.group_size, platform.settings.group_size)
        page = platform.log.query(query_awaiting_load(dataset), limit=limit)
        found = [Ingestion.model_validate(head.projection) for head in page.heads]
        if not found:
            return None
        waiting = [
            _weigh(changes, each)
            for each in found
            if not _settle_line(platform, each) and not _restage(platform, each)
        ]
        members = choose_members(waiting, limit)
        if not members:
            continue
        fence = changes.head(state.stream).version + 1
        new = str(uuid.uuid4())
        opened: dict[str, Json] = {
            "dataset": dataset,
            "fence": fence,
            "members": [each.model_dump(mode="json") for each in members],
        }
        changes.add(f"group/{new}", NewEvent("opened", opened))
        changes.add(state.stream, NewEvent("group.opened", {"group": new}))
        if changes.commit():
            return new


def _weigh(changes: Changes, ingestion: Ingestion) -> Waiting:
    """What waits, with the size of the projections that `_close` writes again for it: its own,
    those of its line of replays, and that of a copy, which resumes when it is retracted."""
    standing = _standing(changes, ingestion)
    streams = {f"ingestion/{each}" for each in (ingestion.id, ingestion.root, standing) if each}
    size = sum(len(json.dumps(changes.projection(each))) for each in sorted(streams))
    return Waiting(ingestion, standing, 2 * size if ingestion.retract_requested else size)


def _standing(changes: Changes, ingestion: Ingestion) -> str | None:
    """The ingestion of a replay's line whose rows stand now; None when none do."""
    if ingestion.replay_root is None:
        return None
    root = changes.ingestion(ingestion.root)
    standing = changes.ingestion(root.standing_replay or root.id)
    return standing.id if standing.state == "loaded" else None


def _settle_line(platform: Platform, ingestion: Ingestion) -> bool:
    """End what a decision on its line of replays has overtaken; True when there was such a one.

    A replay asked for before its line was retracted goes with it. A replay that a later one has
    overtaken adds nothing. A retraction of what was replaced meanwhile passes to what stands.
    """
    while True:
        changes = Changes(platform)
        now = changes.ingestion(ingestion.id)
        root = changes.ingestion(now.root)
        standing = changes.ingestion(root.standing_replay or root.id)
        if now.retract_requested and now.replaced_by is not None:
            changes.add(now.stream, NewEvent("retract.passed", {"to": standing.id}))
            if standing.state == "loaded" and not standing.retract_requested:
                changes.add(standing.stream, NewEvent("retract.requested"))
        elif now.retract_requested or now.replay_root is None or not now.awaiting_load:
            return False
        elif standing.state == "retracted" or standing.retract_requested:
            changes.add(now.stream, NewEvent("retracted"))
            release_content(changes, now)
            note_end(changes, now.id)
        elif root.standing_number > now.replay_number:
            detail = "A later replay of the same file is in place."
            overtaken: dict[str, Json] = {"duplicate_of": standing.id, "detail": detail}
            changes.add(now.stream, NewEvent("duplicate", overtaken))
            note_end(changes, now.id)
        else:
            return False
        if changes.commit():
            wake_changed(platform, changes)
            return True


def _restage(platform: Platform, ingestion: Ingestion) -> bool:
    """Send an ingestion back to validation whose rows were staged before a column of theirs was
    widened; True when it was."""
    if not _is_outdated(platform, ingestion):
        return False
    changes = Changes(platform)
    now = changes.ingestion(ingestion.id)
    if now.awaiting_load and not now.retract_requested:
        changes.add(now.stream, NewEvent("returned", {"because": "a column was widened"}))
        if changes.commit():
            wake_changed(platform, changes)
    return True


def _is_outdated(platform: Platform, ingestion: Ingestion) -> bool:
    schema = dataset_of(platform, ingestion.dataset or "").table_schema
    if ingestion.retract_requested or ingestion.schema_version >= schema.version:
        return False
    contract = load_contract(platform, ingestion.dataset or "", ingestion.contract_version)
    return schema.restages(contract, ingestion.schema_version)


def _begin(platform: Platform, opened: str, delivery: Delivery) -> LoadGroup | None:
    """Take the group's lease. None when another delivery holds it, or it is over."""

    def look(changes: Changes) -> Holder | None:
        group = changes.group(opened)
        return (group.lease, group.attempts) if group.state == "open" else None

    changes, decision = begin_leased(platform, "load", f"group/{opened}", delivery, look)
    group = changes.group(opened)
    if decision is None:
        enqueue_load(platform, group.dataset, f"{group.id}-next")
        return None
    if isinstance(decision, Held):
        version = changes.head(group.stream).version
        name = f"load-{task_safe(group.dataset)}-{group.id}-v{version}-lease"
        enqueue_call(platform, name, "load", {"dataset": group.dataset}, decision.until)
        return None
    if isinstance(decision, Exhausted):
        return _end_exhausted(platform, group, decision)
    return group


def _end_exhausted(platform: Platform, group: LoadGroup, ended: Exhausted) -> LoadGroup | None:
    """No attempt is left: close the group when its rows are visible, else split or fail it."""
    if group.published is None and not _is_published(platform, group):
        _give_up(platform, group, f"The load began {ended.attempts} times and never ended.")
        return None
    return group


def _is_published(platform: Platform, group: LoadGroup) -> bool:
    """Whether the warehouse shows the group's decisions, although nobody noted it."""
    wanted = {each.ingestion: each.action == "activate" for each in group.members}
    active = platform.warehouse.row_counts(group.dataset, list(wanted))
    return all((ingestion in active) == shown for ingestion, shown in wanted.items())


# --- Effects -------------------------------------------------------------------------------------


def dataset_contract(platform: Platform, dataset: str, version: str) -> Contract:
    """A contract version with the columns that accepted drift has added by now."""
    contract = load_contract(platform, dataset, version)
    return extend_contract(contract, dataset_of(platform, dataset).table_schema)


def dataset_table(platform: Platform, dataset: str) -> DatasetTable:
    """The tables of a dataset: every column that any version or accepted drift ever had, so that
    recomputing a key never empties a column that another version's rows have."""
    schema = dataset_of(platform, dataset).table_schema
    versions = load_versions(platform, dataset)
    return union_table([extend_contract(each, schema) for each in versions])


def _publish_alone(platform: Platform, group: LoadGroup) -> LoadGroup:
    """Publish the group's own rows. A group before it may have loaded the same members and ended
    without publishing them: then the history holds their rows twice, and they are loaded anew."""
    try:
        return _publish(platform, group)
    except BooksUnbalanced:
        if group.discarded:
            raise
    members = [each.ingestion for each in group.members if each.action == "activate"]
    platform.warehouse.discard_rows(group.dataset, members)
    while True:
        changes = Changes(platform)
        if not _is_ours(changes, group):
            raise PublishOvertaken(group.dataset, group.fence)
        changes.add(group.stream, NewEvent("rows.discarded"))
        if changes.commit():
            return _publish(platform, changes.group(group.id))


def _publish(platform: Platform, group: LoadGroup) -> LoadGroup:
    """Make the members' decisions visible, and note that they are: from here on the group can only
    be closed."""
    counts, cost = load_members(platform, dataset_table(platform, group.dataset), group)
    while True:
        changes = Changes(platform)
        now = changes.group(group.id)
        if now.state != "open" or now.published is not None:
            return now
        noted: dict[str, Json] = {
            "counts": {id_: [each.accepted, each.current] for id_, each in counts.items()},
            "cost": asdict(cost),
        }
        changes.add(group.stream, NewEvent("published", noted))
        if changes.commit():
            return changes.group(group.id)


def load_members(
    platform: Platform, table: DatasetTable, group: LoadGroup
) -> tuple[Counts, JobStats]:
    """Append the members' rows under the group's job id, then publish them in one transaction.

    Returns the counts of the activated, and what the load job cost.
    """
    platform.warehouse.ensure_tables(table)
    sources: list[ObjectRef] = [
        ref_of("staged", staged) for member in group.members for staged in member.staged
    ]
    cost = JobStats()
    if sources:
        cost = platform.warehouse.load_rows(table, sources, group.job_id)
    activate = [
        Activation(
            each.ingestion, each.contract_version, parse_time(group.opened_at), each.rows_accepted
        )
        for each in group.members
        if each.action == "activate"
    ]
    gone = [each.ingestion for each in group.members if each.action == "deactivate"]
    replaced = [each.replaces for each in group.members if each.replaces is not None]
    counts = platform.warehouse.publish(table, activate, [*gone, *replaced], fence=group.fence)
    return counts, cost


def _release_outdated(platform: Platform, group: LoadGroup) -> bool:
    """Give up a group, before any of it was loaded, when a column was widened since its members
    were staged: the next one has them staged again. True when it was given up."""
    if group.attempts > 1 or group.published is not None:
        return False
    reader = Changes(platform)
    members = [reader.ingestion(each.ingestion) for each in group.members]
    if not any(_is_outdated(platform, each) for each in members):
        return False
    _split(platform, group, platform.settings.group_size)
    return True


# --- Closing -------------------------------------------------------------------------------------


def _close(platform: Platform, group: LoadGroup, lineage: Mapping[str, Json]) -> None:
    """One commit: the group is loaded, and so is each of its members."""
    counts = group.published or {}
    while True:
        changes = Changes(platform)
        changes.fetch(*(f"ingestion/{each.ingestion}" for each in group.members))
        if changes.group(group.id).state != "open":
            break
        changes.add(group.stream, NewEvent("closed", {"outcome": "loaded"}))
        changes.add(f"dataset/{group.dataset}", NewEvent("group.loaded", {"group": group.id}))
        for member in group.members:
            if member.action == "deactivate":
                ingestion = changes.ingestion(member.ingestion)
                changes.add(ingestion.stream, NewEvent("retracted"))
                release_content(changes, ingestion)
            else:
                accepted, current = counts[member.ingestion]
                loaded: dict[str, Json] = {
                    "group": group.id,
                    "rows_current": current,
                    "rows_superseded": accepted - current,
                    "lineage": lineage[member.ingestion],
                }
                _close_loaded(changes, member, loaded)
        note_load(changes, group)
        if changes.commit():
            break
    wake_changed(platform, changes)
    enqueue_marts(platform, group.dataset, dataset_of(platform, group.dataset).loads)
    _ask_for_more(platform, group)


def _close_loaded(changes: Changes, member: Member, loaded: dict[str, Json]) -> None:
    ingestion = changes.ingestion(member.ingestion)
    changes.add(ingestion.stream, NewEvent("loaded", loaded))
    if member.root is None:
        return
    by: dict[str, Json] = {"by": member.ingestion, "number": member.number}
    changes.add(f"ingestion/{member.root}", NewEvent("stood.down", by))
    replaced = {each for each in (member.root, member.replaces) if each is not None}
    for each in sorted(replaced):
        changes.add(f"ingestion/{each}", NewEvent("replaced", by))
    if changes.content(ingestion.content_key).holder in {None, *replaced}:
        hold_content(changes, ingestion)


def _lineage(platform: Platform, group: LoadGroup, member: Member) -> Json:
    ingestion = Changes(platform).ingestion(member.ingestion)
    if ingestion.quality is None or ingestion.drift is None or member.action == "deactivate":
        return None
    contract = dataset_contract(platform, group.dataset, member.contract_version)
    report = QualityReport.model_validate(read_json(platform, "reports", ingestion.quality))
    verdict = DriftVerdict.model_validate(read_json(platform, "reports", ingestion.drift))
    attempt = ingestion.model_copy(update={"lease": group.lease})
    return write_lineage(platform, attempt, contract, report, verdict, ended=group.opened_at)


def _ask_for_more(platform: Platform, group: LoadGroup) -> None:
    if platform.log.query(query_awaiting_load(group.dataset), limit=1).heads:
        enqueue_load(platform, group.dataset, f"{group.id}-next")


# --- Faults --------------------------------------------------------------------------------------


def _fault(platform: Platform, group: LoadGroup, error: Exception) -> None:
    """Give the lease back, so that the queue's next try may begin; a spent job id is noted."""
    changes = Changes(platform)
    if changes.group(group.id).lease != group.lease:
        return
    if is_spent(error):
        changes.add(group.stream, NewEvent("job.spent", {"job": group.job_id}))
    faulted = NewEvent("step.faulted", {"step": "load", "problem": describe_fault(error)})
    changes.add(group.stream, faulted)
    changes.commit()


def is_spent(error: Exception) -> bool:
    """A transient fault after which the job's id cannot be used again."""
    return isinstance(error, EventPulseError) and bool(error.fields.get("job_spent"))


def _give_up(platform: Platform, group: LoadGroup, problem: str) -> None:
    """The warehouse refused the group for good: split it, until the faulty member stands alone."""
    if len(group.members) == 1:
        _fail_members(platform, group, problem)
        return
    logger.warning("splitting a refused load group: %s", problem)
    _split(platform, group, max(1, len(group.members) // 2))


def _split(platform: Platform, group: LoadGroup, size: int) -> None:
    """Close the group without its rows; the next ones take at most `size` members."""
    limit: dict[str, Json] = {"group": group.id, "limit": size}
    while True:
        changes = Changes(platform)
        if not _is_ours(changes, group):
            break
        changes.add(group.stream, NewEvent("closed", {"outcome": "split"}))
        changes.add(f"dataset/{group.dataset}", NewEvent("group.split", limit))
        if changes.commit():
            break
    enqueue_load(platform, group.dataset, f"{group.id}-split")


def _is_ours(changes: Changes, group: LoadGroup) -> bool:
    """Whether nobody has taken the group over, published it or ended it."""
    now = changes.group(group.id)
    return now.state == "open" and now.published is None and now.lease == group.lease


def _fail_members(platform: Platform, group: LoadGroup, problem: str) -> None:
    while True:
        changes = Changes(platform)
        if not _is_ours(changes, group):
            break
        changes.add(group.stream, NewEvent("closed", {"outcome": "failed"}))
        changes.add(f"dataset/{group.dataset}", NewEvent("group.failed", {"group": group.id}))
        for member in group.members:
            ingestion = changes.ingestion(member.ingestion)
            if member.action == "deactivate":
                refused = NewEvent("retract.failed", {"detail": problem})
                changes.add(ingestion.stream, refused)
            else:
                changes.add(ingestion.stream, fail_event("load", problem))
                release_content(changes, ingestion)
                note_end(changes, ingestion.id)
        if changes.commit():
            break
    wake_changed(platform, changes)
    _ask_for_more(platform, group)
