"""Backfills: a dataset's raw objects of some time, read again under the contract of now. Pure.

    planning ──▶ planned ──start──▶ running ⇄ paused
        └▶ failed     └─────cancel─────┴──▶ cancelled     running ──▶ done

Invariants:
- nothing is replayed before the plan is made and somebody has started it;
- items run in the order in which their objects were created, a slice at a time, and a slice begins
  when the one before has ended; pausing and cancelling let the slice under way end;
- an item is run once: its replay's id is derived from the backfill's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from eventpulse.ingestions.ingestion import STEP_OF_STATE, Ingestion
from eventpulse.ports import Json, NewEvent, Query
from eventpulse.values import Value

BackfillState = Literal["planning", "planned", "running", "paused", "done", "cancelled", "failed"]
ItemAction = Literal["replay", "land"]
Skip = Literal["unchanged", "in_flight", "duplicate", "retracted", "other_dataset"]
ACTIVE: tuple[BackfillState, ...] = ("planning", "running")
"""States in which a task takes it further."""

MOST_EXAMPLES = 20


class Item(Value):
    """One raw object of the plan. `ingestion` is what is replayed, or what landing makes."""

    object: str
    generation: int
    created: str
    size: int
    action: ItemAction
    ingestion: str
    state: str | None = None


class Example(Value):
    """A file that would end otherwise than it did."""

    object: str
    ingestion: str
    before: str
    after: str


class Foreseen(Value):
    """What a dry run has found: each file was read and judged under the current contract, and
    nothing was kept. `before` is what its ingestion says now."""

    files: int = 0
    unreadable: int = 0
    changed: int = 0
    accepted_before: int = 0
    accepted_after: int = 0
    rows_accepted_before: int = 0
    rows_accepted_after: int = 0
    rows_refused_before: int = 0
    rows_refused_after: int = 0
    examples: tuple[Example, ...] = ()

    def plus(self, other: Foreseen) -> Foreseen:
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in type(self).model_fields
            if name != "examples"
        }
        return Foreseen(**sums, examples=(*self.examples, *other.examples)[:MOST_EXAMPLES])


class Backfill(Value):
    """The projection of `backfill/<id>`. `items` of the plan stand in documents beside it, in
    chunks; `checked` and `position` say how many of them the dry run and the run have taken.
    `outcomes` counts how items ended, `refused` among them those that could not be begun."""

    id: str
    dataset: str = ""
    since: str | None = None
    until: str | None = None
    check: bool = True
    force: bool = False
    requested_by: str = ""
    state: BackfillState = "planning"
    detail: str | None = None
    contract_version: str | None = None
    listed: bool = False
    items: int = 0
    skipped: dict[str, int] = Field(default_factory=dict)
    checked: int = 0
    foreseen: Foreseen = Foreseen()
    position: int = 0
    in_flight: tuple[str, ...] = ()
    outcomes: dict[str, int] = Field(default_factory=dict)
    created_at: str = ""
    updated_at: str = ""
    finished_at: str | None = None

    @property
    def stream(self) -> str:
        return f"backfill/{self.id}"

    @property
    def is_planned(self) -> bool:
        return self.listed and (not self.check or self.checked >= self.items)


_Fields = dict[str, Any]


def _ended(state: BackfillState) -> Callable[[Backfill, _Fields, str], _Fields]:
    return lambda _b, d, at: {**d, "state": state, "finished_at": at}


def _settled(backfill: Backfill, data: _Fields, _at: str) -> _Fields:
    return {"in_flight": (), "outcomes": _add(backfill.outcomes, data["outcomes"])}


def _advanced(backfill: Backfill, data: _Fields, _at: str) -> _Fields:
    refused = {"refused": data["refused"]} if data["refused"] else {}
    return {
        "position": data["position"],
        "in_flight": data["in_flight"],
        "outcomes": _add(backfill.outcomes, refused),
    }


def _add(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}


EVENTS: Mapping[str, Callable[[Backfill, _Fields, str], _Fields]] = {
    "requested": lambda _b, d, at: {**d, "created_at": at},
    "listed": lambda _b, d, _at: {**d, "listed": True},
    "checked": lambda b, d, _at: {
        "checked": d["checked"],
        "foreseen": b.foreseen.plus(Foreseen.model_validate(d["foreseen"])),
    },
    "planned": lambda _b, _d, _at: {"state": "planned"},
    "started": lambda _b, _d, _at: {"state": "running"},
    "advanced": _advanced,
    "settled": _settled,
    "paused": lambda _b, _d, _at: {"state": "paused"},
    "resumed": lambda _b, _d, _at: {"state": "running"},
    "completed": _ended("done"),
    "cancelled": _ended("cancelled"),
    "failed": _ended("failed"),
}
"""What each event changes."""

DECISIONS: Mapping[str, tuple[str, frozenset[BackfillState]]] = {
    "start": ("started", frozenset({"planned"})),
    "pause": ("paused", frozenset({"running"})),
    "resume": ("resumed", frozenset({"paused"})),
    "cancel": ("cancelled", frozenset({"planning", "planned", "running", "paused"})),
}
"""What an operator may decide: the event, and the states that allow it."""


def project_backfill(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    before = Backfill.model_validate(projection or {"id": stream.partition("/")[2]})
    changed = EVENTS[event.type](before, dict(event.data), at)
    merged = {**before.model_dump(), **changed, "updated_at": at}
    return Backfill.model_validate(merged).model_dump(mode="json")


def decide_item(
    ingestion: Ingestion | None,
    *,
    dataset: str,
    contract_version: str,
    schema_version: int,
    force: bool,
) -> ItemAction | Skip:
    """What a backfill does with a raw object, from the ingestion that stands for it now.

    Steps are deterministic: what was judged under the current contract and schema would be judged
    so again, and is left alone unless `force` is set.
    """
    if ingestion is None:
        return "land"
    if ingestion.dataset not in (None, dataset):
        return "other_dataset"
    if ingestion.state in STEP_OF_STATE or ingestion.retract_requested:
        return "in_flight"
    if ingestion.state in ("duplicate", "retracted"):
        return "duplicate" if ingestion.state == "duplicate" else "retracted"
    same = (
        ingestion.dataset == dataset
        and ingestion.contract_version == contract_version
        and ingestion.schema_version == schema_version
    )
    if same and ingestion.state in ("loaded", "rejected") and not force:
        return "unchanged"
    return "replay"


# --- Queries -------------------------------------------------------------------------------------


def query_backfills(dataset: str | None = None, state: str | None = None) -> Query:
    """The list that people read, newest first."""
    wanted = (("dataset", dataset), ("state", state))
    where: list[tuple[str, Any, Json]] = [
        (name, "==", value) for name, value in wanted if value is not None
    ]
    return Query("backfill", tuple(where), (("created_at", "desc"),))


def query_stalled(before: str) -> Query:
    """Backfills under way that nothing has touched since `before`, for sweep."""
    return Query(
        "backfill",
        (("state", "in", list(ACTIVE)), ("updated_at", "<", before)),
        (("updated_at", "asc"),),
    )


def declared_queries() -> list[Query]:
    """Every query of backfills that the code makes."""
    listed = [query_backfills(d, s) for d in (None, "a") for s in (None, "running")]
    return [*listed, query_stalled("2026")]
