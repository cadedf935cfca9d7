"""Drafted contracts: what is declared, what is left open, and that nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from eventpulse.drift.drafts import Draft, DraftColumn, name_dataset
from eventpulse.odcs import lint_contract, read_contract
from eventpulse.odcs.writer import write_draft
from tests.unit.drift.drafted import draft_file
from tests.unit.formats.workbooks import write_workbook


def draft_of(content: bytes | str, name: str = "shops/a.csv", taken: Iterable[str] = ()) -> Draft:
    data = content.encode() if isinstance(content, str) else content
    draft = draft_file(data, name, taken)
    assert lint_contract(write_draft(draft)) == []
    return draft


def column_of(*cells: str, header: str = "v") -> DraftColumn:
    """The draft of a column with these cells, beside one that makes no record blank."""
    lines = [f"n,{header}", *(f"{n},{_quote(cell)}" for n, cell in enumerate(cells))]
    return draft_of("\n".join([*lines, ""])).columns[1]


def _quote(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


TYPED = [
    (["1", "2", "-3"], "integer"),
    (["5", "3.7"], "number"),
    (["1e3", "2.5"], "number"),
    (["true", "False"], "boolean"),
    (["0", "1"], "integer"),
    (["2024-01-31", "2024-02-29"], "date"),
    (["2024-01-31T08:30:00Z", "2024-01-31 08:30+01:00"], "timestamp"),
    (["08:30", "23:59:59"], "time"),
    (["Kiel", "Bonn"], "string"),
    (["1", "2", "many"], "string"),
    (["2024-01-31", "2024-02-30"], "string"),
    (["yes", "no"], "string"),
    (["0x1F", "1"], "string"),
    (['{"a": 1}', "{}"], "object"),
    (["[1]", "[]"], "array"),
    (['{"a": 1}', "[]"], "string"),
    (['{"a": 1}', "{a"], "string"),
]


@pytest.mark.parametrize(("cells", "kind"), TYPED)
def test_a_type_is_declared_when_every_value_has_it(cells: list[str], kind: str) -> None:
    assert column_of(*cells).type == kind


def test_one_value_in_the_last_row_counts_as_much_as_the_first() -> None:
    column = column_of(*["1"] * 40_000, "x")
    assert column.type == "string"
    assert column.notes == (
        "40000 of 40001 values read as integer; the others would be refused if it was declared so.",
    )


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (["00501", "10001"], "Digits with leading zeros"),
        (["9" * 20, "1"], "Whole numbers beyond 64 bits"),
        (["", ""], "No value was found"),
        (["1,5", "2,25"], "decimal comma, or with commas between thousands"),
        (["1,234", "2,345"], "decimal comma, or with commas between thousands"),
    ],
)
def test_text_that_only_looks_like_a_number_stays_text(cells: list[str], note: str) -> None:
    column = column_of(*cells)
    assert column.type == "string"
    assert note in column.notes[0]


DATED = [
    (["31.12.2024", "01.02.2024"], "date", ("%d.%m.%Y",)),
    (["12/31/2024", "02/01/2024"], "date", ("%m/%d/%Y",)),
    (["31/12/2024"], "date", ("%d/%m/%Y",)),
    (["2024/12/31"], "date", ("%Y/%m/%d",)),
    (["31 Dec 2024", "01 Mar 2024"], "date", ("%d %b %Y",)),
    (["31 December 2024", "01 March 2024"], "date", ("%d %B %Y",)),
    (["31-Dec-2024"], "date", ("%d-%b-%Y",)),
    (["31.12.2024 08:30 +0100"], "timestamp", ("%d.%m.%Y %H:%M %z",)),
]


@pytest.mark.parametrize(("cells", "kind", "formats"), DATED)
def test_a_date_is_declared_in_the_one_format_that_reads_all(
    cells: list[str], kind: str, formats: tuple[str, ...]
) -> None:
    column = column_of(*cells)
    assert (column.type, column.formats) == (kind, formats)


def test_an_ambiguous_date_is_text_and_names_the_readings() -> None:
    column = column_of("01/02/2024", "03/04/2024", "05/05/2024")
    assert (column.type, column.formats) == ("string", ())
    assert column.notes[0].startswith(
        "Ambiguous: every value reads as %d/%m/%Y or %m/%d/%Y. Declare the type"
    )
    assert column_of("01/02/2024", "13/04/2024").formats == ("%d/%m/%Y",), "one row may decide"


def test_a_time_without_its_zone_is_not_taken_for_utc() -> None:
    column = column_of("2024-01-31T08:30:00", "2024-01-31T09:30:00")
    assert column.type == "string"
    assert "a time without its zone. If it is UTC" in column.notes[0]


def test_null_markers_are_those_that_keep_a_column_from_its_type() -> None:
    draft = draft_of("id,n,at,town\n1,5,2024-01-31,NA\n2,NA,?,Kiel\n3,7,2024-02-01,-\n")
    assert draft.null_markers == ("", "?", "NA")
    assert [each.type for each in draft.columns] == ["integer", "integer", "date", "string"]
    assert draft.columns[3].notes == ("'NA' means no value here too, as in other columns.",)
    assert draft_of("id,town\n1,NA\n2,Kiel\n").null_markers == ("",)


# --- Keys ----------------------------------------------------------------------------------------


def key_of(draft: Draft) -> list[str]:
    keyed = [each for each in draft.columns if each.key_position is not None]
    return [each.name for each in sorted(keyed, key=lambda each: each.key_position or 0)]


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("id,n\n1,5\n2,5\n", ["id"]),
        ("n,order_no\n5,a\n5,b\n", ["order_no"]),
        ("town,n\nKiel,5\nBonn,5\n", ["town"]),
        ("n,town\n5,Kiel\n5,Bonn\n", []),
        ("id,n\n1,5\n1,5\n", []),
        ("id,n\n1,5\n,6\n", []),
        ("x,y\n1.5,1\n2.5,1\n", []),
        ("id\n1\n", []),
        ("shop,day,n\na,2024-01-01,7\na,2024-01-02,7\nb,2024-01-01,7\n", ["shop", "day"]),
        ("shop,day,n\na,2024-01-01,7\na,2024-01-01,7\nb,2024-01-01,7\n", []),
    ],
)
def test_a_key_is_there_and_different_in_every_row(content: str, key: list[str]) -> None:
    assert key_of(draft_of(content)) == key


def test_a_key_is_followed_through_all_rows() -> None:
    rows = [f"{n},{n // 2},{n % 2},x" for n in range(40_000)]
    assert key_of(draft_of("\n".join(["id,pair,half,v", *rows, ""]))) == ["id"]
    repeated = [*rows, "0,0,0,x"]
    draft = draft_of("\n".join(["id,pair,half,v", *repeated, ""]))
    assert key_of(draft) == []
    pairs = [f"x,{n // 2},{n % 2}" for n in range(40_000)]
    assert key_of(draft_of("\n".join(["v,pair,half", *pairs, ""]))) == ["pair", "half"]
    broken = [*pairs, "x,0,0"]
    assert key_of(draft_of("\n".join(["v,pair,half", *broken, ""]))) == []


# --- Names and dialect ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "taken", "dataset", "pattern"),
    [
        ("shops/2024/a.csv", (), "shops", "shops/*"),
        ("Shop sales/a.csv", (), "shop_sales", "Shop sales/*"),
        ("edge_telemetry_7.csv", (), "edge_telemetry_7", "edge_telemetry_7.csv"),
        ("2024[1].csv.gz", (), "c_2024_1", "2024[[]1].csv.gz"),
        ("shops/a.csv", ("shops", "shops_2"), "shops_3", "shops/*"),
        ("../etc/a.csv", (), "column", "../*"),
    ],
)
def test_the_dataset_is_the_first_folder_or_the_whole_name(
    name: str, taken: tuple[str, ...], dataset: str, pattern: str
) -> None:
    assert name_dataset(name, taken) == (dataset, pattern)


def test_columns_get_names_that_a_contract_takes_and_keep_their_headers() -> None:
    draft = draft_of("Order No,Größe (cm),2024,order-no,,ORDER NO\n1,2,3,4,5,6\n2,3,4,5,6,7\n")
    assert [(each.name, each.header) for each in draft.columns] == [
        ("order_no", "Order No"),
        ("gr_e_cm", "Größe (cm)"),
        ("c_2024", "2024"),
        ("order_no_2", "order-no"),
    ]
    assert "Left out, having no name of their own: 2 columns." in draft.notes
    contract = read_contract(write_draft(draft), "draft")
    assert [each.headers[0] for each in contract.fields] == [each.header for each in draft.columns]


@pytest.mark.parametrize(
    ("content", "declared"),
    [
        (b"id;town\n1;Kiel\n", {"delimiter": ";", "encoding": "utf-8"}),
        (b"id\ttown\n1\tKiel\n", {"delimiter": "\t", "encoding": "utf-8"}),
    ],
)
def test_the_dialect_is_declared_as_it_was_sniffed(
    content: bytes, declared: dict[str, str]
) -> None:
    draft = draft_of(content)
    assert dict(draft.dialect) == declared
    dialect = read_contract(write_draft(draft), "draft").dialect
    assert (dialect.delimiter, dialect.encoding) == (declared["delimiter"], "utf-8")


PREAMBLED = [
    "Report of May\n\nid;name;price\n1;x;2\n2;y;3\n",
    "Report of May, 2024\nmade by: X\n\nid,name,price,day\n1,x,2,2024-05-01\n2,y,3,2024-05-02\n",
    "Stand: 31.05.2024\n1,2\nid,name,price,day\n1,x,2,2024-05-01\n2,y,3,2024-05-02\n",
]


@pytest.mark.parametrize("content", PREAMBLED)
def test_a_header_is_found_below_a_preamble(content: str) -> None:
    draft = draft_of(content)
    assert [each.header for each in draft.columns][:3] == ["id", "name", "price"]
    assert draft.rows == 2
    assert draft.dialect["headerRow"] == content[: content.index("id")].count("\n") + 1


def test_a_workbooks_header_is_found_below_its_title() -> None:
    sheet = [
        ["Report of May"],
        [],
        ["Art.\nNr.", "name", "price"],
        ["007", "x", 2],
        ["008", "y", 3],
    ]
    draft = draft_of(write_workbook(sheet), "shops/a.xlsx")
    assert [each.header for each in draft.columns] == ["Art.\nNr.", "name", "price"]
    assert (draft.rows, draft.dialect["headerRow"]) == (2, 3)


@pytest.mark.parametrize(
    "content",
    [
        "a\n1\n2\n",
        "a,b,c\n1,2,3,4\n5,6,7,8\n",
        "a,b\n1,2,3,4\n5,6,7,8\n",
        "a,,\n1,2,3\n4,5,6\n",
        "a,b,c\n1\n2\n",
        "1,2,3\n4,5,6\n",
        "a,b,c\n",
    ],
)
def test_without_a_preamble_the_first_row_is_the_header(content: str) -> None:
    assert "headerRow" not in draft_of(content).dialect


def test_files_of_one_kind_have_one_structure() -> None:
    first, second = draft_of("id,n\n1,5\n2,6\n"), draft_of("id,n\n3,7\n4,8\n5,9\n", "shops/b.csv")
    assert first.structure == second.structure
    assert first.structure != draft_of("id,n\n1,a\n2,b\n").structure


def test_a_draft_says_what_is_open_and_shows_no_value() -> None:
    text = write_draft(draft_of("id,opened,owner\n1,01/02/2024,Jane Roe\n2,03/04/2024,John Doe\n"))
    assert "status: draft" in text
    assert "Ambiguous: every value reads as %d/%m/%Y or %m/%d/%Y." in " ".join(text.split())
    assert "Jane" not in text


def test_a_draft_says_what_to_do_about_rows_that_cannot_be_split() -> None:
    draft = draft_file(b'id,note\n1,"a \\"b\\" c"\n2,"x"y\n3,z\n', "notes/a.csv")
    [note] = [each for each in draft.notes if "could not be split" in each]
    assert note.startswith("2 records could not be split into columns. It looks as if backslash")
    assert "Write quotes that belong to a cell twice" in note
    assert draft.rows == 1
