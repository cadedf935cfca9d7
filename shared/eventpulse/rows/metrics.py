"""What the contract's `library` rules count, over all rows of an ingestion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.contract import Contract, QualityRule
from eventpulse.contracts.rules import RowRule
from eventpulse.rows.casting import Mask, to_mask
from eventpulse.rows.cells import Cells
from eventpulse.rows.keys import KeyHash, KeyIndex, Prints, combine_words


@dataclass(frozen=True, slots=True)
class CheckedCells:
    """One column of one batch: its cells, and for each of their texts the value that it was cast to
    (null where it is null or mistyped) and whether it breaks a rule."""

    cells: Cells
    typed: pa.Array
    mistyped: Mask
    failed: Sequence[tuple[RowRule, Mask]]


@dataclass(frozen=True, slots=True)
class Tally:
    """What a rule counted in one batch; for `duplicateValues`, what is to be compared instead:
    the rows' fingerprints, and which rows have no null among their values."""

    count: int
    of: int
    keys: Prints | None = None
    complete: Mask | None = None


class MetricCounter:
    """Counts what one rule of the contract counts: batches are tallied in any order, and added in
    that of the file."""

    def __init__(self, contract: Contract, rule: QualityRule) -> None:
        self.name, self._rule = rule.name, rule
        self.count = self.of = 0
        self._columns = rule.columns or tuple(f.name for f in contract.fields)
        self._hash = KeyHash(len(self._columns))
        self._seen = KeyIndex() if rule.metric == "duplicateValues" else None

    def tally(self, checked: Mapping[str, CheckedCells], rows: int) -> Tally:
        columns = [checked[name] for name in self._columns]
        if self._rule.metric == "duplicateValues":
            complete = np.ones(rows, dtype=bool)
            for each in columns:
                complete[each.cells.find_rows(each.cells.empty)] = False
            shares = [
                spread_words(each.cells, self._hash.hash_column(place, each.cells.texts))
                for place, each in enumerate(columns)
            ]
            return Tally(0, 0, combine_words(shares), complete)
        if self._rule.metric == "rowCount":
            return Tally(0, 0)
        found = sum(each.cells.count(self._select(each)) for each in columns)
        return Tally(found, rows * len(columns))

    def add(self, tally: Tally) -> None:
        self.count += tally.count
        self.of += tally.of
        if self._seen is not None and tally.keys is not None and tally.complete is not None:
            self.of += int(tally.complete.sum())
            self.count += int(self._seen.find_repeated(tally.keys, tally.complete).sum())

    def _select(self, column: CheckedCells) -> Mask:
        """The texts that are counted."""
        texts, empty = column.cells.texts, column.cells.empty
        arguments = self._rule.arguments
        if self._rule.metric == "nullValues":
            return empty
        if self._rule.metric == "missingValues":
            named = pa.array([str(v) for v in _list(arguments.get("missingValues"))], pa.string())
            return empty | to_mask(pc.is_in(texts, value_set=named))
        invalid = np.zeros(len(empty), dtype=bool)
        if "validValues" in arguments:
            valid = pa.array([str(v) for v in _list(arguments["validValues"])], pa.string())
            valid = valid.cast(column.typed.type)
            invalid |= ~empty & ~to_mask(pc.is_in(column.typed, value_set=valid))
        if "pattern" in arguments:
            matching = pc.match_substring_regex(texts, f"^(?:{arguments['pattern']})$")
            invalid |= ~empty & ~to_mask(matching)
        for rule, mask in column.failed:
            if rule != "required":
                invalid |= mask
        return invalid


def spread_words(cells: Cells, words: Prints) -> Prints:
    """The words of each row, from those of each text."""
    if cells.at is None:
        return words
    return words[0][cells.at], words[1][cells.at]


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
