"""Refused rows as a workbook to mend them in, and that workbook read again.

One sheet has the rows: where each stood, its cells as text, and why it was refused; each faulty
cell is coloured and has the reason in a comment. Another, hidden, says which ingestion they are of.
Cells are text, so nothing turns into a formula or loses a zero; what is typed over them may be a
number or a date, and is written as the contract reads it. Times are UTC.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from eventpulse.contracts.contract import Contract, Field
from eventpulse.errors import RequestRefused
from eventpulse.ingestions.recovery import MOST_WORKBOOK_ROWS, Mended, list_faulty

PLACE = ("object", "generation", "record")
REASON = "why it was refused"
SHEET, MARK = "refused rows", "_eventpulse"
MOST_UNPACKED_BYTES = 512 << 20

_FAULTY = "FFF4B6B6"
_WIDEST = 60
_ILLEGAL = {code: "\N{REPLACEMENT CHARACTER}" for code in range(32) if chr(code) not in "\t\n\r"}


def write_refused(
    ingestion_id: str, contract: Contract, records: Sequence[Mapping[str, Any]]
) -> bytes:
    """The workbook of quarantine records, as they may be shown. Raises RequestRefused (422) for
    more than MOST_WORKBOOK_ROWS."""
    from openpyxl import Workbook

    if len(records) > MOST_WORKBOOK_ROWS:
        raise RequestRefused(
            422,
            "too_many_rows",
            "Too many rows for a workbook",
            f"{len(records):,} rows were refused, and a workbook to mend them in holds "
            f"{MOST_WORKBOOK_ROWS:,}. Correct the file where it comes from and upload it again.",
        )
    book = Workbook(write_only=True)
    sheet = book.create_sheet(SHEET)
    header = list(dict.fromkeys(name for record in records for name in record["row"]))
    names = [*PLACE, *header, REASON]
    sheet.freeze_panes = "D2"
    for number, name in enumerate(names, start=1):
        letter = _letter(number)
        sheet.column_dimensions[letter].width = min(_WIDEST, max(10, len(name) + 2))
    sheet.append([_text_cell(sheet, name, bold=True) for name in names])
    for record in records:
        sheet.append(list(_cells(sheet, contract, record, header)))
    mark = book.create_sheet(MARK)
    mark.sheet_state = "hidden"
    mark.append([ingestion_id])
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def _letter(number: int) -> str:
    from openpyxl.utils import get_column_letter

    letter: str = get_column_letter(number)
    return letter


def _cells(
    sheet: Any, contract: Contract, record: Mapping[str, Any], header: Sequence[str]
) -> Iterator[Any]:
    reasons = _reasons(contract, record)
    yield from (_text_cell(sheet, str(record[name])) for name in PLACE)
    for name in header:
        yield _text_cell(sheet, record["row"].get(name), reason=reasons.get(name))
    yield _text_cell(sheet, " ".join(each["message"] for each in record["failures"]))


def _reasons(contract: Contract, record: Mapping[str, Any]) -> dict[str, str]:
    """By header of the row: why its cell is faulty."""
    found: dict[str, list[str]] = {}
    for failure in record["failures"]:
        for header in list_faulty(contract, record["row"], failure["column"]):
            found.setdefault(header, []).append(failure["message"])
    return {header: "\n".join(messages) for header, messages in found.items()}


def _text_cell(
    sheet: Any, value: str | None, *, bold: bool = False, reason: str | None = None
) -> Any:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.comments import Comment
    from openpyxl.styles import Font, PatternFill

    cell = WriteOnlyCell(sheet)
    if value is not None:
        cell.value = value.translate(_ILLEGAL)
        cell.data_type = "s"  # a text that begins with = is no formula
    cell.number_format = "@"
    if bold:
        cell.font = Font(bold=True)
    if reason is not None:
        cell.fill = PatternFill("solid", fgColor=_FAULTY)
        cell.comment = Comment(reason.translate(_ILLEGAL), "EventPulse")
    return cell


def write_plain(
    title: str,
    header_row: int | None,
    header: Sequence[str],
    rows: Sequence[Mapping[str, str | None]],
) -> bytes:
    """A workbook of one sheet of text, its header in the row that the contract says."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    for _ in range(1, header_row or 1):
        sheet.append(["recovered"])
    sheet.append([_text_cell(sheet, name) for name in header])
    for row in rows:
        sheet.append([_text_cell(sheet, row.get(name)) for name in header])
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


# --- Reading -------------------------------------------------------------------------------------


def read_mended(data: bytes, ingestion_id: str, contract: Contract) -> list[Mended]:
    """The rows of a workbook that `write_refused` made. Raises RequestRefused (422)."""
    rows = _read_rows(data, ingestion_id)
    header = [str(each) if each is not None else "" for each in next(rows, ())]
    if not set(PLACE) <= set(header):
        raise _refuse(f"its first row does not name {', '.join(PLACE)}")
    fields = {name: each for each in contract.fields for name in each.headers}
    comma = contract.dialect.decimal_mark
    mended = []
    for number, values in enumerate(rows, start=2):
        row = dict(zip(header, values, strict=False))
        if all(value is None for value in row.values()):
            continue
        cells = {
            name: _write_cell(value, fields.get(name), comma)
            for name, value in row.items()
            if name and name not in (*PLACE, REASON)
        }
        mended.append(_place(row, number, cells))
    return mended


def _place(row: Mapping[str, Any], number: int, cells: Mapping[str, str | None]) -> Mended:
    try:
        return Mended(
            record=int(row["record"]),
            cells=cells,
            object=str(row["object"]),
            generation=int(row["generation"]),
        )
    except (TypeError, ValueError):
        raise _refuse(
            f"its row {number} does not say which row it was: {', '.join(PLACE)} must stay"
        ) from None


def _read_rows(data: bytes, ingestion_id: str) -> Iterator[Sequence[Any]]:
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(each.file_size for each in archive.infolist())
        if size > MOST_UNPACKED_BYTES:
            raise _refuse(f"it unpacks to {size:,} bytes, above {MOST_UNPACKED_BYTES:,}")
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except RequestRefused:
        raise
    except Exception as error:  # openpyxl and zipfile raise whatever a broken part leads them to
        raise _refuse(f"it cannot be opened ({type(error).__name__})") from error
    if SHEET not in book.sheetnames or MARK not in book.sheetnames:
        raise _refuse(f"it has no sheets {SHEET!r} and {MARK!r}")
    marked = next(iter(book[MARK].iter_rows(max_row=1, max_col=1, values_only=True)), (None,))
    if marked[0] != ingestion_id:
        raise _refuse(f"it holds the rows of the ingestion {marked[0]}, not of {ingestion_id}")
    return _bounded(book[SHEET].iter_rows(values_only=True))


def _bounded(rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    for number, row in enumerate(rows):
        if number > MOST_WORKBOOK_ROWS:
            raise _refuse(f"it has more than {MOST_WORKBOOK_ROWS:,} rows")
        yield row


def _write_cell(value: Any, field: Field | None, decimal_mark: str) -> str | None:
    """A cell's value as the contract's files write it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        return text.replace(".", decimal_mark)
    if isinstance(value, (datetime, date, time)):
        return _write_time(value, field)
    return str(value)


def _write_time(value: datetime | date | time, field: Field | None) -> str:
    if field is not None and field.formats:
        return value.strftime(field.formats[0])
    if isinstance(value, datetime) and field is not None and field.type == "date":
        return value.date().isoformat()
    if isinstance(value, datetime) and field is not None and field.type == "timestamp":
        return f"{value.isoformat()}Z"
    return value.isoformat()


def _refuse(problem: str) -> RequestRefused:
    return RequestRefused(
        422,
        "not_the_workbook",
        "This is not the workbook of the refused rows",
        f"The workbook is not used: {problem}. Export it with GET …/quarantine?format=xlsx, change "
        "the marked cells and send it again.",
        problems=[f"body: {problem}"],
    )
