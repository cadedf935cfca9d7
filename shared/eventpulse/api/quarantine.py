"""The quarantine of an ingestion: page by page, or whole as CSV for a spreadsheet.

Values of classified columns are masked. A spreadsheet takes a cell that begins with = + - or @ for
a formula and runs it, so such cells get an apostrophe in front; plain negative numbers stay.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import flask
from pydantic import Field

from eventpulse.api.endpoints import CSV, XLSX, Call
from eventpulse.api.ingestions import find_documented
from eventpulse.api.models import (
    Answer,
    QuarantinePage,
    QuarantineQuery,
    RefusedRecord,
    Request,
)
from eventpulse.contracts.contract import Contract
from eventpulse.http import json_response
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.ingestions.masking import mask_record
from eventpulse.ingestions.recovery import Mended, list_faulty
from eventpulse.pipeline.registry import load_contract
from eventpulse.platform import Platform

COLUMNS = ("object", "sheet", "record", "column", "rule", "value", "message", "row")
CSV_BLOCK_ROWS = 500

_FORMULA = re.compile(r"^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]")
_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?")


class MendedRow(Request):
    """A refused row as it should be; cells that are not named stay. `object` and `generation` may
    be left out when the ingestion read one object."""

    record: int = Field(ge=1)
    object: str | None = None
    generation: int | None = None
    row: dict[str, str | None] = Field(min_length=1, description="Text by header.")


class RecoverRequest(Request):
    rows: list[MendedRow] = Field(min_length=1, max_length=5000)


class Recovery(Answer):
    """What was sent again: `ingestion` is the new one, which `recovers` the first; `unchanged` rows
    had nothing mended and stay refused."""

    ingestion: str
    recovers: str
    object: str
    rows: int
    unchanged: int


def get_quarantine(call: Call) -> flask.Response:
    wanted: QuarantineQuery = call.query
    ingestion = find_documented(call)
    shown = (each for each in read_shown(call.platform, ingestion) if _is_wanted(each, wanted))
    if wanted.format == "csv":
        return _send_csv(shown, call.path["id"])
    if wanted.format == "xlsx":
        return _send_workbook(call.platform, ingestion, shown)
    start = int(wanted.cursor or 0)
    records = list(islice(shown, start, start + wanted.limit + 1))
    more = len(records) > wanted.limit
    fields = _find_contract(call.platform, ingestion).fields if records else ()
    page = QuarantinePage(
        ingestion=call.path["id"],
        quarantine_uri=ingestion.quarantine.uri if ingestion.quarantine else None,
        columns=[each.headers[0] for each in fields],
        rows=[RefusedRecord.model_validate(each) for each in records[: wanted.limit]],
        next_cursor=str(start + wanted.limit) if more else None,
    )
    return json_response(page.model_dump(mode="json"))


def _is_wanted(record: Mapping[str, Any], wanted: QuarantineQuery) -> bool:
    """Whether one of the row's faults is of the column and of the rule that are asked for."""
    return any(
        wanted.column in (None, each["column"]) and wanted.rule in (None, each["rule"])
        for each in record["failures"]
    )


def read_shown(platform: Platform, ingestion: Ingestion) -> Iterator[dict[str, Any]]:
    """The refused rows in the order of the file, masked; none without a quarantine."""
    if ingestion.quarantine is None or ingestion.dataset is None:
        return
    from eventpulse.pipeline.validate import read_refused

    contract = _find_contract(platform, ingestion)
    for record in read_refused(platform, ingestion.quarantine):
        record.pop("ingestion", None)
        for failure in record["failures"]:
            failure["headers"] = list_faulty(contract, record["row"], failure["column"])
        yield mask_record(contract, record)


def _find_contract(platform: Platform, ingestion: Ingestion) -> Contract:
    return load_contract(platform, ingestion.dataset or "", ingestion.contract_version)


def _send_csv(shown: Iterator[dict[str, Any]], asked_id: str) -> flask.Response:
    """Streamed: memory does not grow with the quarantine. The first block is made before the answer
    begins, so that what cannot be read is still answered as a problem."""
    blocks = _write_csv(shown)
    first = next(blocks)

    def stream() -> Iterator[str]:
        yield first
        yield from blocks

    response = flask.Response(stream(), mimetype=CSV)
    response.headers["Content-Disposition"] = f'attachment; filename="quarantine-{asked_id}.csv"'
    return response


def _send_workbook(
    platform: Platform, ingestion: Ingestion, shown: Iterator[dict[str, Any]]
) -> flask.Response:
    from eventpulse.pipeline.recovery import export_refused

    data = export_refused(platform, ingestion, shown)
    response = flask.Response(data, mimetype=XLSX)
    name = f"refused-{ingestion.id}.xlsx"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def post_recover(call: Call) -> flask.Response:
    """Mended rows, as JSON or as the workbook that the quarantine was exported as."""
    from eventpulse.pipeline.recovery import recover_rows, recover_workbook

    first = find_documented(call).id
    if call.body is None:
        found = recover_workbook(call.platform, first, call.request.get_data())
    else:
        sent: RecoverRequest = call.body
        mended = [Mended(each.record, each.row, each.object, each.generation) for each in sent.rows]
        found = recover_rows(call.platform, first, mended)
    answer = Recovery(
        ingestion=found.ingestion,
        recovers=first,
        object=found.object,
        rows=found.rows,
        unchanged=found.unchanged,
    )
    response = json_response(answer.model_dump(mode="json"), 202)
    response.headers["Location"] = f"/api/ingestions/{found.ingestion}"
    return response


def _write_csv(records: Iterator[dict[str, Any]]) -> Iterator[str]:
    """One line per failure, as RFC 4180; the head comes also without any."""
    block = io.StringIO()
    writer = csv.writer(block)
    writer.writerow(COLUMNS)
    while True:
        batch = list(islice(records, CSV_BLOCK_ROWS))
        for record in batch:
            for failure in record["failures"]:
                cells = {**record, **failure, "row": json.dumps(record["row"], ensure_ascii=False)}
                writer.writerow([disarm_cell(cells[name]) for name in COLUMNS])
        yield block.getvalue()
        if len(batch) < CSV_BLOCK_ROWS:
            return
        block.seek(0)
        block.truncate()


def disarm_cell(value: object) -> str:
    """A cell's text that no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
