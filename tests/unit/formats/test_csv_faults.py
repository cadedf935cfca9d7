"""CSV: files that cannot be read are told by what is wrong with them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from eventpulse.contracts.contract import Dialect
from eventpulse.errors import FileUnreadable
from eventpulse.formats import csv as formats_csv
from tests.unit.formats.csv_reading import fault_of, read, rows_of


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Files are read in blocks of a few records."""
    monkeypatch.setattr(formats_csv, "BLOCK_BYTES", 64)
    return 64


# --- Faults of the whole file --------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\n\n", b"   \r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_an_empty_file(data: bytes, packed: bool) -> None:
    assert fault_of(gzip.compress(data, mtime=0) if packed else data) == (
        "the file is empty.",
        "Upload it again with a header and rows.",
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x01\x02\x03\x04", "its header has control characters"),
        (b"a,b\x00\n1,2\n", "its header has control characters"),
        (b"x" * (2 << 20), "its header does not end"),
        (b'"' + b"x,1\n" * (1 << 19), "its header does not end"),
    ],
)
def test_what_is_no_text(data: bytes, problem: str) -> None:
    assert fault_of(data) == (
        f"this is not a text file: {problem}.",
        "Export the data as CSV in UTF-8 and upload it again.",
    )


def test_a_quote_that_is_never_closed_does_not_swallow_rows_in_silence() -> None:
    wanted = (
        "a quote is opened and never closed, so that its last rows cannot be told apart.",
        "Close it, double quotes that belong to a cell, and upload the file again.",
    )
    assert fault_of(b'a,b\n1,2\n3,"open\n5,6\n') == wanted
    assert fault_of(b'a,b\n1,2\n"open,4\n5,6\n') == wanted
    assert fault_of(b'a\r"open\r5\r') == wanted


@pytest.mark.parametrize(
    "cell", ["x\n", "\n", 'x\n"', '"\n', "a,b\nc", "\r\n", '""\n""', 'x"y\n"z']
)
def test_a_last_cell_of_several_lines_is_no_open_quote(cell: str) -> None:
    quoted = '"' + cell.replace('"', '""') + '"'
    for end in ("", "\n", "\r\n", "\n\n\n"):
        assert rows_of(f"a,b\n1,{quoted}{end}".encode()) == [(1, ["1", cell])]
        found = read(f"a,b\n1,2\n1,2,{quoted}{end}".encode())
        assert [number for number, *_ in found.malformed] == [2]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04\x14\x00\x06\x00", "a ZIP archive, perhaps an XLSX workbook"),
        (b"PAR1\x15\x04\x15\x00", "a Parquet file"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n\x00", "a picture"),
        (gzip.compress(gzip.compress(b"a,b\n")), "a gzip file inside a gzip file"),
    ],
)
def test_files_of_other_formats_are_named(data: bytes, what: str) -> None:
    assert fault_of(data) == (
        f"this is {what}, and no CSV.",
        "Give it the extension of its format, or export the data as CSV and upload that.",
    )
    assert fault_of(data, name="a.ndjson")[0] == f"this is {what}, and no NDJSON."
    assert fault_of(data, name="a.xls", dialect=Dialect(format="csv")) == (
        f"this is {what}, and the contract declares CSV.",
        "Export the data as CSV and upload that.",
    )


def test_text_that_begins_like_another_format_is_text() -> None:
    assert rows_of(b"BZh,PAR1\n1,2\n") == [(1, ["1", "2"])]


def test_a_header_in_another_encoding_says_what_to_declare() -> None:
    assert fault_of("Größe,b\n1,2\n".encode("cp1252")) == (
        "this is not a text file: its header is not UTF-8.",
        "Export the data as CSV in UTF-8 and upload it again, or declare its `encoding` (such as "
        "cp1252) in the contract.",
    )


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("plain", b"3,%s"),
        ("quoted", b'"%s",4'),
        ("quoted, with a line end behind", b'3,"%s\nmore"'),
        ("quoted, with a line end before", b'3,"more\n%s"'),
        ("with line ends around", b'"a\n%s","b\n"'),
        ("with doubled quotes", b'3,"say ""%s"""'),
    ],
)
def test_a_huge_cell_spoils_its_row_only(kind: str, row: bytes) -> None:
    huge = row % (b"x" * (9 << 20))
    found = read(b"a,b\n1,2\n" + huge + b'\n"5",6\n"7\n7",8\n')
    assert found.rows == [(1, ["1", "2"]), (3, ["5", "6"]), (4, ["7\n7", "8"])], kind
    [(number, text, problem)] = found.malformed
    assert number == 2
    assert problem.endswith(" has more than 8 MiB in one line")
    assert len(text) < 1_000


@pytest.mark.usefixtures("small_blocks")
def test_a_record_of_many_lines_beyond_the_block_size_is_said() -> None:
    problem, remedy = fault_of(b'a,b\n1,2\n3,"' + b"x\n" * 200 + b'"\n')
    assert problem == "somewhere after record 1 there is a row of more than 0 MiB."
    assert remedy == "Look for a quote that is opened and never closed."


@pytest.mark.usefixtures("small_blocks")
def test_a_file_of_nothing_but_malformed_rows_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats_csv, "MALFORMED_BYTES", 100_000)
    data = b"a,b\n1,2\n" + b"3;4\n" * 5_000
    problem, remedy = fault_of(data, dialect=Dialect(delimiter=","))
    assert "rows on end cannot be split into the 2 cells of the header (the last one: " in problem
    assert remedy == "Look whether its delimiter is ','."


def test_so_is_one_whose_first_block_has_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats_csv, "MALFORMED_BYTES", 100_000)
    problem, _ = fault_of(b"a,b\n" + b"3;4\n" * 5_000, dialect=Dialect(delimiter=","))
    assert "rows on end cannot be split into the 2 cells of the header" in problem


@pytest.mark.usefixtures("small_blocks")
def test_many_malformed_rows_among_good_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats_csv, "MALFORMED_BYTES", 100_000)
    found = read(b"a,b\n" + b"3;4\n1,2\n" * 3_000, dialect=Dialect(delimiter=","))
    assert (len(found.rows), len(found.malformed)) == (3_000, 3_000)


# --- Gzip ----------------------------------------------------------------------------------------


DATA = b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(20_000))


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv", "a.CSV.GZ"])
def test_gzip_is_known_by_its_bytes(name: str) -> None:
    found = read(gzip.compress(DATA, mtime=0), name=name)
    assert len(found.rows) == 20_000
    assert found.dialect["compression"] == "gzip"


def test_gzip_of_several_members_is_one_file() -> None:
    half = DATA.index(b"9999,")
    packed = gzip.compress(DATA[:half], mtime=0) + gzip.compress(DATA[half:], mtime=0)
    assert rows_of(packed) == rows_of(DATA)


def test_a_name_that_says_gz_and_plain_content() -> None:
    assert rows_of(b"a,b\n1,2\n", name="a.csv.gz") == [(1, ["1", "2"])]


def damage(packed: bytes) -> Iterator[tuple[str, bytes]]:
    middle = len(packed) // 2
    yield "cut off in the middle", packed[:middle]
    yield "cut off before its checksum", packed[:-8]
    yield "cut off in its head", packed[:6]
    yield "a wrong checksum", packed[:-8] + b"\0\0\0\0" + packed[-4:]
    yield "rubbish behind it", packed + b"rubbish"


@pytest.mark.parametrize("block", [16 << 10, 8 << 20])
@pytest.mark.parametrize(("why", "packed"), list(damage(gzip.compress(DATA, mtime=0))))
def test_damaged_gzip_is_told_as_such(
    why: str, packed: bytes, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats_csv, "BLOCK_BYTES", block)
    monkeypatch.setattr(formats_csv, "HEADER_BYTES", block)
    problem, remedy = fault_of(packed)
    assert problem.startswith("its gzip data is damaged or incomplete ("), why
    assert remedy == "Compress and upload the file again."


def test_a_byte_that_changed_makes_the_file_unreadable() -> None:
    """The bytes that come out are wrong too, and may be no CSV before the checksum tells."""
    packed = bytearray(gzip.compress(DATA, mtime=0))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(FileUnreadable):
        read(bytes(packed))


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "dir.x/a.tsv", "a.txt", "a.csv.gz", ".csv"])
def test_extensions_that_are_read(name: str) -> None:
    assert rows_of(b"a,b\n1,2\n", name=name) == [(1, ["1", "2"])]


def test_a_declared_format_needs_no_extension() -> None:
    assert rows_of(b"a,b\n1,2\n", name="export", dialect=Dialect(format="csv"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a", "(none)"), ("a.pdf", ".pdf"), ("a.gz", "(none)"), ("a.csv.zip", ".zip")],
)
def test_other_extensions_are_refused_with_those_that_are_read(name: str, shown: str) -> None:
    assert fault_of(b"a,b\n", name=name) == (
        f"the extension {shown} is not one that is read.",
        "Send .csv, .tsv, .txt, .xlsx, .ndjson, .jsonl, .parquet (also with .gz), or declare the "
        "custom property `format` in the contract.",
    )
