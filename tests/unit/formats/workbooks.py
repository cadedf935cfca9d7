"""Workbooks for tests: written by openpyxl, or taken apart and put together with parts changed."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import openpyxl

SHEET = "xl/worksheets/sheet1.xml"
SHARED = "xl/sharedStrings.xml"


def write_workbook(
    rows: Iterable[Sequence[Any]], prepare: Callable[[Any], None] | None = None
) -> bytes:
    """One sheet called Data; `prepare` gets the openpyxl workbook before it is saved."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Data"
    for row in rows:
        sheet.append(list(row))
    if prepare is not None:
        prepare(book)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def change_parts(
    book: bytes, changes: Mapping[str, Callable[[bytes], bytes] | bytes | None]
) -> bytes:
    """The workbook with parts replaced, rewritten by a function, added, or (None) left out."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(book)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        parts = {name: old.read(name) for name in old.namelist()}
        for name, change in changes.items():
            if change is None:
                del parts[name]
            else:
                parts[name] = change if isinstance(change, bytes) else change(parts[name])
        for name, content in parts.items():
            new.writestr(name, content)
    return out.getvalue()


def share_texts(book: bytes) -> bytes:
    """The same workbook with its texts in a table of their own, as most programs write them."""
    texts: list[bytes] = []

    def point(found: re.Match[bytes]) -> bytes:
        texts.append(b"<si>" + (found[2] or b"<t/>") + b"</si>")
        return found[1] + b' t="s"><v>%d</v></c>' % (len(texts) - 1)

    inline = re.compile(
        rb'(<c r="[A-Z]+[0-9]+"(?: s="[0-9]+")?) t="inlineStr"(?: />|><is>(.*?)</is></c>)',
        re.DOTALL,
    )
    table = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">%s</sst>'
    relation = (
        b'<Relationship Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
        b'sharedStrings" Target="sharedStrings.xml" Id="rId99" /></Relationships>'
    )
    shared = change_parts(book, {SHEET: lambda xml: inline.sub(point, xml)})
    return change_parts(
        shared,
        {
            SHARED: table % b"".join(texts),
            **replace_in("xl/_rels/workbook.xml.rels", b"</Relationships>", relation),
        },
    )


def replace_in(part: str, old: bytes, new: bytes) -> Mapping[str, Callable[[bytes], bytes]]:
    def change(content: bytes) -> bytes:
        assert old in content, content[:2000]
        return content.replace(old, new)

    return {part: change}
