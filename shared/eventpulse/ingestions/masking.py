"""What may be shown of a quarantined row outside the quarantine bucket. Pure.

Values of columns that the contract classifies as confidential, restricted or personal are masked in
every place where they stand: the row, the failures and their messages. So is what may hold such a
value without saying so, where the contract classifies any column: columns that it does not know,
and text that could not be split into columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventpulse.contracts.contract import Contract, Field
from eventpulse.contracts.rules import MASK, explain_refusal


def mask_record(contract: Contract, record: Mapping[str, Any]) -> dict[str, Any]:
    """A quarantine record as it may be shown; the same record where nothing is classified."""
    if not any(field.masked for field in contract.fields):
        return dict(record)
    shown = {header for field in contract.fields if not field.masked for header in field.headers}
    row = {
        header: value if value is None or header in shown else MASK
        for header, value in record["row"].items()
    }
    fields = {field.name: field for field in contract.fields}
    failures = [_mask_failure(fields, failure) for failure in record["failures"]]
    return {**record, "row": row, "failures": failures}


def _mask_failure(fields: Mapping[str, Field], failure: Mapping[str, Any]) -> dict[str, Any]:
    """`column` names several fields, joined by +, where a key of several columns is concerned."""
    names = failure["column"].split("+")
    concerned = [fields[name] for name in names if name in fields]
    if not any(field.masked for field in concerned):
        return dict(failure)
    if failure["value"] is None:
        message = f"{' and '.join(names)}: {_WITHOUT_VALUE.get(failure['rule'], MASK)}"
        return {**failure, "message": message}
    message = explain_refusal(failure["rule"], concerned[0], MASK)
    return {**failure, "value": MASK, "message": message}


_WITHOUT_VALUE = {
    "required": "must have a value.",
    "primaryKey": "the same key stands in an earlier row of this file; the first one was kept.",
    "unique": "the same value stands in an earlier row of this file; the first one was kept.",
}
