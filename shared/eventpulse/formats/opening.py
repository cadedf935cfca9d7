"""Which reader a file gets: by its contract, else by its extension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from eventpulse.contracts.contract import Dialect, Field, FileFormat
from eventpulse.errors import FileUnreadable
from eventpulse.formats.batches import Reader
from eventpulse.formats.csv import CsvReader
from eventpulse.formats.ndjson import NdjsonReader
from eventpulse.formats.parquet import ParquetReader
from eventpulse.formats.unpacking import Unpacked, unpack_to_seek
from eventpulse.formats.xlsx import XlsxReader

EXTENSIONS: dict[str, FileFormat] = {
    "csv": "csv",
    "tsv": "csv",
    "txt": "csv",
    "xlsx": "xlsx",
    "ndjson": "ndjson",
    "jsonl": "ndjson",
    "parquet": "parquet",
}


_SIGNATURES: Sequence[tuple[bytes, str]] = (
    (b"PK\x03\x04", "a ZIP archive, perhaps an XLSX workbook"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook of the old format .xls, or a protected one"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\0", "a SQLite database"),
    (b"\x1f\x8b", "a gzip file inside a gzip file"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
)
"""How files of other formats begin."""


def _refuse_other(text: Unpacked, name: str, wanted: FileFormat, *, declared: bool) -> None:
    """Raises FileUnreadable for a file of text that begins as no text does."""
    begin = text.read_fully(64)
    text.rewind()
    for signature, what in _SIGNATURES:
        if begin.startswith(signature) and any(byte < 9 or byte > 126 for byte in begin):
            kind = wanted.upper()
            if declared:
                problem = f"this is {what}, and the contract declares {kind}."
                raise FileUnreadable(name, problem, f"Export the data as {kind} and upload that.")
            raise FileUnreadable(
                name,
                f"this is {what}, and no {kind}.",
                "Give it the extension of its format, or export the data as "
                f"{kind} and upload that.",
            )


def open_reader(stream: BinaryIO, name: str, dialect: Dialect, fields: Sequence[Field]) -> Reader:
    """A reader for the object `name`.

    The format comes from the contract, else from the extension; `.gz` is unpacked on the way.
    `fields` are the contract's, none without one: their headers decide between delimiters where the
    dialect names none. Raises FileUnreadable.
    """
    stem = name.lower().removesuffix(".gz")
    extension = stem.rpartition(".")[2] if "." in stem else ""
    wanted = dialect.format or EXTENSIONS.get(extension)
    if wanted is None:
        raise FileUnreadable(
            name,
            f"the extension {'.' + extension if extension else '(none)'} is not one that is read.",
            f"Send {', '.join(f'.{each}' for each in EXTENSIONS)} (also with .gz), or declare the "
            "custom property `format` in the contract.",
        )
    if wanted == "xlsx":
        return XlsxReader(unpack_to_seek(stream, name), name, dialect, fields)
    if wanted == "parquet":
        return ParquetReader(unpack_to_seek(stream, name), name, dialect, fields)
    text = Unpacked(stream, name)
    _refuse_other(text, name, wanted, declared=dialect.format is not None)
    if wanted == "ndjson":
        return NdjsonReader(text, name, dialect, fields)
    return CsvReader(text, name, dialect, fields)
