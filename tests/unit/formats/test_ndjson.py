"""NDJSON: numbers as they are written, keys wherever they appear, and one bad line lost alone."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventpulse.contracts.contract import Dialect, Field
from eventpulse.errors import FileUnreadable
from eventpulse.formats import ndjson, open_reader
from eventpulse.formats.batches import TextBatch

Line = tuple[int, dict[str, str | None]]


def read(
    data: bytes, *fields: Field, dialect: Dialect | None = None
) -> tuple[list[str], list[Line], list[tuple[int, str, str]]]:
    """The header, good lines as {column: text} without nulls, and malformed ones."""
    reader = open_reader(io.BytesIO(data), "a.ndjson", dialect or Dialect(), fields)
    batches: list[TextBatch] = list(reader)
    rows: list[Line] = []
    for batch in batches:
        columns = [column.to_pylist() for column in batch.columns]
        for number, *cells in zip(batch.records.to_pylist(), *columns, strict=True):
            named = zip(reader.header, cells, strict=True)
            rows.append((number, {name: cell for name, cell in named if cell is not None}))
    malformed = [(row.record, row.text, row.problem) for each in batches for row in each.malformed]
    return reader.header, rows, malformed


def fault_of(data: bytes, dialect: Dialect | None = None) -> tuple[str, str]:
    with pytest.raises(FileUnreadable) as caught:
        read(data, dialect=dialect)
    return str(caught.value.problem), str(caught.value.remedy)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("1", "1"),
        ("1.0", "1.0"),
        ("1.50", "1.50"),
        ("1e400", "1e400"),
        ("-0", "-0"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ('"00501"', "00501"),
        ('" x "', " x "),
        ('"\\u00e9\\n"', "é\n"),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\\\u0000"', "\\u0000"),
        ("true", "true"),
        ("false", "false"),
        ('""', ""),
        ("[1.50, null, {}]", "[1.50, null, {}]"),
        ('{"a":{"b":1e5},"c":"é"}', '{"a": {"b": 1e5}, "c": "é"}'),
    ],
)
def test_a_value_keeps_its_text(source: str, text: str) -> None:
    assert read(f'{{"v": {source}}}\n'.encode()) == (["v"], [(1, {"v": text})], [])


def test_null_and_a_missing_key_are_null() -> None:
    header, rows, _ = read(b'{"a": null, "b": 1}\n{"b": 2}\n')
    assert (header, rows) == (["a", "b"], [(1, {"b": "1"}), (2, {"b": "2"})])


def test_keys_of_every_line_make_the_header() -> None:
    lines = [b'{"a": %d}' % n for n in range(20_000)]
    lines[19_999] = b'{"late": 1, "a": 2}'
    header, rows, _ = read(b"\n".join(lines))
    assert header == ["a", "late"]
    assert rows[-1] == (20_000, {"late": "1", "a": "2"})


def test_blank_lines_do_not_count() -> None:
    _, rows, _ = read(b'\xef\xbb\xbf\n{"a": 1}\r\n\r\n  \n{"a": 2}')
    assert rows == [(1, {"a": "1"}), (2, {"a": "2"})]


def test_numbers_have_the_contracts_decimal_mark() -> None:
    price = Field("price", "number", decimal_mark=",")
    assert read(b'{"price": 1.5, "x": 1.5}\n{"price": "2,5"}', price)[1] == [
        (1, {"price": "1,5", "x": "1.5"}),
        (2, {"price": "2,5"}),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"nope", "the line is not JSON (Expecting value at character 1)"),
        (b'{"a": 1', "the line is not JSON (Expecting ',' delimiter at character 8)"),
        (b'{"a": 1} {"a": 2}', "the line is not JSON (Extra data at character 10)"),
        (b"[1]", "the line is JSON, but no object"),
        (b"1", "the line is JSON, but no object"),
        (b'{"a": 1, "a": 1}', "the line has the key 'a' more than once"),
        (b'{"a": {"b": 1, "b": 1}}', "the line has the key 'b' more than once"),
        (b'{"a": "\\ud800"}', "the line has half of a surrogate pair"),
        (b'{"a": "\\u0000"}', "the line has a NUL character"),
        (b'{"a": "\xff"}', "the line has bytes that are not of the file's encoding"),
        (b'{"a": ' + b"[" * 100_000 + b"1}", "the line is nested too deeply"),
    ],
)
def test_a_bad_line_spoils_itself_only(line: bytes, problem: str) -> None:
    header, rows, malformed = read(b'{"a": 1}\n' + line + b'\n{"a": 3}\n')
    assert (header, rows) == (["a"], [(1, {"a": "1"}), (3, {"a": "3"})])
    assert [(record, found) for record, _, found in malformed] == [(2, problem)]


def test_a_line_that_is_too_long_spoils_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "MAX_LINE_BYTES", 5_000)
    monkeypatch.setattr(ndjson, "PIECE_BYTES", 1_000)
    data = b'{"a": 1}\n{"a": "' + b"x" * 9_000 + b'"}\n{"a": 3}'
    _, rows, [(record, text, _)] = read(data)
    assert (rows, record) == ([(1, {"a": "1"}), (3, {"a": "3"})], 2)
    assert len(text) < 1_100


def test_other_encodings_and_gzip() -> None:
    text = '{"ä": "ö"}\n'
    for data, dialect in (
        (text.encode("utf-16"), None),
        (text.encode("cp1252"), Dialect(encoding="cp1252")),
        (gzip.compress(text.encode()), None),
    ):
        assert read(data, dialect=dialect)[1] == [(1, {"ä": "ö"})]


# --- Nested values -------------------------------------------------------------------------------

LAT = Field("lat", header="/position/lat")


def test_pointers_take_values_out_of_others() -> None:
    data = b'{"id": 1, "position": {"lat": 1.50, "lon": 2}}\n{"id": 2, "position": null}\n{"id": 3}'
    header, rows, _ = read(data, LAT)
    assert header == ["id", "/position/lat", "/position/lon"]
    assert rows == [
        (1, {"id": "1", "/position/lat": "1.50", "/position/lon": "2"}),
        (2, {"id": "2"}),
        (3, {"id": "3"}),
    ]


def test_what_no_pointer_leads_into_stays_whole() -> None:
    header, rows, _ = read(b'{"position": {"lat": 1, "more": {"x": 1}}, "other": {"y": 2}}', LAT)
    assert header == ["/position/lat", "/position/more", "other"]
    assert rows[0][1]["other"] == '{"y": 2}'
    assert rows[0][1]["/position/more"] == '{"x": 1}'


def test_pointers_may_lead_into_lists_and_through_odd_keys() -> None:
    fields = [Field("first", header="/r/0/v"), Field("odd", header="/a~1b/c~0d")]
    data = b'{"r": [{"v": 7, "w": 8}, {"v": 9}], "a/b": {"c~d": 5}}\n{"r": []}\n{"r": [3]}'
    header, rows, _ = read(data, *fields)
    assert header == ["/r/0/v", "/r/0/w", "/a~1b/c~0d", "/r/0"]
    assert rows[0][1] == {"/r/0/v": "7", "/r/0/w": "8", "/a~1b/c~0d": "5"}
    assert rows[2][1] == {"/r/0": "3"}


def test_a_key_that_looks_like_a_pointer_is_not_taken_for_one() -> None:
    header, *_ = read(b'{"/position/lat": 1, "position": {"lat": 2}}', LAT)
    assert header == ["/~1position~1lat", "/position/lat"]


def test_a_pointer_may_be_an_alias() -> None:
    field = Field("lat", aliases=("/position/lat",))
    assert read(b'{"position": {"lat": 2}}', field)[0] == ["/position/lat"]


# --- Faults of the whole file --------------------------------------------------------------------


def test_an_empty_file_is_said() -> None:
    assert fault_of(b"\n \n") == ("the file is empty.", "Upload it again with a header and rows.")


def test_a_file_without_any_object_is_said() -> None:
    assert fault_of(b"id,name\n1,a\n") == (
        "none of its 2 lines is a JSON object (line 1 is not JSON (Expecting value at character "
        "1)).",
        "Write one JSON object on each line.",
    )
    assert fault_of(json.dumps([{"a": 1}], indent=1).encode())[1].startswith("Write one JSON")


def test_keys_without_end_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "MAX_KEYS", 100)
    data = "\n".join(f'{{"key{n}": 1}}' for n in range(200)).encode()
    assert fault_of(data)[0] == "its objects have more than 100 keys."


# --- Round trips ---------------------------------------------------------------------------------

_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufdd0\ufdd1"), max_size=6
)
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | _TEXT
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3)
)


@given(
    st.lists(
        st.dictionaries(_TEXT.filter(lambda k: k[:1] != "/"), _VALUES, min_size=1, max_size=4),
        min_size=1,
        max_size=20,
    ),
    st.booleans(),
)
def test_what_python_writes_is_read_back(records: list[dict[str, Any]], escaped: bool) -> None:
    data = "\n".join(json.dumps(each, ensure_ascii=escaped) for each in records).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ndjson, "BATCH_ROWS", 3)
        _, rows, malformed = read(data)
    assert malformed == []
    expected = [
        {key: write(value) for key, value in each.items() if value is not None} for each in records
    ]
    assert rows == list(enumerate(expected, start=1))


def write(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
