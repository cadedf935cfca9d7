"""The schema of a dataset beside its contract: what accepted drift has changed. Pure.

The dataset's stream holds the accepted schema; it grows by what accepted files brought. A file that
brings something is first validated under a *trial*: the accepted schema and what the file would
add. The trial is adopted in the commit that accepts the file, so a rejected one leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from eventpulse.contracts.contract import Contract, Field, FieldOptions, LogicalType
from eventpulse.contracts.widening import is_wider
from eventpulse.ports import Column, ColumnType
from eventpulse.values import Value


class EvolvedColumn(Value):
    """A column that accepted drift added to the dataset's table; always nullable text. `version`
    is the schema version that brought it, here and below."""

    name: str
    header: str
    version: int = 0


class WidenedColumn(Value):
    """A column whose type grew: the contract's versions may declare a narrower one."""

    name: str
    type: ColumnType
    version: int = 0


class RelaxedColumn(Value):
    """A column that the contract requires and accepted drift made optional."""

    name: str
    version: int = 0


class RenamedColumn(Value):
    """One more header under which files carry a column."""

    name: str
    header: str
    version: int = 0


class Rename(Value):
    """A column of a file that seems to be a missing one under another header, and why."""

    column: str
    header: str
    score: float
    evidence: dict[str, float] = {}


class Evolution(Value):
    """What may be added to an accepted schema."""

    evolved: tuple[EvolvedColumn, ...] = ()
    widened: tuple[WidenedColumn, ...] = ()
    relaxed: tuple[RelaxedColumn, ...] = ()
    renamed: tuple[RenamedColumn, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.evolved or self.widened or self.relaxed or self.renamed)


class Trial(Evolution):
    """What one file is validated under, beside the accepted schema. `emptied`: columns in which a
    value of another type is dropped and its row kept; `waived`: required columns that may be empty
    in this file."""

    emptied: tuple[str, ...] = ()
    waived: tuple[str, ...] = ()


class SketchesRef(Value):
    """Where the sketches of the last accepted schema's columns stand, in the reports bucket."""

    name: str
    generation: int


class AcceptedSchema(Evolution):
    """What the dataset's stream remembers: what drift changed, and the last accepted observed
    schema as {column: type}, with the sketches of its columns."""

    version: int = 0
    observed: dict[str, str] = {}
    observed_hash: str = ""
    sketches: SketchesRef | None = None

    def restages(self, contract: Contract, since: int) -> bool:
        """Whether rows staged under schema version `since` have types that the table has not."""
        declared = {each.name: each.column_type for each in contract.fields}
        return any(
            each.version > since and is_wider(each.type, declared[each.name])
            for each in self.widened
            if each.name in declared
        )


def adopt(schema: AcceptedSchema, trial: Evolution | None) -> AcceptedSchema:
    """The schema with what the trial adds, under the next version; itself when that is nothing."""
    if trial is None:
        return schema
    version = schema.version + 1
    headers = {each.header for each in schema.evolved}
    types = {each.name: each.type for each in schema.widened}
    relaxed = {each.name for each in schema.relaxed}
    names = {(each.name, each.header) for each in schema.renamed}
    widened = _stamp(
        (e for e in trial.widened if e.name not in types or is_wider(e.type, types[e.name])),
        version,
    )
    update: dict[str, tuple[Any, ...]] = {
        "evolved": _stamp((e for e in trial.evolved if e.header not in headers), version),
        "widened": widened,
        "relaxed": _stamp((e for e in trial.relaxed if e.name not in relaxed), version),
        "renamed": _stamp((e for e in trial.renamed if (e.name, e.header) not in names), version),
    }
    if not any(update.values()):
        return schema
    grown = {each.name for each in widened}
    kept = tuple(w for w in schema.widened if w.name not in grown)
    return schema.model_copy(
        update={
            "version": version,
            "evolved": (*schema.evolved, *update["evolved"]),
            "widened": (*kept, *widened),
            "relaxed": (*schema.relaxed, *update["relaxed"]),
            "renamed": (*schema.renamed, *update["renamed"]),
        }
    )


_Stamped = TypeVar("_Stamped", EvolvedColumn, WidenedColumn, RelaxedColumn, RenamedColumn)


def _stamp(entries: Iterable[_Stamped], version: int) -> tuple[_Stamped, ...]:
    return tuple(each.model_copy(update={"version": version}) for each in entries)


def merge_trials(one: Trial | None, other: Trial) -> Trial:
    """Both of them; what stands in both counts once, as the first has it."""
    if one is None:
        return other
    return Trial(
        evolved=_unite(one.evolved, other.evolved, lambda e: e.header),
        widened=_unite(one.widened, other.widened, lambda e: e),
        relaxed=_unite(one.relaxed, other.relaxed, lambda e: e.name),
        renamed=_unite(one.renamed, other.renamed, lambda e: (e.name, e.header)),
        emptied=_unite(one.emptied, other.emptied, str),
        waived=_unite(one.waived, other.waived, str),
    )


_Entry = TypeVar("_Entry")


def _unite(
    one: Iterable[_Entry], other: Iterable[_Entry], key: Callable[[_Entry], Hashable]
) -> tuple[_Entry, ...]:
    united: dict[Hashable, _Entry] = {}
    for each in (*one, *other):
        united.setdefault(key(each), each)
    return tuple(united.values())


def plan_growth(
    versions: Iterable[Contract], schema: AcceptedSchema, new: Contract, *, loaded: bool
) -> tuple[list[str], tuple[WidenedColumn, ...]]:
    """What a dataset's table has to become for one more contract version: the problems that forbid
    it, "path: what is wrong; what to do", and the columns that widen. A table that holds nothing
    yet may be anything."""
    if not loaded:
        return [], ()
    before: dict[str, Column] = {}
    older = [extend_contract(each, schema) for each in versions]
    for version in older:
        for column in version.table().columns:
            before.setdefault(column.name, column)
            if is_wider(column.type, before[column.name].type):
                before[column.name] = column
    problems = [
        f"primaryKey: the table is keyed by {', '.join(each.key) or 'nothing'} and cannot change "
        "that in place; keep it, or publish under another dataset and replay the files"
        for each in older[-1:]
        if each.key != new.key
    ]
    widened = []
    pinned = new.table().pinned
    for column in new.table().columns:
        there = before.get(column.name)
        if there is None or _same_type(there, column):
            continue
        if is_wider(column.type, there.type) and column.name not in pinned:
            widened.append(WidenedColumn(name=column.name, type=column.type))
        else:
            problems.append(
                f"{column.name}: the table's column is {_show_type(there)} and cannot become "
                f"{_show_type(column)}; declare it as it is, or under another name"
            )
    return problems, tuple(widened)


def _same_type(one: Column, other: Column) -> bool:
    return (one.type, one.precision, one.scale or 0) == (
        other.type,
        other.precision,
        other.scale or 0,
    )


def _show_type(column: Column) -> str:
    if column.type == "decimal":
        return f"NUMERIC({column.precision}, {column.scale or 0})"
    return column.type


# --- Contracts under a schema --------------------------------------------------------------------


def extend_contract(
    contract: Contract, schema: Evolution, trial: Evolution | None = None
) -> Contract:
    """The contract as the accepted schema, and a trial beside it, make it.

    Columns that drift added come last, as nullable text; widened columns have their wider type,
    relaxed ones may be empty, renamed ones are read under their new header too.
    """
    changes = (schema,) if trial is None else (schema, trial)
    fields = [_extend_field(each, changes) for each in contract.fields]
    taken = {each.name.lower() for each in fields}
    for added in (column for change in changes for column in change.evolved):
        if added.name not in taken:  # warehouses compare names without case
            taken.add(added.name)
            fields.append(Field(added.name, header=added.header))
    return replace(contract, fields=tuple(fields))


def _extend_field(field: Field, changes: Iterable[Evolution]) -> Field:
    for change in changes:
        for widened in change.widened:
            if widened.name == field.name and is_wider(widened.type, field.column_type):
                field = widen_field(field, widened.type)
        relaxed = {each.name for each in change.relaxed}
        relaxed.update(change.waived if isinstance(change, Trial) else ())
        if field.name in relaxed and field.key_position is None:
            field = replace(field, required=False)
        headers = [each.header for each in change.renamed if each.name == field.name]
        field = replace(field, aliases=tuple(dict.fromkeys((*field.aliases, *headers))))
    return field


_LOGICAL: dict[ColumnType, LogicalType] = {
    "number": "number",
    "timestamp": "timestamp",
    "string": "string",
}


def widen_field(field: Field, wide: ColumnType) -> Field:
    """The field with a wider type, and of its options those that the type still has.

    Text keeps the enum alone: a bound compares numbers or moments. What the narrow field reads, a
    date in a declared format above all, the wide one reads too.
    """
    options = field.options
    if wide == "string":
        options = FieldOptions(enum=options.enum)
    elif wide == "timestamp":
        options = replace(
            options,
            minimum=_midnight(options.minimum),
            maximum=_midnight(options.maximum),
            exclusive_minimum=_midnight(options.exclusive_minimum),
            exclusive_maximum=_midnight(options.exclusive_maximum),
            enum=tuple(f"{each}T00:00:00Z" for each in options.enum),
        )
    return replace(
        field,
        type=_LOGICAL[wide],
        precision=None,
        scale=None,
        formats=(),
        options=options,
        narrow=None if wide == "string" else (field.narrow or field),
    )


def _midnight(day: str | None) -> str | None:
    return None if day is None else f"{day}T00:00:00Z"
