"""CSV: a cell that goes on after its closing quote is never read as something else in silence."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from eventpulse.contracts.contract import Dialect
from eventpulse.formats import csv as formats_csv
from eventpulse.formats.decoding import GARBLED
from eventpulse.formats.quoting import QuoteCheck, Quoting
from tests.properties import examples
from tests.unit.formats.csv_reading import fault_of, read
from tests.unit.formats.test_csv_lines import pieces_of

BACKSLASH = Dialect(delimiter=",", escape="\\")
PLAIN = Dialect(delimiter=",")


# --- An independent parser, character by character -----------------------------------------------


@dataclass
class Record:
    raw: str = ""
    cells: list[str] = field(default_factory=list)
    garbled: int = 0


@dataclass
class Parsed:
    """What stands in a text; `marked` is the text with a mark in each garbled cell."""

    records: list[Record]
    marked: str
    open: bool
    dangling: bool


def parse(text: str, escape: str | None) -> Parsed:
    records, marked = [Record()], ""
    state, cell, escaping = "start", "", False
    for sign in text:
        record = records[-1]
        ends_line = sign in "\r\n" and state != "quoted" and not escaping
        if state == "closed" and not ends_line and sign not in '",':
            record.garbled += 1
            marked += f"{GARBLED},"
            state = "plain"
        marked += sign
        if ends_line:
            if record.raw:
                record.cells.append(cell)
                records.append(Record())
            state, cell = "start", ""
            continue
        record.raw += sign
        if escaping:
            escaping = False
            cell += sign
        elif sign == escape:
            escaping = True
            state = "plain" if state == "start" else state
        elif state == "quoted":
            state, cell = ("closed", cell) if sign == '"' else ("quoted", cell + sign)
        elif sign == ",":
            record.cells.append(cell)
            state, cell = "start", ""
        elif sign == '"' and state in ("start", "closed"):
            state, cell = "quoted", cell + '"' if state == "closed" else cell
        else:
            state, cell = "plain", cell + sign
    if records[-1].raw:
        records[-1].cells.append(cell)
    else:
        records.pop()
    return Parsed(records, marked, state == "quoted", escaping)


TEXTS = st.text('a",\n\r\\', max_size=40) | st.text('"a,', max_size=20)


@examples(200)
@given(pieces_of(TEXTS.map(str.encode)), st.sampled_from([None, "\\"]))
def test_marks_stand_where_a_cell_goes_on(
    given_text: tuple[bytes, list[bytes]], escape: str | None
) -> None:
    text, pieces = given_text
    quoting = Quoting(b'"', frozenset({b","}), escape=escape.encode() if escape else None)
    check = QuoteCheck(pieces, quoting, b",")
    found = b"".join(check).decode()
    expected = parse(text.decode(), escape)
    assert found == expected.marked
    assert check.marks == sum(record.garbled for record in expected.records)
    assert (check.open, check.dangling) == (expected.open, expected.dangling)
    assert not check.backslashes or '\\"' in text.decode()


CELLS = st.sampled_from(
    [
        *(
            "a",
            "",
            '"b"',
            '"c,c"',
            '"d\nd"',
            '"e""e"',
            '""',
            '5" pipe',
            '5"" x',
            ' "f"',
            "\\",
            "g\\,",
        ),
        *(
            '"h"h',
            '"i" ',
            '"j" "j"',
            '"k"k"k',
            '"l \\"l\\" l"',
            '"m"\\n',
            '"n\\"',
            '"o\\\\"',
            "\\\n",
        ),
    ]
)


@given(
    st.lists(st.tuples(st.lists(CELLS, min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]))),
    st.sampled_from([None, "\\"]),
    st.sampled_from([256, 8 << 20]),
)
@example([(['"a"b'], "\n")] * 40 + [(["x", "y"], "\n"), (['"a"b', "y"], "\n")] * 40, None, 256)
def test_rows_are_what_another_parser_reads(
    rows: list[tuple[list[str], str]], escape: str | None, block: int
) -> None:
    text = "".join(",".join(cells) + end for cells, end in rows)
    expected = parse(text, escape)
    assume(all(len(record.raw) < block for record in expected.records))
    dialect = Dialect(delimiter=",", escape=escape)
    data = b"c1,c2\n" + text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats_csv, "BLOCK_BYTES", block)
        patch.setattr(formats_csv, "HEADER_BYTES", block)
        if expected.open or expected.dangling:
            assert fault_of(data, dialect=dialect)
            return
        found = read(data, dialect=dialect)
    numbered = dict(enumerate(expected.records, 1))
    good = {n for n, each in numbered.items() if len(each.cells) == 2 and not each.garbled}
    assert dict(found.rows) == {n: numbered[n].cells for n in good}
    assert [number for number, *_ in found.malformed] == [n for n in numbered if n not in good]
    for number, raw, problem in found.malformed:
        record = numbered[number]
        assert ("text after its closing quote" in problem) == bool(record.garbled)
        if len(record.cells) + record.garbled != 2:
            assert raw == record.raw.rstrip("\r\n")


# --- Examples ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('5" pipe,1', ['5" pipe', "1"]),
        ('5"" pipe,1', ['5"" pipe', "1"]),
        (' "a",1', [' "a"', "1"]),
        ("'a','b'", ["'a'", "'b'"]),
        ('"C:\\dir\\",1', ["C:\\dir\\", "1"]),
        ('a\\,"b"', ["a\\", "b"]),
    ],
)
def test_what_is_no_quoted_cell_that_goes_on(line: str, cells: list[str]) -> None:
    assert read(f"a,b\n{line}\n".encode(), dialect=PLAIN).rows == [(1, cells)]


DOUBLE = "Write quotes that belong to a cell twice"
LOOKS = "It looks as if backslash was the escape character"


@pytest.mark.parametrize(
    ("line", "column", "remedy"),
    [
        ('"abc"def,1', "a", DOUBLE),
        ('"abc" ,1', "a", DOUBLE),
        ('1,"abc" "def"', "b", DOUBLE),
        ('1,"a\nb"c', "b", DOUBLE),
        ('"a \\"quoted\\" word",1', "a", LOOKS),
        ('"a \\"quo,ted\\" word",1', "a", LOOKS),
        ('"a"b', "a", DOUBLE),  # which has a cell too few as well
        ('"a \\"b\\""', "a", LOOKS),
    ],
)
def test_a_cell_that_goes_on_is_told_with_what_to_do(line: str, column: str, remedy: str) -> None:
    found = read(f"a,b\n1,2\n{line}\n3,4\n".encode(), dialect=PLAIN)
    assert found.rows == [(1, ["1", "2"]), (3, ["3", "4"])]
    [(number, _, problem)] = found.malformed
    assert (number, problem) == (
        2,
        f"the cell in column {column!r} has text after its closing quote",
    )
    assert [each.partition(":")[0].partition(", or")[0] for each in found.remedies] == [remedy]


def test_the_row_is_kept_as_it_was_sent() -> None:
    line = '"say ""hi""" there,"x, y","a"b'
    found = read(f"a,b,c\n{line}\n".encode(), dialect=PLAIN)
    assert [text for _, text, _ in found.malformed] == [line]


def test_an_escape_character_that_is_declared_makes_the_next_one_text() -> None:
    data = b'a,b\n"a \\"b\\" c",1\nd\\,e,"f\\\\"\n\\"g,h\\\ni\n"\\",","\\n\n"\n'
    assert read(data, dialect=BACKSLASH).rows == [
        (1, ['a "b" c', "1"]),
        (2, ["d,e", "f\\"]),
        (3, ['"g', "h\ni"]),
        (4, ['",', "n\n"]),
    ]


def test_text_that_follows_a_quote_is_told_where_an_escape_character_is_declared_too() -> None:
    found = read(b'a,b\n"a \\"b\\""c,1\n', dialect=BACKSLASH)
    assert found.remedies == ["Write quotes that belong to a cell twice, or escape them."]


def test_a_file_that_ends_with_its_escape_character_was_cut_off() -> None:
    assert fault_of(b"a,b\n1,2\n3,4\\", dialect=BACKSLASH) == (
        "it ends with its escape character '\\\\', which escapes nothing there.",
        "Look whether its end was cut off, and upload it again.",
    )


def test_an_open_quote_behind_backslashes_says_what_they_look_like() -> None:
    problem, remedy = fault_of(b'a,b\n"1","inches: 5\\""\n')
    assert problem.startswith("a quote is opened and never closed")
    assert remedy.startswith(LOOKS)


def test_a_header_that_goes_on_after_its_quote_is_told() -> None:
    problem, remedy = fault_of(b'"a"x,b\n1,2\n')
    assert problem.startswith("its header in row 1 cannot be split: a cell in quotes goes on")
    assert remedy.startswith(DOUBLE)


def test_a_header_may_use_the_escape_character() -> None:
    assert read(b'"a \\"b\\"",c\n1,2\n', dialect=BACKSLASH).header == ['a "b"', "c"]
    assert read(b'"a\\",b",c\n1,2\n', dialect=Dialect(escape="\\")).header == ['a",b', "c"]


def test_a_file_of_nothing_but_garbled_rows_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(formats_csv, "MALFORMED_BYTES", 10_000)
    problem, remedy = fault_of(b"a,b\n" + b'"x \\"y\\"",1\n' * 5_000, dialect=PLAIN)
    assert "text after its closing quote)" in problem
    assert remedy.startswith(LOOKS)
