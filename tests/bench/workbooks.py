"""Telemetry as one large XLSX workbook, written as spreadsheet programs write it.

Numbers, booleans and moments are typed cells; texts stand in the workbook's table of texts, where
each is kept once, or in the cells themselves. The readings are those of `emulators.samples`.
"""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape

import yaml

from emulators.samples.generate import generate_edge_telemetry
from eventpulse.adapters.objects_file import FileObjectStore

CONTRACT = Path(__file__).parent / "edge_telemetry.odcs.yaml"
TEXTS = frozenset({"event_id", "device_id", "epoch", "firmware"})
MOMENT = "recorded_at"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_EPOCH = datetime(1899, 12, 30)
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/'
    'content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
    'relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPES}.worksheet+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPES}.styles+xml"/>'
    f'<Override PartName="/xl/sharedStrings.xml" ContentType="{_TYPES}.sharedStrings+xml"/>'
    "</Types>",
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" '
    f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>'
    '<sheet name="Readings" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_OFFICE}/styles" Target="styles.xml"/>'
    f'<Relationship Id="rId3" Type="{_OFFICE}/sharedStrings" Target="sharedStrings.xml"/>'
    "</Relationships>",
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs><xf numFmtId="0"/><xf numFmtId="22"/>'
    "</cellXfs></styleSheet>",
}


@dataclass(frozen=True)
class TelemetryBook:
    """`source` is the workbook, `objects` a file store that has it as its one raw object, and
    `contract` the YAML that reads it."""

    rows: int
    source: Path
    objects: Path
    contract: Path


def make_workbook(folder: Path, rows: int) -> TelemetryBook:
    """A workbook with a table of texts, made once."""
    book = TelemetryBook(
        rows,
        folder / f"telemetry-{rows}.xlsx",
        folder / f"workbook-objects-{rows}",
        folder / "workbook.odcs.yaml",
    )
    if not book.source.exists():
        write_contract(book.contract)
        write_workbook(book.source, rows, shared=True)
        store = FileObjectStore(f"file://{book.objects}", sign_key=b"bench", upload_url="")
        with book.source.open("rb") as file, store.write("raw", "edge_telemetry/b.xlsx") as sink:
            while block := file.read(1 << 20):
                sink.write(block)
    return book


def write_contract(path: Path) -> None:
    """The bench's contract for a workbook: its moments have no zone, and are declared to be UTC."""
    contract = yaml.safe_load(CONTRACT.read_text())
    [schema] = contract["schema"]
    dialect = {"format", "delimiter"}
    kept = [each for each in schema["customProperties"] if each["property"] not in dialect]
    schema["customProperties"] = kept
    for each in schema["properties"]:
        if each["name"] == MOMENT:
            formats = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
            each["customProperties"] = [{"property": "dateFormats", "value": formats}]
    path.write_text(yaml.safe_dump(contract))


def write_workbook(path: Path, rows: int, *, shared: bool) -> None:
    """So many readings, 12 cells each; `shared`: with a table of texts."""
    lines = _read_lines(generate_edge_telemetry(rows, seed=1))
    header = next(lines)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as book,
        tempfile.TemporaryFile() as texts,
    ):
        for name, content in _PARTS.items():
            book.writestr(name, content)
        cells = _Cells(header, texts if shared else None)
        with book.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            sheet.write(f'<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
            sheet.write(cells.write_header())
            numbered = enumerate(lines, start=2)
            while block := list(islice(numbered, 1_000)):
                sheet.write("".join(cells.write_row(row, line) for row, line in block).encode())
            sheet.write(b"</sheetData></worksheet>")
        with book.open("xl/sharedStrings.xml", "w", force_zip64=True) as table:
            table.write(f'<sst xmlns="{_MAIN}">'.encode())
            texts.seek(0)
            while piece := texts.read(1 << 20):
                table.write(piece)
            table.write(b"</sst>")


def _read_lines(pieces: Iterable[bytes]) -> Iterator[list[str]]:
    for piece in pieces:
        yield from csv.reader(io.StringIO(piece.decode()))


class _Cells:
    def __init__(self, header: list[str], table: IO[bytes] | None) -> None:
        self._header = header
        self._table = table
        self._known: dict[str, int] = {}

    def write_header(self) -> bytes:
        cells = "".join(
            self._write_text(f"{_LETTERS[n]}1", name) for n, name in enumerate(self._header)
        )
        return f'<row r="1">{cells}</row>'.encode()

    def write_row(self, row: int, line: list[str]) -> str:
        cells = [
            self._write(f"{letter}{row}", name, value)
            for letter, name, value in zip(_LETTERS, self._header, line, strict=False)
            if value
        ]
        return f'<row r="{row}" spans="1:12">{"".join(cells)}</row>'

    def _write(self, place: str, name: str, value: str) -> str:
        if name in TEXTS:
            return self._write_text(place, value)
        if name == MOMENT:
            since = datetime.fromisoformat(value.removesuffix("Z")) - _EPOCH
            return f'<c r="{place}" s="1"><v>{since.days + since.seconds / 86_400!r}</v></c>'
        if value in ("true", "false"):
            return f'<c r="{place}" t="b"><v>{int(value == "true")}</v></c>'
        try:
            float(value)
        except ValueError:
            return self._write_text(place, value)
        return f'<c r="{place}"><v>{value}</v></c>'

    def _write_text(self, place: str, value: str) -> str:
        if self._table is None:
            return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
        index = self._known.get(value)
        if index is None:
            index = self._known[value] = len(self._known)
            self._table.write(f"<si><t>{escape(value)}</t></si>".encode())
        return f'<c r="{place}" t="s"><v>{index}</v></c>'


_LETTERS = "ABCDEFGHIJKL"
