"""Marts: what their SQL says, in which order they are built, and when. Pure: no I/O, no clock.

A mart is one SELECT in BigQuery's SQL over `curated.<dataset>` and `marts.<name>`, under a head of
`-- key: value` lines. Its dependencies, columns and column lineage come from the SQL and nowhere
else. Invariants:
- a mart's state is the fold of its events (`apply_event`), never anything else;
- what a build read only ever grows: an older build never replaces a newer one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal, get_args

from pydantic import Field

from eventpulse.contracts.contract import Contract
from eventpulse.errors import ContractInvalid
from eventpulse.leases import Lease
from eventpulse.marts.selects import ColumnSource, SelectFault, Transformation, read_select
from eventpulse.ports import Event, Head, Json, NewEvent, Query
from eventpulse.values import Document, Value, derive_id, format_time

Materialization = Literal["view", "table"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""Postgres cuts longer names, so that two marts might be one."""
_HEAD_LINE = re.compile(r"--\s*([\w-]+)\s*:\s*(.*)")


@dataclass(frozen=True, slots=True)
class Mart:
    """A mart as its files describe it. `sha256` changes when a build would do something else;
    `contract_sha256` is empty for a mart without a contract. `counts` are columns that show no
    value of what they are made of, only how many there are."""

    name: str
    sql: str
    materialization: Materialization
    description: str
    datasets: frozenset[str]
    marts: frozenset[str]
    columns: tuple[str, ...]
    lineage: Mapping[str, frozenset[ColumnSource]]
    transformations: Mapping[str, Transformation]
    counts: frozenset[str]
    contract_sha256: str = ""

    @property
    def sha256(self) -> str:
        text = f"{self.materialization}\n{self.sql}{self.contract_sha256}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def sources(self) -> tuple[str, ...]:
        """The tables that the SQL names, as `curated.<dataset>` and `marts.<name>`, sorted."""
        return tuple(
            sorted([*(f"curated.{d}" for d in self.datasets), *(f"marts.{m}" for m in self.marts)])
        )


def read_mart(name: str, text: str, contract: Contract | None = None) -> Mart:
    """The mart `name` from the text of its file, and the contract that its rows are checked by.

    The head knows `materialize` (view or table, view when it is not given) and `description`.
    Raises ContractInvalid with the line of what is wrong, or with the contract's columns that the
    SELECT does not have and the other way round.
    """
    try:
        if not _NAME.fullmatch(name):
            raise SelectFault(
                "the name of a mart has at most 63 lower-case letters, digits and underscores"
            )
        head, sql = _read_head(text)
        select = read_select(text)
    except SelectFault as fault:
        raise ContractInvalid(_source(name), [str(fault)]) from fault.__cause__
    return Mart(
        name=name,
        sql=sql,
        materialization="table" if head.get("materialize") == "table" else "view",
        description=head.get("description", ""),
        datasets=frozenset(table for layer, table in select.tables if layer == "curated"),
        marts=frozenset(table for layer, table in select.tables if layer == "marts"),
        columns=tuple(select.lineage),
        lineage=select.lineage,
        transformations=select.transformations,
        counts=select.counts,
        contract_sha256=_match_contract(name, contract, tuple(select.lineage)),
    )


def _match_contract(name: str, contract: Contract | None, columns: Sequence[str]) -> str:
    if contract is None:
        return ""
    promised = {each.name for each in contract.fields}
    problems = [] if contract.dataset == name else [f"it describes {contract.dataset!r}"]
    problems += [f"the SELECT has no column {each!r}" for each in sorted(promised - {*columns})]
    problems += [f"it lacks the column {each!r}" for each in columns if each not in promised]
    if problems:
        raise ContractInvalid(f"marts/{name}.odcs.yaml", problems)
    return contract.sha256


def _source(name: str) -> str:
    return f"marts/{name}.sql"


# --- Head ----------------------------------------------------------------------------------------


def _read_head(text: str) -> tuple[dict[str, str], str]:
    """The head's keys, and the SQL below it without semicolons at its end."""
    head: dict[str, str] = {}
    lines = text.split("\n")
    below = len(lines)
    for number, line in enumerate(lines, start=1):
        if not line.startswith("--"):
            below = number - 1
            break
        _read_head_line(head, number, line)
    return head, "\n".join(lines[below:]).strip().rstrip("; \r\n\t")


def _read_head_line(head: dict[str, str], number: int, line: str) -> None:
    found = _HEAD_LINE.fullmatch(line.rstrip())
    if found is None:
        raise SelectFault(
            f"line {number}: {line.strip()!r} is not `-- key: value`; other comments follow an "
            "empty line below the head"
        )
    key, value = found.groups()
    if key not in ("materialize", "description"):
        raise SelectFault(
            f"line {number}: {key!r} is unknown; the head has materialize and description"
        )
    if key in head:
        raise SelectFault(f"line {number}: {key!r} is given twice")
    if key == "materialize" and value not in get_args(Materialization):
        raise SelectFault(f"line {number}: materialize is `view` or `table`, not {value!r}")
    head[key] = value


# --- Order ---------------------------------------------------------------------------------------


def order_marts(marts: Iterable[Mart]) -> list[Mart]:
    """The marts so that each follows those it reads; by name where nothing else decides.

    Raises ContractInvalid on a cycle, on a mart that reads an unknown one, and on a name that is
    given twice.
    """
    by_name: dict[str, Mart] = {}
    for mart in marts:
        if mart.name in by_name:
            raise ContractInvalid(_source(mart.name), ["there is more than one mart of this name"])
        by_name[mart.name] = mart
    for mart in by_name.values():
        unknown = sorted(mart.marts - by_name.keys())
        if unknown:
            raise ContractInvalid(
                _source(mart.name),
                [f"it reads marts.{name}, and there is no {_source(name)}" for name in unknown],
            )
    sorter = TopologicalSorter({name: by_name[name].marts for name in sorted(by_name)})
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = list(reversed(error.args[1]))
        raise ContractInvalid(
            _source(min(cycle)), [f"marts read each other in a circle: {' → '.join(cycle)}"]
        ) from error
    ordered: list[Mart] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += [by_name[name] for name in ready]
        sorter.done(*ready)
    return ordered


def affected_marts(marts: Iterable[Mart], dataset: str) -> list[Mart]:
    """Those that read the dataset, themselves or through other marts, in build order."""
    affected: dict[str, Mart] = {}
    for mart in order_marts(marts):
        if dataset in mart.datasets or affected.keys() & mart.marts:
            affected[mart.name] = mart
    return list(affected.values())


# --- State ---------------------------------------------------------------------------------------


class MartState(Value):
    """The projection of a mart's stream. `sql_sha256` is what is published, `built_sha256` what
    the last build ran; `*_versions` are what `collect_versions` said before the build. `quality` is
    the report of the last build's check by the contract, `finding` what that found wrong."""

    name: str
    text: str = ""
    contract: str = ""
    sql_sha256: str = ""
    materialization: Materialization = "view"
    built_sha256: str | None = None
    built_versions: dict[str, int] = Field(default_factory=dict)
    built_at: str | None = None
    builds: int = 0
    rows: int | None = None
    lineage: Document | None = None
    quality: Document | None = None
    finding: str | None = None
    error: str | None = None
    failed_sha256: str | None = None
    failed_versions: dict[str, int] = Field(default_factory=dict)
    attempts: int = 0
    lease: Lease | None = None
    begun: tuple[str, ...] = ()
    updated_at: str = ""

    @property
    def stream(self) -> str:
        return f"mart/{self.name}"


_Fields = dict[str, Any]

MOST_BEGUN = 20
"""Builds that a mart remembers to have begun: more than a function outlives."""


def _published(_: MartState, data: _Fields, _at: str) -> _Fields:
    return {
        "text": data["text"],
        "contract": data.get("contract", ""),
        "sql_sha256": data["sql_sha256"],
        "materialization": data["materialization"],
        "attempts": 0,
    }


def _begun(state: MartState, data: _Fields, at: str) -> _Fields:
    begun = (*state.begun, derive_id("mart build", state.name, at, data["until"]))
    return {"lease": data, "attempts": data["attempt"], "begun": begun[-MOST_BEGUN:]}


def _built(state: MartState, data: _Fields, at: str) -> _Fields:
    return {
        "built_sha256": data["sql_sha256"],
        "built_versions": _greatest(state.built_versions, data["versions"]),
        "built_at": at,
        "builds": state.builds + 1,
        "begun": (),
        "rows": data.get("rows"),
        "lineage": data.get("lineage"),
        "quality": data.get("quality"),
        "finding": data.get("finding"),
        **_ended(error=None, sha256=None, versions={}),
    }


def _failed(_: MartState, data: _Fields, _at: str) -> _Fields:
    return _ended(error=data["error"], sha256=data["sql_sha256"], versions=data["versions"])


def _ended(*, error: str | None, sha256: str | None, versions: Mapping[str, int]) -> _Fields:
    return {
        "error": error,
        "failed_sha256": sha256,
        "failed_versions": dict(versions),
        "attempts": 0,
        "lease": None,
    }


def _greatest(before: Mapping[str, int], versions: Mapping[str, int]) -> dict[str, int]:
    names = sorted({*before, *versions})
    return {name: max(before.get(name, 0), versions.get(name, 0)) for name in names}


EVENTS: Mapping[str, Callable[[MartState, _Fields, str], _Fields]] = {
    "published": _published,
    "step.started": _begun,
    "step.faulted": lambda _s, _d, _at: {"lease": None},
    "built": _built,
    "build.failed": _failed,
}
"""What each event changes. An event type that is not here is a fault of the code that wrote it."""


def apply_event(
    state: MartState | None, stream: str, type_: str, data: Mapping[str, Json], at: str
) -> MartState:
    """The mart after one more event. Only `published` may come first."""
    before = state or MartState(name=stream.partition("/")[2])
    changed = EVENTS[type_](before, dict(data), at)
    return MartState.model_validate({**before.model_dump(), **changed, "updated_at": at})


def fold_events(events: Iterable[Event]) -> MartState | None:
    """The state that a timeline tells of; None for an empty one."""
    state: MartState | None = None
    for event in events:
        state = apply_event(state, event.stream, event.type, event.data, format_time(event.at))
    return state


def from_head(head: Head) -> MartState | None:
    return MartState.model_validate(head.projection) if head.version else None


def project_mart(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    before = MartState.model_validate(projection) if projection else None
    return apply_event(before, stream, event.type, event.data, at).model_dump(mode="json")


def publish_event(mart: Mart, text: str, contract: str = "") -> NewEvent:
    """The event that registers a mart; `text` is its file, head included, `contract` its YAML."""
    return NewEvent(
        "published",
        {
            "text": text,
            "contract": contract,
            "sql_sha256": mart.sha256,
            "materialization": mart.materialization,
        },
    )


# --- Decisions -----------------------------------------------------------------------------------


def collect_versions(
    mart: Mart,
    marts: Sequence[Mart],
    datasets: Mapping[str, int],
    states: Mapping[str, MartState],
) -> dict[str, int]:
    """What a build that begins now will have read, at least: {dataset: version, "marts.x": builds}.

    `datasets` maps a dataset to its version (how often it was loaded), `states` a mart to its
    state; one that is missing there has no table yet, and is missing in the answer too. Datasets
    are those read through other marts as well, because a view has no builds of its own.
    """
    read = read_datasets(mart, marts)
    versions = {name: datasets[name] for name in read if name in datasets}
    for name in mart.marts:
        state = states.get(name)
        if state is not None and state.builds:
            versions[f"marts.{name}"] = state.builds
    return dict(sorted(versions.items()))


def read_datasets(mart: Mart, marts: Sequence[Mart]) -> frozenset[str]:
    """The datasets that a mart reads, itself or through other marts."""
    by_name = {each.name: each for each in marts}
    found: set[str] = set()
    waiting, seen = [mart], {mart.name}
    while waiting:
        each = waiting.pop()
        found |= each.datasets
        new = each.marts - seen
        seen |= new
        waiting += [by_name[name] for name in new if name in by_name]
    return frozenset(found)


def needs_build(state: MartState | None, mart: Mart, versions: Mapping[str, int]) -> bool:
    """Whether a build would bring anything, given `collect_versions`.

    A mart waits while a table that it names does not exist. A view is built only when its SQL is
    new. What failed is not tried again until the SQL or a version changes.
    """
    needed = [*mart.datasets, *(f"marts.{name}" for name in mart.marts)]
    if any(name not in versions for name in needed):
        return False
    if state is None:
        return True
    failed = state.failed_sha256 == mart.sha256
    if failed and not _is_newer(versions, state.failed_versions):
        return False
    if state.built_sha256 != mart.sha256:
        return True
    return mart.materialization == "table" and _is_newer(versions, state.built_versions)


def _is_newer(versions: Mapping[str, int], than: Mapping[str, int]) -> bool:
    return any(version > than.get(name, 0) for name, version in versions.items())


ALL_MARTS = Query("mart")


def declared_queries() -> list[Query]:
    """Every query of marts that the code makes."""
    return [ALL_MARTS]
