"""Schema drift: what a file has against what its contract says, and what follows. Pure.

A null, an empty column or another order of columns is never drift. What the header alone decides
is decided before any row is read. A rejected file never moves the accepted schema: what a file
would change is a trial, under which it is validated once more, and adopted when it is accepted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import JsonValue

from eventpulse.contracts.contract import Contract, DriftKind, DriftMode, Field
from eventpulse.contracts.widening import WIDER, widen
from eventpulse.drift.accepted_schema import (
    AcceptedSchema,
    Evolution,
    EvolvedColumn,
    RelaxedColumn,
    Rename,
    RenamedColumn,
    Trial,
    WidenedColumn,
    adopt,
    extend_contract,
    merge_trials,
)
from eventpulse.ports import ColumnType, Json
from eventpulse.values import Value

__all__ = [
    "AcceptedSchema",
    "Change",
    "DriftVerdict",
    "EvolvedColumn",
    "Rename",
    "Trial",
    "adopt",
    "extend_contract",
    "merge_trials",
]

RETYPED_SHARE = 0.5
"""Above this share of a column's cells that fit another type, the column is retyped; below it, the
cells are invalid values of their rows. Nulls in a required column count likewise."""

MOST_EVOLVED = 500
"""Columns that drift may add to one table; a file that brings more is no file of this dataset."""

MOST_TOLD = 20
"""Changes that a message tells one by one; the verdict lists them all."""

Outcome = Literal["accepted", "evolved", "rejected", "not_evaluated"]


class Change(Value):
    """One difference: what was seen, and what it does to the table (`effect`).

    `expected` and `observed` are types, or names for additions, removals and renames. `becomes` is
    the type that the table's column would have to have. `evidence` says why columns are taken for
    one and the same.
    """

    kind: DriftKind
    column: str
    expected: str | None = None
    observed: str | None = None
    becomes: str | None = None
    mode: DriftMode
    rejects: bool
    seen: str = ""
    effect: str
    evidence: dict[str, JsonValue] = {}


class DriftVerdict(Value):
    """The verdict document. `patch` holds contract properties that would accept what was seen;
    `proposal` names the proposal in which an operator finds it."""

    ingestion: str
    dataset: str | None
    contract_version: str | None
    outcome: Outcome
    message: str
    header: list[str] = []
    observed: dict[str, str] = {}
    observed_hash: str = ""
    accepted_hash: str = ""
    changes: list[Change] = []
    patch: list[dict[str, JsonValue]] = []
    proposal: str | None = None


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """Which of the file's columns carries which field: `positions[i]` for the i-th field.
    Of the others `unknown` are the names, `again` those of fields that the file has under another
    name, and `nameless` have none."""

    positions: tuple[int | None, ...]
    missing: tuple[Field, ...]
    unknown: tuple[str, ...]
    again: tuple[str, ...] = ()
    nameless: int = 0


def match_header(contract: Contract, header: Sequence[str]) -> HeaderMatch:
    """Fields by their headers and aliases, exact after trimming; the first name that is there.

    A column carries one field: that whose preferred name it has comes before one's further names.
    """
    at = {name: index for index, name in reversed(list(enumerate(header)))}
    found: dict[str, int] = {}
    ranks = max((len(each.headers) for each in contract.fields), default=0)
    for rank in range(ranks):
        for each in contract.fields:
            index = at.get(each.headers[rank]) if rank < len(each.headers) else None
            if each.name not in found and index is not None and index not in found.values():
                found[each.name] = index
    positions = tuple(found.get(each.name) for each in contract.fields)
    missing = tuple(f for f, p in zip(contract.fields, positions, strict=True) if p is None)
    taken = set(positions)
    others = [name for index, name in enumerate(header) if index not in taken]
    meant = {name for each in contract.fields for name in each.headers}
    return HeaderMatch(
        positions,
        missing,
        unknown=tuple(name for name in others if name and name not in meant),
        again=tuple(name for name in others if name in meant),
        nameless=others.count(""),
    )


# --- The header ----------------------------------------------------------------------------------


def compare_header(
    contract: Contract,
    match: HeaderMatch,
    schema: AcceptedSchema,
    trial: Evolution | None = None,
    renames: Sequence[Rename] = (),
    *,
    omits_nulls: bool = False,
) -> list[Change]:
    """What the header alone tells, of an extended contract. Columns that drift added before may
    come and go, and under `evolve` a column that the last accepted file lacked is no news. Where
    the format `omits_nulls`, a column that is missing is one that went empty."""
    optional = {each.name for each in (*schema.evolved, *(trial.evolved if trial else ()))}
    if omits_nulls:
        optional |= {f.name for f in match.missing if not f.column.required}
    renamed = {each.column for each in renames}
    if schema.observed and contract.drift["removed"] == "evolve":
        gone = {f.name for f in match.missing if f.name not in schema.observed}
        optional |= {f.name for f in match.missing if f.name in gone and not f.column.required}
    missing = [f for f in match.missing if f.name not in optional | renamed]
    taken = {each.header for each in renames}
    by_name = {f.name: f for f in contract.fields}
    added = [name for name in match.unknown if name not in taken]
    room = MOST_EVOLVED - len(schema.evolved)
    names = _names_by_header(contract, schema, added)
    return [
        *(_renamed(contract, by_name[each.column], each) for each in renames),
        *(_removed(contract, each) for each in missing),
        *(_added(contract, each, names[each], crowded=len(added) > room) for each in added),
        *(_added_again(contract, name) for name in match.again),
        *([_added_nameless(contract, match.nameless)] if match.nameless else []),
    ]


def _removed(contract: Contract, missing: Field) -> Change:
    mode = contract.drift["removed"]
    required = missing.column.required
    names = ", ".join(map(repr, missing.headers))
    gone = f"the column {missing.name!r} is gone"
    effects: Mapping[DriftMode, str] = {
        "evolve": f"the column {missing.name!r} is read as empty, and may stay away from now on",
        "discard_value": f"the column {missing.name!r} is read as empty",
        "freeze": f"{gone} and the drift policy refuses that",
        "discard_row": f"{gone} and the drift policy refuses rows without it, which are all",
    }
    effect = effects[mode]
    if required:
        effect = (
            f"the required column {missing.name!r} is not in the file: send it under one of the "
            f"names {names}"
        )
    return Change(
        kind="removed",
        column=missing.name,
        expected=missing.type,
        mode=mode,
        rejects=required or mode in ("freeze", "discard_row"),
        seen=f"no column of the file is called {' or '.join(map(repr, missing.headers))}",
        effect=effect,
    )


def _added(contract: Contract, header: str, name: str, *, crowded: bool) -> Change:
    mode = contract.drift["added"]
    effects: Mapping[DriftMode, str] = {
        "evolve": f"a nullable text column {name!r} is added to the table",
        "freeze": f"the contract does not know the column {header!r} and its policy refuses that",
        "discard_value": f"the values of {header!r} are not loaded",
        "discard_row": f"rows with a value in {header!r} are not loaded",
    }
    effect = effects[mode]
    refused = mode == "evolve" and crowded
    if refused:
        effect = (
            f"the column {header!r} is new, and so many are that the table would have more than "
            f"{MOST_EVOLVED} beside the contract's: send the contract's columns"
        )
    return Change(
        kind="added",
        column=header,
        observed=header,
        mode=mode,
        rejects=mode == "freeze" or refused,
        seen=f"the file has a column {header!r} that the contract does not name",
        effect=effect,
    )


def _added_again(contract: Contract, header: str) -> Change:
    field = next(each for each in contract.fields if header in each.headers)
    why = f"{header!r} is one more name of the column {field.name!r}, which the file has already"
    return _added_in_vain(contract, header, repr(header), f"{why}: leave one of the two out")


def _added_nameless(contract: Contract, count: int) -> Change:
    columns = "a column without a name" if count == 1 else f"{count} columns without a name"
    remedy = "give each a header, or leave it out (a delimiter at the end of lines makes one)"
    return _added_in_vain(contract, "", columns, remedy)


def _added_in_vain(contract: Contract, header: str, column: str, remedy: str) -> Change:
    """A column that nothing can take over: a contract could not have it as well."""
    declared = contract.drift["added"]
    mode: DriftMode = "discard_value" if declared == "evolve" else declared
    effects: Mapping[DriftMode, str] = {
        "freeze": f"the contract does not know {column} and its policy refuses that; {remedy}",
        "discard_value": f"the values of {column} are not loaded; {remedy}",
        "discard_row": f"rows with a value in {column} are not loaded; {remedy}",
    }
    return Change(
        kind="added",
        column=header,
        observed=header,
        mode=mode,
        rejects=mode == "freeze",
        seen=f"the file has {column}, which the contract does not name",
        effect=effects[mode],
    )


def _renamed(contract: Contract, field: Field, rename: Rename) -> Change:
    mode = contract.drift["renamed"]
    header = rename.header
    effects: Mapping[DriftMode, str] = {
        "evolve": f"{field.name!r} is read from {header!r} from now on",
        "freeze": (
            f"{header!r} seems to be {field.name!r} under a new name, and the drift policy does "
            f"not take that over by itself: accept the rename, or send it as {field.headers[0]!r}"
        ),
        "discard_value": f"the values of {header!r} are not loaded, and {field.name!r} is empty",
        "discard_row": f"rows with a value in {header!r} are not loaded",
    }
    effect = effects[mode]
    rejects = mode == "freeze"
    if field.column.required and mode in ("discard_value", "discard_row"):
        rejects = True
        effect = (
            f"the required column {field.name!r} is not in the file, unless {header!r} is it: "
            f"accept the rename, or send it as {field.headers[0]!r}"
        )
    return Change(
        kind="renamed",
        column=field.name,
        expected=field.headers[0],
        observed=header,
        mode=mode,
        rejects=rejects,
        seen=f"{field.headers[0]!r} is gone and {header!r} is new and looks like it",
        effect=effect,
        evidence={**rename.evidence, "score": rename.score},
    )


# --- The rows ------------------------------------------------------------------------------------


def compare_columns(
    contract: Contract, columns: Sequence[Mapping[str, Json]], trial: Trial | None = None
) -> list[Change]:
    """What only the rows tell, of an extended contract: columns whose cells mostly fit another
    type, and required ones that are mostly empty. `columns` are the facts of validation. What the
    trial drops or waives is no news any more."""
    settled = trial or Trial()
    changes: list[Change] = []
    by_name = {str(each["name"]): each for each in columns}
    for field in contract.fields:
        facts = by_name.get(field.name)
        if facts is None:
            continue
        observed = observed_type(facts)
        if observed != field.column_type and field.name not in settled.emptied:
            changes.append(_retyped(contract, field, facts, observed))
        if field.column.required and _is_mostly_empty(facts):
            changes.append(_nullable(contract, field, facts))
    return changes


def _retyped(contract: Contract, field: Field, facts: Mapping[str, Json], observed: str) -> Change:
    mode = contract.drift["retyped"]
    cells, mistyped = _integer(facts["cells"]), _integer(facts["mistyped"])
    tolerated = cells * contract.max_invalid_percent / 100
    becomes = widen(field.column_type, _readings(facts), tolerated)
    most = f"most of {field.name!r} reads as {observed}, not {field.type}"
    effects: Mapping[DriftMode, str] = {
        "evolve": f"{most}; the table's column becomes {becomes}",
        "freeze": f"{most}; the policy refuses that",
        "discard_row": f"{most}; those rows are refused",
        "discard_value": f"{most}; those values are dropped and their rows kept",
    }
    rejects, effect = mode == "freeze", effects[mode]
    if mode == "evolve":
        remedy = _forbid_widening(contract, field)
        if remedy:
            rejects, effect = True, f"{most}; {remedy}"
    return Change(
        kind="retyped",
        column=field.name,
        expected=field.type,
        observed=observed,
        becomes=becomes if becomes and not _forbid_widening(contract, field) else None,
        mode=mode,
        rejects=rejects,
        seen=f"{mistyped} of {cells} values of {field.name!r} are no {field.type}",
        effect=effect,
    )


def _forbid_widening(contract: Contract, field: Field) -> str:
    """What an operator has to do about a column that cannot be widened in place; else empty."""
    if field.name in contract.table().pinned:
        return (
            "it keys, orders or partitions the table and cannot change its type in place: send it "
            f"as {field.type}, or publish a contract under another dataset and replay the files"
        )
    if not WIDER[field.column_type]:
        return (
            f"an exact number becomes nothing wider by itself: send at most {field.scale or 0} "
            "digits after the point, or publish a contract under another dataset with a wider "
            "NUMERIC and replay the files"
        )
    return ""


def _nullable(contract: Contract, field: Field, facts: Mapping[str, Json]) -> Change:
    mode = contract.drift["nullability"]
    nulls = _integer(facts["nulls"])
    most = f"most rows have no value in the required column {field.name!r}"
    effects: Mapping[DriftMode, str] = {
        "evolve": f"{most}; it is optional from now on",
        "freeze": f"{most}; the policy refuses that",
        "discard_row": f"{most}; those rows are refused",
        "discard_value": f"{most}; they are loaded without it",
    }
    rejects, effect = mode == "freeze", effects[mode]
    if field.key_position is not None and mode != "discard_row":
        rejects, effect = True, f"{most}, which is part of the key: fill it in"
    return Change(
        kind="nullability",
        column=field.name,
        expected="required",
        observed="optional",
        mode=mode,
        rejects=rejects,
        seen=f"{nulls} of {nulls + _integer(facts['cells'])} rows have no {field.name!r}",
        effect=effect,
    )


def _is_mostly_empty(facts: Mapping[str, Json]) -> bool:
    nulls = _integer(facts["nulls"])
    return nulls > (nulls + _integer(facts["cells"])) * RETYPED_SHARE


def observed_type(facts: Mapping[str, Json]) -> str:
    """The type that a column's cells have: the contract's own unless most cells say otherwise."""
    cells, mistyped = _integer(facts["cells"]), _integer(facts["mistyped"])
    kinds = set(_readings(facts))
    if not kinds or cells == 0 or mistyped <= cells * RETYPED_SHARE:
        return str(facts["type"])
    if kinds == {"integer", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 else "string"


def _readings(facts: Mapping[str, Json]) -> dict[ColumnType, int]:
    found = facts["readings"]
    return found if isinstance(found, dict) else {}  # type: ignore[return-value]


def _integer(value: Json) -> int:
    return value if isinstance(value, int) else 0


def hash_schema(observed: Mapping[str, str]) -> str:
    """Of names and types, whatever their order."""
    return hashlib.sha256(json.dumps(dict(sorted(observed.items()))).encode()).hexdigest()


def column_name(header: str) -> str:
    """A name that contracts and warehouses take: at most 60 lower-case letters, digits and
    underscores, a letter first."""
    name = re.sub(r"\W+", "_", header.strip(), flags=re.ASCII).strip("_").lower() or "column"
    return f"c_{name}"[:60] if name[0].isdigit() else name[:60]


def name_columns(
    contract: Contract, schema: AcceptedSchema, headers: Iterable[str]
) -> list[EvolvedColumn]:
    """Columns for headers that the schema does not have yet, under names that nothing else has."""
    taken = {f.name for f in contract.fields} | {e.name for e in schema.evolved}
    known = {e.header for e in schema.evolved}
    columns: list[EvolvedColumn] = []
    for header in headers:
        if header in known:
            continue
        base, number = column_name(header), 2
        name = base
        while name in taken:
            name, number = f"{base[:56]}_{number}", number + 1
        taken.add(name)
        columns.append(EvolvedColumn(name=name, header=header, version=schema.version + 1))
    return columns


def _names_by_header(
    contract: Contract, schema: AcceptedSchema, headers: Sequence[str]
) -> dict[str, str]:
    """How the columns of new headers are called, in the table and in a contract that has them."""
    named = {each.header: each.name for each in name_columns(contract, schema, headers)}
    return {header: named.get(header) or column_name(header) for header in headers}


# --- What follows --------------------------------------------------------------------------------


def plan_trial(contract: Contract, schema: AcceptedSchema, changes: Iterable[Change]) -> Trial:
    """What the file would be validated under, beside the accepted schema, if these changes are
    taken over; empty when it was validated under all of it already."""
    found = list(changes)
    carried = [each.column for each in found if each.kind == "added" and each.mode == "evolve"]
    return Trial(
        evolved=tuple(name_columns(contract, schema, carried)),
        widened=tuple(
            WidenedColumn(name=each.column, type=each.becomes)  # type: ignore[arg-type]
            for each in found
            if each.kind == "retyped" and each.mode == "evolve" and each.becomes
        ),
        relaxed=_select(found, "nullability", "evolve", lambda c: RelaxedColumn(name=c.column)),
        renamed=_select(
            found,
            "renamed",
            "evolve",
            lambda c: RenamedColumn(name=c.column, header=c.observed or ""),
        ),
        emptied=_select(found, "retyped", "discard_value", lambda c: c.column),
        waived=_select(found, "nullability", "discard_value", lambda c: c.column),
    )


_Selected = TypeVar("_Selected")


def _select(
    changes: Iterable[Change], kind: DriftKind, mode: DriftMode, make: Callable[[Change], _Selected]
) -> tuple[_Selected, ...]:
    return tuple(make(each) for each in changes if each.kind == kind and each.mode == mode)


def refused_headers(changes: Iterable[Change]) -> list[str]:
    """The file's columns of which no row may have a value: `discard_row` for new columns."""
    return [
        each.observed or ""
        for each in changes
        if each.kind in ("added", "renamed") and each.mode == "discard_row"
    ]


def propose_patch(
    changes: Sequence[Change], contract: Contract, schema: AcceptedSchema
) -> list[dict[str, Json]]:
    """The properties that would have the contract, which the schema extends, accept the changes: to
    add, to drop, or to change. None accepts what nothing can take over."""
    meant = {"", *(name for each in contract.fields for name in each.headers)}
    headers = [c.column for c in changes if c.kind == "added" and c.column not in meant]
    names = _names_by_header(contract, schema, headers)
    patch: list[dict[str, Json]] = []
    for change in changes:
        name = change.column
        if change.kind == "added" and name not in names:
            continue
        if change.kind == "added":
            added: dict[str, Json] = {"name": names[name]}
            added |= {"physicalName": name, "logicalType": "string"}
            patch.append({"op": "add", "property": added})
        elif change.kind == "removed":
            patch.append({"op": "remove", "property": {"name": name}})
        elif change.kind == "renamed":
            renamed: dict[str, Json] = {"name": name, "aliases": [change.observed]}
            patch.append({"op": "replace", "property": renamed})
        elif change.kind == "nullability":
            patch.append({"op": "replace", "property": {"name": name, "required": False}})
        elif change.becomes:
            retyped: dict[str, Json] = {"name": name, "logicalType": change.becomes}
            patch.append({"op": "replace", "property": retyped})
    return patch


def merge_changes(earlier: Iterable[Change], later: Iterable[Change]) -> list[Change]:
    """All of them; of one column's changes of one kind the later counts."""
    merged = {(each.kind, each.column): each for each in (*earlier, *later)}
    return list(merged.values())


def describe_refusals(changes: Iterable[Change]) -> str:
    """What the drift policy has refused rows for; empty when it has not."""
    found = [each.effect for each in changes if each.mode == "discard_row" and not each.rejects]
    return _tell(found) if found else ""


def describe_changes(changes: Sequence[Change]) -> str:
    if not changes:
        return "The file has the columns of its contract."
    rejecting = [change for change in changes if change.rejects]
    return _tell([change.effect for change in (rejecting or changes)])


def _tell(effects: Sequence[str]) -> str:
    more = len(effects) - MOST_TOLD
    return "; ".join([*effects[:MOST_TOLD], *([f"and {more} changes more"] * (more > 0))]) + "."
