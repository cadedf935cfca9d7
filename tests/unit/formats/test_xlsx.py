"""XLSX: cells by type and style, rows under the numbers that people see, and openpyxl as oracle."""

from __future__ import annotations

import gzip
import io
import math
import re
import tracemalloc
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from eventpulse.contracts.contract import Dialect, Field
from eventpulse.errors import FileUnreadable
from eventpulse.formats import open_reader, sheet_xml, unpacking, workbook, xlsx
from tests.unit.formats.workbooks import (
    SHARED,
    SHEET,
    change_parts,
    replace_in,
    share_texts,
    write_workbook,
)

Line = tuple[int, list[str | None]]


def read(
    data: bytes, dialect: Dialect | None = None, fields: list[Field] | None = None
) -> tuple[list[str], dict[str, Any], list[Line], list[tuple[int, str]]]:
    """The header, the report, good rows by record number, and malformed ones with their problem."""
    reader = open_reader(io.BytesIO(data), "a.xlsx", dialect or Dialect(), fields or [])
    rows: list[Line] = []
    malformed: list[tuple[int, str]] = []
    for batch in reader:
        assert batch.sheet == reader.dialect["sheet"]
        columns = [column.to_pylist() for column in batch.columns]
        numbers = batch.records.to_pylist()
        rows += [(n, list(cells)) for n, *cells in zip(numbers, *columns, strict=True)]
        malformed += [(row.record, row.problem) for row in batch.malformed]
    return reader.header, dict(reader.dialect), rows, malformed


def rows_of(data: bytes, dialect: Dialect | None = None, *fields: Field) -> list[Line]:
    *_, rows, malformed = read(data, dialect, list(fields))
    assert malformed == []
    return rows


def cells_of(values: list[Any], field: Field | None = None, style: str | None = None) -> list[Any]:
    """What one column of these values reads as."""

    def prepare(book: Any) -> None:
        for row in range(len(values)):
            if style is not None:
                book.active.cell(row + 2, 1).number_format = style

    data = write_workbook([["v", "n"], *([value, "x"] for value in values)], prepare)
    return [cells[0] for _, cells in rows_of(data, None, *([field] if field else []))]


def fault_of(data: bytes, dialect: Dialect | None = None) -> str:
    with pytest.raises(FileUnreadable) as caught:
        read(data, dialect)
    return caught.value.message


GOOD = write_workbook([["id", "name"], [1, "a"], [2, "b"]])
SHARING = share_texts(GOOD)


# --- Cells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (-0.5, "-0.5"),
        (1 / 3, "0.3333333333333333"),
        (1e-7, "0.0000001"),
        (1e20, "100000000000000000000"),
        (1e300, "1e+300"),
        ("00501", "00501"),
        ("1.50", "1.50"),
        (" padded ", " padded "),
        ("a & b < c > \"d\" 'e'", "a & b < c > \"d\" 'e'"),
        ("line\nbreak", "line\nbreak"),
        ("Größe 😀", "Größe 😀"),
        (True, "true"),
        (False, "false"),
        (None, None),
        (date(2024, 1, 31), "2024-01-31"),
        (datetime(2024, 1, 31, 8, 30), "2024-01-31T08:30:00"),
        (datetime(2024, 1, 31, 8, 30, 0, 250_000), "2024-01-31T08:30:00.25"),
        (time(8, 30), "08:30:00"),
        (timedelta(hours=36, minutes=5), "36:05:00"),
        (date(1900, 1, 1), "1900-01-01"),
        (date(1900, 2, 28), "1900-02-28"),
        (date(1900, 3, 1), "1900-03-01"),
        (date(9999, 12, 31), "9999-12-31"),
    ],
)
def test_a_cell_is_what_its_type_says(value: Any, text: str | None) -> None:
    assert cells_of([value]) == [text]


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (501, "00000", "00501"),
        (501.5, "00000", "501.5"),
        (0.15, "0%", "0.15"),
        (1234.5, "#,##0.00", "1234.5"),
        (45322, "General", "45322"),
        (45322, "dd/mm/yyyy", "2024-01-31"),
        (45322, "[$-409]d-mmm-yy;@", "2024-01-31"),
        (45322, "dd/mm/yyyy hh:mm", "2024-01-31T00:00:00"),
        (45322.25, "dd/mm/yyyy", "2024-01-31T06:00:00"),
        (0.25, "h:mm", "06:00:00"),
        (60, "yyyy-mm-dd", "1900-02-29"),
        (0, "yyyy-mm-dd", "0"),
        (-1, "yyyy-mm-dd", "-1"),
        (3_000_000, "yyyy-mm-dd", "3000000"),
        ("45322", "yyyy-mm-dd", "45322"),
    ],
)
def test_a_style_decides_whether_a_number_is_a_date(value: Any, style: str, text: str) -> None:
    assert cells_of([value], style=style) == [text]


MOMENT = datetime(2024, 1, 31)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        (Field("v", "date"), MOMENT, "2024-01-31"),
        (Field("v", "date"), datetime(2024, 1, 31, 8), "2024-01-31T08:00:00"),
        (Field("v", "date", formats=("%d.%m.%Y",)), MOMENT, "31.01.2024"),
        (Field("v", "date", formats=("%m/%d/%y", "%Y-%m-%d")), MOMENT, "01/31/24"),
        (Field("v", "timestamp"), date(2024, 1, 31), "2024-01-31T00:00:00"),
        (Field("v", "timestamp", formats=("%d.%m.%Y %H:%M",)), MOMENT, "31.01.2024 00:00"),
        (
            Field("v", "timestamp", formats=("%d.%m.%Y %H:%M",)),
            datetime(2024, 1, 31, 8, 0, 5),
            "2024-01-31T08:00:05",
        ),
        (Field("v", "time"), time(8, 30), "08:30:00"),
        (Field("v", "time", formats=("%H.%M",)), time(8, 30), "08.30"),
        (Field("v", "string"), MOMENT, "2024-01-31T00:00:00"),
    ],
)
def test_a_date_is_written_as_its_contract_writes_dates(
    field: Field, value: Any, text: str
) -> None:
    assert cells_of([value], field) == [text]


def test_numbers_have_the_contracts_decimal_mark() -> None:
    data = write_workbook([["v"], [1.5], [2], ["3.5"]])
    assert rows_of(data, Dialect(decimal_mark=",")) == [(1, ["1,5"]), (2, ["2"]), (3, ["3.5"])]


def test_one_column_may_have_cells_of_all_types() -> None:
    values = [1, "x", True, 2.5, date(2024, 1, 31), None, "y", 3]
    assert cells_of(values) == ["1", "x", "true", "2.5", "2024-01-31", None, "y", "3"]


def test_dates_count_from_1904_where_the_workbook_does() -> None:
    def prepare(book: Any) -> None:
        book.epoch = CALENDAR_MAC_1904

    values = [date(1904, 1, 1), date(2024, 1, 31), datetime(2024, 1, 31, 12)]
    data = write_workbook([["v"], *([value] for value in values)], prepare)
    texts = [cells[0] for _, cells in rows_of(data)]
    assert texts == ["1904-01-01", "2024-01-31", "2024-01-31T12:00:00"]
    assert read(data)[1]["epoch"] == 1904


def test_an_error_is_no_value() -> None:
    data = write_workbook([["a", "b"], [1, "#N/A"], [2, "x"], ["#DIV/0!", "y"]])
    fields = [Field("a"), Field("b")]
    _, _, rows, malformed = read(data, None, fields)
    assert rows == [(2, ["2", "x"])]
    assert malformed == [
        (1, "the cell B2 has the error #N/A"),
        (3, "the cell A4 has the error #DIV/0!"),
    ]


def test_an_error_may_be_a_null_marker_or_stand_in_a_column_of_no_interest() -> None:
    data = write_workbook([["a", "b"], [1, "#N/A"], [2, "x"]])
    both = [(1, ["1", "#N/A"]), (2, ["2", "x"])]
    assert rows_of(data, None, Field("a")) == both
    assert rows_of(data, Dialect(null_markers=("", "#N/A")), Field("a"), Field("b")) == both


def test_formulas_count_by_their_stored_results() -> None:
    data = write_workbook([["a", "b"], [1, "=A2*2"], [3, "=A3*2"]])
    assert read(data, None, [Field("a"), Field("b")])[3] == [
        (number, f"the cell B{number + 1} has a formula without a stored result")
        for number in (1, 2)
    ]
    stored = change_parts(data, {SHEET: lambda xml: re.sub(rb"<v ?/>|<v></v>", b"<v>2.5</v>", xml)})
    assert rows_of(stored, None, Field("b")) == [(1, ["1", "2.5"]), (2, ["3", "2.5"])]


def test_escapes_of_characters_that_xml_cannot_hold_are_resolved() -> None:
    data = write_workbook([["v"], ["a_x000D_b"], ["_x005F_x000D_"], ["_x0000_"]])
    assert rows_of(data) == [(1, ["a\rb"]), (2, ["_x000D_"]), (3, ["_x0000_"])]


# --- Rows and columns ----------------------------------------------------------------------------


def test_a_record_and_the_headers_row_are_the_row_that_people_see() -> None:
    data = write_workbook([[], ["Report"], ["id", "name"], [1, "a"], [], [None, None], [2, "b"]])
    header, report, rows, _ = read(data, None, [Field("id"), Field("name")])
    assert (header, report["header_row"], report["sniffed"]) == (["id", "name"], 3, ["header_row"])
    assert rows == [(1, ["1", "a"]), (4, ["2", "b"])]
    assert read(data, Dialect(header_row=2))[0] == ["Report"]


def test_an_empty_first_row_loses_nothing() -> None:
    assert rows_of(write_workbook([[], [], ["id"], [1], [2]])) == [(1, ["1"]), (2, ["2"])]


def test_short_rows_are_filled_and_values_without_a_header_are_said() -> None:
    data = write_workbook([["a", "b"], [1], [2, "x", None, "stray"], [None, "y"]])
    _, _, rows, malformed = read(data)
    assert rows == [(1, ["1", None]), (3, [None, "y"])]
    assert malformed == [(2, "there is a value in column D, which has no header")]


def test_headers_are_trimmed_and_may_be_numbers() -> None:
    assert read(write_workbook([[" a ", 2024, None, "b"], [1, 2, 3, 4]]))[0] == [
        "a",
        "2024",
        "",
        "b",
    ]
    assert "the header has 'a' more than once." in fault_of(write_workbook([["a", "a "], [1, 2]]))


def test_merged_ranges_have_their_value_in_the_first_cell() -> None:
    def prepare(book: Any) -> None:
        book.active.merge_cells("A2:A3")

    _, report, rows, _ = read(write_workbook([["a", "b"], [1, 2], [3, 4]], prepare))
    assert rows == [(1, ["1", "2"]), (2, [None, "4"])]
    assert report["merged_ranges"] == 1


def test_hidden_rows_and_columns_are_read_and_reported() -> None:
    def prepare(book: Any) -> None:
        book.active.row_dimensions[3].hidden = True
        book.active.column_dimensions["B"].hidden = True

    _, report, rows, _ = read(write_workbook([["a", "b"], [1, 2], [3, 4]], prepare))
    assert rows == [(1, ["1", "2"]), (2, ["3", "4"])]
    assert (report["hidden_rows"], report["hidden_columns"]) == (1, 1)


def sheets_of(*titles: str, hidden: str = "") -> bytes:
    def prepare(book: Any) -> None:
        for title in titles[1:]:
            book.create_sheet(title).append(["id", title])
        book.active.title = titles[0]
        for sheet in book:
            sheet.sheet_state = "hidden" if sheet.title == hidden else "visible"

    return write_workbook([["id", titles[0]]], prepare)


def test_the_declared_sheet_is_read_and_otherwise_the_first_visible_one() -> None:
    data = sheets_of("Notes", "Sales 2024", "Old")
    assert read(data, Dialect(sheet="Sales 2024"))[0] == ["id", "Sales 2024"]
    assert read(data)[0] == ["id", "Notes"]
    report = read(data)[1]
    assert (report["sheets"], report["sniffed"]) == (["Notes", "Sales 2024", "Old"], ["sheet"])
    assert read(sheets_of("Notes", "Sales", hidden="Notes"))[0] == ["id", "Sales"]
    assert read(sheets_of("Only"))[1]["sniffed"] == []


def test_a_sheet_that_is_not_there_is_said_with_those_that_are() -> None:
    assert fault_of(sheets_of("A", "B"), Dialect(sheet="C")) == (
        "a.xlsx: there is no sheet 'C'; there are 'A', 'B'. Name the sheet as the contract does."
    )


def test_a_sheet_without_a_header_is_said() -> None:
    assert "the sheet 'Data' is empty." in fault_of(write_workbook([]))
    message = fault_of(GOOD, Dialect(header_row=9))
    assert "there is no header in row 9 of the sheet 'Data'." in message


def test_a_header_alone_is_a_sheet_without_rows() -> None:
    assert rows_of(write_workbook([["a", "b"]])) == []


# --- Other programs' XML -------------------------------------------------------------------------

ODD: dict[str, Callable[[bytes], bytes]] = {
    "a prefix": lambda xml: re.sub(rb"<(/?)(?=[a-zA-Z])", rb"<\1x:", xml).replace(
        b" xmlns=", b" xmlns:x="
    ),
    "UTF-16": lambda xml: xml.decode().replace('encoding="UTF-8"', "").encode("utf-16"),
    "Latin-1": lambda xml: (
        b'<?xml version="1.0" encoding="ISO-8859-1"?>' + re.sub(rb"^<\?xml.*?\?>", b"", xml)
    ),
    "comments between rows": lambda xml: xml.replace(b"<row", b"<!-- </row> --><row"),
    "white space": lambda xml: re.sub(rb"(<row|<c |</c>|</row>)", rb"\n \1", xml),
    "strict": lambda xml: xml.replace(
        b"http://schemas.openxmlformats.org/spreadsheetml/2006/main",
        b"http://purl.oclc.org/ooxml/spreadsheetml/main",
    ),
    "no references": lambda xml: re.sub(rb' r="[A-Z]*[0-9]+"', b"", xml),
    "a self-closing row": lambda xml: xml.replace(
        b"</sheetData>", b'<row r="9"/><row r="10" hidden="1"></row></sheetData>'
    ),
    "an extension in a cell": lambda xml: xml.replace(
        b"</c>", b'<extLst><ext><y:v xmlns:y="urn:y">9</y:v></ext></extLst></c>', 3
    ),
}


@pytest.mark.parametrize("kind", sorted(ODD))
def test_other_programs_write_the_same_differently(kind: str) -> None:
    table = [["id", "na&me"], [1, "a<b"], [2.5, "c"], [date(2024, 1, 31), True]]
    plain = write_workbook(table)
    odd = change_parts(plain, {SHEET: ODD[kind]})
    assert read(odd)[0] == read(plain)[0] == ["id", "na&me"]
    assert read(odd)[2:] == read(plain)[2:]


def test_rich_text_is_read_without_its_phonetic_hints() -> None:
    hint = b'<rPh sb="0" eb="1"><t>x</t></rPh>'
    rich = b"<r><t>one </t></r><r><rPr><b/></rPr><t>two</t></r>" + hint
    change = replace_in(SHARED, b"<t>b</t>", rich)
    expected = [(1, ["1", "a"]), (2, ["2", "one two"])]
    assert rows_of(change_parts(SHARING, change)) == expected
    inline = replace_in(SHEET, b"<t>b</t>", rich)
    assert rows_of(change_parts(GOOD, inline)) == expected


def test_shared_texts_are_read_whoever_wrote_them() -> None:
    texts = ["id", "name", "a", "b"]
    assert rows_of(SHARING) == rows_of(GOOD)
    spaced = replace_in(SHARED, b"<si>", b"\n <si>")
    assert rows_of(change_parts(SHARING, spaced)) == rows_of(GOOD)
    for index, text in enumerate(texts):
        odd = replace_in(SHARED, b"<t>%s</t>" % text.encode(), b"<t><![CDATA[<&%d]]></t>" % index)
        found = read(change_parts(SHARING, odd))
        assert f"<&{index}" in str(found)


# --- Faults --------------------------------------------------------------------------------------


def test_a_protected_workbook_asks_for_one_without_a_password() -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000)
    locked = ole + "EncryptedPackage".encode("utf-16-le") + bytes(100)
    assert fault_of(locked) == (
        "a.xlsx: this workbook is protected with a password. Save it without a password and upload "
        "it again."
    )
    assert "this is a workbook in the old format .xls." in fault_of(ole)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95, 0.999])
def test_a_truncated_workbook_is_damaged(share: float) -> None:
    message = fault_of(GOOD[: int(len(GOOD) * share)])
    assert "this XLSX workbook is damaged or incomplete: " in message
    assert "Upload it again" in message


def test_what_is_no_workbook() -> None:
    assert "this is no XLSX workbook." in fault_of(b"id,name\n1,a\n")
    assert "this is no XLSX workbook." in fault_of(b"")
    empty = change_parts(GOOD, {"_rels/.rels": None})
    assert "this is a ZIP archive but no XLSX workbook." in fault_of(empty)


def test_a_missing_part_is_damage() -> None:
    assert "its part 'xl/worksheets/sheet1.xml' is missing" in fault_of(
        change_parts(GOOD, {SHEET: None})
    )


def test_entity_bombs_are_refused_unread() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    for part in (SHEET, "xl/workbook.xml", "xl/styles.xml", SHARED, "_rels/.rels"):
        assert "it declares a document type" in fault_of(change_parts(SHARING, {part: bomb}))


def test_undeclared_entities_are_damage() -> None:
    for entity in (b"&bomb;", b"&#0;", b"&#xD800;", b"&;"):
        for part, book in ((SHARED, SHARING), (SHEET, GOOD)):
            change = replace_in(part, b"<t>b</t>", b"<t>" + entity + b"</t>")
            assert f"in its part '{part}', it" in fault_of(change_parts(book, change))


def test_bombs_are_refused_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "FREE_EXPANSION", 1 << 20)
    spaces = change_parts(
        GOOD, replace_in(SHEET, b"</sheetData>", b" " * (4 << 20) + b"</sheetData>")
    )
    assert "more than 200 times its size" in fault_of(spaces)


def test_gzip_around_a_workbook_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows_of(gzip.compress(GOOD)) == rows_of(GOOD)
    monkeypatch.setattr(unpacking, "MAX_SEEKABLE", 1_000)
    assert "Send it without gzip" in fault_of(gzip.compress(GOOD))


def test_memory_does_not_grow_with_the_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "BATCH_ROWS", 500)
    row = (
        b'<row r="%d"><c r="A%d"><v>%d</v></c><c r="B%d" t="inlineStr"><is><t>%s</t></is></c></row>'
    )

    def peak(rows: int) -> int:
        lines = [row % (n, n, n, n, b"x" * 200) for n in range(3, rows + 3)]
        change = replace_in(SHEET, b"</sheetData>", b"".join(lines) + b"</sheetData>")
        data = change_parts(write_workbook([["id", "name"], [1, "a"]]), change)
        del lines, change
        tracemalloc.start()
        read_rows = sum(
            len(batch.records) for batch in open_reader(io.BytesIO(data), "a.xlsx", Dialect(), [])
        )
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert read_rows == rows + 1
        return most

    assert peak(60_000) < peak(10_000) + (3 << 20), "15 MB more were read"


def test_texts_beyond_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "SHARED_BYTES", 1 << 20)
    data = write_workbook([["a"], *([f"{n} " + "x" * 30_000] for n in range(40))])
    assert "its texts take more than 1 MiB" in fault_of(share_texts(data))


@pytest.mark.parametrize("method", [9, 12, 14, 95])
def test_a_part_that_is_packed_in_another_way_is_damage(method: int) -> None:
    """Of bzip2's, a broken stream is an OSError, as if the store did not answer."""
    headers = ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8))
    data = bytearray(GOOD)
    for sign, offset in headers:
        at = GOOD.rindex(sign)
        data[at + offset : at + offset + 2] = method.to_bytes(2, "little")
    assert "this XLSX workbook is damaged or incomplete: its part " in fault_of(bytes(data))


@pytest.mark.parametrize(
    "row",
    [
        b'<row r="2"><c r="B2"/><c r="A2"/></row>',
        b'<row r="2"/><row r="1"><c r="A1"/></row>',
        b'<row r="2"><c r="A2" t="s"><v>99</v></c></row>',
        b'<row r="2"><c r="A2" t="s"><v>-1</v></c></row>',
        b'<row r="2"><c r="ZZZ2"><v>1</v></c></row>',
        b'<row r="2"><c r="A2" t="str"><v>\xff</v></c></row>',
        b'<row r="2"><c r="A2"><v>1</v></row>',
    ],
)
def test_broken_rows_are_damage(row: bytes) -> None:
    rows = re.compile(rb'<row r="2".*</sheetData>', re.DOTALL)
    data = change_parts(GOOD, {SHEET: lambda xml: rows.sub(lambda _: row + b"</sheetData>", xml)})
    assert "this XLSX workbook is damaged or incomplete: " in fault_of(data)


def test_a_sheet_in_which_numbers_are_no_numbers_is_text() -> None:
    numbers = [b"abc", b"1_0", b"NaN", b"INF", b"1e999", b"0x10", b"1.5.5"]
    for number in numbers:
        data = change_parts(GOOD, replace_in(SHEET, b"<v>2</v>", b"<v>" + number + b"</v>"))
        assert rows_of(data)[1][1][0] == number.decode()


# --- Oracle --------------------------------------------------------------------------------------

_TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8
).filter(lambda text: "_x" not in text and not text.startswith(("=", "#")))
_CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXTS,
    st.dates(date(1900, 3, 1), date(9999, 12, 30)),
    st.datetimes(datetime(1900, 3, 1), datetime(9999, 12, 30)).map(
        lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    ),
    st.times().map(lambda each: each.replace(microsecond=0)),
)


def write_value(value: Any) -> str | None:
    """What a value of openpyxl's is as text, by other means than the reader's."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e18:
        return str(int(value))
    if isinstance(value, datetime):
        whole = value.strftime("%Y-%m-%dT%H:%M:%S")
        fraction = f".{value.microsecond:06d}".rstrip("0").rstrip(".")
        return whole + fraction
    return None if value is None else str(value)


@given(
    st.lists(st.lists(_CELLS, min_size=3, max_size=3), min_size=1, max_size=20),
    st.booleans(),
    st.booleans(),
)
def test_what_openpyxl_reads_is_read(table: list[list[Any]], plain: bool, shared: bool) -> None:
    data = write_workbook([["a", "b", "c"], *table])
    sheet = openpyxl.load_workbook(io.BytesIO(data), data_only=True)["Data"]
    expected: list[Line] = []
    for number, row in enumerate(sheet.iter_rows(min_row=2, max_col=3), start=1):
        cells = [as_read(cell) for cell in row]
        if any(cell is not None for cell in cells):
            expected.append((number, cells))
    with pytest.MonkeyPatch.context() as patch:
        if not plain:
            patch.setattr(sheet_xml.SheetXml, "_match", lambda self, text: None)
        patch.setattr(xlsx, "BATCH_ROWS", 3)
        rows = rows_of(share_texts(data) if shared else data)
    assert [number for number, _ in rows] == [number for number, _ in expected]
    for (_, found), (_, wanted) in zip(rows, expected, strict=True):
        for text, cell in zip(found, wanted, strict=True):
            assert (text or None) == cell or (text and cell and same_number(text, cell)), (
                text,
                cell,
            )


def as_read(cell: Any) -> str | None:
    value = cell.value
    if isinstance(value, datetime) and cell.number_format == "yyyy-mm-dd":
        return value.date().isoformat()
    return write_value(value)


def same_number(text: str, cell: str) -> bool:
    """Large and small floats are written with or without an exponent."""
    try:
        return float(text) == float(cell) and not math.isnan(float(text))
    except ValueError:
        return False
