"""Proposals: contracts that verdicts suggest, which operators accept or reject. Pure.

A verdict that a contract could have avoided makes a proposal in its own commit: a draft for a
dataset that has none, a patch for drift, a patch for a rename. The same finding again joins the
proposal that is there. Accepting registers a contract version and replays the files that were
rejected for want of it; a proposal that was decided stays so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import JsonValue

from eventpulse.contracts.contract import Contract
from eventpulse.drift.verdict import Change
from eventpulse.ports import Json, NewEvent, Query
from eventpulse.values import Document, Value, derive_id

ProposalKind = Literal["draft", "drift", "rename"]
ProposalState = Literal["open", "accepted", "rejected"]

MOST_WAITING = 200
"""Rejected ingestions that one proposal names; further ones name it (`query_waiting`)."""

_NEWEST = (("created_at", "desc"),)


class Proposal(Value):
    """The projection of `proposal/<id>`.

    `base` is the contract version that the patch is for, None for a draft, whose text is
    `document`. `waiting` are the first that were rejected for want of it, `seen` counts every
    ingestion that brought it. `version` is what was registered when it was accepted.
    """

    id: str
    kind: ProposalKind = "drift"
    state: ProposalState = "open"
    dataset: str = ""
    base: str | None = None
    summary: str = ""
    patch: list[dict[str, JsonValue]] = []
    evidence: list[dict[str, JsonValue]] = []
    document: Document | None = None
    first: str = ""
    waiting: tuple[str, ...] = ()
    seen: int = 0
    version: str | None = None
    created_at: str = ""
    decided_at: str | None = None

    @property
    def stream(self) -> str:
        return f"proposal/{self.id}"


_Fields = dict[str, Any]


def _proposed(before: Proposal, data: _Fields, at: str) -> _Fields:
    if before.created_at:
        return _joined(before, data, at)
    waiting = (data["first"],) if data.pop("waits") else ()
    return {**data, "waiting": waiting, "seen": 1, "created_at": at}


def _joined(before: Proposal, data: _Fields, _at: str) -> _Fields:
    waiting = before.waiting
    if data["waits"] and data["first"] not in waiting and len(waiting) < MOST_WAITING:
        waiting = (*waiting, data["first"])
    return {"waiting": waiting, "seen": before.seen + 1}


def project_proposal(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    before = Proposal.model_validate(projection or {"id": stream.partition("/")[2]})
    data = dict(event.data)
    if event.type == "proposed":
        changed = _proposed(before, data, at)
    else:
        changed = {"state": event.type, "decided_at": at, **data}
    return Proposal.model_validate({**before.model_dump(), **changed}).model_dump(mode="json")


# --- Making them ---------------------------------------------------------------------------------

LARGEST_BYTES = 250_000
"""A verdict that proposes more is about no file of the dataset: ten thousand columns, say."""


def propose_drift(
    dataset: str,
    base: str,
    changes: Sequence[Change],
    patch: Sequence[Mapping[str, Json]],
    ingestion: str,
    *,
    waits: bool,
) -> tuple[str, NewEvent] | None:
    """The id and the event of what a verdict proposes: the same for the same patch of a version.

    None when it is more than anybody would accept, and more than the log holds.
    """
    kinds = {change.kind for change in changes}
    kind: ProposalKind = "rename" if kinds == {"renamed"} else "drift"
    text = json.dumps(list(patch), sort_keys=True)
    data: dict[str, Json] = {
        "kind": kind,
        "dataset": dataset,
        "base": base,
        "summary": describe_patch(patch),
        "patch": [dict(each) for each in patch],
        "evidence": [change.model_dump(mode="json") for change in changes],
        "first": ingestion,
        "waits": waits,
    }
    if len(json.dumps(data)) > LARGEST_BYTES:
        return None
    return derive_id("proposal", dataset, base, text), NewEvent("proposed", data)


def propose_draft(
    dataset: str, structure: Sequence[Json], document: Document, summary: str, ingestion: str
) -> tuple[str, NewEvent]:
    """The id and the event of a drafted contract: the same for files of one structure."""
    data: dict[str, Json] = {
        "kind": "draft",
        "dataset": dataset,
        "summary": summary,
        "document": document.model_dump(mode="json"),
        "first": ingestion,
        "waits": True,
    }
    text = json.dumps(list(structure), sort_keys=True)
    return derive_id("proposal", "draft", text), NewEvent("proposed", data)


def describe_patch(patch: Iterable[Mapping[str, Json]]) -> str:
    """What a patch does, for people."""
    return "; ".join(map(_describe_operation, patch))


def _describe_operation(operation: Mapping[str, Json]) -> str:
    declared = operation["property"]
    assert isinstance(declared, dict)
    name = declared["name"]
    if operation["op"] == "add":
        header = declared.get("physicalName", name)
        return f"add the column {name} ({declared['logicalType']}, header {header!r})"
    if operation["op"] == "remove":
        return f"remove the column {name}"
    if "aliases" in declared:
        return f"read {name} from the header {declared['aliases'][0]!r} too"  # type: ignore[index]
    if "logicalType" in declared:
        return f"change the type of {name} to {declared['logicalType']}"
    return f"make {name} optional"


def has_patch(contract: Contract, patch: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a contract says already what the patch would have it say."""
    fields = {each.name: each for each in contract.fields}
    return all(_is_done(fields, each["op"], each["property"]) for each in patch)


def _is_done(fields: Mapping[str, Any], operation: str, declared: Mapping[str, Any]) -> bool:
    field = fields.get(declared["name"])
    if operation == "remove":
        return field is None
    if operation == "add":
        return any(declared.get("physicalName") in each.headers for each in fields.values())
    if field is None:
        return False
    if "aliases" in declared:
        return set(declared["aliases"]) <= set(field.headers)
    if "logicalType" in declared:
        return bool(field.type == declared["logicalType"])
    return not field.column.required


# --- Finding them --------------------------------------------------------------------------------


def query_proposals(state: str | None = None, dataset: str | None = None) -> Query:
    """The list that people read, newest first."""
    wanted = (("state", state), ("dataset", dataset))
    where = tuple((name, "==", value) for name, value in wanted if value is not None)
    return Query("proposal", where, _NEWEST)  # type: ignore[arg-type]


def declared_queries() -> list[Query]:
    """Every query of proposals that the code makes: each needs its composite index."""
    return [query_proposals(state, dataset) for state in (None, "open") for dataset in (None, "a")]
