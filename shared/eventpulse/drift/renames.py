"""Which new column of a file is a missing one under another header, and why. Pure.

A column is taken for another when its name says so and its values do not deny it, or its values say
so and nothing else could be meant. A proposal that is wrong costs more than one that is missing: an
operator sees both columns either way, but a wrong rename joins two columns in one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from eventpulse.drift.accepted_schema import Rename
from eventpulse.drift.sketches import ColumnSketch, compare_sketches

LEAST_SCORE = 0.62
"""From this score on, a rename is proposed; tests measure what that gets right."""

LEAST_LEAD = 0.06
"""How much better than the next best the best match of both columns has to be."""

_NAME_ALONE = 0.8
"""From this similarity on, names decide when there are no values to compare."""

_LIKE_VALUES, _VALUES_ALONE = 0.85, 0.72
"""From this likeness on, values decide whatever the names are, at this share of their likeness."""

_SAME_WORDS = 0.95
"""What headers are worth that differ in case and separators alone."""

_APART = 0.5
"""Below this, numbers lie elsewhere, and values are others."""

_WEIGHTS: Mapping[str, float] = {
    "overlap": 3.0,
    "distribution": 2.0,
    "shapes": 1.0,
    "filled": 0.5,
}
_SAME_KIND: tuple[frozenset[str], ...] = (frozenset({"integer", "number"}),)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
SYNONYMS: tuple[frozenset[str], ...] = tuple(
    frozenset(words.split())
    for words in (
        "no nr num number",
        "id identifier key",
        "qty quantity count",
        "amt amount",
        "temp temperature",
        "hum humid humidity",
        "lat latitude",
        "lon lng long longitude",
        "alt altitude elevation elev",
        "dep departure",
        "arr arrival",
        "dest destination",
        "orig origin",
        "dir direction",
        "dist distance",
        "precip precipitation rain",
        "vis visib visibility",
        "dewp dewpoint",
        "tz timezone",
        "mfr manufacturer maker make",
        "addr address",
        "desc description",
        "ts timestamp time",
        "dt date day",
        "yr year",
        "mon month",
        "hr hour",
        "min minute",
        "volt voltage",
        "batt battery",
        "dev device",
        "seq sequence",
        "price cost",
        "town city",
        "name title",
    )
)
"""Words that mean the same in a header."""


def find_renames(
    missing: Mapping[str, Sequence[str]],
    unknown: Sequence[str],
    accepted: Mapping[str, ColumnSketch],
    found: Mapping[str, ColumnSketch],
) -> list[Rename]:
    """The renames that names and values speak for.

    `missing` maps columns to the names under which files carry them; `accepted` are the sketches of
    the last accepted schema by column, `found` those of the file by header. A column and a header
    are matched when each is clearly the best for the other.
    """
    scored = {
        (column, header): _score(column, names, header, accepted.get(column), found.get(header))
        for column, names in missing.items()
        for header in unknown
    }
    renames = []
    for (column, header), match in scored.items():
        rivals = [other.score for (c, h), other in scored.items() if (c == column) != (h == header)]
        if match.score >= LEAST_SCORE and match.score >= max(rivals, default=0.0) + LEAST_LEAD:
            evidence = {name: round(float(value), 2) for name, value in match.evidence.items()}
            renames.append(
                Rename(
                    column=column,
                    header=header,
                    score=round(match.score, 2),
                    evidence=evidence,
                )
            )
    return renames


@dataclass(frozen=True, slots=True)
class _Match:
    score: float
    evidence: Mapping[str, float]


def _score(
    column: str,
    names: Sequence[str],
    header: str,
    accepted: ColumnSketch | None,
    found: ColumnSketch | None,
) -> _Match:
    name = max(compare_names(each, header) for each in (column, *names))
    evidence = {"name": name}
    if accepted is None or found is None or not accepted.cells or not found.cells:
        return _Match(name if name >= _NAME_ALONE else 0.0, evidence)
    if not _is_same_kind(accepted.kind, found.kind):
        return _Match(0.0, evidence)
    compared = compare_sketches(accepted, found)
    evidence |= compared
    weight = sum(_WEIGHTS[each] for each in compared)
    values = sum(_WEIGHTS[each] * value for each, value in compared.items()) / weight
    evidence["values"] = values
    told = "overlap" in compared or "distribution" in compared
    if not told:  # only patterns: names have to carry it
        return _Match(0.7 * name + 0.3 * values, evidence)
    if split_words(header) in [split_words(each) for each in (column, *names)]:
        return _Match(max(_SAME_WORDS, values), evidence)
    if compared.get("distribution", 1.0) < _APART and compared.get("overlap", 0.0) < _APART:
        return _Match(0.5 * name, evidence)  # as of another unit, or another thing
    alone = _VALUES_ALONE * values if values >= _LIKE_VALUES else 0.0
    return _Match(max(0.45 * name + 0.55 * values, alone), evidence)


def _is_same_kind(one: str, other: str) -> bool:
    return one == other or any({one, other} <= kinds for kinds in _SAME_KIND)


# --- Names ---------------------------------------------------------------------------------------


def compare_names(one: str, other: str) -> float:
    """How alike two headers are, from 0 to 1: by their words, and by their letters."""
    mine, theirs = split_words(one), split_words(other)
    if not mine or not theirs:
        return 0.0
    words = _compare_words(mine, theirs)
    letters = SequenceMatcher(None, "".join(mine), "".join(theirs), autojunk=False).ratio()
    return max(words, letters if letters >= 0.75 else 0.6 * letters)


def split_words(header: str) -> list[str]:
    """The words of a header, in lower case: `depDelay`, `DEP_DELAY` and `dep delay` are alike."""
    return [word.lower() for word in _WORD.findall(header)]


def _compare_words(mine: Sequence[str], theirs: Sequence[str]) -> float:
    """The share of words that have a like on the other side, each counted once."""
    left = list(theirs)
    total = 0.0
    for word in mine:
        best, at = 0.0, -1
        for index, other in enumerate(left):
            likeness = _compare_word(word, other)
            if likeness > best:
                best, at = likeness, index
        if at >= 0 and best >= 0.5:
            total += best
            del left[at]
    return 2.0 * total / (len(mine) + len(theirs))


def _compare_word(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if any(one in words and other in words for words in SYNONYMS):
        return 0.95
    short, long = sorted((one, other), key=len)
    if len(short) >= 3 and long.startswith(short):
        return 0.9
    if len(short) >= 3 and short[0] == long[0] and _is_within(short, long):
        return 0.8
    ratio = SequenceMatcher(None, one, other, autojunk=False).ratio()
    return ratio if ratio >= 0.75 else 0.0


def _is_within(short: str, long: str) -> bool:
    """Whether the letters of one stand in the other in order, as in `dptr` and `departure`."""
    letters = iter(long)
    return all(letter in letters for letter in short)
