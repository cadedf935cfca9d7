"""Where checked rows go: those that pass into staged Parquet, refused ones into the quarantine."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, BinaryIO, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from eventpulse.contracts.contract import Contract
from eventpulse.ingestions.ingestion import Ingestion, SourceObject
from eventpulse.pipeline.documents import HashingWriter, describe_object, document_name
from eventpulse.platform import Platform
from eventpulse.rows.arrow import SOURCE_COLUMNS, arrow_schema
from eventpulse.rows.refusals import RefusedRow
from eventpulse.rows.validation import CheckedBatch
from eventpulse.values import Document, parse_time

ROW_GROUP_ROWS = 32_768
"""Batches of fewer rows are written together; a larger one is a row group, and not copied."""
ROW_GROUP_BYTES = 32 << 20
_LOOKED_AT = 4_096
_REFUSED_BYTES = 1 << 18
"""Of refused rows that are compressed together."""
_LEVEL = 6


class StagingSink:
    """Both objects appear when the context is left without an error; an object that would be empty
    is never begun. Parquet is written by a thread of its own, one row group at a time."""

    def __init__(self, platform: Platform, ingestion: Ingestion, contract: Contract) -> None:
        self._platform, self._ingestion = platform, ingestion
        columns = [*contract.table().columns, *SOURCE_COLUMNS]
        self._schema = arrow_schema([replace(c, required=False) for c in columns])
        self._stack = ExitStack()
        self._writer = self._stack.enter_context(ThreadPoolExecutor(1))
        self._writing: Future[None] | None = None
        self._parquet: pq.ParquetWriter | None = None
        self._lines: io.BufferedWriter | None = None
        self._written: pa.Schema | None = None
        self._waiting: list[pa.Table] = []
        self._rows = self._bytes = 0
        self._finish: list[Callable[[], None]] = []
        self.staged: list[Document] = []
        self.quarantine: Document | None = None

    def __enter__(self) -> StagingSink:
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._close()
        self._stack.__exit__(*error)
        if error[0] is None:
            for finish in self._finish:
                finish()

    def _close(self) -> None:
        self._flush()
        self._wait()
        if self._parquet is not None:
            self._parquet.close()
        if self._lines is not None:
            self._lines.close()

    def write(self, source: SourceObject, checked: CheckedBatch) -> None:
        if len(checked.rows):
            table = self._with_source(source, checked)
            self._waiting.append(table)
            self._rows, self._bytes = self._rows + len(table), self._bytes + table.nbytes
            if self._rows >= ROW_GROUP_ROWS or self._bytes >= ROW_GROUP_BYTES:
                self._flush()
        for row in checked.refused:
            self._refuse(source, row)

    def _with_source(self, source: SourceObject, checked: CheckedBatch) -> pa.Table:
        rows = len(checked.rows)
        created = pa.scalar(parse_time(source.created), pa.timestamp("us", tz="UTC"))
        columns = [
            *checked.rows.columns,
            _repeat(self._ingestion.id, rows),
            checked.records,
            _repeat(source.sha256, rows),
            pa.repeat(created, rows),
        ]
        return pa.table(columns, names=self._schema.names)

    def _flush(self) -> None:
        """Hand the next row group to the writing thread, once that has written the one before."""
        self._wait()
        if self._waiting:
            self._writing = self._writer.submit(self._write_group, self._waiting)
        self._waiting, self._rows, self._bytes = [], 0, 0

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write_group(self, group: Sequence[pa.Table]) -> None:
        columns = [
            _join([table.column(name) for table in group], field.type)
            for name, field in zip(self._schema.names, self._schema, strict=True)
        ]
        if self._parquet is None:
            # A column is written as it begins: as a dictionary, or value by value.
            self._written = pa.schema(
                zip(self._schema.names, (c.type for c in columns), strict=True)
            )
            writer = self._begin("staged", "rows.parquet", "application/vnd.apache.parquet")
            self._parquet = pq.ParquetWriter(
                pa.PythonFile(writer, mode="w"),
                self._written,
                compression="zstd",
                use_dictionary=[
                    name
                    for name, column in zip(self._schema.names, columns, strict=True)
                    if _repeats(column)
                ],
                write_statistics=False,
                store_schema=False,  # readers get text, not Arrow's dictionaries
            )
        self._parquet.write_table(pa.table(columns, names=self._schema.names).cast(self._written))

    def _refuse(self, source: SourceObject, row: RefusedRow) -> None:
        if self._lines is None:
            writer = self._begin("quarantine", "refused.ndjson.gz", "application/gzip")
            packed = gzip.GzipFile("", "wb", _LEVEL, cast(BinaryIO, writer), mtime=0)
            self._lines = io.BufferedWriter(cast(io.RawIOBase, packed), _REFUSED_BYTES)
        record = {
            "ingestion": self._ingestion.id,
            "object": source.name,
            "generation": source.generation,
            "sheet": row.sheet,
            "record": row.record,
            "duplicate": row.duplicate,
            "failures": [
                {"column": f.column, "rule": f.rule, "value": f.value, "message": f.message}
                for f in row.failures
            ],
            "row": row.row,
        }
        self._lines.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")

    def _begin(
        self, bucket: Literal["staged", "quarantine"], name: str, content_type: str
    ) -> HashingWriter:
        out = self._stack.enter_context(
            self._platform.objects.write(
                bucket,
                document_name(self._ingestion, name),
                content_type=content_type,
                replace=True,
            )
        )
        hashing = HashingWriter(out)

        def finish() -> None:
            document = describe_object(self._platform, out.stored, hashing.sha256)
            if bucket == "staged":
                self.staged.append(document)
            else:
                self.quarantine = document

        self._finish.append(finish)
        return hashing


def _join(parts: Sequence[pa.ChunkedArray], type_: pa.DataType) -> pa.ChunkedArray:
    """Chunks of one column as one; as a dictionary where each of them is one."""
    chunks = [chunk for part in parts for chunk in part.chunks]
    if pa.types.is_string(type_) and all(pa.types.is_dictionary(each.type) for each in chunks):
        return pa.chunked_array(chunks).unify_dictionaries().combine_chunks()
    return pa.chunked_array([each.cast(type_) for each in chunks], type_).combine_chunks()


def _repeats(column: pa.ChunkedArray | pa.Array) -> bool:
    """Whether a Parquet dictionary is worth its while, by the column's first values."""
    seen = column[:_LOOKED_AT]
    return pa.types.is_dictionary(seen.type) or len(seen.unique()) <= len(seen) / 2


def _repeat(text: str, rows: int) -> pa.Array:
    places = pa.repeat(pa.scalar(0, pa.int32()), rows)
    return pa.DictionaryArray.from_arrays(places, pa.array([text], pa.string()))
