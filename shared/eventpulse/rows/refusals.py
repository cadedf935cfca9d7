"""Rows for the quarantine: all that is wrong with each, and what stood in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from eventpulse.contracts.contract import Field
from eventpulse.contracts.rules import LONGEST_KEY, RowRule, explain_refusal
from eventpulse.formats import MalformedRow, TextBatch
from eventpulse.formats.repeated import spell_out
from eventpulse.rows.casting import Mask
from eventpulse.rows.cells import Cells, Rows
from eventpulse.rows.kernels import name_key

_AT_A_TIME = 1_024
"""Refused rows that are written out together: each takes far more memory than a good one."""


@dataclass(frozen=True, slots=True)
class Failure:
    column: str
    rule: RowRule
    value: str | None
    message: str


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row for the quarantine: its number, its cells by header, and all that is wrong with it."""

    record: int
    row: Mapping[str, str | None]
    failures: Sequence[Failure]
    duplicate: bool = False
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """The rows of one batch that break a rule of one column, ascending, and their cells."""

    field: Field
    rule: RowRule
    rows: Rows
    cells: Cells

    def explain(self, chosen: Rows) -> Iterator[Failure]:
        for value in self.cells.spread(self.cells.texts, chosen).to_pylist():
            message = explain_refusal(self.rule, self.field, value)
            yield Failure(self.field.name, self.rule, value, message)


@dataclass(frozen=True, slots=True)
class RepeatedKey:
    """The rows of one batch whose key an earlier row of the object has; `values` are the key's
    columns, a value for each row of the batch."""

    fields: Sequence[Field]
    rule: RowRule
    rows: Rows
    values: Sequence[pa.Array]

    @property
    def column(self) -> str:
        return name_key(self.fields)

    def show(self, chosen: Rows) -> Iterator[str]:
        columns = [values.take(pa.array(chosen)).to_pylist() for values in self.values]
        for key in zip(*columns, strict=True):
            named = zip(self.fields, key, strict=True)
            yield ", ".join(f"{f.name}={value}" for f, value in named)

    def explain(self, chosen: Rows) -> Iterator[Failure]:
        for shown in self.show(chosen):
            message = f"{shown} stands in an earlier row of this file; the first one was kept."
            yield Failure(self.column, self.rule, None, message)


@dataclass(frozen=True, slots=True)
class LongKey:
    """The rows of one batch whose primary key is longer than a warehouse holds, and the bytes that
    the key of each row of the batch has."""

    fields: Sequence[Field]
    rows: Rows
    sizes: npt.NDArray[np.int64]

    @property
    def column(self) -> str:
        return name_key(self.fields)

    def show(self, chosen: Rows) -> Iterator[str]:
        for size in self.sizes[chosen].tolist():
            yield f"{size:,} bytes"

    def explain(self, chosen: Rows) -> Iterator[Failure]:
        for shown in self.show(chosen):
            message = (
                f"the key {self.column} has {shown} of text, more than the {LONGEST_KEY:,} that a "
                "key may have. Shorten it, or key by something shorter."
            )
            yield Failure(self.column, "primaryKey", None, message)


def refuse_rows(
    batch: TextBatch,
    header: Sequence[str],
    broken: Sequence[BrokenRule | LongKey | RepeatedKey],
    duplicates: Mask,
) -> Iterator[RefusedRow]:
    """The refused rows of a batch in the order of the file, malformed ones among them.

    Made one by one as they are asked for, so that a file of refused rows takes no more memory.
    """
    malformed = iter(sorted(batch.malformed, key=lambda row: row.record))
    waiting = next(malformed, None)
    for row in _refuse_split(batch, header, broken, duplicates):
        while waiting is not None and waiting.record < row.record:
            yield refuse_malformed(waiting, batch.sheet)
            waiting = next(malformed, None)
        yield row
    while waiting is not None:
        yield refuse_malformed(waiting, batch.sheet)
        waiting = next(malformed, None)


def refuse_malformed(row: MalformedRow, sheet: str | None) -> RefusedRow:
    failure = Failure("", "malformed", None, f"{row.problem}. {row.remedy}")
    return RefusedRow(row.record, {"": row.text}, [failure], sheet=sheet)


def _refuse_split(
    batch: TextBatch,
    header: Sequence[str],
    broken: Sequence[BrokenRule | LongKey | RepeatedKey],
    duplicates: Mask,
) -> Iterator[RefusedRow]:
    if not broken:
        return
    rows = np.unique(np.concatenate([each.rows for each in broken]))
    for start in range(0, len(rows), _AT_A_TIME):
        some = rows[start : start + _AT_A_TIME]
        failures: dict[int, list[Failure]] = {row: [] for row in some.tolist()}
        for each in broken:
            first, end = np.searchsorted(each.rows, [some[0], some[-1] + 1])
            own = each.rows[first:end]
            for row, failure in zip(own.tolist(), each.explain(own), strict=True):
                failures[row].append(failure)
        chosen = pa.array(some)
        columns = [spell_out(column.take(chosen)).to_pylist() for column in batch.columns]
        records = batch.records.take(chosen).to_pylist()
        for row, record, *cells in zip(some.tolist(), records, *columns, strict=True):
            by_header = dict(zip(header, cells, strict=True))
            yield RefusedRow(
                record, by_header, failures[row], bool(duplicates[row]), sheet=batch.sheet
            )
