"""Verify: a curated table is a pure function of raw objects, contracts and logged decisions.

The raw objects of the active ingestions are validated again, each under the contract and the
accepted schema that it was validated under, and loaded into scratch tables by the code that loads
any table. Equal digests mean that the table holds just the rows that it must.

Each task takes a verification one stage further and asks for the next, so it goes on where it
stopped whatever was killed. A lease keeps a second delivery out while one works.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from eventpulse.contracts.contract import Contract
from eventpulse.drift.accepted_schema import AcceptedSchema, extend_contract
from eventpulse.errors import BooksUnbalanced, SettingInvalid, TerminalError
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.ingestions.loading import LoadGroup, Member
from eventpulse.leases import Begin, Delivery, Exhausted, Held
from eventpulse.operations.verifications import (
    MOST_DIFFERENCES,
    Slice,
    Stage,
    Verification,
    cut_slices,
    find_differences,
)
from eventpulse.pipeline.documents import dump, read_json, write_json
from eventpulse.pipeline.load import is_spent, load_members
from eventpulse.pipeline.registry import load_contract
from eventpulse.pipeline.snapshots import read_contents, read_schemas, take_snapshot
from eventpulse.pipeline.steps import Holder, begin_leased, describe_fault
from eventpulse.pipeline.streams import Changes
from eventpulse.pipeline.tasks import enqueue_operation
from eventpulse.pipeline.validate import gather_facts
from eventpulse.pipeline.verification_requests import enqueue_verification, read_verification
from eventpulse.platform import Platform
from eventpulse.ports import Bucket, Column, Json, NewEvent
from eventpulse.values import Value

logger = logging.getLogger(__name__)

SCRATCH_BUCKETS: tuple[Bucket, ...] = ("staged", "quarantine")


class Snapshot(Value):
    """The document that a verification goes by: the slices that it rebuilds, the columns that it
    compares, and the table's rows by ingestion: how many, and the sum of their hashes in hex."""

    columns: tuple[Column, ...]
    slices: tuple[Slice, ...]
    table: dict[str, tuple[int, str]]


def advance_verification(platform: Platform, verification_id: str, delivery: Delivery) -> None:
    """Take it one stage further, and ask for the next. Raises RequestRefused (404), and
    TransientError to be tried again."""
    for port in (platform.log, platform.objects, platform.tasks, platform.warehouse):
        assert port is not None  # a wrong setting shows before a lease is taken

    def look(changes: Changes) -> Holder | None:
        found = read_verification(changes, verification_id)
        return (found.lease, found.attempts) if found.state == "running" else None

    stream = f"verification/{verification_id}"
    changes, decision = begin_leased(platform, "verify", stream, delivery, look)
    verification = read_verification(changes, verification_id)
    if isinstance(decision, Held):
        enqueue_operation(platform, changes.head(stream), held_until=decision.until)
    elif isinstance(decision, Exhausted):
        problem = f"Its stage {verification.stage} began {decision.attempts} times and never ended."
        _fail(platform, verification, problem)
    elif decision is not None:
        _attempt(platform, verification, decision)


def _attempt(platform: Platform, verification: Verification, begun: Begin) -> None:
    try:
        event = _STAGES[verification.stage](platform, verification)
    except SettingInvalid:
        raise
    except TerminalError as error:
        _fail(platform, verification, error.message)
    except Exception as error:
        problem = describe_fault(error)
        if begun.last:
            logger.exception("verification failed", extra={"fields": {"id": verification.id}})
            _fail(platform, verification, problem)
            return
        faulted: dict[str, Json] = {"problem": problem, "job_spent": is_spent(error)}
        _settle(platform, verification, NewEvent("step.faulted", faulted))
        raise
    else:
        _settle(platform, verification, event)
        enqueue_verification(platform, verification.id)


def _fail(platform: Platform, verification: Verification, detail: str) -> None:
    _remove_scratch(platform, verification)
    _settle(platform, verification, NewEvent("failed", {"detail": detail}))


def _settle(platform: Platform, verification: Verification, event: NewEvent) -> None:
    """Note what came of the stage, unless another attempt has taken it over."""
    while True:
        changes = Changes(platform)
        if read_verification(changes, verification.id).lease != verification.lease:
            return
        changes.add(verification.stream, event)
        if changes.commit():
            return


# --- Stages --------------------------------------------------------------------------------------


def _take_snapshot(platform: Platform, verification: Verification) -> NewEvent:
    """Note what the table holds, and of which ingestions it is made."""
    loaded, contents = take_snapshot(platform, verification.dataset)
    snapshot = Snapshot(
        columns=contents.columns,
        slices=tuple(cut_slices(loaded, platform.settings.group_size)),
        table={id_: (each.rows, f"{each.total:x}") for id_, each in contents.tallies.items()},
    )
    name = f"_verifications/{verification.id}/snapshot.json"
    document = write_json(platform, "reports", name, snapshot.model_dump(mode="json"))
    taken: dict[str, Json] = {
        "snapshot": dump(document),
        "ingestions": len(loaded),
        "digest": contents.digest,
        "rows": contents.rows,
    }
    return NewEvent("snapshot.taken", taken)


def _rebuild_slice(platform: Platform, verification: Verification) -> NewEvent:
    """Stage the next slice again, and load it into the scratch tables."""
    snapshot = _read_snapshot(platform, verification)
    fence, start = 1, 0
    while start < verification.position:
        start += len(snapshot.slices[fence - 1].ingestions)
        fence += 1
    part = snapshot.slices[fence - 1]
    contract = load_contract(platform, verification.dataset, part.contract_version)
    schema = read_schemas(platform, verification.dataset)[part.schema_version]
    members = _stage_again(platform, verification, part, contract, schema)
    group = LoadGroup(
        id=f"{verification.id}-{fence}",
        dataset=verification.scratch,
        fence=fence,
        members=tuple(members),
        job_number=verification.job_number,
        opened_at=verification.created_at,
    )
    about = f"Rebuilt from raw objects to verify {verification.dataset}, and dropped then."
    layout = extend_contract(contract, schema).table()
    table = replace(layout, dataset=verification.scratch, description=about, temporary=True)
    load_members(platform, table, group)
    _remove_documents(platform, verification)
    return NewEvent("rebuilt", {"position": start + len(part.ingestions)})


def _compare(platform: Platform, verification: Verification) -> NewEvent:
    """Note whether the rebuilt table is the one that was there, and whose rows are not."""
    snapshot = _read_snapshot(platform, verification)
    _check_kept(platform, verification, snapshot)
    rebuilt = read_contents(platform, verification.scratch, snapshot.columns)
    table = {id_: (rows, int(total, 16)) for id_, (rows, total) in snapshot.table.items()}
    differences = find_differences(table, rebuilt.tallies)
    compared: dict[str, Json] = {
        "rebuilt_digest": rebuilt.digest,
        "rebuilt_rows": rebuilt.rows,
        "differing": len(differences),
        "differences": [each.model_dump() for each in differences[:MOST_DIFFERENCES]],
    }
    return NewEvent("compared", compared)


def _check_kept(platform: Platform, verification: Verification, snapshot: Snapshot) -> None:
    """Raises BooksUnbalanced when the scratch tables have expired since the first slice."""
    first = snapshot.slices[0].ingestions if snapshot.slices else ()
    kept = platform.warehouse.row_counts(verification.scratch, first)
    if len(kept) < len(first):
        subject = f"the tables that were rebuilt to verify {verification.dataset}"
        counts = {"rebuilt": len(first), "kept": len(kept)}
        raise BooksUnbalanced(subject, "ingestions rebuilt == kept", **counts)


def _clear(platform: Platform, verification: Verification) -> NewEvent:
    _remove_scratch(platform, verification)
    return NewEvent("completed")


_STAGES: Mapping[Stage, Callable[[Platform, Verification], NewEvent]] = {
    "snapshot": _take_snapshot,
    "rebuild": _rebuild_slice,
    "compare": _compare,
    "clear": _clear,
}
"""What does each stage; done twice, it is done once."""


def _read_snapshot(platform: Platform, verification: Verification) -> Snapshot:
    assert verification.snapshot is not None
    return Snapshot.model_validate(read_json(platform, "reports", verification.snapshot))


def _stage_again(
    platform: Platform,
    verification: Verification,
    part: Slice,
    contract: Contract,
    schema: AcceptedSchema,
) -> list[Member]:
    """Validate the raw objects of a slice once more, into scratch documents."""
    members = []
    for head in platform.log.heads([f"ingestion/{each}" for each in part.ingestions]):
        ingestion = Ingestion.model_validate(head.projection)
        copy = ingestion.model_copy(update={"dataset": verification.scratch})
        facts = gather_facts(platform, copy, contract, schema)
        members.append(
            Member(
                ingestion=ingestion.id,
                action="activate",
                contract_version=part.contract_version,
                rows_accepted=facts.balance.rows_accepted,
                staged=tuple(facts.staged),
            )
        )
    return members


def _remove_scratch(platform: Platform, verification: Verification) -> None:
    platform.warehouse.drop_dataset(verification.scratch)
    _remove_documents(platform, verification)


def _remove_documents(platform: Platform, verification: Verification) -> None:
    for bucket in SCRATCH_BUCKETS:
        for stored in platform.objects.list(bucket, prefix=f"{verification.scratch}/"):
            platform.objects.delete(stored.ref)
