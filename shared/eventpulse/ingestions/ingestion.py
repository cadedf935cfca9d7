"""An ingestion: its states, its events, and what each moment allows. Pure: no I/O, no clock.

Invariants:
- an ingestion's state is the fold of its events (`apply_event`), never anything else;
- its identity is derived from (bucket, object, generation), so a redelivered event finds it;
- a step runs under a lease; attempts are counted from `step.started` events, never from headers;
- `rows_read = rows_accepted + rows_quarantined + rows_duplicate` from `validated` on.

    received ──validate──▶ validated ──drift──▶ accepted ──load──▶ loaded ──▶ retracted
       ▲  └▶ rejected          └─ returned (once, under a trial of a schema) ─▶ received
       └── duplicate (resumes when the first one ends otherwise)      any step: failed
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, get_args

from pydantic import Field

from eventpulse.drift.accepted_schema import Rename, Trial
from eventpulse.leases import Lease
from eventpulse.ports import Event, Head, Json, NewEvent, ObjectRef, Operator, Query
from eventpulse.values import Document, Value, format_time, parse_time

State = Literal[
    "received",
    "validated",
    "accepted",
    "loaded",
    "rejected",
    "failed",
    "duplicate",
    "retracted",
]
Reason = Literal["unreadable", "no_contract", "revoked", "drift", "quality"]
Step = Literal["validate", "drift", "load"]
Sort = Literal[
    "-received_at",
    "received_at",
    "-rows_read",
    "rows_read",
    "-rows_quarantined",
    "rows_quarantined",
    "-seconds",
    "seconds",
]
"""How a list of ingestions is ordered: when it came, how much it was, how much of it was refused,
how long it took. With `-` the newest, or the most, comes first."""

STEP_OF_STATE: Mapping[str, Step] = {
    "received": "validate",
    "validated": "drift",
    "accepted": "load",
}
"""The step that each unfinished state waits for; every other state is an end."""

HOLDING_STATES = frozenset({"received", "validated", "accepted", "loaded"})
"""States in which an ingestion stands for its content, so that the same content is a duplicate."""


class SourceObject(Value):
    """One raw object that an ingestion reads; `generation` pins its bytes."""

    bucket: str
    name: str
    generation: int
    size: int
    created: str
    content_type: str = "application/octet-stream"
    sha256: str = ""

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef("raw", self.name, self.generation)


class Ingestion(Value):
    """The projection of an ingestion's stream. Row counts are None until they are known.

    Replays of one ingestion, and replays of those, form a line: `replay_root` is its first, whose
    `replays` numbers them and whose `standing_replay` is the one that took its place last.
    `refusal` is what `land` decided already; `validate` rejects it with `detail`, unread.
    One that `recovers` another holds mended rows that it refused; that one's `recoveries` count.
    `rows_current` is as of its load: later files may take keys over, and only the warehouse knows.
    `milliseconds` are those from receipt to end.
    """

    id: str
    state: State = "received"
    dataset: str | None = None
    object: str = ""
    objects: tuple[SourceObject, ...] = ()
    contract_version: str | None = None
    contract_sha256: str | None = None
    schema_version: int = 0
    returned: bool = False
    returns: int = 0
    trial: Trial | None = None
    renames: tuple[Rename, ...] | None = None
    proposal: str | None = None
    reason: Reason | None = None
    detail: str | None = None
    refusal: Reason | None = None
    failed_step: str | None = None
    duplicate_of: str | None = None
    replay_of: str | None = None
    replay_root: str | None = None
    replay_number: int = 0
    replays: int = 0
    replaced_by: str | None = None
    recovers: str | None = None
    recoveries: int = 0
    standing_replay: str | None = None
    standing_number: int = 0
    awaiting_load: bool = False
    retract_requested: bool = False
    rows_read: int | None = None
    rows_accepted: int | None = None
    rows_quarantined: int | None = None
    rows_duplicate: int | None = None
    rows_current: int | None = None
    rows_superseded: int | None = None
    staged: tuple[Document, ...] = ()
    facts: Document | None = None
    quality: Document | None = None
    drift: Document | None = None
    lineage: Document | None = None
    quarantine: Document | None = None
    group: str | None = None
    attempts: dict[str, int] = Field(default_factory=dict)
    lease: Lease | None = None
    received_at: str = ""
    updated_at: str = ""
    finished_at: str | None = None
    milliseconds: int | None = None

    @property
    def stream(self) -> str:
        return f"ingestion/{self.id}"

    @property
    def source(self) -> SourceObject:
        """The first raw object: the only one, but for bundles."""
        return self.objects[0]

    @property
    def root(self) -> str:
        """The first ingestion of its line of replays: itself, unless it is a replay."""
        return self.replay_root or self.id

    @property
    def step(self) -> Step | None:
        return STEP_OF_STATE.get(self.state)

    @property
    def content_key(self) -> str:
        return content_key(
            self.dataset, self.contract_version, [each.sha256 for each in self.objects]
        )


def content_key(dataset: str | None, contract_version: str | None, hashes: Iterable[str]) -> str:
    text = "\n".join([dataset or "", contract_version or "", *hashes])
    return hashlib.sha256(text.encode()).hexdigest()


def object_key(bucket: str, name: str) -> str:
    return hashlib.sha256(f"{bucket}\n{name}".encode()).hexdigest()


# --- Events --------------------------------------------------------------------------------------

_Fields = dict[str, Any]


def _received(_: Ingestion, data: _Fields) -> _Fields:
    return {**data, "object": data["objects"][0]["name"]}


def _started(ingestion: Ingestion, data: _Fields) -> _Fields:
    step = data["step"]
    return {"lease": data, "attempts": {**ingestion.attempts, step: data["attempt"]}}


def _validated(_: Ingestion, data: _Fields) -> _Fields:
    return {**data, "state": "validated", "lease": None}


def _ended(state: State) -> Callable[[Ingestion, _Fields], _Fields]:
    def apply(_: Ingestion, data: _Fields) -> _Fields:
        return {**data, "state": state, "lease": None, "awaiting_load": False}

    return apply


def _returned(ingestion: Ingestion, data: _Fields) -> _Fields:
    """Back to validation: under a trial of what the file brings, or because the table has a wider
    type by now than its staged rows."""
    attempts = {step: n for step, n in ingestion.attempts.items() if step == "load"}
    return {
        "state": "received",
        "returned": True,
        "returns": ingestion.returns + 1,
        "trial": data.get("trial", ingestion.trial),
        "awaiting_load": False,
        "lease": None,
        "attempts": attempts,
    }


EVENTS: Mapping[str, Callable[[Ingestion, _Fields], _Fields]] = {
    "received": _received,
    "duplicate": _ended("duplicate"),
    "resumed": lambda _i, _d: {"state": "received", "duplicate_of": None, "finished_at": None},
    "step.started": _started,
    "step.faulted": lambda _i, _d: {"lease": None},
    "woken": lambda _i, _d: {"lease": None},
    "validated": _validated,
    "returned": _returned,
    "accepted": lambda _i, d: {**d, "state": "accepted", "lease": None, "awaiting_load": True},
    "rejected": _ended("rejected"),
    "failed": _ended("failed"),
    "loaded": _ended("loaded"),
    "recovered": lambda i, _d: {"recoveries": i.recoveries + 1},
    "replayed": lambda i, _d: {"replays": i.replays + 1},
    "replaced": lambda i, d: {"replaced_by": d["by"], **_all_superseded(i)},
    "stood.down": lambda _i, d: {"standing_replay": d["by"], "standing_number": d["number"]},
    "retract.requested": lambda _i, _d: {"retract_requested": True, "awaiting_load": True},
    "retract.passed": lambda _i, _d: {"retract_requested": False, "awaiting_load": False},
    "retract.failed": lambda _i, d: {**d, "retract_requested": False, "awaiting_load": False},
    "retracted": lambda i, _d: {
        **_ended("retracted")(i, _all_superseded(i)),
        "retract_requested": False,
    },
}
"""What each event changes. An event type that is not here is a fault of the code that wrote it."""

END_EVENTS = frozenset({"duplicate", "rejected", "failed", "loaded", "retracted"})


def _all_superseded(ingestion: Ingestion) -> _Fields:
    if ingestion.state != "loaded":
        return {}
    return {"rows_current": 0, "rows_superseded": ingestion.rows_accepted}


def apply_event(
    ingestion: Ingestion | None, stream: str, type_: str, data: Mapping[str, Json], at: str
) -> Ingestion:
    """The ingestion after one more event. Only `received` may come first."""
    before = ingestion or Ingestion(id=stream.partition("/")[2], received_at=at)
    changed = EVENTS[type_](before, dict(data))
    finished = at if type_ in END_EVENTS else changed.pop("finished_at", before.finished_at)
    took = None
    if finished is not None:
        took = (parse_time(finished) - parse_time(before.received_at)) // timedelta(milliseconds=1)
    ended = {"updated_at": at, "finished_at": finished, "milliseconds": took}
    return Ingestion.model_validate({**before.model_dump(), **changed, **ended})


def fold_events(events: Iterable[Event]) -> Ingestion | None:
    """The ingestion that a timeline tells of; None for an empty one."""
    state: Ingestion | None = None
    for event in events:
        state = apply_event(state, event.stream, event.type, event.data, format_time(event.at))
    return state


def from_head(head: Head) -> Ingestion | None:
    return Ingestion.model_validate(head.projection) if head.version else None


def project_ingestion(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    before = Ingestion.model_validate(projection) if projection else None
    return apply_event(before, stream, event.type, event.data, at).model_dump(mode="json")


# --- Content and paths ---------------------------------------------------------------------------


class ContentHolder(Value):
    """The projection of `content/<key>`: who stands for this content, and which copies wait."""

    holder: str | None = None
    waiting: tuple[str, ...] = ()


def project_content(
    projection: Mapping[str, Json], _stream: str, event: NewEvent, _at: str
) -> dict[str, Json]:
    """`held`: an ingestion now stands for the content; `waiting`: a copy was set aside;
    `released`: nobody stands for it."""
    before = ContentHolder.model_validate(projection)
    ingestion = str(event.data["ingestion"])
    others = tuple(each for each in before.waiting if each != ingestion)
    if event.type == "waiting":
        waiting = (*others, ingestion)[:MAX_WAITING]
        after = ContentHolder(holder=before.holder, waiting=waiting)
    else:
        after = ContentHolder(holder=ingestion if event.type == "held" else None, waiting=others)
    return after.model_dump(mode="json")


class Landing(Value):
    """One generation under a name, or a copy of one that landed elsewhere. Later is what was
    created later, whichever name it has."""

    created: str
    generation: int
    ingestion: str

    def is_after(self, other: Landing) -> bool:
        return (self.created, self.generation) > (other.created, other.generation)


class ObjectHistory(Value):
    """The projection of `object/<key>`: what landed under one name, and the copies of it that were
    set aside, wherever they landed."""

    landings: tuple[Landing, ...] = ()
    duplicates: tuple[Landing, ...] = ()

    def landed_after(self, landing: Landing) -> bool:
        return any(each.is_after(landing) for each in self.landings)

    def duplicates_after(self, landing: Landing) -> tuple[Landing, ...]:
        return tuple(each for each in self.duplicates if each.is_after(landing))


def project_object(
    projection: Mapping[str, Json], _stream: str, event: NewEvent, _at: str
) -> dict[str, Json]:
    """`landed` and `duplicated` put a landing in its list and take it out of the other; `resumed`
    takes out a copy that now counts under its own name."""
    before = ObjectHistory.model_validate(projection)
    landing = Landing.model_validate(event.data)
    lists = {
        "landings": [x for x in before.landings if x.ingestion != landing.ingestion],
        "duplicates": [x for x in before.duplicates if x.ingestion != landing.ingestion],
    }
    if event.type != "resumed":
        kept = lists["duplicates" if event.type == "duplicated" else "landings"]
        kept.append(landing)
        del kept[:-MAX_LANDINGS]
    return ObjectHistory.model_validate(lists).model_dump(mode="json")


MAX_WAITING = 100
"""Copies of one content that are remembered to resume when the first ends otherwise. One is enough;
the others are there in case it fails too."""

MAX_LANDINGS = 100
"""Generations of one name that its history remembers; older ones cannot be duplicated again."""


def is_duplicate(holder: Ingestion | None, history: ObjectHistory) -> bool:
    """Whether the same content again adds nothing.

    It does while the first is in flight or stands loaded, unless something later landed under the
    first one's name: A, then B, then A again must end as A.
    """
    if holder is None or holder.state not in HOLDING_STATES or holder.replaced_by is not None:
        return False
    return not history.landed_after(landing_of(holder))


def landing_of(ingestion: Ingestion) -> Landing:
    source = ingestion.source
    return Landing(created=source.created, generation=source.generation, ingestion=ingestion.id)


# --- Queries -------------------------------------------------------------------------------------

_OLDEST = (("updated_at", "asc"),)
_STATES: tuple[State, ...] = get_args(State)
_REASONS: tuple[Reason, ...] = get_args(Reason)
_SORTED_BY = {"seconds": "milliseconds"}
"""What is ordered by another field of the projection than the answer's."""


def query_ingestions(
    *,
    state: str | None = None,
    dataset: str | Sequence[str] | None = None,
    object_name: str | None = None,
    reason: str | None = None,
    since: str | None = None,
    until: str | None = None,
    not_states: Sequence[str] = (),
    not_reasons: Sequence[str] = (),
    sort: Sort = "-received_at",
) -> Query:
    """The list that people read. `since` is the first moment of receipt and `until` the first
    beyond; `dataset` may be one of several. Of equal figures, what came last is first when the
    most is.

    States and reasons are few and known, so that those left out are asked for as the rest; but
    `not_reasons` only where nothing else than rejected ones is asked for: with others, a reader
    passes over them.
    """
    where = _filter_outcomes(state, reason, not_states, not_reasons)
    if dataset is not None:
        where.append(_is_among("dataset", [dataset] if isinstance(dataset, str) else dataset))
    where += [("object", "==", object_name)] if object_name is not None else []
    where += [("received_at", ">=", since)] if since is not None else []
    where += [("received_at", "<", until)] if until is not None else []
    way: Literal["asc", "desc"] = "desc" if sort.startswith("-") else "asc"
    field = sort.removeprefix("-")
    fields = dict.fromkeys([_SORTED_BY.get(field, field), "received_at"])
    return Query("ingestion", tuple(where), tuple((name, way) for name in fields))


def _filter_outcomes(
    state: str | None, reason: str | None, not_states: Sequence[str], not_reasons: Sequence[str]
) -> list[tuple[str, Operator, Json]]:
    """Only rejected ingestions have a reason, which then stands in for their state."""
    states = [each for each in ([state] if state else _STATES) if each not in not_states]
    reasons = [each for each in ([reason] if reason else _REASONS) if each not in not_reasons]
    if reason is not None or (states == ["rejected"] and not_reasons):
        return [_is_among("reason", reasons if "rejected" in states else [])]
    return [] if len(states) == len(_STATES) else [_is_among("state", states)]


def _is_among(name: str, values: Sequence[str]) -> tuple[str, Operator, Json]:
    return (name, "==", values[0]) if len(values) == 1 else (name, "in", list(values))


def query_objects(prefix: str) -> Query:
    """Ingestions of objects whose name begins so, by name."""
    beyond = prefix + "\U0010ffff"
    return Query(
        "ingestion",
        (("object", ">=", prefix), ("object", "<", beyond)),
        (("object", "asc"),),
    )


def query_id_prefix(prefix: str) -> Query:
    """Ingestions whose id begins so; ids are lower-case hexadecimal digits and hyphens."""
    return Query(
        "ingestion",
        (("id", ">=", prefix), ("id", "<", f"{prefix}g")),
        (("id", "asc"),),
    )


def query_awaiting_load(dataset: str) -> Query:
    """Ingestions of a dataset that the next load group takes, the longest waiting first."""
    return Query(
        "ingestion",
        (("dataset", "==", dataset), ("awaiting_load", "==", True)),
        _OLDEST,  # type: ignore[arg-type]
    )


def query_waiting(proposal: str) -> Query:
    """Ingestions that were rejected for want of what a proposal brings, and never replayed."""
    return Query(
        "ingestion",
        (("proposal", "==", proposal), ("state", "==", "rejected"), ("replays", "==", 0)),
    )


def query_unfinished(before: str) -> Query:
    """Ingestions on their way that nothing has touched since `before`, for sweep."""
    return Query(
        "ingestion",
        (("state", "in", list(STEP_OF_STATE)), ("updated_at", "<", before)),
        _OLDEST,  # type: ignore[arg-type]
    )


def declared_queries() -> list[Query]:
    """Every query of ingestions that the code makes: each needs its composite index."""
    sorts: tuple[Sort, ...] = get_args(Sort)
    shapes = [
        query_ingestions(state=state, dataset=dataset, object_name=name, reason=reason, sort=sort)
        for state, reason in ((None, None), ("loaded", None), (None, "drift"))
        for dataset in (None, "a")
        for name in (None, "b")
        for sort in sorts
    ]
    return [
        *shapes,
        query_id_prefix("0"),
        query_objects("a"),
        query_awaiting_load("a"),
        query_waiting("a"),
        query_unfinished("2026"),
    ]
