"""Rows against a contract: batches of text in, typed rows and refusals out, facts on the way.

Facts, not verdicts: nothing here rejects a file. Every failing rule of every row is found. The
first row with a key stays and later ones are refused as duplicates; only rows that are accepted
count for that, so that a refused row never displaces a good one.

A batch is examined, then settled. Examining needs the batch alone (types, rules, profiles): any
thread may do it, in any order. Settling needs the rows before (keys, samples, sums) and goes in the
order of the file. How a file is cut into batches changes nothing that comes out. Memory is bounded
by the batch, plus 14 bytes a row for each key that must be unique.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.contract import Contract, Field
from eventpulse.contracts.rules import LONGEST_KEY, MASK, RowRule
from eventpulse.formats import TextBatch
from eventpulse.ports import Json
from eventpulse.rows.arrow import arrow_type
from eventpulse.rows.casting import Mask, cast_text, read_otherwise
from eventpulse.rows.cells import Cells, tell_apart
from eventpulse.rows.fingerprints import Words
from eventpulse.rows.kernels import compile_rules, list_keys, name_key
from eventpulse.rows.keys import KeyHash, KeyIndex, Prints, combine_words, find_repeated_keys
from eventpulse.rows.metrics import CheckedCells, MetricCounter, Tally, spread_words
from eventpulse.rows.profiles import ColumnProfile, SampledRows, SeenColumn, profile_cells
from eventpulse.rows.readings import Candidates, keep_fitting, list_candidates
from eventpulse.rows.refusals import BrokenRule, LongKey, RefusedRow, RepeatedKey, refuse_rows

SAMPLES_PER_RULE = 10


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """`rows` has the contract's columns in order, text perhaps as dictionary arrays, and `records`
    their record numbers (int64).

    `refused` are the other rows, in the order of the file, made as they are asked for.
    """

    rows: pa.Table
    records: pa.Array
    refused: Iterator[RefusedRow]


@dataclass
class RuleFacts:
    """What one rule saw of one column. Samples of masked columns hide the value. `remedies` say
    what to do about malformed rows, each once."""

    column: str
    rule: RowRule
    checked: int = 0
    failed: int = 0
    samples: list[dict[str, Json]] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)


@dataclass
class ColumnFacts:
    """What stands in one column, over all rows: `cells` are those that are not null, `mistyped`
    of them did not fit the type, and `readings` counts the types that those do fit. `others` are
    the formats that fit every cell so far."""

    name: str
    type: str
    profile: ColumnProfile
    cells: int = 0
    nulls: int = 0
    mistyped: int = 0
    readings: Counter[str] = field(default_factory=Counter)
    others: Candidates = ()


@dataclass(frozen=True, slots=True)
class ExaminedBatch:
    """All that a batch by itself tells. `typed` are the columns of the rows in `good`, those that
    break no rule; `keys` the fingerprints of every row, for each key."""

    batch: TextBatch
    checked: Sequence[CheckedCells]
    broken: Sequence[BrokenRule | LongKey]
    good: Mask
    typed: Sequence[pa.Array]
    keys: Sequence[Prints]
    complete: Sequence[Mask]
    tallies: Sequence[Tally]
    seen: Sequence[SeenColumn]
    ranks: Words
    readings: Sequence[Counter[str]]
    others: Sequence[Candidates]


_UNBOUND: Mapping[str, str] = {}
_ALWAYS: tuple[RowRule, ...] = ("logicalType", "required", "objectColumns")
"""Rules that do not come from a field's options."""


class RowChecker:
    """Checks the batches of one ingestion. `positions[i]` is the file's column for the contract's
    i-th field, None where the file has none."""

    def __init__(
        self,
        contract: Contract,
        header: Sequence[str],
        positions: Sequence[int | None],
        *,
        refused: Sequence[int] = (),
        emptied: Collection[str] = (),
    ) -> None:
        """`refused` are the file's columns in which no row may have a value, `emptied` the
        contract's in which a value of another type is dropped and its row kept: both as the drift
        policy says."""
        self._contract = contract
        self._emptied = emptied
        self._checks = [compile_rules(each) for each in contract.fields]
        self._keys = list_keys(contract)
        self._metrics = [MetricCounter(contract, rule) for rule in contract.quality if rule.metric]
        self._sample = SampledRows()
        self._nth_object = 0
        self.rules: dict[tuple[str, RowRule], RuleFacts] = {}
        self.columns = [
            ColumnFacts(
                f.name,
                f.column_type,
                ColumnProfile(arrow_type(f.column)),
                others=list_candidates(f),
            )
            for f in contract.fields
        ]
        self.rows_read = self.rows_accepted = self.rows_quarantined = self.rows_duplicate = 0
        for each, checks in zip(contract.fields, self._checks, strict=True):
            names: list[RowRule] = ["logicalType", *(name for name, _ in checks)]
            for name in [*names, *(["required"] if each.column.required else [])]:
                self._facts(each.name, name)  # type: ignore[arg-type]
        for rule, fields in self._keys:
            self._facts(name_key(fields), rule)
        self._begin(header, positions, refused)

    def begin_object(
        self,
        header: Sequence[str],
        positions: Sequence[int | None],
        refused: Sequence[int] = (),
        bound: Mapping[str, str] = _UNBOUND,
    ) -> None:
        """Go on with another object of the same ingestion, once all batches of the one before are
        settled: keys are unique within an object. `bound` are columns that hold one value in this
        object."""
        self._nth_object += 1
        self._begin(header, positions, refused)
        self._bound = bound
        for name in bound:
            self._facts(name, "objectColumns")

    def _begin(
        self, header: Sequence[str], positions: Sequence[int | None], refused: Sequence[int]
    ) -> None:
        self._header, self._positions, self._refused = header, positions, refused
        self._bound = _UNBOUND
        self._hashes = [KeyHash(len(fields)) for _, fields in self._keys]
        self._indexes = [KeyIndex() for _ in self._keys]
        for position in refused:
            self._facts(header[position], "drift")

    def count_metrics(self) -> dict[str, dict[str, Json]]:
        """What the contract's `library` rules count, by the rules' names."""
        return {each.name: {"count": each.count, "of": each.of} for each in self._metrics}

    def describe_columns(self) -> list[dict[str, Json]]:
        """The facts of each column as plain values; those of masked columns show no cell."""
        return [
            {
                "name": facts.name,
                "type": facts.type,
                "cells": facts.cells,
                "nulls": facts.nulls,
                "mistyped": facts.mistyped,
                "readings": dict(sorted(facts.readings.items())),
                "other_readings": list(facts.others) if facts.mistyped else [],
                **facts.profile.to_json(
                    facts.cells - facts.mistyped, self._sample, index, own.masked
                ),
            }
            for index, (facts, own) in enumerate(
                zip(self.columns, self._contract.fields, strict=True)
            )
        ]

    def check(self, batch: TextBatch) -> CheckedBatch:
        """Examine and settle the next batch."""
        return self.settle(self.examine(batch))

    # --- What depends on the batch alone ---------------------------------------------------------

    def examine(self, batch: TextBatch) -> ExaminedBatch:
        """Type, check, profile and fingerprint the cells of a batch of the present object."""
        count = len(batch.records)
        checked: list[CheckedCells] = []
        broken: list[BrokenRule | LongKey] = []
        for index, each in enumerate(self._contract.fields):
            column = self._check_column(index, self._find_cells(batch, index))
            checked.append(column)
            broken += [
                BrokenRule(each, rule, column.cells.find_rows(mask), column.cells)
                for rule, mask in column.failed
            ]
        broken += self._refuse_columns(batch)
        by_name = dict(zip((f.name for f in self._contract.fields), checked, strict=True))
        broken += self._refuse_long_keys(by_name)
        good = np.ones(count, dtype=bool)
        for rule in broken:
            good[rule.rows] = False
        left_out = np.flatnonzero(~good)
        keys = [
            self._fingerprint(hash_, [by_name[f.name] for f in fields], good)
            for hash_, (_, fields) in zip(self._hashes, self._keys, strict=True)
        ]
        ranks = self._sample.rank(batch.records, self._nth_object)
        chosen = self._sample.choose(ranks)
        seen = [
            profile_cells(column.cells, column.typed, facts.profile.distinct.limit, chosen)
            for column, facts in zip(checked, self.columns, strict=True)
        ]
        return ExaminedBatch(
            batch=batch,
            checked=checked,
            broken=broken,
            good=good,
            typed=[column.cells.encode(column.typed, left_out) for column in checked],
            keys=[words for words, _ in keys],
            complete=[complete for _, complete in keys],
            tallies=[each.tally(by_name, count) for each in self._metrics],
            seen=seen,
            ranks=ranks[chosen],
            readings=[_read_mistyped(column) for column in checked],
            others=[
                keep_fitting(facts.others, own, column.cells.texts, column.mistyped)
                for facts, own, column in zip(
                    self.columns, self._contract.fields, checked, strict=True
                )
            ],
        )

    def _find_cells(self, batch: TextBatch, index: int) -> Cells:
        position = self._positions[index]
        if position is None:
            count = len(batch.records)
            return Cells(pa.nulls(1, pa.string()), np.zeros(count, np.int32), count)
        return tell_apart(batch.columns[position], self._contract.dialect.null_markers)

    def _check_column(self, index: int, cells: Cells) -> CheckedCells:
        own = self._contract.fields[index]
        typed, mistyped = cast_text(own, cells.texts)
        failed: list[tuple[RowRule, Mask]] = []
        emptied = own.name in self._emptied
        if mistyped.any() and not emptied:
            failed.append(("logicalType", mistyped))
        if own.column.required:
            absent = cells.empty | mistyped if emptied else cells.empty
            if absent.any():
                failed.append(("required", absent))
        if own.name in self._bound:
            others = pc.not_equal(typed, self._bound[own.name]).fill_null(False)
            if pc.any(others).as_py():
                failed.append(("objectColumns", others.to_numpy(zero_copy_only=False)))
        for rule, check in self._checks[index]:
            mask = check(typed).fill_null(False).to_numpy(zero_copy_only=False)
            if mask.any():
                failed.append((rule, mask))
        return CheckedCells(cells, typed, mistyped, failed)

    def _refuse_columns(self, batch: TextBatch) -> Iterator[BrokenRule]:
        for position in self._refused:
            cells = tell_apart(batch.columns[position], self._contract.dialect.null_markers)
            rows = cells.find_rows(~cells.empty)
            if len(rows):
                # Nobody has said what it is.
                unknown = Field(self._header[position], classification="confidential")
                yield BrokenRule(unknown, "drift", rows, cells)

    def _refuse_long_keys(self, checked: Mapping[str, CheckedCells]) -> Iterator[LongKey]:
        """One that no index of Postgres holds, in every warehouse alike."""
        fields = next((key for rule, key in self._keys if rule == "primaryKey"), ())
        texts = [checked[f.name] for f in fields if f.column_type == "string"]
        lengths = [pc.binary_length(text.typed).fill_null(0) for text in texts]
        if sum(pc.max(each).as_py() or 0 for each in lengths) <= LONGEST_KEY:
            return
        sizes = np.zeros(texts[0].cells.rows, np.int64)
        for text, each in zip(texts, lengths, strict=True):
            sizes += text.cells.spread(each).to_numpy()
        rows = np.flatnonzero(sizes > LONGEST_KEY)
        if len(rows):
            yield LongKey(fields, rows, sizes)

    @staticmethod
    def _fingerprint(
        hash_: KeyHash, columns: Sequence[CheckedCells], good: Mask
    ) -> tuple[Prints, Mask]:
        """Of each row, and which rows compete for the key: good ones without a null in it."""
        complete = good
        shares: list[Prints] = []
        for place, column in enumerate(columns):
            shares.append(spread_words(column.cells, hash_.hash_column(place, column.typed)))
            absent = column.cells.empty | column.mistyped
            if absent.any():
                complete = complete.copy()
                complete[column.cells.find_rows(absent)] = False
        return combine_words(shares), complete

    # --- What depends on the rows before ---------------------------------------------------------

    def settle(self, examined: ExaminedBatch) -> CheckedBatch:
        """Add a batch to the facts, and refuse the rows whose key an earlier one has.

        Batches are settled in the order of the file.
        """
        batch, good = examined.batch, examined.good
        count = len(batch.records)
        self._add_facts(examined)
        repeated = find_repeated_keys(self._indexes, examined.keys, examined.complete)
        duplicates: Mask = np.logical_or.reduce(repeated) if repeated else np.zeros(count, bool)
        twice = self._note_repeated(examined, repeated)
        kept = good & ~duplicates
        self.rows_read += count + len(batch.malformed)
        self.rows_accepted += int(kept.sum())
        self.rows_duplicate += int(duplicates.sum())
        self.rows_quarantined += int((~good).sum()) + len(batch.malformed)
        typed, records = list(examined.typed), batch.records
        if duplicates.any():
            left = pa.array(~duplicates[good])
            typed = [column.filter(left) for column in typed]
        if not kept.all():
            records = records.filter(pa.array(kept))
        names = [f.name for f in self._contract.fields]
        refused = refuse_rows(batch, self._header, [*examined.broken, *twice], duplicates)
        return CheckedBatch(pa.table(typed, names=names), records, refused)

    def _add_facts(self, examined: ExaminedBatch) -> None:
        batch = examined.batch
        for index, (column, facts) in enumerate(zip(examined.checked, self.columns, strict=True)):
            nulls = column.cells.count(column.cells.empty)
            facts.nulls += nulls
            facts.cells += column.cells.rows - nulls
            facts.mistyped += column.cells.count(column.mistyped)
            facts.readings.update(examined.readings[index])
            fitting = examined.others[index]
            facts.others = tuple(each for each in facts.others if each in fitting)
            facts.profile.add(examined.seen[index])
            for rule in [name for name, _ in self._checks[index]] + list(_ALWAYS):
                if (facts.name, rule) in self.rules:
                    self.rules[facts.name, rule].checked += column.cells.rows
        self._sample.add(
            examined.ranks, [each.sampled for each in examined.seen], len(batch.records)
        )
        for position in self._refused:
            self._facts(self._header[position], "drift").checked += len(batch.records)
        for counter, tally in zip(self._metrics, examined.tallies, strict=True):
            counter.add(tally)
        for broken in examined.broken:
            if isinstance(broken, LongKey):
                self._note_long_key(batch, broken)
            else:
                self._note_broken(batch, broken)
        for row in batch.malformed:
            facts_ = self._facts("", "malformed")
            facts_.failed += 1
            if len(facts_.samples) < SAMPLES_PER_RULE:
                facts_.samples.append({"record": row.record, "value": MASK})
            if row.remedy not in facts_.remedies:
                facts_.remedies.append(row.remedy)

    def _note_broken(self, batch: TextBatch, broken: BrokenRule) -> None:
        facts = self._facts(broken.field.name, broken.rule)
        facts.failed += len(broken.rows)
        some = broken.rows[: SAMPLES_PER_RULE - len(facts.samples)]
        if len(some):
            values = broken.cells.spread(broken.cells.texts, some).to_pylist()
            _add_samples(facts, batch, some, [MASK] * len(some) if broken.field.masked else values)

    def _note_long_key(self, batch: TextBatch, key: LongKey) -> None:
        facts = self._facts(key.column, "primaryKey")
        facts.checked += len(key.rows)
        facts.failed += len(key.rows)
        some = key.rows[: SAMPLES_PER_RULE - len(facts.samples)]
        if len(some):
            _add_samples(facts, batch, some, list(key.show(some)))

    def _note_repeated(
        self, examined: ExaminedBatch, repeated: Sequence[Mask]
    ) -> list[RepeatedKey]:
        found: list[RepeatedKey] = []
        by_name = dict(zip((f.name for f in self._contract.fields), examined.checked, strict=True))
        for (rule, fields), complete, again in zip(
            self._keys, examined.complete, repeated, strict=True
        ):
            facts = self._facts(name_key(fields), rule)
            facts.checked += int(complete.sum())
            rows = np.flatnonzero(again)
            if not len(rows):
                continue
            facts.failed += len(rows)
            columns = [by_name[f.name] for f in fields]
            key = RepeatedKey(fields, rule, rows, [c.cells.spread(c.typed) for c in columns])
            found.append(key)
            some = rows[: SAMPLES_PER_RULE - len(facts.samples)]
            if len(some):
                hidden = any(f.masked for f in fields)
                values = [MASK] * len(some) if hidden else list(key.show(some))
                _add_samples(facts, examined.batch, some, values)
        return found

    def _facts(self, column: str, rule: RowRule) -> RuleFacts:
        return self.rules.setdefault((column, rule), RuleFacts(column, rule))


def _add_samples(
    facts: RuleFacts, batch: TextBatch, rows: np.ndarray, values: Sequence[str | None]
) -> None:
    for record, value in zip(batch.records.take(pa.array(rows)).to_pylist(), values, strict=True):
        facts.samples.append({"record": record, "value": value})


def _read_mistyped(column: CheckedCells) -> Counter[str]:
    """How many mistyped cells fit which other type."""
    found: Counter[str] = Counter()
    which = np.flatnonzero(column.mistyped)
    if len(which):
        counts = column.cells.counts[which]
        for kind, fits in read_otherwise(column.cells.texts.take(pa.array(which))):
            if fits.any():
                found[kind] = int(counts[fits].sum())
    return found
