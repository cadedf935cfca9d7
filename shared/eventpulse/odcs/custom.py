"""The custom properties that EventPulse reads: what ODCS has no word for.

`contracts/README.md` documents each one with an example. A property is either absent, of the type
that its table names, or a problem; one that names another `vendor` is that vendor's and left alone.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, get_args

from open_data_contract_standard.model import CustomProperty

from eventpulse.contracts.contract import (
    DRIFT_KINDS,
    DRIFT_MODES,
    DRIFT_PRESETS,
    Dialect,
    DriftKind,
    DriftMode,
    FileFormat,
)
from eventpulse.odcs.fleet import FLEET_FIELD_PROPERTIES, FLEET_SCHEMA_PROPERTIES
from eventpulse.odcs.problems import (
    Problems,
    Refused,
    describe_value,
    join_path,
    label_items,
    list_words,
    suggest_name,
)

VENDOR = "eventpulse"
FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)


@dataclass(frozen=True, slots=True)
class _Expected:
    """A parser that wants one of a closed list of words."""

    words: Sequence[str]

    def __call__(self, value: object) -> str:
        if isinstance(value, str) and value in self.words:
            return value
        raise Refused(f"is {describe_value(value)}", f"say {list_words(self.words)}")


def _parse_character(value: object) -> str:
    if isinstance(value, str) and len(value) == 1 and value.isascii() and value not in "\r\n\0":
        return value
    raise Refused(f"is {describe_value(value)}", 'give one ASCII character in quotes, such as ";"')


def _parse_encoding(value: object) -> str:
    try:
        found = codecs.lookup(value) if isinstance(value, str) else None
        # Codecs that are no text encodings (base64, zip …) fail here rather than on the first file.
        if found is not None and "".encode(found.name) is not None:
            return found.name
    except (LookupError, ValueError):
        pass
    raise Refused(
        f"is {describe_value(value)}, which is no text encoding",
        "name one, such as utf-8, utf-16, cp1252 or iso8859-15",
    )


def _parse_text(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise Refused(f"is {describe_value(value)}", "give a text that is not blank")


def _parse_row(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000:
        return value
    raise Refused(f"is {describe_value(value)}", "give the header's row number, 1 to 10000")


def _parse_percent(value: object) -> float:
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 <= value <= 100
    ):
        return float(value)
    raise Refused(f"is {describe_value(value)}", "give a number from 0 to 100")


def _parse_texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise Refused(f"is {describe_value(value)}", "give a list of at least one text")
    for item in value:
        if not isinstance(item, str):
            raise Refused(f"holds {describe_value(item)}", "put every item in quotes")
    if len(set(value)) != len(value):
        raise Refused("holds the same text twice", "keep it once")
    return tuple(value)


def _parse_names(value: object) -> tuple[str, ...]:
    names = _parse_texts(value)
    for name in names:
        if name != name.strip() or not name:
            raise Refused(
                f"holds {describe_value(name)}",
                "give names that are not blank and have no white space around them",
            )
    return names


def _parse_patterns(value: object) -> tuple[str, ...]:
    patterns = _parse_texts(value)
    for pattern in patterns:
        if not pattern or pattern.startswith("/") or len(pattern.encode()) > 1024:
            raise Refused(
                f"holds {describe_value(pattern)}",
                "give patterns of object names, such as weather/*.csv, that do not start with /",
            )
    return patterns


def _parse_drift(value: object) -> Mapping[DriftKind, DriftMode]:
    words = (*DRIFT_PRESETS, *DRIFT_MODES)
    if isinstance(value, str) and value in DRIFT_PRESETS:
        return DRIFT_PRESETS[value]
    if not isinstance(value, Mapping):
        presets = list_words(DRIFT_PRESETS)
        raise Refused(
            f"is {describe_value(value)}", f"say {presets}, or map kinds of change to modes"
        )
    policy = dict(DRIFT_PRESETS["warn"])
    for name, mode in value.items():
        kind = next((k for k in DRIFT_KINDS if k == name), None)
        if kind is None:
            raise Refused(
                f"names {describe_value(name)}, which is no kind of change",
                f"known are {list_words(DRIFT_KINDS, 'and')}",
            )
        known = next((m for m in DRIFT_MODES if m == mode), None)
        if isinstance(mode, str) and mode in DRIFT_PRESETS:
            policy[kind] = DRIFT_PRESETS[mode][kind]
        elif known is not None:
            policy[kind] = known
        else:
            raise Refused(
                f"gives {kind} {describe_value(mode)}, which is no mode",
                f"known are {list_words(words, 'and')}",
            )
    return policy


Parser = Callable[[object], Any]
SCHEMA_PROPERTIES: Mapping[str, Parser] = {
    "format": _Expected(FORMATS),
    "delimiter": _parse_character,
    "quote": _parse_character,
    "escape": _parse_character,
    "encoding": _parse_encoding,
    "nullMarkers": _parse_texts,
    "decimalMark": _Expected((".", ",")),
    "headerRow": _parse_row,
    "comment": _parse_character,
    "sheet": _parse_text,
    "pathPatterns": _parse_patterns,
    "orderingColumn": _parse_text,
    "driftPolicy": _parse_drift,
    "maxInvalidPercent": _parse_percent,
    **FLEET_SCHEMA_PROPERTIES,
}
FIELD_PROPERTIES: Mapping[str, Parser] = {
    "aliases": _parse_names,
    "dateFormats": _parse_texts,
    **FLEET_FIELD_PROPERTIES,
}
CONTRACT_PROPERTIES: Mapping[str, Parser] = {}
"""None: what concerns a dataset stands at its schema object."""

_ONLY_FOR: Mapping[str, tuple[FileFormat, ...]] = {
    "delimiter": ("csv",),
    "quote": ("csv",),
    "escape": ("csv",),
    "encoding": ("csv", "ndjson"),
    "comment": ("csv",),
    "decimalMark": ("csv", "xlsx"),
    "headerRow": ("csv", "xlsx"),
    "sheet": ("xlsx",),
}
_LEVELS: Mapping[str, Mapping[str, Parser]] = {
    "the schema object": SCHEMA_PROPERTIES,
    "a property": FIELD_PROPERTIES,
}


def read_custom_properties(
    declared: Sequence[CustomProperty] | None,
    known: Mapping[str, Parser],
    path: str,
    problems: Problems,
) -> dict[str, Any]:
    """The parsed values by name. Names that EventPulse does not know here are problems."""
    path = join_path(path, "customProperties")
    items = [item.model_dump() for item in declared or ()]
    values: dict[str, Any] = {}
    for item, here in zip(declared or (), label_items(path, items), strict=True):
        name = item.property
        if item.vendor is not None and item.vendor != VENDOR:
            continue
        if name is None:
            if not problems.concern(join_path(here, "property")):
                problems.add(here, "has no `property`", "name the custom property")
        elif name not in known:
            problems.add(here, *_explain_unknown(name, known))
        elif name in values:
            problems.add(here, f"the custom property {name} appears twice", "keep one of them")
        else:
            values[name] = None
            try:
                values[name] = known[name](item.value)
            except Refused as refused:
                problems.add(join_path(here, "value"), refused.what, refused.remedy)
    return {name: value for name, value in values.items() if value is not None}


def _explain_unknown(name: str, known: Mapping[str, Parser]) -> tuple[str, str]:
    what = "is no custom property that EventPulse reads here"
    for level, names in _LEVELS.items():
        if name in names:
            return what, f"move it to the customProperties of {level}"
    close = suggest_name(name, known)
    if close is not None:
        return what, f"did you mean `{close}`?"
    return what, "remove it, or name the `vendor` whose it is"


def read_dialect(values: Mapping[str, Any], path: str, problems: Problems) -> Dialect:
    """How the files are written; contradictions between the properties are problems."""
    declared = values.get("format")
    for name, formats in _ONLY_FOR.items():
        if name in values and declared is not None and declared not in formats:
            here = f"{join_path(path, 'customProperties')}[{name}]"
            problems.add(here, f"has no meaning in {declared} files", "remove it")
    defaults = Dialect()
    dialect = Dialect(
        format=declared,
        delimiter=values.get("delimiter"),
        quote=values.get("quote", defaults.quote),
        escape=values.get("escape"),
        encoding=values.get("encoding"),
        null_markers=values.get("nullMarkers", defaults.null_markers),
        decimal_mark=values.get("decimalMark", defaults.decimal_mark),
        header_row=values.get("headerRow", defaults.header_row),
        comment=values.get("comment"),
        sheet=values.get("sheet"),
    )
    characters = {
        "quote": dialect.quote,
        "escape": dialect.escape,
        "delimiter": dialect.delimiter,
        "comment": dialect.comment,
    }
    for first, second in combinations(characters, 2):
        if characters[first] is not None and characters[first] == characters[second]:
            name = second if second in values else first
            here = f"{join_path(path, 'customProperties')}[{name}]"
            problems.add(here, f"{first} and {second} are the same character", "use different ones")
    return dialect
