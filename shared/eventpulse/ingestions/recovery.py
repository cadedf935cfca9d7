"""Recovery: refused rows that somebody has mended, told from those that nobody has. Pure.

Invariants:
- only a row that was refused can be mended, and only one that differs from it counts;
- a value that was masked when it was shown, and comes back masked, is the one that it was;
- what mends the same rows in the same way has the same name, and so the same object: twice is once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventpulse.contracts.contract import Contract
from eventpulse.contracts.rules import MASK
from eventpulse.ingestions.ingestion import object_key
from eventpulse.ports import Json, NewEvent

PREFIX = "recovered/"
"""Where mended rows are put in the raw bucket: recovered/<dataset>/<ingestion>/<hash>.<format>."""

MOST_WORKBOOK_ROWS = 20_000
"""Refused rows that a workbook to mend them in holds."""

Row = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a refused row stood."""

    object: str
    generation: int
    record: int


@dataclass(frozen=True, slots=True)
class Mended:
    """A row as somebody wants it: cells that are not named stay. `object` and `generation` may be
    left out where the ingestion read one object."""

    record: int
    cells: Mapping[str, str | None]
    object: str | None = None
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The rows to send again, in the order of the file; `unknown` and `strange` say what fits no
    refused row and which columns no refused row has."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    unchanged: int
    unknown: tuple[int, ...] = ()
    strange: tuple[str, ...] = ()


def decide_recovery(
    contract: Contract, refused: Iterable[Mapping[str, Any]], mended: Sequence[Mended]
) -> Decision:
    """`refused` are quarantine records, unmasked and in the order of the file."""
    wanted = {_key(each): each for each in mended}
    found: dict[tuple[str | None, int | None, int], bool] = {}
    rows: list[Row] = []
    strange: dict[str, None] = {}
    header: dict[str, None] = {}
    unchanged = 0
    hides = any(each.masked for each in contract.fields)
    for record in refused:
        key, fix = _find(wanted, record)
        if fix is None:
            continue
        found[key] = True
        before: Row = record["row"]
        known = {*before, *(name for each in contract.fields for name in each.headers)}
        strange |= dict.fromkeys(name for name in fix.cells if name not in known)
        after = _apply(before, fix.cells, hides=hides)
        if _plain(after) == _plain(before):
            unchanged += 1
            continue
        header |= dict.fromkeys(after)
        rows.append(after)
    unknown = tuple(each.record for each in mended if _key(each) not in found)
    return Decision(tuple(header), tuple(rows), unchanged, unknown, tuple(strange))


def _key(mended: Mended) -> tuple[str | None, int | None, int]:
    return mended.object, mended.generation, mended.record


def _find(
    wanted: Mapping[tuple[str | None, int | None, int], Mended], record: Mapping[str, Any]
) -> tuple[tuple[str | None, int | None, int], Mended | None]:
    name, generation, number = record["object"], record["generation"], record["record"]
    for key in ((name, generation, number), (name, None, number), (None, None, number)):
        if key in wanted:
            return key, wanted[key]
    return (None, None, number), None


def _apply(before: Row, cells: Mapping[str, str | None], *, hides: bool) -> Row:
    """The text of a row that could not be split stands under no header; its cells replace it."""
    changed = {
        name: before.get(name) if hides and value == MASK else value
        for name, value in cells.items()
    }
    return {**{name: value for name, value in before.items() if name}, **changed}


def _plain(row: Row) -> dict[str, str]:
    """A cell without a value, an empty one and a missing one are the same to whoever mends."""
    return {name: value for name, value in row.items() if value}


def list_faulty(contract: Contract, row: Row, column: str) -> list[str]:
    """The headers of the row's cells that a failure of `column` is about; it names several columns,
    joined by +, for a key, and none for a row that could not be split."""
    fields = {each.name: each for each in contract.fields}
    named = (fields[each].headers if each in fields else (each,) for each in column.split("+"))
    found = (next((each for each in headers if each in row), None) for headers in named)
    return [each for each in found if each]


def name_recovery(dataset: str, ingestion: str, decision: Decision, extension: str) -> str:
    text = json.dumps([decision.header, decision.rows], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{PREFIX}{dataset}/{ingestion}/{digest[:32]}.{extension}"


def recovery_stream(bucket: str, name: str) -> str:
    """Landing finds there what an object recovers: names alone anyone may give."""
    return f"recovery/{object_key(bucket, name)}"


def project_recovery(
    projection: Mapping[str, Json], _stream: str, event: NewEvent, _at: str
) -> dict[str, Json]:
    """`requested` names the ingestion, its dataset and the object."""
    if event.type != "requested":
        raise KeyError(event.type)
    return dict(projection) or dict(event.data)
