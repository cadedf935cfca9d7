"""What a CSV reader makes of bytes, for tests."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import pytest

from eventpulse.contracts.contract import Dialect, Field
from eventpulse.errors import FileUnreadable
from eventpulse.formats import open_reader

Row = tuple[int, list[str]]


@dataclass
class Read:
    """What a reader made of a file: good rows by record number, and malformed ones."""

    header: list[str]
    dialect: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    malformed: list[tuple[int, str, str]] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)


def read(
    data: bytes,
    name: str = "a.csv",
    dialect: Dialect | None = None,
    known: tuple[str, ...] = (),
) -> Read:
    fields = [Field(f"column_{n}", header=each) for n, each in enumerate(known)]
    reader = open_reader(io.BytesIO(data), name, dialect or Dialect(), fields)
    found = Read(reader.header, dict(reader.dialect))
    for batch in reader:
        assert len(batch.columns) == len(reader.header)
        numbers = batch.records.to_pylist()
        columns = [column.to_pylist() for column in batch.columns]
        assert all(len(column) == len(numbers) for column in columns)
        found.rows += [(n, list(cells)) for n, *cells in zip(numbers, *columns, strict=True)]
        found.malformed += [(row.record, row.text, row.problem) for row in batch.malformed]
        found.remedies += [row.remedy for row in batch.malformed]
    return found


def rows_of(data: bytes, **options: Any) -> list[Row]:
    found = read(data, **options)
    assert found.malformed == []
    return found.rows


def fault_of(data: bytes, **options: Any) -> tuple[str, str]:
    with pytest.raises(FileUnreadable) as caught:
        read(data, **options)
    assert caught.value.object == options.get("name", "a.csv")
    return str(caught.value.problem), str(caught.value.remedy)
