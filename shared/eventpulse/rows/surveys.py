"""What stands in the columns of a file without a contract, counted over all rows in one pass.

Memory is bounded by a batch, and by the few columns and rows among which a key is sought. A
type is tried until too many values do not have it; a date format until one does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.contract import Field, LogicalType
from eventpulse.drift.drafts import NEARLY, NULL_MARKERS, SCALARS, ColumnSurvey, FileSurvey
from eventpulse.formats import Reader, TextBatch, slice_batch
from eventpulse.formats.repeated import spell_out
from eventpulse.rows.casting import cast_text, to_mask
from eventpulse.rows.keys import KeyHash, KeyIndex
from eventpulse.rows.readings import DATE_FORMATS

SURVEYED_ROWS = 16_384
"""Rows that are looked at together; a composite key is sought among the first so many."""

PATIENCE = 1_000
"""Cells after which a type that most of them do not have is tried no more."""

MOST_KEYS = 3
MOST_KEY_ROWS = 2_000_000
"""Where the search for keys ends: twice so many candidates of so many rows take half a GiB."""

MOST_KEY_COLUMNS = 12
LARGEST_KEY = 4

Counts = npt.NDArray[np.int64]

_MARKERS = pa.array(NULL_MARKERS, pa.string())
_LEADING_ZERO = r"^[+-]?0[0-9]+$"
_ARRAY = r"^\s*\["
_WHOLE = r"^[+-]?[0-9]+$"
_DECIMAL_COMMA = r"^[+-]?[0-9]+,[0-9]+$"


def survey_file(reader: Reader) -> FileSurvey:
    """Count a file's columns. Raises FileUnreadable where the file breaks off."""
    surveyors = [_Surveyor(header) for header in reader.header]
    keys = _KeySearch(len(reader.header))
    rows = malformed = 0
    remedies: dict[str, None] = {}
    for batch in reader:
        malformed += len(batch.malformed)
        remedies |= dict.fromkeys(row.remedy for row in batch.malformed)
        for piece in slice_batch(batch, SURVEYED_ROWS):
            for surveyor, text in zip(surveyors, piece.columns, strict=True):
                surveyor.add(text)
            keys.add(piece)
            rows += len(piece.records)
    columns = [each.column for each in surveyors]
    return FileSurvey(
        rows,
        columns,
        dict(reader.dialect),  # type: ignore[arg-type]
        keys.found,
        malformed,
        list(remedies),
        keys_sought=rows <= MOST_KEY_ROWS,
    )


class _Surveyor:
    """Counts one column."""

    def __init__(self, header: str) -> None:
        self.column = ColumnSurvey(header)
        self._types: list[LogicalType] = [*SCALARS, "object"]
        self._formats: list[str] | None = None

    def add(self, text: pa.Array) -> None:
        """The next cells; texts that come as a dictionary array are looked at once each, and no
        cell counts as an empty one."""
        found = self.column.markers
        if text.null_count:
            found[""] = found.get("", 0) + text.null_count
        texts, counts = _count_texts(text.drop_null())
        marked = to_mask(pc.is_in(texts, value_set=_MARKERS))
        if marked.any():
            for each, count in zip(texts.filter(marked).to_pylist(), counts[marked], strict=True):
                found[each] = found.get(each, 0) + int(count)
            texts, counts = texts.filter(~marked), counts[~marked]
        if not len(texts):
            return
        column = self.column
        column.cells += int(counts.sum())
        column.longest = max(column.longest, pc.max(pc.utf8_length(texts)).as_py())
        column.whole_numbers += _count(texts, counts, _WHOLE)
        column.leading_zeros += _count(texts, counts, _LEADING_ZERO)
        column.decimal_commas += _count(texts, counts, _DECIMAL_COMMA)
        column.arrays += _count(texts, counts, _ARRAY)
        self._try_types(texts, counts)
        self._try_formats(texts)

    def _try_types(self, texts: pa.Array, counts: Counts) -> None:
        column = self.column
        for kind in list(self._types):
            _, mistyped = cast_text(Field("survey", type=kind), texts)
            read = column.fits.get(kind, 0) + int(counts[~mistyped].sum())
            column.fits[kind] = read
            if column.cells >= PATIENCE and read < NEARLY * column.cells:
                self._types.remove(kind)
                del column.fits[kind]

    def _try_formats(self, texts: pa.Array) -> None:
        if self._formats is None:
            some = pc.utf8_trim_whitespace(pc.unique(texts[:50]))
            self._formats = [each for each in DATE_FORMATS if _has_form(each, some)]
        for each in list(self._formats):
            if _reads_all(each, texts):
                self.column.formats[each] = self.column.cells
            else:
                self._formats.remove(each)
                self.column.formats.pop(each, None)


def _count_texts(text: pa.Array) -> tuple[pa.Array, Counts]:
    """Texts, and how many cells have each."""
    if not pa.types.is_dictionary(text.type):
        return text, np.ones(len(text), np.int64)
    places = text.indices.to_numpy(zero_copy_only=False)
    counts = np.bincount(places, minlength=len(text.dictionary))
    there = counts > 0
    return text.dictionary.filter(there), counts[there]


def _has_form(declared: str, text: pa.Array) -> bool:
    """Whether each has the format's form, though perhaps of no real day: a cheap look at first."""
    read = pc.strptime(text, format=declared, unit="us", error_is_null=True)
    return bool(read.null_count == text.null_count)


def _reads_all(declared: str, text: pa.Array) -> bool:
    reading = Field("survey", type="timestamp", formats=(declared,))
    return not cast_text(reading, text)[1].any()


def _count(texts: pa.Array, counts: Counts, pattern: str) -> int:
    return int(counts[to_mask(pc.match_substring_regex(texts, pattern))].sum())


# --- Keys ----------------------------------------------------------------------------------------


class _KeySearch:
    """Sets of columns that are there and different in every row so far.

    Candidates come from the first piece: the single columns, and the smallest composites that hold
    none of these. Each is then followed through all rows.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._indexes: dict[tuple[int, ...], tuple[KeyHash, KeyIndex]] | None = None
        self._rows = 0

    @property
    def found(self) -> list[tuple[int, ...]]:
        if self._rows < 2:
            return []
        found = sorted(self._indexes or {}, key=lambda key: (len(key), key))
        shortest = [set(key) for key in found]
        return [key for key in found if not any(other < set(key) for other in shortest)]

    def add(self, piece: TextBatch) -> None:
        rows = len(piece.records)
        if not rows:
            return
        if self._indexes is None:
            candidates = _find_candidates([spell_out(column) for column in piece.columns])
            self._indexes = {key: (KeyHash(len(key)), KeyIndex()) for key in candidates}
        self._rows += rows
        if self._rows > MOST_KEY_ROWS:
            self._indexes = {}
        everything = np.ones(rows, dtype=bool)
        for key, (hashing, index) in list(self._indexes.items()):
            columns = [spell_out(piece.columns[at]) for at in key]
            prints = hashing.fingerprint(columns)
            if any(map(_has_gaps, columns)) or index.find_repeated(prints, everything).any():
                del self._indexes[key]


def _find_candidates(columns: Sequence[pa.Array]) -> Iterator[tuple[int, ...]]:
    rows = len(columns[0])
    filled = [at for at, each in enumerate(columns) if not _has_gaps(each)]
    codes = {at: _encode(columns[at]) for at in filled}
    counted = [at for at in filled if not _is_measure(columns[at])]
    single = [at for at in counted if _is_unique(codes[at], rows)]
    yield from ((at,) for at in single[:MOST_KEYS])
    parts = [at for at in counted if at not in single and len(np.unique(codes[at])) > 1]
    yield from _find_composites(parts[:MOST_KEY_COLUMNS], codes, rows)


def _find_composites(
    parts: Sequence[int], codes: dict[int, npt.NDArray[np.int64]], rows: int
) -> Iterable[tuple[int, ...]]:
    """The smallest sets of at least two columns that tell the rows apart together."""
    for size in range(2, LARGEST_KEY + 1):
        found = []
        for key in combinations(parts, size):
            joined = codes[key[0]]
            for at in key[1:]:
                joined = np.unique(joined * (codes[at].max() + 1) + codes[at], return_inverse=True)[
                    1
                ]
            if _is_unique(joined, rows):
                found.append(key)
        if found:
            return found[:MOST_KEYS]
    return []


def _encode(text: pa.Array) -> npt.NDArray[np.int64]:
    codes: npt.NDArray[np.int64] = (
        text.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    )
    return codes


def _is_unique(codes: npt.NDArray[np.int64], rows: int) -> bool:
    return len(np.unique(codes)) == rows


def _has_gaps(text: pa.Array) -> bool:
    return bool(pc.any(pc.is_in(text, value_set=_MARKERS)).as_py()) or text.null_count > 0


def _is_measure(text: pa.Array) -> bool:
    """Whether a column holds fractions: two measurements may be equal at any time."""
    _, mistyped = cast_text(Field("survey", type="number"), text)
    whole = to_mask(pc.match_substring_regex(text, _WHOLE))
    return not mistyped.any() and not whole.all()
