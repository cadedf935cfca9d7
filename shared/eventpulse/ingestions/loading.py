"""Load groups and the dataset they belong to: states, events, decisions. Pure.

One group per dataset is open at a time. Its first event freezes its members; its rows go in by one
load job under an id that names the group and the job's number, because a failed id is spent. When
the warehouse refuses a group for good, it is split: the next groups take half as many members,
until the faulty ingestion stands alone and fails alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field

from eventpulse.drift.accepted_schema import AcceptedSchema
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.leases import Lease
from eventpulse.ports import Json, NewEvent, Query
from eventpulse.values import Document, Value


class Member(Value):
    """One ingestion in a group. A replay has the `root` and `number` of its line, and `replaces`
    the ingestion whose rows stand until now, if any do."""

    ingestion: str
    action: Literal["activate", "deactivate"]
    contract_version: str
    rows_accepted: int
    staged: tuple[Document, ...] = ()
    replaces: str | None = None
    root: str | None = None
    number: int = 0


MOST_MEMBERS = 39
"""A commit holds 400 documents, and closing a group writes up to ten for each member: those of a
retracted one, of its content, and of a copy that resumes, under two names."""

MOST_BYTES = 4_000_000
"""A commit holds 9 MB: those of a group's members, which may each have brought a thousand columns,
and those of the group itself, of its dataset and of the dataset's trend. One member fits always."""


class LoadGroup(Value):
    """The projection of `group/<id>`. The id is random: a warehouse takes the id of a load job once
    for ever, whichever deployment of the project sends it. `fence` grows from group to group of a
    dataset; `published` says that the rows are visible: {activated ingestion: (rows accepted, rows
    current)}; `cost` is that of its load job, as JobStats. `discarded`: rows of its members that an
    earlier group had loaded and never published were taken out of the history."""

    id: str
    dataset: str = ""
    fence: int = 0
    members: tuple[Member, ...] = ()
    published: dict[str, tuple[int, int]] | None = None
    cost: dict[str, int] = {}
    discarded: bool = False
    state: Literal["open", "loaded", "split", "failed"] = "open"
    job_number: int = 1
    opened_at: str = ""
    attempts: int = 0
    lease: Lease | None = None

    @property
    def stream(self) -> str:
        return f"group/{self.id}"

    @property
    def job_id(self) -> str:
        return f"eventpulse-{self.id}-{self.job_number}"


class DatasetState(Value):
    """The projection of `dataset/<name>`: its accepted schema, its open group, its loads."""

    name: str
    table_schema: AcceptedSchema = Field(default_factory=AcceptedSchema)
    open_group: str | None = None
    group_limit: int | None = None
    loads: int = 0
    loaded_at: str | None = None
    updated_at: str = ""

    @property
    def stream(self) -> str:
        return f"dataset/{self.name}"


_Fields = dict[str, Any]

GROUP_EVENTS: Mapping[str, Callable[[LoadGroup, _Fields, str], _Fields]] = {
    "opened": lambda _g, d, at: {**d, "opened_at": at},
    "step.started": lambda _g, d, _at: {"lease": d, "attempts": d["attempt"]},
    "step.faulted": lambda _g, _d, _at: {"lease": None},
    "published": lambda _g, d, _at: {"published": d["counts"], "cost": d.get("cost", {})},
    "job.spent": lambda g, _d, _at: {"job_number": g.job_number + 1},
    "rows.discarded": lambda g, _d, _at: {"job_number": g.job_number + 1, "discarded": True},
    "closed": lambda _g, d, _at: {"state": d["outcome"], "lease": None},
}

DATASET_EVENTS: Mapping[str, Callable[[DatasetState, _Fields, str], _Fields]] = {
    "schema.accepted": lambda _s, d, _at: {"table_schema": d["schema"]},
    "group.opened": lambda _s, d, _at: {"open_group": d["group"]},
    "group.loaded": lambda s, _d, at: {
        "open_group": None,
        "group_limit": None,
        "loads": s.loads + 1,
        "loaded_at": at,
    },
    "group.split": lambda _s, d, _at: {"open_group": None, "group_limit": d["limit"]},
    "group.failed": lambda _s, _d, _at: {"open_group": None},
}


def project_group(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    before = LoadGroup.model_validate(projection or {"id": stream.partition("/")[2]})
    changed = GROUP_EVENTS[event.type](before, dict(event.data), at)
    after = LoadGroup.model_validate({**before.model_dump(), **changed})
    return after.model_dump(mode="json")


def project_dataset(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    before = DatasetState.model_validate(projection or {"name": stream.partition("/")[2]})
    changed = DATASET_EVENTS[event.type](before, dict(event.data), at)
    after = DatasetState.model_validate({**before.model_dump(), **changed, "updated_at": at})
    return after.model_dump(mode="json")


def project_schema(
    _projection: Mapping[str, Json], stream: str, event: NewEvent, _at: str
) -> dict[str, Json]:
    """`schema.accepted`: `schema/<dataset>` has just these of the dataset's events, so that they
    are few however often it is loaded."""
    schema = AcceptedSchema.model_validate(event.data["schema"])
    return {"name": stream.partition("/")[2], "version": schema.version}


class Waiting(NamedTuple):
    """An ingestion that waits for a group, the one whose place it takes, and how many bytes of JSON
    closing the group writes for it."""

    ingestion: Ingestion
    replaces: str | None
    size: int


def choose_members(waiting: Sequence[Waiting], limit: int) -> list[Member]:
    """The longest waiting, at most `limit`, MOST_MEMBERS and, beyond the first, MOST_BYTES. Two of
    one line of replays never share a group: one of them would be lost."""
    members: list[Member] = []
    lines: set[str] = set()
    room = MOST_BYTES
    for ingestion, replaces, size in waiting:
        if len(members) == min(limit, MOST_MEMBERS) or (members and size > room):
            break
        if ingestion.root in lines:
            continue
        lines.add(ingestion.root)
        room -= size
        retract = ingestion.retract_requested
        members.append(
            Member(
                ingestion=ingestion.id,
                action="deactivate" if retract else "activate",
                contract_version=ingestion.contract_version or "",
                rows_accepted=ingestion.rows_accepted or 0,
                staged=() if retract else ingestion.staged,
                replaces=None if retract else replaces,
                root=None if retract or not ingestion.replay_root else ingestion.root,
                number=ingestion.replay_number,
            )
        )
    return members


ALL_DATASETS = Query("dataset")


def declared_queries() -> list[Query]:
    """Every query of datasets that the code makes."""
    return [ALL_DATASETS]
