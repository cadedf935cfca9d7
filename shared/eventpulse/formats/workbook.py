"""What an XLSX file is made of: its sheets, the styles of its cells, its epoch and its texts.

An XLSX file is a ZIP archive of XML parts. It is read where it stands, part by part; what a part
may become is bounded before it is unpacked.
"""

from __future__ import annotations

import os
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

import pyarrow as pa

from eventpulse.errors import FileUnreadable
from eventpulse.formats.shared_strings import read_shared_strings
from eventpulse.formats.unpacking import expansion_limit, refuse_bomb
from eventpulse.formats.xml import XmlBroken, XmlParser, XmlTooLarge

SHARED_BYTES = 192 << 20
"""How much the workbook's shared texts may take in memory."""
_PART_BYTES = 16 << 20
"""How large a part that tells the workbook's structure may be."""
_PIECE_BYTES = 1 << 20
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_PADDED = re.compile(r"^0{2,}$")

Epoch = Literal[1900, 1904]
ShownAs = Literal["number", "date", "moment", "time", "duration"]


@dataclass(frozen=True, slots=True)
class Style:
    """What a style makes of a number: `digits` are those that it is filled up to with zeros."""

    shown: ShownAs = "number"
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    name: str
    part: str
    visible: bool


class Workbook:
    """One open workbook. Everything raises FileUnreadable."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self._zip = _open_zip(stream, name)
        packed = stream.seek(0, os.SEEK_END)
        for each in self._zip.infolist():
            if each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                problem = f"its part {each.filename!r} is packed as no workbook's is"
                raise _refuse_damaged(name, problem)
        self._sizes = {each.filename: each.file_size for each in self._zip.infolist()}
        self._most = expansion_limit(packed)
        top = self._find_targets("", "officeDocument")
        if not top:
            raise _refuse(name, "this is a ZIP archive but no XLSX workbook.")
        self._part = next(iter(top.values()))
        if self._part.endswith(".bin"):
            raise _refuse(name, "this is a workbook in the binary format .xlsb.")
        with self.faults(self._part):
            structure = _WorkbookReader()
            self._feed(structure.parser, self._part)
        self.epoch = structure.epoch
        targets = self._find_targets(self._part, "worksheet")
        self.sheets = [
            Sheet(title, targets[relation], visible)
            for title, relation, visible in structure.sheets
            if relation in targets
        ]
        if not self.sheets:
            raise _refuse(name, "this workbook has no worksheet.")

    def read_styles(self) -> list[Style]:
        """By the number that a cell names."""
        reader = _StyleReader()
        for part in self._find_targets(self._part, "styles").values():
            with self.faults(part):
                self._feed(reader.parser, part)
        return reader.list_styles()

    def read_shared_strings(self) -> pa.Array:
        """The texts that cells of type `s` point to."""
        for part in self._find_targets(self._part, "sharedStrings").values():
            with self.faults(part):
                return read_shared_strings(self.read_pieces(part), SHARED_BYTES)
        return pa.array([], pa.string())

    def read_pieces(self, part: str) -> Iterator[bytes]:
        """A part's content. Raises FileUnreadable when it grows out of bounds, and what `faults`
        turns into one."""
        if self._sizes.get(part, 0) > self._most:
            raise refuse_bomb(self.name)
        with self._zip.open(part) as content:
            while piece := content.read(_PIECE_BYTES):
                yield piece

    @contextmanager
    def faults(self, part: str) -> Iterator[None]:
        """Faults of the archive and of its XML leave as FileUnreadable."""
        try:
            yield
        except XmlBroken as error:
            raise _refuse_damaged(self.name, f"in its part {part!r}, {error}") from error
        except XmlTooLarge as error:
            raise FileUnreadable(
                self.name,
                f"this XLSX workbook is too large: {error}.",
                "Export the sheet as CSV and upload that, or split it.",
            ) from error
        except KeyError as error:
            raise _refuse_damaged(self.name, f"its part {part!r} is missing") from error
        except _ZIP_FAULTS as error:
            problem = f"its part {part!r} cannot be unpacked ({error})"
            raise _refuse_damaged(self.name, problem) from error

    def _feed(self, parser: XmlParser, part: str) -> None:
        if self._sizes.get(part, 0) > _PART_BYTES:
            raise XmlTooLarge(f"its part {part!r} has more than {_PART_BYTES >> 20} MiB")
        for piece in self.read_pieces(part):
            parser.feed(piece)
        parser.feed(b"", final=True)

    def _find_targets(self, part: str, kind: str) -> dict[str, str]:
        """The parts of a kind to which a part refers, by their references."""
        folder, _, file = part.rpartition("/")
        relations = posixpath.join(folder, "_rels", f"{file}.rels")
        if relations not in self._sizes:
            return {}
        reader = _RelationReader(kind)
        with self.faults(relations):
            self._feed(reader.parser, relations)
        return {
            reference: posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
            for reference, target in reader.targets.items()
        }


def _open_zip(stream: BinaryIO, name: str) -> zipfile.ZipFile:
    stream.seek(0)
    if stream.read(len(_OLE_MAGIC)) == _OLE_MAGIC:
        if _has_encrypted(stream):
            raise FileUnreadable(
                name,
                "this workbook is protected with a password.",
                "Save it without a password and upload it again.",
            )
        raise _refuse(name, "this is a workbook in the old format .xls.")
    try:
        return zipfile.ZipFile(stream)
    except _ZIP_FAULTS as error:
        stream.seek(0)
        if stream.read(2) == b"PK":
            raise _refuse_damaged(name, f"its end is missing or broken ({error})") from error
        raise _refuse(name, "this is no XLSX workbook.") from error


def _has_encrypted(stream: BinaryIO) -> bool:
    before = b""
    while piece := stream.read(_PIECE_BYTES):
        if _ENCRYPTED in before + piece:
            return True
        before = piece[-len(_ENCRYPTED) :]
    return False


def _refuse(name: str, problem: str) -> FileUnreadable:
    remedy = "Open it in a spreadsheet program, save it as .xlsx and upload that."
    return FileUnreadable(name, problem, remedy)


def _refuse_damaged(name: str, problem: str) -> FileUnreadable:
    return FileUnreadable(
        name,
        f"this XLSX workbook is damaged or incomplete: {problem}.",
        "Upload it again; if that does not help, save it anew in a spreadsheet program.",
    )


_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # a part that is encrypted
    ValueError,  # offsets that lead nowhere
    struct.error,
)


# --- Structure -----------------------------------------------------------------------------------


class _WorkbookReader:
    """Sheets by title, reference and visibility, in the workbook's order; the epoch of dates."""

    def __init__(self) -> None:
        self.parser = XmlParser(("sheet", "workbookPr"), self._start, lambda _: None)
        self.epoch: Epoch = 1900
        self.sheets: list[tuple[str, str, bool]] = []

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "workbookPr" and attributes.get("date1904") in ("1", "true"):
            self.epoch = 1904
        elif name == "sheet":
            reference = next((v for k, v in attributes.items() if k.endswith(" id")), "")
            visible = attributes.get("state", "visible") == "visible"
            self.sheets.append((attributes.get("name", ""), reference, visible))


class _RelationReader:
    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.targets: dict[str, str] = {}
        self.parser = XmlParser(("Relationship",), self._start, lambda _: None)

    def _start(self, _: str, attributes: dict[str, str]) -> None:
        inside = attributes.get("TargetMode") != "External"
        if inside and attributes.get("Type", "").rpartition("/")[2] == self._kind:
            self.targets[attributes.get("Id", "")] = attributes.get("Target", "")


class _StyleReader:
    """The number formats of the cells' styles."""

    def __init__(self) -> None:
        names = ("numFmt", "cellXfs", "xf")
        self.parser = XmlParser(names, self._start, self._end)
        self._codes: dict[str, str] = {}
        self._numbers: list[str] = []
        self._in_cells = False

    def list_styles(self) -> list[Style]:
        codes = [self._codes.get(each) or _builtin_code(each) for each in self._numbers]
        return [_interpret(code) for code in codes]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "numFmt":
            self._codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif name == "cellXfs":
            self._in_cells = True
        elif self._in_cells:
            self._numbers.append(attributes.get("numFmtId", "0"))

    def _end(self, name: str) -> None:
        if name == "cellXfs":
            self._in_cells = False


def _builtin_code(number: str) -> str:
    from openpyxl.styles.numbers import BUILTIN_FORMATS

    return str(BUILTIN_FORMATS.get(int(number), "General")) if number.isdigit() else "General"


def _interpret(code: str) -> Style:
    from openpyxl.styles.numbers import is_date_format, is_datetime, is_timedelta_format

    if _PADDED.match(code):
        return Style(digits=len(code))
    if is_timedelta_format(code):
        return Style("duration")
    if not is_date_format(code):
        return Style()
    kinds: dict[str | None, ShownAs] = {"date": "date", "time": "time", "datetime": "moment"}
    return Style(kinds.get(is_datetime(code), "moment"))
