"""CSV: every cell as it stands, and every record under its own number."""

from __future__ import annotations

import io
import subprocess
import sys

import pyarrow as pa
import pytest

from eventpulse.contracts.contract import Dialect
from eventpulse.errors import FileUnreadable
from eventpulse.formats import MalformedRow, TextBatch, open_reader, slice_batch
from eventpulse.formats import csv as formats_csv
from tests.unit.formats.csv_reading import Row, fault_of, read, rows_of


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Files are read in blocks of a few records."""
    monkeypatch.setattr(formats_csv, "BLOCK_BYTES", 64)
    return 64


# --- Cells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "data", "rows"),
    [
        ("plain", b"a,b\n1,2\n3,4\n", [(1, ["1", "2"]), (2, ["3", "4"])]),
        ("no line end at the end", b"a,b\n1,2\n3,4", [(1, ["1", "2"]), (2, ["3", "4"])]),
        ("lines end as on Windows", b"a,b\r\n1,2\r\n3,4\r\n", [(1, ["1", "2"]), (2, ["3", "4"])]),
        ("lines end as on old Macs", b"a,b\r1,2\r3,4\r", [(1, ["1", "2"]), (2, ["3", "4"])]),
        ("a byte order mark", b"\xef\xbb\xbfa,b\n1,2\n", [(1, ["1", "2"])]),
        ("a quoted delimiter", b'a,b\n"1,5",2\n', [(1, ["1,5", "2"])]),
        ("a quoted line end", b'a,b\n"1\n5",2\n3,4\n', [(1, ["1\n5", "2"]), (2, ["3", "4"])]),
        ("a quoted Windows line end", b'a,b\r\n"1\r\n5",2\r\n', [(1, ["1\r\n5", "2"])]),
        ("a doubled quote", b'a,b\n"say ""hi""",2\n', [(1, ['say "hi"', "2"])]),
        ("a quote inside a cell", b'a,b\n5" pipe,2\n', [(1, ['5" pipe', "2"])]),
        ("a backslash, which escapes nothing", b'a,b\nC:\\,"\\"\n', [(1, ["C:\\", "\\"])]),
        ("an empty quoted cell", b'a,b\n"",2\n', [(1, ["", "2"])]),
        ("empty cells", b"a,b\n,\n", [(1, ["", ""])]),
        ("white space stays", b"a,b\n 1 ,\t2\n", [(1, [" 1 ", "\t2"])]),
        (
            "null markers stay",
            b"a,b\nNA,null\nNaN,None\n",
            [(1, ["NA", "null"]), (2, ["NaN", "None"])],
        ),
        ("leading zeros stay", b"a,b\n00501,1e5\n", [(1, ["00501", "1e5"])]),
        ("letters of all kinds", "a,b\nÅß€,😀 \u200b\n".encode(), [(1, ["Åß€", "😀 \u200b"])]),
        ("a replacement character is a letter", "a\n\ufffd\n".encode(), [(1, ["\ufffd"])]),
    ],
)
def test_cells_are_read_as_they_stand(why: str, data: bytes, rows: list[Row]) -> None:
    assert rows_of(data) == rows, why


@pytest.mark.parametrize(
    ("why", "data"),
    [
        ("between rows", b"a,b\n1,2\n\n\n3,4\n"),
        ("at the end", b"a,b\n1,2\n3,4\n\n\n"),
        ("right below the header", b"a,b\n\n1,2\n3,4\n"),
        ("above the header", b"\n\r\n\na,b\n1,2\n3,4\n"),
        ("as on Windows", b"a,b\r\n1,2\r\n\r\n3,4\r\n"),
    ],
)
def test_blank_lines_do_not_count(why: str, data: bytes) -> None:
    assert rows_of(data) == [(1, ["1", "2"]), (2, ["3", "4"])], why


@pytest.mark.parametrize("data", [b"a,b", b"a,b\n", b"a,b\r\n", b"a,b\n\n\n", b"\xef\xbb\xbfa,b"])
def test_a_header_alone_is_a_file_without_rows(data: bytes) -> None:
    found = read(data)
    assert (found.header, found.rows, found.malformed) == (["a", "b"], [], [])


def test_one_column_of_empty_cells_has_rows_where_they_are_quoted() -> None:
    assert rows_of(b'a\n""\n\nx\n""\n') == [(1, [""]), (2, ["x"]), (3, [""])]


# --- The header ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (b" a ,\tb\n1,2\n", ["a", "b"]),
        (b'"a","b, c"\n1,2\n', ["a", "b, c"]),
        (b'"a\nb",c\n1,2\n', ["a\nb", "c"]),
        (b'5" pipe,b\n1,2\n', ['5" pipe', "b"]),
        (b'"say ""hi""",b\n1,2\n', ['say "hi"', "b"]),
        (b"a,b,\n1,2,\n", ["a", "b", ""]),
        ("Straße,Größe\n1,2\n".encode(), ["Straße", "Größe"]),
    ],
)
def test_headers_are_trimmed_and_unquoted(data: bytes, header: list[str]) -> None:
    found = read(data)
    assert found.header == header
    assert [number for number, _ in found.rows] == [1]


@pytest.mark.parametrize(
    ("data", "header_row"),
    [
        (b"a,b\n1,2\n", 1),
        (b"Report of 2026\na,b\n1,2\n", 2),
        (b"Report,of,2026\n\na,b\n1,2\n", 3),
        (b"Report,of,2026\n\na,b\n1,2\n", 2),
        (b'"A title\nof two lines"\na,b\n1,2\n', 2),
        (b"\xef\xbb\xbfReport\r\nof\r\na,b\r\n1,2\r\n", 3),
    ],
)
def test_the_header_may_stand_further_down(data: bytes, header_row: int) -> None:
    found = read(data, dialect=Dialect(header_row=header_row))
    assert (found.header, found.rows) == (["a", "b"], [(1, ["1", "2"])])


def test_a_header_row_beyond_the_end_is_said() -> None:
    assert fault_of(b"a,b\n1,2\n", dialect=Dialect(header_row=9)) == (
        "there is no header in row 9.",
        "Name the columns in that row.",
    )


def test_duplicate_headers_are_named() -> None:
    with pytest.raises(FileUnreadable) as caught:
        read(b"b,a,b,c,a,\n")
    assert str(caught.value) == (
        "a.csv: the header has 'a', 'b' more than once. Give each column a name of its own."
    )
    assert caught.value.columns == ["a", "b"]


def test_columns_without_a_name_may_be_many() -> None:
    assert read(b"a,,\n1,2,3\n").rows == [(1, ["1", "2", "3"])]


# --- Malformed rows ------------------------------------------------------------------------------


def test_ragged_rows_are_malformed_and_the_others_keep_their_numbers() -> None:
    found = read(b'a,b\n1,2\n\n3\n4,5\n6,7,8\n"9\n9",\n')
    assert found.rows == [(1, ["1", "2"]), (3, ["4", "5"]), (5, ["9\n9", ""])]
    assert found.malformed == [
        (2, "3", "the row has 1 cells and the header 2"),
        (4, "6,7,8", "the row has 3 cells and the header 2"),
    ]


@pytest.mark.parametrize("position", ["first", "middle", "last", "all"])
def test_malformed_rows_are_found_wherever_they_are(position: str) -> None:
    lines = ["1,2", "3,4", "5,6"]
    wrong = {"first": [0], "middle": [1], "last": [2], "all": [0, 1, 2]}[position]
    for index in wrong:
        lines[index] = "x"
    found = read("\n".join(["a,b", *lines]).encode())
    assert [number for number, *_ in found.malformed] == [index + 1 for index in wrong]
    assert [number for number, _ in found.rows] == [n + 1 for n in range(3) if n not in wrong]


def test_a_cell_that_is_not_utf8_spoils_its_row_only() -> None:
    found = read(b"a,b\n1,2\n\xe9t\xe9,3\n4,\xc3\xa9\n5,\xff\n")
    assert found.rows == [(1, ["1", "2"]), (3, ["4", "é"])]
    assert found.malformed == [
        (2, "\\xe9t\\xe9,3", "the cell in column 'a' is not UTF-8"),
        (4, "5,\\xff", "the cell in column 'b' is not UTF-8"),
    ]


def test_a_ragged_row_that_is_not_utf8_spoils_itself_only() -> None:
    found = read(b"a,b\n1,2\n\xff\n3,4\n")
    assert found.rows == [(1, ["1", "2"]), (3, ["3", "4"])]
    assert found.malformed == [(2, "\\xff", "the row has 1 cells and the header 2")]


def test_a_character_cut_off_at_the_end_is_not_utf8() -> None:
    found = read(b"a,b\n1,2\n3,\xc3")
    assert found.rows == [(1, ["1", "2"])]
    assert found.malformed == [(2, "3,\\xc3", "the cell in column 'b' is not UTF-8")]


def test_a_nul_is_no_text() -> None:
    found = read(b"a,b\n1,2\n3,\x00\n5,6\n")
    assert found.rows == [(1, ["1", "2"]), (3, ["5", "6"])]
    assert found.malformed == [(2, "3,\x00", "the cell in column 'b' has a NUL character")]


@pytest.mark.usefixtures("small_blocks")
def test_numbers_are_right_across_blocks() -> None:
    lines: list[str] = []
    good: list[Row] = []
    malformed: list[int] = []
    for number in range(1, 301):
        if number % 11 == 0:
            lines.append("")
        if number % 7 == 0:
            malformed.append(number)
            lines.append(f"{number}")
        elif number % 5 == 0:
            good.append((number, [f"{number}\n{number}", "é"]))
            lines.append(f'"{number}\n{number}",é')
        else:
            good.append((number, [f"{number}", "x"]))
            lines.append(f"{number},x")
    found = read("\n".join(["a,b", *lines]).encode())
    assert found.rows == good
    assert [number for number, *_ in found.malformed] == malformed


@pytest.mark.usefixtures("small_blocks")
def test_characters_are_whole_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats_csv, "HEADER_BYTES", 16)
    text = "".join(f"{'é' * (n % 3)}{'😀' * (n % 5)}x,{n}\n" for n in range(200))
    rows = rows_of(b"a,b\n" + text.encode())
    assert "".join(f"{a},{b}\n" for _, (a, b) in rows) == text


@pytest.mark.usefixtures("small_blocks")
def test_where_a_batch_ends_changes_nothing() -> None:
    """Malformed rows come with the batch in which they stand, in order, each once."""
    data = b"a,b\n" + b"".join(b"%d,x\n" % n if n % 9 else b"%d\n" % n for n in range(1, 200))
    reader = open_reader(io.BytesIO(data), "a.csv", Dialect(), ())
    seen: list[int] = []
    for batch in reader:
        numbers = sorted([*batch.records.to_pylist(), *(row.record for row in batch.malformed)])
        seen += numbers
    assert seen == list(range(1, 200))


@pytest.mark.parametrize("rows", [1, 2, 3, 10])
def test_a_batch_in_pieces_is_the_batch(rows: int) -> None:
    for count in (0, 1, 5):
        records = pa.array(range(1, count + 1), pa.int64())
        columns = [pa.array([str(n) for n in range(count)], pa.string())]
        batch = TextBatch(records, columns, [MalformedRow(9, "x", "y")])
        pieces = list(slice_batch(batch, rows))
        assert all(len(piece.records) <= rows for piece in pieces)
        assert [n for piece in pieces for n in piece.records.to_pylist()] == records.to_pylist()
        cells = [cell for piece in pieces for cell in piece.columns[0].to_pylist()]
        assert cells == columns[0].to_pylist()
        assert [row.record for piece in pieces for row in piece.malformed] == [9]


# --- Readers that are left -----------------------------------------------------------------------

LEFT = """
import io
from eventpulse.contracts.contract import Dialect
from eventpulse.formats import csv, open_reader
csv.BLOCK_BYTES, csv._PIECE_BYTES = 1 << 16, (1 << 16) - 4096
data = b"a,b\\n" + b"1,2\\n" * (1 << 20)
batches = iter(open_reader(io.BytesIO(data), "a.csv", Dialect(), ()))
next(batches)
{how}
"""


@pytest.mark.parametrize("how", ["", "batches.close()", "del batches"])
def test_a_process_ends_well_with_a_file_that_is_read_in_part(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEFT.format(how=how)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
