"""Verify: a curated table is a pure function of raw objects, contracts and logged decisions.

The raw objects of the active ingestions are validated again, each under the contract and the
accepted schema that it was validated under, and loaded into scratch tables by the code that loads
any table. Equal digests mean that the table holds just the rows that it must. Scratch tables and
documents bear the dataset's name with `__verify` and are removed before and after.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from eventpulse.drift.accepted_schema import AcceptedSchema, extend_contract
from eventpulse.errors import BackendUnavailable, RequestRefused
from eventpulse.ingestions.ingestion import Ingestion, query_ingestions
from eventpulse.ingestions.loading import LoadGroup, Member
from eventpulse.leases import Delivery, Held, Lease
from eventpulse.logs import current_context
from eventpulse.operations.verification import (
    Verification,
    VerificationState,
    group_layouts,
    is_active,
    scratch_name,
)
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.pipeline.load import load_members
from eventpulse.pipeline.registry import contract_entry, load_contract
from eventpulse.pipeline.steps import begin_leased, describe_fault
from eventpulse.pipeline.streams import Changes, dataset_of, list_heads, schema_stream
from eventpulse.pipeline.validate import gather_facts
from eventpulse.platform import Platform
from eventpulse.ports import Bucket, Column, DatasetTable, NewEvent
from eventpulse.rows.digest import table_digest
from eventpulse.values import format_time

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

SNAPSHOT_TRIES = 5
SCRATCH_BUCKETS: tuple[Bucket, ...] = ("staged", "quarantine")


@dataclass(frozen=True, slots=True)
class TableDigest:
    """The digest of a table's rows over `columns`, and how many rows there are."""

    digest: str
    rows: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Ingestions of one table layout, in the order in which they were loaded."""

    table: DatasetTable
    schema: AcceptedSchema
    ingestions: tuple[Ingestion, ...]


def digest_dataset(platform: Platform, dataset: str) -> TableDigest:
    """The digest of a curated table over the columns that its active ingestions know.

    Raises RequestRefused (404), and BackendUnavailable while it is being loaded.
    """
    return _take_snapshot(platform, dataset)[1]


def verify_dataset(platform: Platform, dataset: str) -> Verification:
    """Rebuild a dataset's table from raw objects and compare.

    Raises RequestRefused (404 unknown, 409 another verification runs), and what validating and
    loading raise: ObjectMissing when a raw object is gone.
    """
    scratch = scratch_name(dataset)
    if scratch in get_catalogue(platform).entries:
        raise RequestRefused(
            409,
            "scratch_taken",
            "There is no room to rebuild in",
            f"The dataset {scratch!r} has the name that a rebuilt {dataset!r} would bear.",
        )
    contract_entry(platform, dataset, None)
    lease = _begin(platform, dataset)
    try:
        layouts, found = _take_snapshot(platform, dataset)
        rebuilt = _rebuild(platform, dataset, layouts, found.columns)
    except BaseException as error:
        problem = describe_fault(error) if isinstance(error, Exception) else "interrupted"
        _end(platform, dataset, lease, NewEvent("step.faulted", {"problem": problem}))
        raise
    verification = Verification(
        dataset=dataset,
        equal=found.digest == rebuilt.digest,
        digest=found.digest,
        rebuilt_digest=rebuilt.digest,
        rows=found.rows,
        rebuilt_rows=rebuilt.rows,
        ingestions=tuple(each.id for layout in layouts for each in layout.ingestions),
    )
    result = verification.model_dump(mode="json", exclude={"ingestions"})
    _end(platform, dataset, lease, NewEvent("verified", result))
    return verification


# --- The lease -----------------------------------------------------------------------------------


def _begin(platform: Platform, dataset: str) -> Lease:
    """Raises RequestRefused (409) while another verification of the dataset runs."""
    changes, decision = begin_leased(
        platform,
        "verify",
        f"verification/{dataset}",
        Delivery(current_context().request_id),
        lambda changes: (_state(changes, dataset).lease, 0),  # attempts are not counted
        max_attempts=1,
    )
    if isinstance(decision, Held):
        raise RequestRefused(
            409,
            "verification_running",
            "A verification of this dataset is under way",
            f"Try again when it is over, at the latest at {format_time(decision.until)}.",
        )
    lease = _state(changes, dataset).lease
    assert lease is not None
    return lease


def _end(platform: Platform, dataset: str, lease: Lease, event: NewEvent) -> None:
    while True:
        changes = Changes(platform)
        if _state(changes, dataset).lease != lease:
            return
        changes.add(f"verification/{dataset}", event)
        if changes.commit():
            return


def _state(changes: Changes, dataset: str) -> VerificationState:
    projection = changes.projection(f"verification/{dataset}")
    return VerificationState.model_validate(projection or {"dataset": dataset})


# --- What is there -------------------------------------------------------------------------------


def _take_snapshot(platform: Platform, dataset: str) -> tuple[list[Layout], TableDigest]:
    """The active ingestions and the table's digest, of one moment between two loads."""
    for _ in range(SNAPSHOT_TRIES):
        before = dataset_of(platform, dataset)
        if before.open_group is not None:
            continue
        layouts = _find_layouts(platform, dataset)
        found = _digest_table(platform, dataset, _all_columns(platform, dataset, layouts))
        after = dataset_of(platform, dataset)
        if after.open_group is None and after.loads == before.loads:
            return layouts, found
    raise BackendUnavailable(
        "the warehouse", f"read {dataset} between two loads", "it is being loaded; try again"
    )


def _find_layouts(platform: Platform, dataset: str) -> list[Layout]:
    heads = list_heads(platform, query_ingestions(state="loaded", dataset=dataset))
    loaded = (Ingestion.model_validate(head.projection) for head in heads)
    runs = group_layouts([each for each in loaded if is_active(each)])
    schemas = _read_schemas(platform, dataset) if runs else {}
    return [
        Layout(
            extend_contract(
                load_contract(platform, dataset, version), schemas[schema_version]
            ).table(),
            schemas[schema_version],
            tuple(ingestions),
        )
        for version, schema_version, ingestions in runs
    ]


def _read_schemas(platform: Platform, dataset: str) -> dict[int, AcceptedSchema]:
    """Every accepted schema that the dataset ever had, by its version."""
    schemas = {0: AcceptedSchema()}
    for event in platform.log.read(schema_stream(dataset)):
        schema = AcceptedSchema.model_validate(event.data["schema"])
        schemas[schema.version] = schema
    return schemas


def _all_columns(platform: Platform, dataset: str, layouts: Sequence[Layout]) -> tuple[Column, ...]:
    """The columns of all layouts, as the last one types each; the contract's for an empty table."""
    tables = [layout.table for layout in layouts]
    if not tables:
        return load_contract(platform, dataset, None).table().columns
    return tuple({column.name: column for table in tables for column in table.columns}.values())


def _digest_table(platform: Platform, name: str, columns: tuple[Column, ...]) -> TableDigest:
    rows = 0

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in batches:
            rows += batch.num_rows
            yield batch

    digest = table_digest(count(platform.warehouse.read_table("curated", name, columns)), columns)
    return TableDigest(digest, rows, columns)


# --- What must be there --------------------------------------------------------------------------


def _rebuild(
    platform: Platform, dataset: str, layouts: Sequence[Layout], columns: tuple[Column, ...]
) -> TableDigest:
    scratch = scratch_name(dataset)
    _remove_scratch(platform, scratch)
    try:
        for layout in layouts:
            table = replace(layout.table, dataset=scratch, temporary=True)
            for group in _group_again(platform, dataset, layout):
                load_members(platform, table, group)
        return _digest_table(platform, scratch, columns)
    finally:
        _remove_scratch(platform, scratch)


def _group_again(platform: Platform, dataset: str, layout: Layout) -> Iterator[LoadGroup]:
    """Groups of a layout, each staged when it is asked for."""
    size = platform.settings.group_size
    for start in range(0, len(layout.ingestions), size):
        some = layout.ingestions[start : start + size]
        yield LoadGroup(
            id=uuid.uuid4().hex,  # the id of a load job counts once, in whichever run
            dataset=scratch_name(dataset),
            members=tuple(_stage_again(platform, dataset, layout, each) for each in some),
            opened_at=format_time(platform.clock()),
        )


def _stage_again(platform: Platform, dataset: str, layout: Layout, ingestion: Ingestion) -> Member:
    """Validate an ingestion's raw objects once more, into scratch documents."""
    contract = load_contract(platform, dataset, ingestion.contract_version)
    copy = ingestion.model_copy(update={"dataset": scratch_name(dataset)})
    facts = gather_facts(platform, copy, contract, layout.schema)
    return Member(
        ingestion=ingestion.id,
        action="activate",
        contract_version=ingestion.contract_version or "",
        rows_accepted=facts.balance.rows_accepted,
        staged=tuple(facts.staged),
    )


def _remove_scratch(platform: Platform, scratch: str) -> None:
    platform.warehouse.drop_dataset(scratch)
    for bucket in SCRATCH_BUCKETS:
        for stored in platform.objects.list(bucket, prefix=f"{scratch}/"):
            platform.objects.delete(stored.ref)
