"""A few rows: of one ingestion as they were staged, and of a curated table. Classified values are
masked, as everywhere outside the raw and quarantine buckets."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eventpulse.api.endpoints import Call
from eventpulse.api.ingestions import find_documented
from eventpulse.api.models import RowsQuery, SampleRows
from eventpulse.contracts.contract import Contract
from eventpulse.contracts.rules import MASK
from eventpulse.errors import ObjectMissing, RequestRefused
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.marts.mart import Mart, from_head, read_mart
from eventpulse.pipeline.documents import ref_of
from eventpulse.pipeline.load import dataset_contract, dataset_table
from eventpulse.pipeline.marts import find_mart
from eventpulse.pipeline.registry import load_contract, load_versions
from eventpulse.platform import Platform
from eventpulse.ports import Json

_DEEPEST = 50


def get_ingestion_rows(call: Call) -> SampleRows:
    """The first accepted rows, in the order of the file."""
    wanted: RowsQuery = call.query
    ingestion = find_documented(call)
    if ingestion.dataset is None or not ingestion.staged:
        return SampleRows(columns=[], masked=[], rows=[])
    version = ingestion.contract_version or ""
    contract = dataset_contract(call.platform, ingestion.dataset, version)
    return _show([contract], _read_staged(call.platform, ingestion, wanted.limit))


def _read_staged(platform: Platform, ingestion: Ingestion, limit: int) -> list[dict[str, Json]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Json]] = []
    for staged in ingestion.staged:
        try:
            with platform.objects.open(ref_of("staged", staged)) as stream:
                for batch in pq.ParquetFile(stream).iter_batches(batch_size=max(limit, 1)):
                    rows += batch.slice(0, limit - len(rows)).to_pylist()
                    break
        except ObjectMissing as error:
            raise RequestRefused(
                404,
                "rows_expired",
                "The staged rows are gone",
                f"The rows that {ingestion.id} staged were removed with age; replay it, or look at "
                "the dataset's rows.",
            ) from error
        if len(rows) >= limit:
            break
    return [{name: _plain(value) for name, value in row.items()} for row in rows[:limit]]


def _plain(value: Any) -> Json:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    found: Json = json.loads(json.dumps(value, default=str))
    return found


def get_dataset_rows(call: Call) -> SampleRows:
    """A few rows of the curated table, as it stands."""
    wanted: RowsQuery = call.query
    name = call.path["name"]
    load_contract(call.platform, name, None)
    columns = [each.name for each in dataset_table(call.platform, name).columns]
    rows = call.platform.warehouse.preview("curated", name, wanted.limit)
    return _show(load_versions(call.platform, name), rows, columns)


def get_mart_rows(call: Call) -> SampleRows:
    """Rows of a mart. Masked is what comes from a classified column, through any number of marts;
    an aggregate of many values is not."""
    wanted: RowsQuery = call.query
    name = call.path["name"]
    state = find_mart(call.platform, name)
    mart = read_mart(name, state.text)
    masked = find_masked(call.platform, mart)
    rows = call.platform.warehouse.preview("marts", name, wanted.limit) if state.builds else []
    return mask_rows(masked, rows, mart.columns)


def find_masked(platform: Platform, mart: Mart) -> set[str]:
    """The columns of a mart that show values of classified columns."""
    classified: dict[str, set[str]] = {}

    def of_table(table: str, depth: int) -> set[str]:
        if table not in classified:
            classified[table] = set()
            layer, _, name = table.partition(".")
            if layer == "curated":
                classified[table] = find_classified(platform, name)
            elif depth < _DEEPEST:
                state = from_head(platform.log.head(f"mart/{name}"))
                if state is not None:
                    classified[table] = of_mart(read_mart(name, state.text), depth + 1)
        return classified[table]

    def of_mart(one: Mart, depth: int) -> set[str]:
        return {
            column
            for column, sources in one.lineage.items()
            if column not in one.counts
            and any(source in of_table(table, depth) for table, source in sources)
        }

    return of_mart(mart, 0)


def find_classified(platform: Platform, dataset: str) -> set[str]:
    """The columns that some version of the dataset's contract classifies as not to be shown."""
    try:
        contracts = load_versions(platform, dataset)
    except RequestRefused:
        return set()
    return {each.name for contract in contracts for each in contract.fields if each.masked}


def _show(
    contracts: Iterable[Contract], rows: Sequence[Mapping[str, Json]], columns: Sequence[str] = ()
) -> SampleRows:
    """Masked by whichever of the contracts classifies a column."""
    masked = {each.name for contract in contracts for each in contract.fields if each.masked}
    return mask_rows(masked, rows, columns)


def mask_rows(
    masked: set[str], rows: Sequence[Mapping[str, Json]], columns: Sequence[str]
) -> SampleRows:
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    shown = [
        {name: MASK if name in masked and value is not None else value for name, value in r.items()}
        for r in rows
    ]
    return SampleRows(columns=names, masked=sorted(masked & set(names)), rows=shown)
