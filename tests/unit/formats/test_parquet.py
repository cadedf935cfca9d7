"""Parquet: every type as its one text, by row group, nested values by pointers."""

from __future__ import annotations

import contextlib
import gzip
import io
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import Dialect, Field
from eventpulse.errors import BackendUnavailable, FileUnreadable
from eventpulse.formats import open_reader, pages, unpacking

CASES = Path(__file__).parents[2] / "cases" / "formats"


def write(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def read(
    data: bytes, *fields: Field, dialect: Dialect | None = None
) -> dict[str, list[str | None]]:
    """The columns' texts by header."""
    reader = open_reader(io.BytesIO(data), "a.parquet", dialect or Dialect(), fields)
    found: dict[str, list[str | None]] = {name: [] for name in reader.header}
    records: list[int] = []
    for batch in reader:
        records += batch.records.to_pylist()
        assert not batch.malformed
        for name, column in zip(reader.header, batch.columns, strict=True):
            assert column.type == pa.string()
            found[name] += column.to_pylist()
    assert records == list(range(1, len(records) + 1))
    return found


def text_of(value: Any, kind: pa.DataType, field: Field | None = None) -> str | None:
    table = pa.table({"v": pa.array([value, None], kind)})
    texts = read(write(table), *([field] if field else []))["v"]
    assert texts[1] is None
    return texts[0]


def fault_of(data: bytes) -> str:
    with pytest.raises(FileUnreadable) as caught:
        read(data)
    return caught.value.message


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (-5, pa.int8(), "-5"),
        (2**64 - 1, pa.uint64(), "18446744073709551615"),
        (1.0, pa.float64(), "1"),
        (0.1, pa.float64(), "0.1"),
        (0.1, pa.float32(), "0.1"),
        (1.5, pa.float16(), "1.5"),
        (1e-7, pa.float64(), "0.0000001"),
        (1e20, pa.float64(), "100000000000000000000"),
        (1e22, pa.float64(), "1e+22"),
        (float("nan"), pa.float64(), "NaN"),
        (float("-inf"), pa.float64(), "-inf"),
        (Decimal("1.50"), pa.decimal128(9, 2), "1.50"),
        (Decimal("1e-9"), pa.decimal128(38, 9), "0.000000001"),
        (True, pa.bool_(), "true"),
        ("00501", pa.string(), "00501"),
        ("x", pa.large_string(), "x"),
        ("x", pa.dictionary(pa.int32(), pa.string()), "x"),
        (b"\x00\xff", pa.binary(), "AP8="),
        (b"ab", pa.binary(2), "YWI="),
        (UUID(int=5).bytes, pa.uuid(), "00000000-0000-0000-0000-000000000005"),
        (date(2024, 1, 31), pa.date32(), "2024-01-31"),
        (date(2024, 1, 31), pa.date64(), "2024-01-31"),
        (datetime(2024, 1, 31, 8, 30), pa.timestamp("ms"), "2024-01-31T08:30:00"),
        (
            datetime(2024, 1, 31, 8, 30, tzinfo=UTC),
            pa.timestamp("us", "UTC"),
            "2024-01-31T08:30:00Z",
        ),
        (
            datetime(2024, 1, 31, 8, 30, 0, 250_000, tzinfo=UTC),
            pa.timestamp("us", "Europe/Berlin"),
            "2024-01-31T08:30:00.25Z",
        ),
        (1_000_000_001, pa.timestamp("ns"), "1970-01-01T00:00:01.000000001"),
        (time(8, 30), pa.time32("ms"), "08:30:00"),
        (time(8, 30, 0, 1), pa.time64("us"), "08:30:00.000001"),
        (timedelta(hours=36, microseconds=5), pa.duration("us"), "36:00:00.000005"),
        (-1, pa.duration("ns"), "-00:00:00.000000001"),
        (2**63 - 1, pa.duration("s"), "2562047788015215:30:07"),
        (2**62, pa.timestamp("ms"), str(2**62)),
        (-(2**62), pa.timestamp("us", "UTC"), str(-(2**62))),
        ([2**62], pa.list_(pa.timestamp("ms")), "…"),
        ([2**62], pa.list_(pa.duration("s")), "…"),
        ([1, None], pa.list_(pa.int64()), "[1, null]"),
        ({"a": 1.5}, pa.struct([("a", pa.float64())]), '{"a": 1.5}'),
    ],
)
def test_every_type_has_one_text(value: Any, kind: pa.DataType, text: str) -> None:
    assert text_of(value, kind) == text


@pytest.mark.parametrize(
    "kind",
    [pa.null(), pa.list_(pa.int64()), pa.list_(pa.null()), pa.struct([("a", pa.int64())])],
    ids=str,
)
def test_a_column_without_values_is_one_of_empty_cells(kind: pa.DataType) -> None:
    """Of any type: where a whole batch has none, Arrow knows no type of its texts."""
    assert read(write(pa.table({"v": pa.nulls(2, kind)}))) == {"v": [None, None]}


def test_statistics_that_contradict_the_schema_are_damage() -> None:
    """pyarrow ends the process when it is asked about such a column (found by fuzzing)."""
    data = (CASES / "size_statistics.parquet").read_bytes()
    with pytest.raises(FileUnreadable, match="this is no complete Parquet file"):
        read(data)


def test_metadata_may_be_long() -> None:
    table = pa.table({"v": ["a"]}).replace_schema_metadata({"notes": "x" * (3 << 20)})
    assert read(write(table, compression="zstd")) == {"v": ["a"]}


def test_values_are_written_as_the_contract_writes_text() -> None:
    day = Field("v", "date", formats=("%d.%m.%Y",))
    moment = datetime(2024, 1, 31, 8, 30, tzinfo=UTC)
    when = Field("v", "timestamp", formats=("%d.%m.%Y %H:%M",))
    assert text_of(date(2024, 1, 31), pa.date32(), day) == "31.01.2024"
    assert text_of(moment, pa.timestamp("ms", "UTC"), when) == "31.01.2024 08:30"
    table = pa.table({"v": [1.5], "d": pa.array([Decimal("1.50")], pa.decimal128(9, 2))})
    assert read(write(table), dialect=Dialect(decimal_mark=",")) == {"v": ["1,5"], "d": ["1,50"]}


def test_pointers_take_values_out_of_others() -> None:
    table = pa.table(
        {
            "id": [1, 2, 3],
            "position": [{"lat": 1.5, "lon": 2.0}, None, {"lat": None, "lon": 3.0}],
            "readings": [[{"v": 1}, {"v": 2}], [], None],
        }
    )
    fields = [Field("lat", header="/position/lat"), Field("second", header="/readings/1/v")]
    assert read(write(table), *fields) == {
        "id": ["1", "2", "3"],
        "/position/lat": ["1.5", None, None],
        "/position/lon": ["2", None, "3"],
        "/readings/1/v": ["2", None, None],
    }


def test_a_nul_is_no_text() -> None:
    reader = open_reader(
        io.BytesIO(write(pa.table({"a": ["x", "y\0", "z"]}))), "a.parquet", Dialect(), []
    )
    [batch] = list(reader)
    assert batch.records.to_pylist() == [1, 3]
    [row] = batch.malformed
    assert (row.record, row.problem) == (2, "the value of 'a' has a NUL character")


def test_memory_does_not_grow_with_the_file() -> None:
    rows = 40_000
    table = pa.table({"a": [f"{n:0100d}" for n in range(rows)]})
    data = write(table, row_group_size=2_000, use_dictionary=False, compression="none")
    del table
    before = pa.total_allocated_bytes()
    peak = 0
    seen = 0
    for batch in open_reader(io.BytesIO(data), "a.parquet", Dialect(), []):
        peak = max(peak, pa.total_allocated_bytes() - before)
        seen += len(batch.records)
    assert seen == rows
    assert len(data) > 4_000_000
    assert peak < 2_000_000


def test_gzip_around_it_is_unpacked() -> None:
    assert read(gzip.compress(write(pa.table({"a": [1]})))) == {"a": ["1"]}


def test_a_file_without_rows_has_its_header() -> None:
    assert read(write(pa.table({"a": pa.array([], pa.int64())}))) == {"a": []}


GOOD = write(pa.table({"a": list(range(1000)), "b": [f"text {n}" for n in range(1000)]}))


def test_what_is_no_parquet_file() -> None:
    assert fault_of(b"").startswith("a.parquet: the file is empty.")
    for data in (
        b"id,name\n1,a\n",
        b"PAR1",
        b"PAR1" + bytes(100) + b"PAR1",
        GOOD[:-1],
        GOOD[:2000],
    ):
        message = fault_of(data)
        assert "this is no complete Parquet file: " in message
        assert "\n" not in message
    assert "this Parquet file is encrypted." in fault_of(b"PARE" + GOOD[4:])


def test_broken_pages_are_said() -> None:
    damaged = bytearray(GOOD)
    damaged[50:400] = bytes(350)
    assert "this is no complete Parquet file: " in fault_of(bytes(damaged))


def test_bombs_are_refused_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "FREE_EXPANSION", 1 << 20)
    table = pa.table({"a": ["x" * 1_000_000] * 8})
    data = write(table, use_dictionary=False, compression="zstd", write_statistics=False)
    assert "more than 200 times its size" in fault_of(data)


def test_a_fault_of_the_store_is_no_fault_of_the_file() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if size != 4:
                raise BackendUnavailable("Cloud Storage", "read it", "reset")
            return super().read(size)

    with pytest.raises(BackendUnavailable):
        open_reader(Failing(GOOD), "a.parquet", Dialect(), [])


_COLUMNS = {
    "i": (st.integers(-(2**63), 2**63 - 1), pa.int64(), str),
    "f": (
        st.floats(allow_nan=False, allow_infinity=False, width=64),
        pa.float64(),
        lambda value: value,
    ),
    "s": (
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        pa.string(),
        str,
    ),
    "b": (st.booleans(), pa.bool_(), lambda value: "true" if value else "false"),
    "d": (st.dates(date(1000, 1, 1)), pa.date32(), date.isoformat),
}


@given(
    st.lists(st.fixed_dictionaries({k: st.none() | v[0] for k, v in _COLUMNS.items()}), max_size=20)
)
def test_any_table_is_read_back(rows: list[dict[str, Any]]) -> None:
    schema = pa.schema([(name, kind) for name, (_, kind, _) in _COLUMNS.items()])
    found = read(write(pa.Table.from_pylist(rows, schema)))
    for name, (_, _, expected) in _COLUMNS.items():
        for row, text in zip(rows, found[name], strict=True):
            if row[name] is None or name == "f":
                assert (text is None) == (row[name] is None)
                assert text is None or float(text) == row[name]
            else:
                assert text == expected(row[name])


# --- Pages ---------------------------------------------------------------------------------------

PAGE = 20_000
LIE = 1_000_000


def varint(number: int) -> bytes:
    """A positive number as Thrift's compact protocol has it, in the three bytes of PAGE's."""
    word = number << 1
    return bytes([word & 127 | 128, word >> 7 & 127 | 128, word >> 14])


def lie(number: int, codec: str = "zstd") -> bytes:
    """A file whose only page says of itself that it is so large, and whose metadata do not."""
    options: dict[str, Any] = {"use_dictionary": False, "write_statistics": False}
    honest = write(pa.table({"v": ["x" * PAGE]}), compression=codec, **options)
    size = varint(PAGE + 4 + 6)  # the length of the text, and the definition level
    assert honest.count(b"\x15\x00\x15" + size) == 1
    return honest.replace(b"\x15\x00\x15" + size, b"\x15\x00\x15" + varint(number))


@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli"])
def test_a_page_is_refused_for_the_memory_that_it_asks_for(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_PAGE_BYTES", LIE - 1)
    message = fault_of(lie(LIE, codec))
    assert "it has a page of 0 MiB" in message
    assert "smaller pages" in message


def test_pages_are_counted_and_not_what_the_metadata_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "FREE_EXPANSION", LIE - 1)
    monkeypatch.setattr(unpacking, "MAX_EXPANSION", 1)
    assert "decompression bomb" in fault_of(lie(LIE))


@given(st.integers(0, 10), st.binary(min_size=1, max_size=40))
def test_headers_of_pages_that_are_none_are_refused(at: int, noise: bytes) -> None:
    good = lie(PAGE + 10)
    start = good.index(b"\x15\x00\x15") + at
    with contextlib.suppress(FileUnreadable):
        read(good[:start] + noise + good[start + len(noise) :])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli", "snappy", "none"])
def test_all_pages_of_a_file_are_read(version: str, codec: str) -> None:
    texts = [str(number % 700) * 3 for number in range(5_000)]
    table = pa.table({"t": texts, "n": list(range(5_000)), "l": [[1, 2], None] * 2_500})
    options = {"row_group_size": 1_500, "data_page_size": 999, "write_page_index": True}
    data = write(table, compression=codec, data_page_version=version, **options)
    assert read(data)["t"] == texts
