"""Parquet: read by row group, its types written as text by one function each (`canonical`).

Structs and lists are JSON text, or columns of their own where the contract's pointers lead there
(`nesting`).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eventpulse.contracts.contract import Dialect, Field
from eventpulse.errors import EventPulseError, FileUnreadable
from eventpulse.formats.batches import (
    DialectReport,
    MalformedRow,
    TextBatch,
    assign_fields,
    refuse_empty,
    refuse_repeated,
)
from eventpulse.formats.canonical import write_values
from eventpulse.formats.nesting import Pointers
from eventpulse.formats.pages import check_pages
from eventpulse.formats.unpacking import expansion_limit, refuse_bomb

BATCH_ROWS = 8_192
_BUFFER_BYTES = 1 << 20
_ENCRYPTED_MAGIC = b"PARE"


class ParquetReader:
    """Rows are numbered from 1."""

    omits_nulls: ClassVar = False

    def __init__(
        self, stream: BinaryIO, name: str, dialect: Dialect, fields: Sequence[Field]
    ) -> None:
        self._name = name
        self._mark = dialect.decimal_mark
        self._pointers = Pointers(fields)
        self._source = _Source(stream)
        self._file = self._open(stream)
        empty = self._file.schema_arrow.empty_table().to_batches()
        sample = empty[0] if empty else pa.RecordBatch.from_pylist([], self._file.schema_arrow)
        self.header = [name.strip() for name, _ in self._flatten(sample)]
        refuse_repeated(name, self.header, fields)
        self._fields = assign_fields(fields, self.header)
        self.dialect: DialectReport = {
            "format": "parquet",
            "row_groups": self._file.metadata.num_row_groups,
            "sniffed": [],
        }

    def _open(self, stream: BinaryIO) -> pq.ParquetFile:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if not size:
            raise refuse_empty(self._name)
        if stream.read(len(_ENCRYPTED_MAGIC)) == _ENCRYPTED_MAGIC:
            raise FileUnreadable(
                self._name, "this Parquet file is encrypted.", "Send it without encryption."
            )
        try:
            file = pq.ParquetFile(
                pa.PythonFile(self._source, mode="r"), pre_buffer=False, buffer_size=_BUFFER_BYTES
            )
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error
        groups, limit = range(file.metadata.num_row_groups), expansion_limit(size)
        if sum(file.metadata.row_group(each).total_byte_size for each in groups) > limit:
            raise refuse_bomb(self._name)
        check_pages(stream, self._name, limit)
        return file

    def _damaged(self, error: Exception) -> EventPulseError:
        if self._source.error is not None:
            return self._source.error
        first = str(error).partition("\n")[0].rstrip(".")
        return FileUnreadable(
            self._name,
            f"this is no complete Parquet file: {first}.",
            "Write and upload it again.",
        )

    def __iter__(self) -> Iterator[TextBatch]:
        record = 1
        batches = self._file.iter_batches(batch_size=BATCH_ROWS, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    return
                batch.validate(full=True)
                columns = [
                    write_values(values, field, self._mark)
                    for (_, values), field in zip(self._flatten(batch), self._fields, strict=True)
                ]
            except (pa.ArrowException, OSError, ValueError) as error:
                raise self._damaged(error) from error
            yield self._make_batch(record, columns)
            record += len(batch)

    def _flatten(self, batch: pa.RecordBatch) -> list[tuple[str, pa.Array]]:
        return [
            each
            for field, values in zip(batch.schema, batch.columns, strict=True)
            for each in self._pointers.flatten_arrays(field.name, values)
        ]

    def _make_batch(self, first: int, columns: list[pa.Array]) -> TextBatch:
        rows = len(columns[0]) if columns else 0
        records = pa.array(np.arange(first, first + rows, dtype=np.int64))
        broken: dict[int, str] = {}
        for name, column in zip(self.header, columns, strict=True):
            for row in pc.indices_nonzero(pc.match_substring(column, "\0")).to_pylist():
                broken.setdefault(row, f"the value of {name!r} has a NUL character")
        if not broken:
            return TextBatch(records, columns)
        malformed = [
            MalformedRow(
                first + row,
                "\t".join(c[row].as_py() or "" for c in columns),
                problem,
                "Remove the character.",
            )
            for row, problem in sorted(broken.items())
        ]
        good = pa.array([row not in broken for row in range(rows)], pa.bool_())
        return TextBatch(records.filter(good), [c.filter(good) for c in columns], malformed)


class _Source(io.RawIOBase):
    """A stream that remembers why a read failed, because pyarrow hides it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.error: EventPulseError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except EventPulseError as error:
            self.error = error
            raise OSError(str(error)) from error
