"""YAML text → plain values (mappings, lists, text, numbers, booleans, None), within bounds.

Invariants:

- A scalar is something else than text only where YAML 1.1 and YAML 1.2 agree that it is: `true`,
  `false`, `null`, `~`, decimal integers and floats. `NO`, `010`, `1:30`, `1e3` and `2024-01-31` are
  text, as a person reads them.
- Nothing is dropped or guessed: a repeated key, a key that is not text, a tag, a merge key, a
  second document and a number that a double cannot hold are problems, each with its place.
- Work is bounded whatever the text: its size, its depth, and the number of values after aliases are
  expanded. An alias shares its anchor's value, so expansion costs a reader time and not memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1_048_576
MAX_DEPTH = 40
MAX_VALUES = 200_000

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,39})")
_FLOAT = re.compile(r"([-+]?[0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]{1,4})?")
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")
_WORDS: dict[str, bool | float | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), math.inf),
    "-.inf": -math.inf,
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


class DocumentInvalid(ValueError):
    """The text holds no usable mapping. `problems` are "line L, column C: what; what to do"."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def read_document(text: str | bytes) -> dict[str, object]:
    """The one mapping that the text holds. Raises DocumentInvalid with every problem found.

    Reading goes on after a repeated key or a tag; it stops where the syntax breaks or a bound is
    reached.
    """
    import yaml

    if len(text) > MAX_BYTES:
        limit = f"is larger than {MAX_BYTES:,} bytes; a contract is a short text, split it"
        raise DocumentInvalid([f"(file): {limit}"])
    reader = _Reader(yaml.parse(text, Loader=yaml.SafeLoader))
    try:
        value = reader.read()
    except _Stop:
        raise DocumentInvalid(reader.problems) from None
    except yaml.YAMLError as error:
        raise DocumentInvalid([*reader.problems, _explain_syntax(error)]) from None
    if not isinstance(value, dict):
        found = "is empty" if value is None else "is not a mapping"
        remedy = "start it with `apiVersion: v3.1.0` and `kind: DataContract`"
        reader.problems.append(f"(file): {found}; {remedy}")
    if reader.problems or not isinstance(value, dict):
        raise DocumentInvalid(reader.problems)
    return value


class _Mark(Protocol):
    line: int
    column: int


class _Stop(Exception):
    """A bound was reached: `problems` says which."""


class _Reader:
    """Builds values from the parser's events, one call of `_value` per nesting level."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self.problems: list[str] = []
        self._events = events
        self._anchors: dict[str, tuple[object, int] | None] = {}  # None: still being read
        self._values = 0

    def read(self) -> object:
        import yaml

        value: object = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop(event, "a second document starts; keep one contract per file")
                value = self._value(next(self._events), 0)
        return value

    def _value(self, event: yaml.Event, depth: int) -> object:
        import yaml

        if depth > MAX_DEPTH:
            self._stop(event, f"is nested deeper than {MAX_DEPTH} levels; flatten it")
        before = self._values
        self._count(event, 1)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = None
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._add(event, f"the tag {_shorten(tag)!r} is not read; remove it")
        if isinstance(event, yaml.MappingStartEvent):
            value: object = self._mapping(depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(depth)
        else:
            assert isinstance(event, yaml.ScalarEvent)
            value = self._scalar(event)
        if anchor is not None:
            self._anchors[anchor] = (value, self._values - before)
        return value

    def _alias(self, event: yaml.AliasEvent) -> object:
        name = event.anchor or ""
        if name not in self._anchors:
            self._stop(event, f"the alias *{_shorten(name)} has no anchor; write &{name} first")
        known = self._anchors[name]
        if known is None:
            self._stop(event, f"the alias *{_shorten(name)} contains itself; remove it")
        value, size = known
        self._count(event, size)
        return value

    def _mapping(self, depth: int) -> dict[str, object]:
        import yaml

        mapping: dict[str, object] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._value(event, depth + 1)
            value = self._value(next(self._events), depth + 1)
            if not isinstance(key, str):
                self._add(event, f"the key {_shorten(key)} is not text; put it in quotes")
            elif key == "<<" and getattr(event, "style", None) is None:
                self._add(event, "merge keys (<<) are not read; write the keys out")
            elif key in mapping:
                first = f"the key {_shorten(key)!r} appears twice (first in line {lines[key]})"
                self._add(event, f"{first}; remove one of them")
            else:
                mapping[key] = value
                lines[key] = event.start_mark.line + 1 if event.start_mark else 0
        return mapping

    def _sequence(self, depth: int) -> list[object]:
        import yaml

        items: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        text: str = event.value
        if _UNSTORABLE.search(text):
            self._add(
                event, "holds a NUL or half a surrogate pair, which no store keeps; remove it"
            )
            return None
        if event.style is not None or not event.implicit[0]:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if not _FLOAT.fullmatch(text):
            return text
        number = float(text)
        if not math.isfinite(number) or Decimal(text) != Decimal(repr(number)):
            what = f"the number {_shorten(text)} has more digits than can be kept"
            self._add(event, f"{what}; shorten it to 15 significant digits")
        return number

    def _count(self, event: yaml.Event, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            what = f"holds more than {MAX_VALUES:,} values once its aliases are expanded"
            self._stop(event, f"{what}; write less")

    def _add(self, event: yaml.Event, problem: str) -> None:
        self.problems.append(f"{_place(event.start_mark)}: {problem}")

    def _stop(self, event: yaml.Event, problem: str) -> NoReturn:
        self._add(event, problem)
        raise _Stop


def _place(mark: _Mark | None) -> str:
    return "(file)" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _explain_syntax(error: yaml.YAMLError) -> str:
    import yaml

    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        context = f" ({error.context})" if error.context else ""
        what = f"{_place(error.problem_mark)}: is not valid YAML: {error.problem}{context}"
        return f"{what}; correct the line or the one above it"
    if isinstance(error, yaml.reader.ReaderError):
        what = f"(file): the character at position {error.position} cannot be read: {error.reason}"
        return f"{what}; save the file as UTF-8"
    return f"(file): is not valid YAML: {error}; correct it"
