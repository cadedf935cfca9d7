"""Surveys: what is counted of a file's columns, however their texts come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.formats import DialectReport, TextBatch
from eventpulse.rows.surveys import survey_file
from tests.properties import examples

CELLS = st.sampled_from(
    ["", "NA", "1", "-2", "007", "1,5", "2.5", "true", "2024-01-31", "[1]", "x"]
)


@dataclass
class GivenBatches:
    """A reader of two columns, the first of them with no text twice."""

    batches: Sequence[Sequence[str | None]]
    repeated: bool
    header: list[str] = field(default_factory=lambda: ["id", "cell"])
    dialect: DialectReport = field(default_factory=dict)

    def __iter__(self) -> Iterator[TextBatch]:
        first = 1
        for cells in self.batches:
            records = pa.array(range(first, first + len(cells)), pa.int64())
            text = pa.array(cells, pa.string())
            columns = [records.cast(pa.string()), text]
            if self.repeated:
                columns = [column.dictionary_encode() for column in columns]
            yield TextBatch(records, columns)
            first += len(cells)


@given(st.lists(st.lists(CELLS, min_size=1, max_size=8), min_size=1, max_size=4))
def test_texts_that_come_once_count_as_often_as_they_stand(batches: list[list[str]]) -> None:
    plain = survey_file(GivenBatches(batches, repeated=False))
    assert survey_file(GivenBatches(batches, repeated=True)) == plain
    cells = [cell for batch in batches for cell in batch]
    assert plain.columns[1].leading_zeros == cells.count("007")
    assert plain.columns[1].markers.get("NA", 0) == cells.count("NA")


@given(st.lists(st.lists(st.none() | CELLS, min_size=1, max_size=6), min_size=1, max_size=3))
@examples(25)
def test_no_cell_counts_as_an_empty_one(batches: list[list[str | None]]) -> None:
    """Which of the two a reader hands out is up to its format."""
    spelt = [[cell or "" for cell in batch] for batch in batches]
    wanted = survey_file(GivenBatches(spelt, repeated=False))
    for repeated in (False, True):
        assert survey_file(GivenBatches(batches, repeated=repeated)) == wanted
