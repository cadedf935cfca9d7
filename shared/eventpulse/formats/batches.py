"""What every reader hands out: a header, then batches of text cells with their record numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import pyarrow as pa

from eventpulse.contracts.contract import Contract, Field
from eventpulse.drift.verdict import match_header
from eventpulse.errors import FileUnreadable


@dataclass(frozen=True, slots=True)
class MalformedRow:
    """A record that could not be split into the header's cells, as raw text: what is wrong with it,
    and what to do."""

    record: int
    text: str
    problem: str
    remedy: str = "Correct it and upload the file again."


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Consecutive good records: their numbers (int64), and for each header cell an array of strings
    or a dictionary array of them, without nulls and with no text that stands in no record.

    `sheet` names the sheet that they stand in, where the format has sheets.
    """

    records: pa.Array
    columns: Sequence[pa.Array]
    malformed: Sequence[MalformedRow] = ()
    sheet: str | None = None


def slice_batch(batch: TextBatch, rows: int) -> Iterator[TextBatch]:
    """The batch in pieces of at most so many records; malformed rows come with the first."""
    for start in range(0, max(len(batch.records), 1), rows):
        yield replace(
            batch,
            records=batch.records[start : start + rows],
            columns=[column[start : start + rows] for column in batch.columns],
            malformed=batch.malformed if start == 0 else (),
        )


DialectReport = dict[str, str | int | list[str]]
"""How a file was read, by the names of the dialect's properties; `sniffed` lists those that the
file told and not the contract."""


class Reader(Protocol):
    """`header` as the file has it, trimmed; `dialect` says how the file was read and what of that
    was sniffed. `omits_nulls`: the format has no header of its own, so that a column without any
    value may be missing. Iterating raises FileUnreadable where the file breaks off."""

    omits_nulls: ClassVar[bool]
    header: list[str]
    dialect: DialectReport

    def __iter__(self) -> Iterator[TextBatch]: ...


def assign_fields(fields: Sequence[Field], header: Sequence[str]) -> list[Field | None]:
    """For each column of a file the contract's field that it carries, None where there is none."""
    match = match_header(Contract("", "", "", tuple(fields)), header)
    carried = {at: field for at, field in zip(match.positions, fields, strict=True)}
    return [carried.get(index) for index in range(len(header))]


def refuse_empty(name: str) -> FileUnreadable:
    return FileUnreadable(name, "the file is empty.", "Upload it again with a header and rows.")


def refuse_repeated(name: str, header: Sequence[str], fields: Sequence[Field]) -> None:
    """Raises FileUnreadable when two columns have one name; columns without any may be many.

    What names none of the fields is no header but a row, which is said elsewhere and not repeated.
    """
    if fields and all(set(header).isdisjoint(each.headers) for each in fields):
        return
    twice = sorted({cell for cell in header if cell and header.count(cell) > 1})
    if twice:
        raise FileUnreadable(
            name,
            f"the header has {', '.join(map(repr, twice))} more than once.",
            "Give each column a name of its own.",
            columns=twice,
        )
