"""How a file is cut into batches, and which thread examines them, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import Contract, Dialect, QualityRule
from eventpulse.drift.verdict import match_header
from eventpulse.formats import MalformedRow, TextBatch
from eventpulse.pipeline.ordered_map import map_in_order
from eventpulse.rows.profiles import EXACT_DISTINCT, SAMPLED_ROWS
from eventpulse.rows.validation import RowChecker
from tests.properties import examples
from tests.unit.rows.row_checks import Cells, contract_of, field_of


def rule_of(metric: Any, *columns: str) -> QualityRule:
    return QualityRule(f"{metric}{columns}", "library", "mustBe", (0,), metric, columns)


CONTRACT = contract_of(
    field_of("integer", name="id", key_position=1, minimum="-5"),
    field_of(name="part", key_position=2),
    field_of("number", name="size", maximum="9"),
    field_of("number", name="price", precision=9, scale=2),
    field_of("date", name="day", required=True),
    field_of(name="mail", unique=True, pattern="[a-z]*"),
    dialect=Dialect(null_markers=("", "NA")),
    quality=(
        rule_of("nullValues", "size"),
        rule_of("invalidValues", "price"),
        rule_of("duplicateValues", "part", "size"),
    ),
)


def batches_of(
    rows: Sequence[Cells], edges: Sequence[int], malformed: Sequence[int]
) -> Iterator[TextBatch]:
    numbers = [n for n in range(1, len(rows) + len(malformed) + 1) if n not in malformed]
    cuts = sorted({0, *(edge for edge in edges if edge < len(rows)), len(rows)})
    for start, end in pairwise(cuts):
        first = 0 if start == 0 else numbers[start - 1]
        until = len(rows) + len(malformed) if end == len(rows) else numbers[end - 1]
        wrong = [MalformedRow(n, f"raw {n}", "is short") for n in malformed if first < n <= until]
        columns = [pa.array(each, pa.string()) for each in zip(*rows[start:end], strict=True)]
        yield TextBatch(pa.array(numbers[start:end], pa.int64()), columns, wrong)


def outcome(
    contract: Contract,
    rows: Sequence[Cells],
    *,
    edges: Sequence[int] = (),
    malformed: Sequence[int] = (),
    threads: int = 1,
) -> dict[str, Any]:
    """All that validation says, as plain values in order."""
    header = [each.headers[0] for each in contract.fields]
    checker = RowChecker(contract, header, match_header(contract, header).positions)
    accepted: list[Any] = []
    refused: list[Any] = []
    batches = batches_of(rows, edges, malformed)
    for examined in map_in_order(checker.examine, batches, threads=threads):
        checked = checker.settle(examined)
        columns = [checked.records, *(c.combine_chunks() for c in checked.rows.columns)]
        accepted += zip(*(column.to_pylist() for column in columns), strict=True)
        refused += [asdict(row) for row in checked.refused]
    return {
        "accepted": accepted,
        "refused": refused,
        "rules": [asdict(each) for each in checker.rules.values()],
        "columns": checker.describe_columns(),
        "metrics": checker.count_metrics(),
        "read": checker.rows_read,
        "duplicate": checker.rows_duplicate,
    }


_ROW = st.tuples(
    st.sampled_from(["1", "2", "02", "-7", "x", "", "99999999999999999999"]),
    st.sampled_from(["a", "b", "", "NA", "ab\x1f"]),
    st.sampled_from(["1", "1.0", "-0", "0", "9.5", "1e1", "+3", "nan", "0x1F", "", " 2 "]),
    st.sampled_from(["1.50", "1.5", "-.25", "1.239", "", "12345678.90"]),
    st.sampled_from(["2026-01-31", "2026-02-30", "31/01/2026", ""]),
    st.text("abZ", max_size=2),
)


@examples(150)
@given(
    st.lists(_ROW, min_size=1, max_size=30),
    st.lists(st.integers(1, 29), max_size=6),
    st.sets(st.integers(1, 35), max_size=4),
    st.integers(1, 3),
)
def test_cuts_and_threads_change_nothing(
    rows: list[Cells], edges: list[int], malformed: set[int], threads: int
) -> None:
    wrong = sorted(n for n in malformed if n <= len(rows))
    whole = outcome(CONTRACT, rows, malformed=wrong)
    assert outcome(CONTRACT, rows, edges=edges, malformed=wrong, threads=threads) == whole


@examples(50)
@given(st.lists(_ROW, min_size=1, max_size=20), st.integers(2, 6))
def test_columns_whose_texts_repeat_are_read_as_those_whose_do_not(
    rows: list[Cells], times: int
) -> None:
    """Each row by itself, then all of them several times over, so that every text repeats."""
    single = [outcome(CONTRACT, [row]) for row in rows]
    repeated = outcome(CONTRACT, rows * times)
    broken = {row["record"]: row["failures"] for row in repeated["refused"]}
    for number, (row, alone) in enumerate(zip(rows, single, strict=True), start=1):
        wanted = [f for each in alone["refused"] for f in each["failures"]]
        found = [f for f in broken.get(number, []) if f["rule"] not in ("primaryKey", "unique")]
        assert found == wanted, row


LONG = contract_of(
    field_of("integer", name="id", key_position=1),
    field_of(name="code"),
    field_of("number", name="reading", maximum="995"),
    field_of("timestamp", name="at"),
)


@pytest.mark.parametrize("size", [701, 5_000, 16_384, 60_000])
def test_profiles_beyond_what_is_exact_are_the_same_for_every_cut(size: int) -> None:
    count = 30_000
    random = np.random.default_rng(7)
    numbers = random.permutation(count).tolist()
    readings = np.round(random.normal(900, 40, count), 2).tolist()
    rows = [
        [str(n), f"c{n % 6_000}", str(r), f"2026-01-{n % 28 + 1:02d}T00:00:{n % 60:02d}Z"]
        for n, r in zip(numbers, readings, strict=True)
    ]
    cut = outcome(LONG, rows, edges=range(0, count, size), threads=2)
    assert cut == outcome(LONG, rows, edges=[count // 2])
    assert cut["columns"][0]["distinct_estimated"]
    assert cut["columns"][0]["sampled_rows"] == SAMPLED_ROWS < count
    assert not cut["columns"][3]["distinct_estimated"]
    assert cut["columns"][3]["distinct"] < EXACT_DISTINCT
