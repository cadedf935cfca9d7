"""How a contract's new version stands to an old one: each difference, and what it asks for. Pure.

The words are a schema registry's, about the files that are sent:

- *backward*: a file that the old version accepts, the new one accepts too;
- *forward*: a file that the new version accepts, the old one accepts too;
- *full*: both; *transitive*: against every version before, not the last alone.

The semantic version follows: what is not backward, or takes something from who reads the table, is
major; what accepts more is minor; what decides nothing is a patch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, get_args

from eventpulse.contracts.contract import (
    DRIFT_KINDS,
    Contract,
    Dialect,
    Field,
    FieldOptions,
    QualityRule,
)
from eventpulse.contracts.widening import is_wider

Bump = Literal["none", "patch", "minor", "major"]
BUMPS: tuple[Bump, ...] = get_args(Bump)
Mode = Literal["BACKWARD", "FORWARD", "FULL", "NONE"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. `why` says what it means for files and readers."""

    path: str
    what: str
    backward: bool
    forward: bool
    bump: Bump
    why: str


@dataclass(frozen=True, slots=True)
class Compatibility:
    """The sum of differences. `mode` is the strongest word that holds."""

    backward: bool
    forward: bool
    bump: Bump

    @property
    def full(self) -> bool:
        return self.backward and self.forward

    @property
    def mode(self) -> Mode:
        if self.full:
            return "FULL"
        return "BACKWARD" if self.backward else "FORWARD" if self.forward else "NONE"


def judge_differences(differences: Iterable[Difference]) -> Compatibility:
    found = list(differences)
    return Compatibility(
        backward=all(each.backward for each in found),
        forward=all(each.forward for each in found),
        bump=max((each.bump for each in found), key=BUMPS.index, default="none"),
    )


def judge_transitive(versions: Sequence[Contract], new: Contract) -> Compatibility:
    """Against every one of the versions."""
    return judge_differences(each for old in versions for each in compare_contracts(old, new))


def compare_contracts(old: Contract, new: Contract) -> list[Difference]:
    """Every difference that decides something, and documentation that changed."""
    return [
        *_compare_fields(old, new),
        *_compare_table(old, new),
        *_compare_dialect(old.dialect, new.dialect),
        *_compare_paths(old, new),
        *_compare_policy(old, new),
        *_compare_rules(old, new),
        *_compare_documentation(old, new),
    ]


# --- What a difference means ---------------------------------------------------------------------


def _accepts_more(path: str, what: str, why: str) -> Difference:
    return Difference(path, what, backward=True, forward=False, bump="minor", why=why)


def _accepts_less(path: str, what: str, why: str) -> Difference:
    return Difference(path, what, backward=False, forward=True, bump="major", why=why)


def _reads_otherwise(path: str, what: str, why: str) -> Difference:
    return Difference(path, what, backward=False, forward=False, bump="major", why=why)


def _decides_nothing(path: str, what: str) -> Difference:
    why = "no file and no row is judged by it"
    return Difference(path, what, backward=True, forward=True, bump="patch", why=why)


# --- Fields --------------------------------------------------------------------------------------


def _compare_fields(old: Contract, new: Contract) -> Iterator[Difference]:
    before = {each.name: each for each in old.fields}
    after = {each.name: each for each in new.fields}
    for name, field in before.items():
        if name not in after:
            yield _removed(old, new, field)
    for name, field in after.items():
        if name in before:
            yield from _compare_field(before[name], field)
        else:
            yield _added(old, new, field)


def _refuses_without(contract: Contract, field: Field) -> bool:
    """Whether a file that lacks the field is rejected."""
    return field.column.required or contract.drift["removed"] in ("freeze", "discard_row")


def _refuses_extra(contract: Contract) -> bool:
    """Whether a file with a column that the contract does not name is rejected, or its rows."""
    return contract.drift["added"] in ("freeze", "discard_row")


def _added(old: Contract, new: Contract, field: Field) -> Difference:
    backward = not _refuses_without(new, field)
    why = (
        "files without it are read with it empty"
        if backward
        else "files without it are rejected: it is required, or the drift policy refuses them"
    )
    return Difference(
        f"{field.name}",
        f"a {'required ' if field.column.required else ''}column of type {field.type} is added",
        backward=backward,
        forward=not _refuses_extra(old),
        bump="minor" if backward else "major",
        why=why,
    )


def _removed(old: Contract, new: Contract, field: Field) -> Difference:
    return Difference(
        field.name,
        "the column is removed",
        backward=not _refuses_extra(new),
        forward=not _refuses_without(old, field),
        bump="major",
        why="new rows have no value in it any more, which who reads the table has to know",
    )


def _compare_field(old: Field, new: Field) -> Iterator[Difference]:
    path = new.name
    yield from _compare_types(old, new)
    if old.column.required != new.column.required:
        if new.column.required:
            yield _accepts_less(path, "it is required now", "rows without a value are refused")
        else:
            yield _accepts_more(path, "it is optional now", "rows without a value are loaded")
    if old.unique != new.unique:
        if new.unique:
            yield _accepts_less(path, "it is unique now", "rows that repeat a value are refused")
        else:
            yield _accepts_more(path, "it is unique no more", "rows that repeat a value are loaded")
    yield from _compare_sets(
        path, "headers", set(old.headers), set(new.headers), "files with that header"
    )
    if old.column_type == new.column_type:
        yield from _compare_options(path, old.options, new.options)
        iso = {"ISO 8601"}
        before, after = set(old.formats) or iso, set(new.formats) or iso
        yield from _compare_sets(path, "formats", before, after, "values written so")
    if old.classification != new.classification:
        what = f"its classification changes from {old.classification} to {new.classification}"
        why = "no file is judged by it; its values are masked, or shown, outside the quarantine"
        yield Difference(path, what, backward=True, forward=True, bump="minor", why=why)
    if old.description != new.description:
        yield _decides_nothing(path, "its description changes")


def _compare_types(old: Field, new: Field) -> Iterator[Difference]:
    if old.column_type != new.column_type:
        # A day is written otherwise than a moment, though every day is one.
        backward = is_wider(new.column_type, old.column_type) and new.column_type != "timestamp"
        yield Difference(
            new.name,
            f"its type changes from {_describe_type(old)} to {_describe_type(new)}",
            backward=backward,
            forward=is_wider(old.column_type, new.column_type) and old.column_type != "timestamp",
            bump="major",
            why="the table's column has another type, which who reads it has to know",
        )
    elif (old.precision, old.scale) != (new.precision, new.scale):
        what = f"its type changes from {_describe_type(old)} to {_describe_type(new)}"
        whole = (new.precision or 0) - (new.scale or 0) >= (old.precision or 0) - (old.scale or 0)
        if whole and (new.scale or 0) >= (old.scale or 0):
            yield _accepts_more(new.name, what, "more digits are accepted")
        else:
            yield _accepts_less(new.name, what, "values with more digits are refused")


def _describe_type(field: Field) -> str:
    if field.column_type == "decimal":
        return f"NUMERIC({field.precision}, {field.scale or 0})"
    return field.type


def _compare_sets(
    path: str, name: str, before: set[str], after: set[str], subject: str
) -> Iterator[Difference]:
    for each in sorted(before - after):
        yield _accepts_less(path, f"{name}: {each!r} is left out", f"{subject} are refused")
    for each in sorted(after - before):
        yield _accepts_more(path, f"{name}: {each!r} is added", f"{subject} are accepted")


_LOWER = (("minimum", "minimum"), ("exclusive_minimum", "exclusiveMinimum"))
_UPPER = (("maximum", "maximum"), ("exclusive_maximum", "exclusiveMaximum"))


def _compare_options(path: str, old: FieldOptions, new: FieldOptions) -> Iterator[Difference]:
    bounds: list[tuple[str, str | None, str | None, int]] = [
        *((name, getattr(old, key), getattr(new, key), 1) for key, name in _LOWER),
        *((name, getattr(old, key), getattr(new, key), -1) for key, name in _UPPER),
        ("minLength", _text(old.min_length), _text(new.min_length), 1),
        ("maxLength", _text(old.max_length), _text(new.max_length), -1),
    ]
    for name, before, after, direction in bounds:
        if before != after:
            yield _compare_bound(f"{path}.{name}", before, after, direction)
    for name, before, after in (
        ("pattern", old.pattern, new.pattern),
        ("multipleOf", old.multiple_of, new.multiple_of),
    ):
        if before != after:
            yield _compare_condition(f"{path}.{name}", before, after)
    if set(old.enum) != set(new.enum):
        yield from _compare_enum(f"{path}.enum", old.enum, new.enum)


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


def _compare_bound(path: str, before: str | None, after: str | None, direction: int) -> Difference:
    what = f"it changes from {before or 'none'} to {after or 'none'}"
    stricter = before is None or (
        after is not None and _is_after(after, before) == (direction == 1)
    )
    if stricter:
        return _accepts_less(path, what, "values beyond it are refused")
    return _accepts_more(path, what, "values beyond the old one are accepted")


def _is_after(one: str, other: str) -> bool:
    """Bounds are numbers or ISO moments, whose text order is their order."""
    try:
        return Decimal(one) > Decimal(other)
    except InvalidOperation:
        return one > other


def _compare_condition(path: str, before: str | None, after: str | None) -> Difference:
    if before is None:
        return _accepts_less(path, f"{after!r} is asked for", "values that do not fit are refused")
    if after is None:
        return _accepts_more(path, f"{before!r} is asked for no more", "all values are accepted")
    return _reads_otherwise(
        path, f"it changes from {before!r} to {after!r}", "other values are accepted and refused"
    )


def _compare_enum(
    path: str, before: tuple[str, ...], after: tuple[str, ...]
) -> Iterator[Difference]:
    if not before:
        yield _accepts_less(path, "the values are listed now", "other values are refused")
    elif not after:
        yield _accepts_more(path, "the values are listed no more", "all values are accepted")
    else:
        yield from _compare_sets(path, "values", set(before), set(after), "rows with it")


# --- The dataset ---------------------------------------------------------------------------------


def _compare_table(old: Contract, new: Contract) -> Iterator[Difference]:
    anew = "the table has to be made anew"
    shown = (
        "another row of a key may be shown, and only of keys that files touch from now on; a "
        "backfill has all keys follow"
    )
    for path, before, after, why in (
        ("primaryKey", ", ".join(old.key), ", ".join(new.key), anew),
        ("orderingColumn", old.ordering, new.ordering, shown),
        ("partitioned", old.partition_by, new.partition_by, anew),
    ):
        if before != after:
            what = f"it changes from {before or 'none'} to {after or 'none'}"
            yield _reads_otherwise(path, what, why)


_DIALECT: Mapping[str, str] = {
    "format": "format",
    "delimiter": "delimiter",
    "quote": "quote",
    "escape": "escape",
    "encoding": "encoding",
    "decimal_mark": "decimalMark",
    "header_row": "headerRow",
    "comment": "comment",
    "sheet": "sheet",
}
_NEVER_SNIFFED = {"escape", "comment"}
"""Not declared, they mean that there is none."""


def _compare_dialect(old: Dialect, new: Dialect) -> Iterator[Difference]:
    for key, path in _DIALECT.items():
        before, after = getattr(old, key), getattr(new, key)
        if before == after:
            continue
        what = f"it changes from {before!r} to {after!r}"
        if key in _NEVER_SNIFFED:
            yield _reads_otherwise(path, what, "files are read otherwise")
        elif before is None:
            yield _accepts_less(path, what, "files written otherwise are refused")
        elif after is None:
            yield _accepts_more(path, what, "the file decides, as before or otherwise")
        else:
            yield _reads_otherwise(path, what, "files are read otherwise")
    markers = set(old.null_markers), set(new.null_markers)
    yield from _compare_sets("nullMarkers", "markers", *markers, "cells that hold it as no value")


def _compare_paths(old: Contract, new: Contract) -> Iterator[Difference]:
    default = f"{new.dataset}/*"
    before, after = set(old.path_patterns) or {default}, set(new.path_patterns) or {default}
    yield from _compare_sets("pathPatterns", "patterns", before, after, "objects of that path")


def _compare_policy(old: Contract, new: Contract) -> Iterator[Difference]:
    for kind in DRIFT_KINDS:
        if old.drift[kind] != new.drift[kind]:
            what = f"{kind} changes from {old.drift[kind]} to {new.drift[kind]}"
            why = "files that look like their contract are not touched by it"
            yield Difference("driftPolicy", what, True, True, "minor", why)
    if old.max_invalid_percent != new.max_invalid_percent:
        what = f"it changes from {old.max_invalid_percent:g} to {new.max_invalid_percent:g}"
        if new.max_invalid_percent < old.max_invalid_percent:
            yield _accepts_less("maxInvalidPercent", what, "files with more bad rows are rejected")
        else:
            yield _accepts_more("maxInvalidPercent", what, "files with more bad rows are loaded")


def _compare_rules(old: Contract, new: Contract) -> Iterator[Difference]:
    before = {each.name: each for each in old.quality}
    after = {each.name: each for each in new.quality}
    for name in sorted({*before, *after}):
        path = f"quality[{name}]"
        one, other = before.get(name), after.get(name)
        if one is None and other is not None:
            yield _judge_rule(path, "the rule is added", other)
        elif other is None:
            yield _accepts_more(path, "the rule is removed", "files that break it are accepted")
        elif one != other:
            yield _judge_rule(path, "the rule changes", other)


def _judge_rule(path: str, what: str, rule: QualityRule) -> Difference:
    if rule.severity == "warning":
        why = "it warns, and rejects no file"
        return Difference(path, what, backward=True, forward=True, bump="minor", why=why)
    return _accepts_less(path, what, "files that break it are rejected")


def _compare_documentation(old: Contract, new: Contract) -> Iterator[Difference]:
    if old.service_level != new.service_level:
        yield _decides_nothing("slaProperties", "the service level changes")
    if old.description != new.description:
        yield _decides_nothing("description", "the description changes")


# --- Versions ------------------------------------------------------------------------------------

_SEMANTIC = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})")


def parse_version(version: str) -> tuple[int, int, int] | None:
    """A semantic version's numbers; None for anything else, a pre-release too."""
    match = _SEMANTIC.fullmatch(version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def raise_version(version: str, bump: Bump) -> str:
    """The next version; one that is not semantic gets a number behind it."""
    numbers = parse_version(version)
    if numbers is None:
        return f"{version}.1"
    major, minor, patch = numbers
    if bump == "major":
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if bump == "minor" else f"{major}.{minor}.{patch + 1}"


def is_enough(old: str, new: str, bump: Bump) -> bool:
    """Whether a step from one version to another is as great as a change needs. Versions that are
    not semantic say nothing of it."""
    before, after = parse_version(old), parse_version(new)
    if before is None or after is None:
        return True
    needed = {"none": 3, "patch": 3, "minor": 2, "major": 1}[bump]
    return after[:needed] > before[:needed]
