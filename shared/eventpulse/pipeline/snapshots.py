"""What a curated table holds at one moment between two loads, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from eventpulse.drift.accepted_schema import AcceptedSchema, extend_contract
from eventpulse.errors import BackendUnavailable
from eventpulse.ingestions.ingestion import Ingestion, query_ingestions
from eventpulse.operations.verifications import Loaded, find_loaded
from eventpulse.pipeline.registry import load_contract
from eventpulse.pipeline.streams import dataset_of, list_heads, schema_stream
from eventpulse.platform import Platform
from eventpulse.ports import Column
from eventpulse.rows.digest import Tally, digest_tallies, tally_rows

SNAPSHOT_TRIES = 5
_INGESTION = Column("_ingestion_id", "string")


@dataclass(frozen=True, slots=True)
class Contents:
    """A curated table's rows over `columns`, counted and hashed by their ingestion."""

    columns: tuple[Column, ...]
    tallies: dict[str, Tally]

    @property
    def rows(self) -> int:
        return sum(each.rows for each in self.tallies.values())

    @property
    def digest(self) -> str:
        return digest_tallies(self.tallies.values(), self.columns)


def digest_dataset(platform: Platform, dataset: str) -> Contents:
    """A curated table over the columns that its active ingestions know.

    Raises RequestRefused (404), and BackendUnavailable while it is being loaded.
    """
    return take_snapshot(platform, dataset)[1]


def take_snapshot(platform: Platform, dataset: str) -> tuple[list[Loaded], Contents]:
    """The active ingestions in the order of loading, and what the table shows of them.

    Raises RequestRefused (404), and BackendUnavailable while it is being loaded.
    """
    for _ in range(SNAPSHOT_TRIES):
        before = dataset_of(platform, dataset)
        if before.open_group is not None:
            continue
        heads = list_heads(platform, query_ingestions(state="loaded", dataset=dataset))
        loaded = find_loaded(Ingestion.model_validate(head.projection) for head in heads)
        contents = read_contents(platform, dataset, _find_columns(platform, dataset, loaded))
        after = dataset_of(platform, dataset)
        if after.open_group is None and after.loads == before.loads:
            return loaded, contents
    raise BackendUnavailable(
        "the warehouse", f"read {dataset} between two loads", "it is being loaded; try again"
    )


def read_contents(platform: Platform, name: str, columns: tuple[Column, ...]) -> Contents:
    """What the curated table of that name holds; nothing when it does not exist."""
    batches = platform.warehouse.read_table("curated", name, (*columns, _INGESTION))
    return Contents(columns, tally_rows(batches, columns, _INGESTION.name))


def _find_columns(platform: Platform, dataset: str, loaded: Sequence[Loaded]) -> tuple[Column, ...]:
    """The columns of all layouts, as the last one types each; the contract's for an empty table."""
    if not loaded:
        return load_contract(platform, dataset, None).table().columns
    schemas = read_schemas(platform, dataset)
    tables = [
        extend_contract(load_contract(platform, dataset, version), schemas[schema]).table()
        for (version, schema), _ in groupby(loaded, key=lambda each: each.layout)
    ]
    return tuple({column.name: column for table in tables for column in table.columns}.values())


def read_schemas(platform: Platform, dataset: str) -> dict[int, AcceptedSchema]:
    """Every accepted schema that the dataset ever had, by its version."""
    schemas = {0: AcceptedSchema()}
    for event in platform.log.read(schema_stream(dataset)):
        schema = AcceptedSchema.model_validate(event.data["schema"])
        schemas[schema.version] = schema
    return schemas
