"""Surveys: what is counted of a file's columns, however their texts come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.formats import DialectReport, TextBatch
from eventpulse.rows.surveys import survey_file

CELLS = st.sampled_from(
    ["", "NA", "1", "-2", "007", "1,5", "2.5", "true", "2024-01-31", "[1]", "x"]
)


@dataclass
class GivenBatches:
    """A reader of two columns, the first of them with no text twice."""

    batches: list[list[str]]
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
