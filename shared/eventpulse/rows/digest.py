"""The digest of a table: one SHA-256 for its rows, however they are stored, ordered or batched.

Invariants:
  - Equal multisets of rows give equal digests; one row more, less or changed gives another. The
    order of rows, of batches and of columns does not matter, the number of equal rows does.
  - A row is encoded without ambiguity: first the length in bytes of each cell (`-` for null), then
    the cells one after the other. So null differs from empty, and ('ab', '') from ('a', 'b').
  - Every engine's value of a cell has one encoding (`_CELLS`): integers, dates, times and
    timestamps as decimal numbers (days, microseconds, microseconds UTC); floats by their IEEE bits,
    where all NaN are one and -0.0 is 0.0, as SQL compares them; decimals without regard to their
    scale; text as UTF-8, as it is; JSON as `canonical_json`.
  - Rows are hashed (BLAKE2b, 256 bits) and their hashes added modulo 2**256, so memory does not
    grow with the table.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import NamedTuple, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.ports import Column, ColumnType
from eventpulse.rows.arrow import arrow_type

_FORMAT = b"eventpulse table digest 1"
_MODULUS = 1 << 256
_ROWS_AT_ONCE = 16_384
_COMMA = pa.scalar(",", pa.large_string())
_COLON = pa.scalar(b":", pa.large_binary())
_NOTHING = pa.scalar(b"", pa.large_binary())


def table_digest(batches: Iterable[pa.RecordBatch], columns: Sequence[Column]) -> str:
    """64 hexadecimal digits that are equal for two tables when they hold the same rows.

    `batches` hold the named columns, typed as `arrow.py` maps them, in any order; other columns
    in them are left out. A column's name and type count, its precision and mode do not.
    """
    found = Tally()
    for batch, hashes in _hash_batches(batches, columns):
        found = found.plus(Tally(batch.num_rows, sum(hashes)))
    return digest_tallies([found], columns)


class Tally(NamedTuple):
    """How many rows there are, and the sum of their hashes: equal for the same rows."""

    rows: int = 0
    total: int = 0

    def plus(self, other: Tally) -> Tally:
        return Tally(self.rows + other.rows, (self.total + other.total) % _MODULUS)


def tally_rows(
    batches: Iterable[pa.RecordBatch], columns: Sequence[Column], by: str
) -> dict[str, Tally]:
    """The rows apart, by what each has in the text column `by`, which counts for nothing else."""
    rows: dict[str, int] = defaultdict(int)
    totals: dict[str, int] = defaultdict(int)
    for batch, hashes in _hash_batches(batches, columns):
        for name, hashed in zip(batch.column(by).to_pylist(), hashes, strict=True):
            rows[name] += 1
            totals[name] += hashed
    return {name: Tally(rows[name], totals[name] % _MODULUS) for name in rows}


def digest_tallies(tallies: Iterable[Tally], columns: Sequence[Column]) -> str:
    """What `table_digest` gives for all the rows together."""
    rows, total = reduce(Tally.plus, tallies, Tally())
    layout = json.dumps([[name, kind] for name, kind in sorted((c.name, c.type) for c in columns)])
    parts = (_FORMAT, layout.encode(), str(rows).encode(), total.to_bytes(32, "little"))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _hash_batches(
    batches: Iterable[pa.RecordBatch], columns: Sequence[Column]
) -> Iterator[tuple[pa.RecordBatch, Iterator[int]]]:
    """Bounded batches, each with the hashes of its rows."""
    ordered = sorted(columns, key=lambda column: column.name)
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
            part = batch.slice(start, _ROWS_AT_ONCE)
            yield part, _hash_rows(part, ordered)


def _hash_rows(batch: pa.RecordBatch, columns: Sequence[Column]) -> Iterator[int]:
    blake2b, from_bytes = hashlib.blake2b, int.from_bytes
    for row in _encode_rows(batch, columns):
        yield from_bytes(blake2b(row, digest_size=32).digest(), "little")


def _encode_rows(batch: pa.RecordBatch, columns: Sequence[Column]) -> Iterator[memoryview]:
    """One buffer per row."""
    if not columns:
        yield from (memoryview(b"") for _ in range(batch.num_rows))
        return
    cells = [_encode_cells(batch.column(column.name), column) for column in columns]
    lengths = [pc.binary_length(cell).cast(pa.large_string()).fill_null("-") for cell in cells]
    head = pc.binary_join_element_wise(*lengths, _COMMA).cast(pa.large_binary())
    body = pc.binary_join_element_wise(*(cell.fill_null(b"") for cell in cells), _NOTHING)
    yield from _slice_values(pc.binary_join_element_wise(head, body, _COLON))


def _encode_cells(array: pa.Array, column: Column) -> pa.Array:
    return _CELLS[column.type](array.cast(arrow_type(column))).cast(pa.large_binary())


def _slice_values(array: pa.LargeBinaryArray) -> Iterator[memoryview]:
    """The values of an array without nulls, as views of its buffer."""
    _, offsets, data = array.buffers()
    bounds = memoryview(offsets).cast("q")[array.offset : array.offset + len(array) + 1].tolist()
    values = memoryview(data or b"")
    start = bounds[0]
    for end in bounds[1:]:
        yield values[start:end]
        start = end


# --- Cells: an array as text or binary, null where it is null -------------------------------------


def _encode_days(array: pa.Array) -> pa.Array:
    return array.view(pa.int32()).cast(pa.string())


def _encode_bits(array: pa.Array) -> pa.Array:
    return array.view(pa.int64()).cast(pa.string())


def _encode_float(array: pa.Array) -> pa.Array:
    unsigned = pc.add(array, 0.0)  # -0.0 + 0.0 is 0.0
    return _encode_bits(pc.if_else(pc.is_nan(unsigned), math.nan, unsigned))


def _encode_decimal(array: pa.Array) -> pa.Array:
    # One scale for all: 38 digits after the point, which leaves 38 before it.
    return array.cast(pa.decimal256(76, 38)).view(pa.binary(32)).cast(pa.binary())


def _encode_json(array: pa.Array) -> pa.Array:
    texts: list[str | None] = array.to_pylist()
    return pa.array([t if t is None else canonical_json(t) for t in texts], pa.large_binary())


_CELLS: Mapping[ColumnType, Callable[[pa.Array], pa.Array]] = {
    "string": lambda array: array.cast(pa.binary()),
    "integer": lambda array: array.cast(pa.string()),
    "number": _encode_float,
    "decimal": _encode_decimal,
    "boolean": lambda array: array.cast(pa.string()),
    "date": _encode_days,
    "timestamp": _encode_bits,
    "time": _encode_bits,
    "json": _encode_json,
}


def canonical_json(text: str) -> bytes:
    """JSON as its value alone: keys sorted, no white space, each number written in one way.

    A number without a fraction that fits 64 bits is written as such (1.0 and 1e0 are 1), any other
    as the nearest double, which is what BigQuery keeps of it. Of equal keys the last one counts.
    Raises ValueError.
    """
    value = json.loads(
        text, parse_int=_read_integer, parse_float=_read_float, parse_constant=_refuse_constant
    )
    canonical = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return canonical.encode(errors="surrogatepass")


def _read_integer(text: str) -> int | float | str:
    number = int(text) if len(text) <= 20 else None
    if number is not None and -(1 << 63) <= number < 1 << 64:
        return number
    return _read_float(text)


def _read_float(text: str) -> int | float | str:
    number = float(text)
    if math.isinf(number):
        return f"\0{text}"  # no double is near it: its digits, marked to differ from a string
    if number.is_integer() and -(2.0**63) <= number < 2.0**64:
        return int(number)
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
