"""Recover: mended rows become a raw object of their own, and an ingestion linked to the first."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from eventpulse.contracts.contract import Contract, FileFormat
from eventpulse.errors import ObjectExists, RequestRefused
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.ingestions.recovery import (
    MOST_WORKBOOK_ROWS,
    Decision,
    Mended,
    Row,
    decide_recovery,
    name_recovery,
    recovery_stream,
)
from eventpulse.pipeline.land import FinalizedObject, land_object
from eventpulse.pipeline.registry import load_contract
from eventpulse.pipeline.streams import Changes
from eventpulse.pipeline.validate import read_refused
from eventpulse.platform import Platform
from eventpulse.ports import Json, NewEvent, StoredObject
from eventpulse.rows.workbooks import read_mended, write_plain, write_refused


@dataclass(frozen=True, slots=True)
class Recovered:
    """`ingestion` is the new one; `rows` were sent again, `unchanged` had nothing mended."""

    ingestion: str
    object: str
    rows: int
    unchanged: int


def export_refused(
    platform: Platform, ingestion: Ingestion, shown: Iterable[Mapping[str, Any]]
) -> bytes:
    """The refused rows of an ingestion, as they may be `shown`, as a workbook to mend them in.

    Raises RequestRefused: 404 without a quarantine, 422 for too many.
    """
    if ingestion.quarantine is None or ingestion.dataset is None:
        raise RequestRefused(404, "nothing_refused", "No row was refused", _explain(ingestion))
    contract = load_contract(platform, ingestion.dataset, ingestion.contract_version)
    records = list(islice(shown, MOST_WORKBOOK_ROWS + 1))
    return write_refused(ingestion.id, contract, records)


def recover_workbook(platform: Platform, ingestion_id: str, data: bytes) -> Recovered:
    """Send the rows of that workbook again, as `recover_rows`; 422 for any other workbook."""
    ingestion = _find_refusing(platform, ingestion_id)
    contract = load_contract(platform, ingestion.dataset or "", ingestion.contract_version)
    return recover_rows(platform, ingestion_id, read_mended(data, ingestion_id, contract))


def recover_rows(platform: Platform, ingestion_id: str, mended: Sequence[Mended]) -> Recovered:
    """Send mended rows again; the same once more changes nothing.

    Raises RequestRefused: 404, 409 without a quarantine, 422 for rows that were not refused,
    columns that do not exist, or nothing mended.
    """
    ingestion = _find_refusing(platform, ingestion_id)
    assert ingestion.quarantine is not None
    assert ingestion.dataset is not None
    contract = load_contract(platform, ingestion.dataset, ingestion.contract_version)
    decision = decide_recovery(contract, read_refused(platform, ingestion.quarantine), mended)
    _check(decision)
    current = load_contract(platform, ingestion.dataset, None)
    data, extension = write_rows(current, decision.header, decision.rows)
    name = name_recovery(ingestion.dataset, ingestion.id, decision, extension)
    _announce(platform, ingestion, name, len(decision.rows))
    stored = _store(platform, name, data)
    landed = land_object(
        platform,
        FinalizedObject(
            bucket=platform.objects.bucket_name("raw"),
            name=name,
            generation=stored.ref.generation,
            size=stored.size,
            created=stored.created,
            content_type=stored.content_type,
        ),
    )
    assert landed is not None, "it was stored just now"
    return Recovered(landed, name, len(decision.rows), decision.unchanged)


def _find_refusing(platform: Platform, ingestion_id: str) -> Ingestion:
    ingestion = Changes(platform).ingestion(ingestion_id)
    if ingestion.quarantine is None or ingestion.dataset is None:
        raise RequestRefused(409, "nothing_refused", "No row was refused", _explain(ingestion))
    return ingestion


def _explain(ingestion: Ingestion) -> str:
    return f"The ingestion {ingestion.id} is {ingestion.state} and has no quarantine."


def _check(decision: Decision) -> None:
    problems = [
        f"body.rows: no refused row has the record {each}" for each in decision.unknown[:20]
    ]
    problems += [f"body.rows: there is no column {each!r}" for each in decision.strange[:20]]
    if not problems and not decision.rows:
        problems = ["body.rows: nothing differs from what was refused"]
    if problems:
        raise RequestRefused(
            422,
            "nothing_to_recover",
            "These rows cannot be recovered",
            f"{'; '.join(problems)}.",
            problems=problems,
        )


def _announce(platform: Platform, ingestion: Ingestion, name: str, rows: int) -> None:
    """Say what the object recovers before it is there: landing it looks here."""
    stream = recovery_stream(platform.objects.bucket_name("raw"), name)
    while True:
        changes = Changes(platform)
        if changes.head(stream).version:
            return
        requested: dict[str, Json] = {
            "ingestion": ingestion.id,
            "dataset": ingestion.dataset,
            "object": name,
        }
        changes.add(stream, NewEvent("requested", requested))
        changes.add(ingestion.stream, NewEvent("recovered", {"object": name, "rows": rows}))
        if changes.commit():
            return


def _store(platform: Platform, name: str, data: bytes) -> StoredObject:
    try:
        with platform.objects.write("raw", name, content_type="application/octet-stream") as out:
            out.write(data)
        return out.stored
    except ObjectExists:
        stored = platform.objects.stat("raw", name)
        assert stored is not None
        return stored


# --- In the dataset's own dialect ----------------------------------------------------------------


def write_rows(contract: Contract, header: Sequence[str], rows: Sequence[Row]) -> tuple[bytes, str]:
    """Rows of text as a file that the contract reads, and its extension; CSV if it reads any."""
    format_: FileFormat = contract.dialect.format or "csv"
    return WRITERS[format_](contract, header, rows), format_


def _write_csv(contract: Contract, header: Sequence[str], rows: Sequence[Row]) -> bytes:
    dialect = contract.dialect
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=dialect.delimiter or ",",
        quotechar=dialect.quote,
        escapechar=dialect.escape,
        lineterminator="\n",
    )
    for _ in range(1, dialect.header_row or 1):
        writer.writerow(["recovered"])
    empty = "" if "" in dialect.null_markers else next(iter(dialect.null_markers), "")
    writer.writerow(header)
    for row in rows:
        cells = [row.get(name) for name in header]
        writer.writerow([empty if cell is None else cell for cell in cells])
    return text.getvalue().encode(dialect.encoding or "utf-8", "xmlcharrefreplace")


def _write_ndjson(contract: Contract, header: Sequence[str], rows: Sequence[Row]) -> bytes:
    """Cells are text, as NDJSON writes what it does not want to lose; nested values are JSON."""
    nested = {
        name for each in contract.fields if each.column_type == "json" for name in each.headers
    }
    lines = []
    for row in rows:
        whole = {n: _nest(row.get(n)) if n in nested else row.get(n) for n in header}
        lines.append(json.dumps(whole, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def _nest(value: str | None) -> Json:
    try:
        found: Json = json.loads(value) if value is not None else None
    except ValueError:
        return value
    return found


def _write_parquet(_: Contract, header: Sequence[str], rows: Sequence[Row]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in header}
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def _write_xlsx(contract: Contract, header: Sequence[str], rows: Sequence[Row]) -> bytes:
    return write_plain(contract.dialect.sheet or "rows", contract.dialect.header_row, header, rows)


WRITERS: Mapping[FileFormat, Callable[[Contract, Sequence[str], Sequence[Row]], bytes]] = {
    "csv": _write_csv,
    "ndjson": _write_ndjson,
    "parquet": _write_parquet,
    "xlsx": _write_xlsx,
}
