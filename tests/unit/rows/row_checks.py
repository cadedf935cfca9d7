"""Contracts of a few fields, and rows of text cells put through a checker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pyarrow as pa

from eventpulse.contracts.contract import Contract, Field, FieldOptions
from eventpulse.contracts.rules import RowRule
from eventpulse.drift.verdict import match_header
from eventpulse.formats import MalformedRow, TextBatch
from eventpulse.ingestions.quality import Balance
from eventpulse.rows.refusals import RefusedRow
from eventpulse.rows.validation import RowChecker

Cells = Sequence[str | None]


def contract_of(*fields: Field, **changed: Any) -> Contract:
    return Contract("sales", "1.0.0", "", fields, **changed)


def field_of(type_: Any = "string", *, name: str = "x", **changed: Any) -> Field:
    options = {
        key: changed.pop(key)
        for key in list(changed)
        if key in FieldOptions.__dataclass_fields__ and key != "format"
    }
    return Field(name, type=type_, options=FieldOptions(**options), **changed)


@dataclass
class Checked:
    """What a checker made of some batches: accepted rows by record number, and refused ones."""

    checker: RowChecker
    accepted: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    refused: list[RefusedRow] = field(default_factory=list)

    @property
    def messages(self) -> list[tuple[int, str, str]]:
        return [
            (row.record, failure.rule, failure.message)
            for row in self.refused
            for failure in row.failures
        ]

    @property
    def balance(self) -> Balance:
        return Balance(
            rows_read=self.checker.rows_read,
            rows_accepted=self.checker.rows_accepted,
            rows_quarantined=self.checker.rows_quarantined,
            rows_duplicate=self.checker.rows_duplicate,
        )

    def facts(self, column: str, rule: RowRule) -> tuple[int, int]:
        facts = self.checker.rules[column, rule]
        return facts.checked, facts.failed


def check(
    contract: Contract,
    rows: Sequence[Cells],
    *,
    header: Sequence[str] | None = None,
    malformed: Sequence[int] = (),
    batches: Sequence[int] = (),
) -> Checked:
    """Check rows of cells; records are numbered from 1, `malformed` ones taken out of the count.

    `batches` are the row indexes at which a new batch begins.
    """
    header = header if header is not None else [f.headers[0] for f in contract.fields]
    found = Checked(RowChecker(contract, header, match_header(contract, header).positions))
    numbers = [n for n in range(1, len(rows) + len(malformed) + 1) if n not in malformed]
    edges = sorted({0, *batches, len(rows)})
    last = 0
    for start, end in pairwise(edges):
        own = numbers[start:end]
        until = len(rows) + len(malformed) if end == len(rows) else own[-1]
        wrong = [MalformedRow(n, f"raw {n}", "the row has 1 cells") for n in malformed]
        add_batch(found, rows[start:end], own, [row for row in wrong if last < row.record <= until])
        last = until
    return found


def add_batch(
    found: Checked, rows: Sequence[Cells], numbers: list[int], malformed: list[MalformedRow]
) -> None:
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    batch = TextBatch(pa.array(numbers, pa.int64()), columns, malformed)
    checked = found.checker.check(batch)
    records = checked.records.to_pylist()
    values = zip(*(column.to_pylist() for column in checked.rows.columns), strict=True)
    found.accepted |= dict(zip(records, values, strict=True))
    refused = list(checked.refused)
    found.refused += refused
    assert [row.record for row in refused] == sorted(row.record for row in refused)


def cells_of(*cells: str | None) -> list[Cells]:
    return [[cell] for cell in cells]
