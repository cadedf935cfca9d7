"""CSV: delimiters, encodings and preambles, declared or found."""

from __future__ import annotations

import gzip
import io

import pyarrow as pa
import pytest

from eventpulse.contracts.contract import Dialect
from eventpulse.formats import csv as formats_csv
from eventpulse.formats import decoding, open_reader
from tests.unit.formats.csv_reading import read, rows_of

# --- Delimiters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_found(delimiter: str) -> None:
    text = f"id{delimiter}name{delimiter}price\n1{delimiter}x{delimiter}2\n"
    found = read(text.encode(), known=("id", "name", "price"))
    assert found.header == ["id", "name", "price"]
    assert found.dialect["delimiter"] == delimiter
    assert found.dialect["sniffed"] == ["delimiter"]


def test_the_contracts_names_decide_between_delimiters() -> None:
    data = b"price, net;price, gross;city, country\n1;2;3\n"
    assert read(data).dialect["delimiter"] == ","
    known = ("price, net", "price, gross")
    assert read(data, known=known).dialect["delimiter"] == ";"


def test_quoted_delimiters_are_no_evidence() -> None:
    assert read(b'"a;b;c;d",e\n1,2\n').header == ["a;b;c;d", "e"]


def test_a_declared_delimiter_is_not_guessed() -> None:
    found = read(b"a;b,c\n1;2,3\n", dialect=Dialect(delimiter=","))
    assert found.header == ["a;b", "c"]
    assert found.dialect["sniffed"] == []


def test_control_characters_may_be_delimiters() -> None:
    rows = rows_of(b"a\x01b\n1\x012,3\n", dialect=Dialect(delimiter="\x01"))
    assert rows == [(1, ["1", "2,3"])]


def test_other_quotes_can_be_declared() -> None:
    assert rows_of(b"a,b\n'1,5',\"2\n", dialect=Dialect(quote="'")) == [(1, ["1,5", '"2'])]


def test_the_dialect_says_how_the_file_was_read() -> None:
    assert read(gzip.compress(b"a;b\n1;2\n", mtime=0), known=("a",)).dialect == {
        "format": "csv",
        "delimiter": ";",
        "quote": '"',
        "encoding": "utf-8",
        "header_row": 1,
        "compression": "gzip",
        "sniffed": ["delimiter"],
    }


# --- Encodings -----------------------------------------------------------------------------------

TEXT = "Größe;Preis €\n5,5;„viel“\nØ;\n"
ROWS = [(1, ["5,5", "„viel“"]), (2, ["Ø", ""])]
UTF_16 = ["utf-16-le", "utf-16-be"]


@pytest.mark.parametrize("encoding", [*UTF_16, "utf-32-le", "utf-32-be", "utf-8"])
@pytest.mark.parametrize("declared", [None, "utf-8", "cp1252", "utf-16"])
def test_a_byte_order_mark_tells_the_encoding(encoding: str, declared: str | None) -> None:
    found = read(("\ufeff" + TEXT).encode(encoding), dialect=Dialect(encoding=declared))
    assert (found.header, found.rows) == (["Größe", "Preis €"], ROWS)
    assert found.dialect["encoding"] == encoding
    assert ("encoding" in found.dialect["sniffed"]) == (encoding != declared)


@pytest.mark.parametrize("encoding", UTF_16)
def test_utf16_is_known_without_a_byte_order_mark_by_its_zeros(encoding: str) -> None:
    found = read("id;name\n1;Ø\n".encode(encoding))
    assert (found.header, found.rows) == (["id", "name"], [(1, ["1", "Ø"])])
    assert found.dialect["sniffed"] == ["delimiter", "encoding"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", *UTF_16, "gb18030", "mac-roman"])
@pytest.mark.parametrize("block", [65, 8 << 20])
def test_a_declared_encoding_is_read(
    encoding: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "SAMPLE_BYTES", 7)
    monkeypatch.setattr(formats_csv, "BLOCK_BYTES", block)
    found = read(TEXT.encode(encoding), dialect=Dialect(encoding=encoding))
    assert (found.header, found.rows, found.malformed) == (["Größe", "Preis €"], ROWS, [])
    assert found.dialect["sniffed"] == ["delimiter"]


def test_bytes_that_the_declared_encoding_does_not_have_spoil_their_row_only() -> None:
    found = read(b"a,b\n1,\x81\n\x80,2\n", dialect=Dialect(encoding="cp1252"))
    assert found.rows == [(2, ["€", "2"])]
    assert found.malformed == [(1, "1,\\x81", "the cell in column 'b' is not CP1252")]


def test_eight_bit_encodings_are_never_guessed() -> None:
    found = read("a,b\n1,Größe\n2,x\n".encode("cp1252"))
    assert found.rows == [(2, ["2", "x"])]
    assert [problem for *_, problem in found.malformed] == ["the cell in column 'b' is not UTF-8"]


def test_texts_that_repeat_come_once_and_none_that_stands_in_no_record() -> None:
    lines = [f"{row},{row % 3}" for row in range(1, 9)]
    data = ("a,b\n" + "\n".join([*lines, "9,odd"]) + "\n").encode()
    (batch,) = open_reader(io.BytesIO(data), "a.csv", Dialect(), ())
    assert [pa.types.is_dictionary(column.type) for column in batch.columns] == [False, True]
    assert batch.columns[1].dictionary.to_pylist() == ["1", "2", "0", "odd"]
    spoilt = read(data.replace(b"odd", b"\xff"))
    assert spoilt.rows == [(row, [f"{row}", f"{row % 3}"]) for row in range(1, 9)]
    (batch,) = open_reader(io.BytesIO(data.replace(b"odd", b"\xff")), "a.csv", Dialect(), ())
    assert set(batch.columns[1].to_pylist()) == {"0", "1", "2"}
    assert not pa.types.is_dictionary(batch.columns[1].type)


# --- Comments and preambles ----------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block", [64, 8 << 20])
def test_comments_are_left_out(end: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats_csv, "BLOCK_BYTES", block)
    lines = ["# made", '#"by', "a,b", "# one, two, three", "1,2", " # 3,4", '"5', '# kept",6', "#"]
    found = read((end.join(lines) + end).encode(), dialect=Dialect(comment="#"))
    assert found.header == ["a", "b"]
    kept = f"5{end}# kept"
    assert found.rows == [(1, ["1", "2"]), (2, [" # 3", "4"]), (3, [kept, "6"])]
    assert found.malformed == []


def test_a_comment_without_a_line_end_is_left_out() -> None:
    assert rows_of(b"a,b\n1,2\n# end", dialect=Dialect(comment="#")) == [(1, ["1", "2"])]


def test_nothing_is_a_comment_unless_declared() -> None:
    assert rows_of(b"a,b\n#1,2\n") == [(1, ["#1", "2"])]


def test_comments_do_not_count_as_rows_above_the_header() -> None:
    dialect = Dialect(comment="#", header_row=2)
    assert rows_of(b"# x\nReport\n# y\na,b\n1,2\n", dialect=dialect) == [(1, ["1", "2"])]


def test_a_preamble_is_found_by_the_contracts_names() -> None:
    data = b"Report of May\n\nmade by,X,on,Monday\nid;name;price\n1;x;2\n"
    found = read(data, known=("id", "name", "price"))
    assert (found.header, found.rows) == (["id", "name", "price"], [(1, ["1", "x", "2"])])
    assert found.dialect["header_row"] == 4
    assert found.dialect["sniffed"] == ["delimiter", "header_row"]


def test_a_preamble_is_not_guessed() -> None:
    known = ("id", "name", "price")
    assert read(b"id,x\nid,name,price\n", known=("id", "name")).header == ["id", "x"]
    assert read(b"x,y\nid,y,z\n", known=known).header == ["x", "y"], "one name of three"
    declared = Dialect(header_row=1)
    assert read(b"x\nid,name,price\n", dialect=declared, known=known).header == ["x"]
