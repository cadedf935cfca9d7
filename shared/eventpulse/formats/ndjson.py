"""NDJSON: one JSON object a line, read twice: first for its keys, then for its values.

A number keeps the text that it is written with. A line that is no object is malformed and nothing
else. Lines are numbered from 1, blank ones aside. What stands deeper than the outermost object is
JSON text, or columns of their own where the contract's pointers lead there (`nesting`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from eventpulse.contracts.contract import Dialect, Field
from eventpulse.errors import FileUnreadable
from eventpulse.formats.batches import (
    DialectReport,
    MalformedRow,
    TextBatch,
    assign_fields,
    refuse_empty,
)
from eventpulse.formats.decoding import UNDECODABLE, Utf8Text
from eventpulse.formats.nesting import Pointers
from eventpulse.formats.unpacking import Unpacked

PIECE_BYTES = 1 << 20
MAX_LINE_BYTES = 16 << 20
BATCH_ROWS = 8_192
BATCH_BYTES = 16 << 20
MAX_KEYS = 10_000
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_SHOWN = 1_000
"""How many characters of a line that is too long are shown."""


class JsonNumber(str):
    """A number as the file writes it."""

    __slots__ = ()


class _NoObject(Exception):
    """What is wrong with a line, and what to do."""

    def __init__(self, problem: str, remedy: str = "Write one JSON object on the line.") -> None:
        super().__init__(problem)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class _Line:
    record: int
    text: bytes
    whole: bool = True


class NdjsonReader:
    """The header has every key of the file, in the order in which they first appear."""

    omits_nulls: ClassVar = True

    def __init__(
        self, stream: Unpacked, name: str, dialect: Dialect, fields: Sequence[Field]
    ) -> None:
        self._stream, self._name, self._dialect = stream, name, dialect
        self._pointers = Pointers(fields)
        text = self._open()
        self.header = self._collect_keys(text)
        self._fields = assign_fields(fields, self.header)
        self.dialect: DialectReport = {
            "format": "ndjson",
            "encoding": text.encoding,
            "compression": "gzip" if stream.packed else "none",
            "sniffed": ["encoding"] if text.sniffed else [],
        }

    def _open(self) -> Utf8Text:
        self._stream.rewind()
        return Utf8Text(self._stream, self._name, self._dialect.encoding, PIECE_BYTES)

    def _collect_keys(self, text: Utf8Text) -> list[str]:
        names: dict[str, None] = {}
        shapes: set[tuple[str, ...]] = set()
        problem: str | None = None
        lines = 0
        for line in _split_lines(text):
            lines = line.record
            try:
                record = parse_line(line)
            except _NoObject as error:
                problem = problem or f"line {line.record} {error}"
                continue
            shape = tuple(record)
            if shape in shapes and not self._pointers.apart:
                continue
            if len(shapes) < MAX_KEYS:
                shapes.add(shape)
            names.update(dict.fromkeys(self._pointers.flatten(record)))
            if len(names) > MAX_KEYS:
                raise FileUnreadable(
                    self._name,
                    f"its objects have more than {MAX_KEYS} keys.",
                    "Write one object with the same keys on each line.",
                )
        if not lines:
            raise refuse_empty(self._name)
        if not names and problem is not None:
            raise FileUnreadable(
                self._name,
                f"none of its {lines} lines is a JSON object ({problem}).",
                "Write one JSON object on each line.",
            )
        return list(names)

    def __iter__(self) -> Iterator[TextBatch]:
        records: list[int] = []
        rows: list[dict[str, Any]] = []
        malformed: list[MalformedRow] = []
        size = 0
        for line in _split_lines(self._open()):
            try:
                rows.append(self._pointers.flatten(parse_line(line)))
                records.append(line.record)
            except _NoObject as error:
                malformed.append(_refuse(line, error))
            size += len(line.text)
            if len(rows) + len(malformed) >= BATCH_ROWS or size >= BATCH_BYTES:
                yield self._make_batch(records, rows, malformed)
                records, rows, malformed, size = [], [], [], 0
        if rows or malformed:
            yield self._make_batch(records, rows, malformed)

    def _make_batch(
        self, records: list[int], rows: list[dict[str, Any]], malformed: list[MalformedRow]
    ) -> TextBatch:
        columns = [
            pa.array([self._write(row.get(name), field) for row in rows], pa.string())
            for name, field in zip(self.header, self._fields, strict=True)
        ]
        return TextBatch(pa.array(records, pa.int64()), columns, malformed)

    def _write(self, value: object, field: Field | None) -> str | None:
        if value is None:
            return None
        if isinstance(value, JsonNumber):
            marked = field is not None and field.decimal_mark == ","
            return value.replace(".", ",") if marked else str(value)
        return value if isinstance(value, str) else write_json(value)


def _split_lines(pieces: Iterable[bytes]) -> Iterator[_Line]:
    """Lines that are not blank; of one that is too long only the beginning."""
    record = 0
    carry = b""
    too_long = False
    for piece in pieces:
        *lines, carry = (carry + piece).split(b"\n")
        for text in lines:
            if text.strip() or too_long:
                record += 1
                yield _Line(record, text, whole=not too_long)
            too_long = False
        if len(carry) > MAX_LINE_BYTES:
            carry, too_long = carry[:_SHOWN], True
    if carry.strip():
        yield _Line(record + 1, carry, whole=not too_long)


def parse_line(line: _Line) -> dict[str, Any]:
    """The line's object. Raises _NoObject."""
    if not line.whole:
        raise _NoObject(
            f"has more than {MAX_LINE_BYTES >> 20} MiB", "Write shorter objects, one on each line."
        )
    text = line.text.decode()
    if UNDECODABLE in text:
        raise _NoObject(
            "has bytes that are not of the file's encoding",
            "Write it in UTF-8, or declare the `encoding` in the contract.",
        )
    try:
        found = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _NoObject(f"is not JSON ({error.msg} at character {error.pos + 1})") from None
    except RecursionError:
        raise _NoObject("is nested too deeply") from None
    if not isinstance(found, dict):
        raise _NoObject("is JSON, but no object")
    if "\\u" in text:
        _check_escapes(text, found)
    return found


def _check_escapes(text: str, found: object) -> None:
    """They may stand for what no warehouse can hold."""
    if _ESCAPED_NUL.search(text):
        raise _NoObject("has a NUL character", "Remove the character.")
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _NoObject("has half of a surrogate pair", "Write the whole character.") from None


def _refuse(line: _Line, error: _NoObject) -> MalformedRow:
    text = line.text.decode().replace(UNDECODABLE, "").strip()
    return MalformedRow(
        line.record, text if line.whole else f"{text[:_SHOWN]} …", f"the line {error}", error.remedy
    )


def _take_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _NoObject(f"has the key {twice!r} more than once", "Keep one of them.")
    return found


_DECODER = json.JSONDecoder(
    parse_int=JsonNumber,
    parse_float=JsonNumber,
    parse_constant=JsonNumber,
    object_pairs_hook=_take_pairs,
)


def write_json(value: object) -> str:
    """A value as JSON text, its numbers as they were written."""
    if isinstance(value, JsonNumber):
        return str(value)
    if isinstance(value, dict):
        items = (f"{json.dumps(k, ensure_ascii=False)}: {write_json(v)}" for k, v in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(write_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
