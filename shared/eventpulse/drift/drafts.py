"""A contract for a dataset that nobody has described yet, from what its file holds. Pure.

`surveys` counts what stands in every column over all rows; this decides what a contract may say of
it. Nothing is guessed: a type is declared only when every value has it and nothing else could be
meant, otherwise the column is text and its description names the readings that are left. The draft
loads the file that it was made from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from eventpulse.contracts.contract import LogicalType
from eventpulse.drift.verdict import column_name
from eventpulse.ports import Json

NULL_MARKERS = (
    "",
    "NA",
    "N/A",
    "n/a",
    "NULL",
    "Null",
    "null",
    "None",
    "NaN",
    "nan",
    "-",
    "--",
    "?",
    "#N/A",
    "\\N",
)
"""Texts that may stand for no value. One counts when it is all that keeps a column from a type."""

SCALARS: tuple[LogicalType, ...] = ("boolean", "integer", "number", "date", "timestamp", "time")
"""The types that a draft declares, in the order in which they are tried; then object and array."""

NEARLY = 0.95
"""From this share of fitting values on, a text column's description says what it nearly is."""

DIALECT_PROPERTIES: Mapping[str, str] = {
    "delimiter": "delimiter",
    "quote": "quote",
    "encoding": "encoding",
    "header_row": "headerRow",
    "comment": "comment",
    "sheet": "sheet",
}
_USUAL: Mapping[str, Json] = {"quote": '"', "header_row": 1}


@dataclass
class ColumnSurvey:
    """What stands in one column: `cells` have a text that is no null marker. `fits` counts those
    that each type admits, `formats` those that each strptime format reads."""

    header: str
    cells: int = 0
    fits: dict[LogicalType, int] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    markers: dict[str, int] = field(default_factory=dict)
    whole_numbers: int = 0
    leading_zeros: int = 0
    decimal_commas: int = 0
    arrays: int = 0
    longest: int = 0


@dataclass
class FileSurvey:
    """`keys` are sets of columns (by position) whose values together are there and different in
    every row, the smallest first; of a file with very many rows none is sought. `remedies` say what
    to do about malformed rows, each once."""

    rows: int
    columns: Sequence[ColumnSurvey]
    dialect: Mapping[str, Json]
    keys: Sequence[tuple[int, ...]] = ()
    malformed: int = 0
    remedies: Sequence[str] = ()
    keys_sought: bool = True


@dataclass(frozen=True, slots=True)
class DraftColumn:
    """One property of the draft. `notes` say what was found and what is left to decide."""

    name: str
    header: str
    type: LogicalType
    formats: tuple[str, ...] = ()
    key_position: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A contract that was inferred from one file."""

    dataset: str
    object: str
    path_pattern: str
    rows: int
    columns: tuple[DraftColumn, ...]
    null_markers: tuple[str, ...]
    dialect: Mapping[str, Json]
    notes: tuple[str, ...] = ()

    @property
    def structure(self) -> list[Json]:
        """What files of one kind have in common: not their notes, nor how many rows they have."""
        columns: list[Json] = [
            [c.name, c.header, c.type, list(c.formats), c.key_position] for c in self.columns
        ]
        dialect: list[Json] = [[name, value] for name, value in sorted(self.dialect.items())]
        return [self.dataset, self.path_pattern, columns, list(self.null_markers), dialect]


def draft_contract(survey: FileSurvey, name: str, taken: Iterable[str] = ()) -> Draft | None:
    """The draft for the object `name`; None when no column has a name. `taken` datasets exist."""
    dataset, pattern = name_dataset(name, taken)
    named = _name_columns(survey.columns)
    if not named:
        return None
    found = {at: _find_type(survey.columns[at]) for at in named}
    markers = {
        marker
        for at, (type_, _, _) in found.items()
        if type_ != "string" or not survey.columns[at].cells
        for marker in survey.columns[at].markers
    }
    null_markers = ("", *sorted(markers - {""}))
    key = _choose_key(survey, named, found, null_markers)
    columns = tuple(
        DraftColumn(
            name=named[at],
            header=survey.columns[at].header,
            type=type_,
            formats=formats,
            key_position=key.index(at) + 1 if at in key else None,
            notes=(*notes, *_note_markers(survey.columns[at], type_, null_markers)),
        )
        for at, (type_, formats, notes) in found.items()
    )
    return Draft(
        dataset=dataset,
        object=name,
        path_pattern=pattern,
        rows=survey.rows,
        columns=columns,
        null_markers=null_markers,
        dialect=_declare_dialect(survey.dialect),
        notes=tuple(_note_file(survey, named, key)),
    )


def name_dataset(name: str, taken: Iterable[str] = ()) -> tuple[str, str]:
    """The dataset's name and path pattern: the first folder, or the whole name of an object that
    stands in none. A name that another dataset has is numbered."""
    folder, slash, _ = name.partition("/")
    base = folder if slash else PurePosixPath(name.removesuffix(".gz")).stem
    wanted = column_name(base)[:50]
    dataset, number = wanted, 2
    while dataset in set(taken):
        dataset, number = f"{wanted}_{number}", number + 1
    return dataset, f"{_escape(folder)}/*" if slash else _escape(name)


def _escape(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)


def _name_columns(columns: Sequence[ColumnSurvey]) -> dict[int, str]:
    """A name for each column that the file names, by position. Of two headers that differ in case
    only, the second cannot stand in one contract with the first."""
    names: dict[int, str] = {}
    headers: set[str] = set()
    for at, each in enumerate(columns):
        base, number = column_name(each.header), 2
        name = base
        while name in names.values():
            name, number = f"{base[:56]}_{number}", number + 1
        if not each.header or {each.header.casefold(), name} & headers:
            continue
        headers |= {each.header.casefold(), name}
        names[at] = name
    return names


# --- Types ---------------------------------------------------------------------------------------

_Found = tuple[LogicalType, tuple[str, ...], tuple[str, ...]]


def _find_type(column: ColumnSurvey) -> _Found:
    """The type, its formats, and notes."""
    cells = column.cells
    if not cells:
        return "string", (), ("No value was found: its type is open.",)
    if column.leading_zeros:
        return "string", (), ("Digits with leading zeros, which are kept as they stand.",)
    if column.whole_numbers == cells and column.fits.get("integer", 0) < cells:
        return "string", (), ("Whole numbers beyond 64 bits, which are kept as they stand.",)
    for kind in SCALARS:
        if column.fits.get(kind, 0) == cells:
            return kind, (), ()
    if column.fits.get("object", 0) == cells and column.arrays in (0, cells):
        return ("array" if column.arrays else "object"), (), ()
    formats = [each for each, read in column.formats.items() if read == cells]
    # The engine reads short names of months by the format for full ones too.
    formats = [f for f in formats if "%B" not in f or f.replace("%B", "%b") not in formats]
    if formats:
        return _judge_formats(formats)
    return "string", (), tuple(_note_near(column))


def _judge_formats(formats: Sequence[str]) -> _Found:
    listed = " or ".join(formats)
    if len(formats) > 1:
        note = (
            f"Ambiguous: every value reads as {listed}. Declare the type and one of them as "
            "dateFormats when you know which it is."
        )
        return "string", (), (note,)
    if "%H" not in listed and "%I" not in listed:
        return "date", tuple(formats), ()
    if "%z" in listed:
        return "timestamp", tuple(formats), ()
    note = (
        f"Every value reads as {listed}, a time without its zone. If it is UTC, declare a "
        "timestamp with that as dateFormats."
    )
    return "string", (), (note,)


def _note_near(column: ColumnSurvey) -> Iterable[str]:
    if column.decimal_commas and column.decimal_commas + column.whole_numbers == column.cells:
        yield (
            "Every value reads as a number with a decimal comma, or with commas between thousands. "
            'Declare a number, and decimalMark "," for the dataset, when it is the former.'
        )
    for kind in SCALARS:
        read = column.fits.get(kind, 0)
        if NEARLY * column.cells <= read < column.cells:
            yield (
                f"{read} of {column.cells} values read as {kind}; the others would be refused if "
                "it was declared so."
            )
            return


# --- Keys, markers, dialect ----------------------------------------------------------------------

_IDENTIFIES = re.compile(
    r"(^|_)(id|key|code|no|nr|num|number|uuid|guid|sku|seq|ref|serial|isbn|ean|vin)$|^(id|uuid)_"
)


def _choose_key(
    survey: FileSurvey,
    named: Mapping[int, str],
    found: Mapping[int, _Found],
    null_markers: Sequence[str],
) -> tuple[int, ...]:
    """The columns to key by, of those found to tell rows apart; none when that may be chance.

    A single column has to look like one that identifies: it stands first, or says so by its name.
    """
    usable = [
        key
        for key in survey.keys
        if all(at in named and found[at][0] not in ("number", "boolean", "time") for at in key)
        and not any(survey.columns[at].markers.get(m) for at in key for m in null_markers)
    ]
    single = [key[0] for key in usable if len(key) == 1]
    for at in single:
        if _IDENTIFIES.search(named[at]):
            return (at,)
    if 0 in single and found[0][0] in ("string", "integer"):
        return (0,)
    composite = [key for key in usable if len(key) > 1]
    return composite[0] if len(composite) == 1 and not single else ()


def _note_markers(
    column: ColumnSurvey, type_: LogicalType, null_markers: Sequence[str]
) -> Iterable[str]:
    hidden = [each for each in null_markers if each and column.markers.get(each)]
    if hidden and type_ == "string" and column.cells:
        yield f"{' and '.join(map(repr, hidden))} means no value here too, as in other columns."


def _note_file(survey: FileSurvey, named: Mapping[int, str], key: tuple[int, ...]) -> Iterable[str]:
    yield f"Drafted from {survey.rows} rows."
    if survey.malformed:
        yield " ".join(
            [f"{survey.malformed} records could not be split into columns.", *survey.remedies]
        )
    if key:
        yield f"Key: {_list(named, key)} is different in every row."
    others = [each for each in survey.keys if each != key and all(at in named for at in each)]
    if others:
        listed = "; ".join(_list(named, each) for each in others[:5])
        yield f"{'Other' if key else 'Possible'} keys, different in every row too: {listed}."
    if not survey.keys_sought:
        yield "It has too many rows to look for a key."
    left = [each.header for at, each in enumerate(survey.columns) if at not in named]
    if left:
        yield f"Left out, having no name of their own: {len(left)} columns."


def _list(named: Mapping[int, str], key: tuple[int, ...]) -> str:
    return " + ".join(named[at] for at in key)


def _declare_dialect(dialect: Mapping[str, Json]) -> dict[str, Json]:
    """Not the format, which the file's extension says, nor the sheet of a workbook with one: the
    next file's may be called otherwise."""
    sheets = dialect.get("sheets")
    single = isinstance(sheets, list) and len(sheets) == 1
    return {
        declared: dialect[name]
        for name, declared in DIALECT_PROPERTIES.items()
        if name in dialect
        and dialect[name] != _USUAL.get(name)
        and not (single and name == "sheet")
    }
