"""Parquet into Postgres and query results out of it, by COPY in CSV, a batch in memory at a time.

Arrow writes and reads the CSV, so that no value passes through Python. In it an empty cell without
quotes is null, one with quotes is empty text. Timestamps travel without a zone, in sessions whose
zone is UTC: that is many times faster to format.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import BinaryIO, TypeVar

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
from psycopg import errors, sql

from eventpulse.adapters.postgres import Connection
from eventpulse.adapters.warehouse_values import check_columns, read_schema
from eventpulse.ports import Column, JobStats
from eventpulse.rows.arrow import arrow_schema

Item = TypeVar("Item")

_BATCH_ROWS = 16_384
_BATCH_BYTES = 4 << 20
_DAYS = (date.min, date.max)
_TIMES = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))

_WRITING = arrow_csv.WriteOptions(
    include_header=False, batch_size=_BATCH_ROWS, quoting_style="needed"
)
_PLACE = re.compile(r"^COPY .*?, line (\d+)(?:, column ([^:\n]+))?", re.MULTILINE)


class DataRefused(ValueError):
    """Rows that Postgres cannot hold, and why."""


def copy_parquet(
    connection: Connection, target: sql.Composable, columns: Sequence[Column], file: BinaryIO
) -> JobStats:
    """Append a Parquet file's rows to `target`; columns that it lacks are null.

    The session's time zone is UTC. Raises DataRefused, and psycopg's errors for what Postgres
    refuses.
    """
    with pa.PythonFile(file, mode="r") as source, pq.ParquetFile(source) as parquet:
        present = check_columns(parquet.schema_arrow, columns)
        names = map(sql.Identifier, [column.name for column in present])
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
            target, sql.SQL(", ").join(names)
        )
        rows = size = 0
        with (
            connection.cursor() as cursor,
            cursor.copy(statement) as copy,
            contextlib.closing(_read_ahead(convert_batches(parquet, present))) as batches,
        ):
            for count, text in batches:
                copy.write(memoryview(text))
                rows += count
                size += text.size
    return JobStats(rows=rows, bytes=size)


def convert_batches(
    parquet: pq.ParquetFile, columns: Sequence[Column]
) -> Iterator[tuple[int, pa.Buffer]]:
    """Batch by batch, the number of rows and their CSV."""
    names, schema = [column.name for column in columns], arrow_schema(columns)
    for batch in parquet.iter_batches(_BATCH_ROWS, columns=names):
        yield batch.num_rows, _write_csv(batch.select(names).cast(schema))


def _read_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The items, each made while the one before it is used: Postgres is not kept waiting."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def read_batches(
    connection: Connection, query: sql.Composable, columns: Sequence[Column]
) -> Iterator[pa.RecordBatch]:
    """The rows of `query`, whose columns are `columns`, as `rows/arrow.py` types them.

    The session's time zone is UTC.
    """
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        lines: list[bytes | bytearray | memoryview] = []
        size = 0
        for line in copy:  # one row each
            lines.append(line)
            size += len(line)
            if size >= _BATCH_BYTES:
                yield from _read_csv(b"".join(lines), columns)
                lines, size = [], 0
        if lines:
            yield from _read_csv(b"".join(lines), columns)


def describe_refusal(error: psycopg.Error) -> str:
    """What Postgres refused and where, without the value: it may be personal."""
    if isinstance(error, errors.CharacterNotInRepertoire | errors.UntranslatableCharacter):
        problem = "text has a NUL character (U+0000), which Postgres cannot store"
    elif isinstance(error, errors.ProgramLimitExceeded):
        problem = (
            "the key of a row is longer than what an index of Postgres holds (about 2,700 bytes); "
            "declare a maxLength for the key's text columns, which refuses such rows alone"
        )
    else:
        problem = (error.diag.message_primary or str(error)).partition(': "')[0]
    place = _PLACE.search(error.diag.context or "")
    if place is None:
        column = error.diag.column_name
        return f"{problem} (column {column})" if column else problem
    line, column = place.groups()
    return f"{problem} (line {line}, column {column})" if column else f"{problem} (line {line})"


def _write_csv(batch: pa.RecordBatch) -> pa.Buffer:
    arrays = [_drop_zone(batch.column(i), field) for i, field in enumerate(batch.schema)]
    sink = pa.BufferOutputStream()
    plain = pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
    arrow_csv.write_csv(plain, sink, _WRITING)
    return sink.getvalue()


def _drop_zone(array: pa.Array, field: pa.Field) -> pa.Array:
    """The array as it is written, within the years 1 to 9999 that every reader knows."""
    if not pa.types.is_timestamp(field.type) and not pa.types.is_date(field.type):
        return array
    earliest, latest = _TIMES if pa.types.is_timestamp(field.type) else _DAYS
    low, high = pa.scalar(earliest, field.type), pa.scalar(latest, field.type)
    outside = pc.any(pc.or_(pc.less(array, low), pc.greater(array, high)))
    if outside.as_py():
        raise DataRefused(f"the column {field.name!r} has a time outside the years 1 to 9999")
    return array.cast(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else array


def _read_csv(text: bytes, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    schema = read_schema(columns)
    types = {
        field.name: pa.timestamp("us") if pa.types.is_timestamp(field.type) else field.type
        for field in schema
    }
    table = arrow_csv.read_csv(
        pa.BufferReader(text),
        read_options=arrow_csv.ReadOptions(
            column_names=schema.names, block_size=len(text) + 1, use_threads=False
        ),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=arrow_csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    yield from table.cast(schema).to_batches()


def select_columns(source: sql.Composable, columns: Sequence[Column]) -> sql.Composed:
    """SELECT of the columns, written so that `read_batches` can read them."""
    terms = [
        sql.SQL("{} AT TIME ZONE 'UTC'").format(sql.Identifier(column.name))
        if column.type == "timestamp"
        else sql.Identifier(column.name)
        for column in columns
    ]
    return sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(terms), source)
