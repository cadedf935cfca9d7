"""Sketches of columns: kept of the last accepted file, to see in a new column what it was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eventpulse.contracts.contract import Contract
from eventpulse.drift.accepted_schema import AcceptedSchema, Rename, SketchesRef
from eventpulse.drift.renames import find_renames
from eventpulse.drift.sketches import ColumnSketch
from eventpulse.drift.verdict import HeaderMatch
from eventpulse.errors import ObjectMissing
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.pipeline.documents import document_name, write_json
from eventpulse.platform import Platform
from eventpulse.ports import Json, ObjectRef

if TYPE_CHECKING:
    import pyarrow as pa

    from eventpulse.formats import TextBatch


def name_cells(header: Sequence[str], batch: TextBatch | None) -> dict[str, pa.Array]:
    """A batch's columns by their headers; none of no batch."""
    return {} if batch is None else dict(zip(header, batch.columns, strict=True))


def match_renames(
    platform: Platform,
    contract: Contract,
    schema: AcceptedSchema,
    match: HeaderMatch,
    cells: Mapping[str, pa.Array],
) -> list[Rename]:
    """The new columns that are missing ones under another header, by the last accepted file and
    the first cells of this one."""
    added = {each.name for each in schema.evolved}
    missing = {each.name: each.headers for each in match.missing if each.name not in added}
    if not missing:
        return []
    # Reading cells takes Arrow, which the drift step does without.
    from eventpulse.rows.sketching import sketch_column

    markers = contract.dialect.null_markers
    found = {name: sketch_column(cells[name], markers) for name in match.unknown if name in cells}
    return find_renames(missing, match.unknown, read_sketches(platform, schema), found)


def read_sketches(platform: Platform, schema: AcceptedSchema) -> dict[str, ColumnSketch]:
    """What the columns of the last accepted file look like; nothing before there was one."""
    if schema.sketches is None:
        return {}
    ref = ObjectRef("reports", schema.sketches.name, schema.sketches.generation)
    try:
        with platform.objects.open(ref) as stream:
            sketches = json.loads(stream.read())
    except ObjectMissing:
        return {}
    return {name: ColumnSketch.model_validate(each) for name, each in sketches.items()}


def keep_sketches(
    platform: Platform,
    ingestion: Ingestion,
    schema: AcceptedSchema,
    observed_hash: str,
    sketches: Mapping[str, Json],
) -> SketchesRef | None:
    """Write down what the columns look like, when this file's schema becomes the accepted one."""
    known = schema.observed_hash == observed_hash and schema.sketches is not None
    if known or not sketches:
        return None
    document = write_json(platform, "reports", document_name(ingestion, "sketches.json"), sketches)
    return SketchesRef(name=document.name, generation=document.generation)
