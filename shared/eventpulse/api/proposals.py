"""Proposals: listing what verdicts suggest, seeing the contract, accepting and rejecting; and how
two versions of a contract stand to each other."""

from __future__ import annotations

import flask
from pydantic import Field, JsonValue

from eventpulse.api.endpoints import Call
from eventpulse.api.models import Answer, Cursor, Limit, Request
from eventpulse.contracts.compatibility import (
    Bump,
    Compatibility,
    Difference,
    Mode,
    compare_contracts,
    is_enough,
    judge_differences,
    judge_transitive,
    raise_version,
)
from eventpulse.drift.proposals import Proposal, ProposalKind, ProposalState, query_proposals
from eventpulse.http import json_response
from eventpulse.pipeline.proposals import (
    accept_proposal,
    count_waiting,
    reject_proposal,
    suggest_contract,
)
from eventpulse.pipeline.registry import load_contract, load_versions
from eventpulse.pipeline.streams import Changes


class ProposalFilter(Request):
    state: ProposalState | None = None
    dataset: str | None = None
    cursor: Cursor | None = Field(None, description="`next_cursor` of the page before.")
    limit: Limit = 50


class ProposalSummary(Answer):
    """`base` is the contract version that the patch is for, null for a draft; `version` what was
    registered when it was accepted. `waiting` are the first that were rejected for want of it,
    `seen` counts all that brought it, `first` is the first of them."""

    id: str
    kind: ProposalKind
    state: ProposalState
    dataset: str
    base: str | None
    version: str | None
    summary: str
    first: str
    waiting: list[str]
    seen: int
    created_at: str
    decided_at: str | None


class ProposalPage(Answer):
    proposals: list[ProposalSummary]
    next_cursor: str | None


class ProposalAnswer(ProposalSummary):
    """`contract` is the YAML that accepting would register now, as `suggested_version`, and `diff`
    what it changes; both are empty when `problem` says why the proposal does not fit any more.
    `still_waiting` counts the rejected ingestions that were not replayed yet."""

    patch: list[dict[str, JsonValue]]
    evidence: list[dict[str, JsonValue]]
    suggested_version: str
    contract: str
    diff: str
    problem: str | None
    still_waiting: int


class AcceptRequest(Request):
    """`text` is the whole contract as you want it; without it the proposal's own."""

    text: str | None = Field(None, min_length=1)


class AcceptanceAnswer(Answer):
    """`contract` and `diff` belong into the repository. `replays` maps the ingestions that waited
    to the ones that replay them, `left` those that could not be replayed to the reason. One request
    begins 200 replays; `remaining` still wait: accept again until none does."""

    proposal: ProposalSummary
    version: str
    contract: str
    diff: str
    replays: dict[str, str]
    left: dict[str, str]
    remaining: int


class CompatibilityQuery(Request):
    old: str | None = Field(None, description="The one before, if it is not given.")
    new: str | None = Field(None, description="The current one, if it is not given.")


class DifferenceAnswer(Answer):
    """`backward`: files of the old version are accepted by the new one; `forward`: the other way
    round; `bump` is the step that it asks of the version."""

    path: str
    what: str
    why: str
    backward: bool
    forward: bool
    bump: Bump


class CompatibilityAnswer(Answer):
    """`transitive` is the compatibility with every version that was published before."""

    dataset: str
    old: str
    new: str
    mode: Mode
    transitive: Mode
    bump: Bump
    needed_version: str
    enough: bool
    differences: list[DifferenceAnswer]


def list_proposals(call: Call) -> ProposalPage:
    wanted: ProposalFilter = call.query
    query = query_proposals(wanted.state, wanted.dataset)
    page = call.platform.log.query(query, limit=wanted.limit, cursor=wanted.cursor)
    found = [Proposal.model_validate(head.projection) for head in page.heads]
    return ProposalPage(proposals=[_summarize(each) for each in found], next_cursor=page.cursor)


def get_proposal(call: Call) -> ProposalAnswer:
    proposal = Changes(call.platform).proposal(call.path["id"])
    suggested = suggest_contract(call.platform, proposal)
    return ProposalAnswer(
        **_summarize(proposal).model_dump(),
        patch=proposal.patch,
        evidence=proposal.evidence,
        suggested_version=suggested.version,
        contract=suggested.text,
        diff=suggested.diff,
        problem=suggested.problem,
        still_waiting=count_waiting(call.platform, proposal.id),
    )


def post_accept(call: Call) -> flask.Response:
    sent: AcceptRequest = call.body
    accepted = accept_proposal(call.platform, call.path["id"], sent.text)
    answer = AcceptanceAnswer(
        proposal=_summarize(accepted.proposal),
        version=accepted.version,
        contract=accepted.text,
        diff=accepted.diff,
        replays=accepted.replays,
        left=accepted.left,
        remaining=accepted.remaining,
    )
    response = json_response(answer.model_dump(mode="json"), 200)
    dataset = accepted.proposal.dataset
    path = f"/api/datasets/{dataset}/contract?version={accepted.version}"
    response.headers["Location"] = path
    return response


def post_reject(call: Call) -> ProposalSummary:
    return _summarize(reject_proposal(call.platform, call.path["id"]))


def _summarize(proposal: Proposal) -> ProposalSummary:
    return ProposalSummary.model_validate(
        proposal.model_dump(include=set(ProposalSummary.model_fields))
    )


def get_compatibility(call: Call) -> CompatibilityAnswer:
    wanted: CompatibilityQuery = call.query
    dataset = call.path["name"]
    versions = load_versions(call.platform, dataset)
    new = load_contract(call.platform, dataset, wanted.new)
    before = [each for each in versions if each.version != new.version]
    old = before[-1] if before else new
    if wanted.old is not None:
        old = load_contract(call.platform, dataset, wanted.old)
    differences = compare_contracts(old, new)
    found = judge_differences(differences)
    return CompatibilityAnswer(
        dataset=dataset,
        old=old.version,
        new=new.version,
        mode=found.mode,
        transitive=judge_transitive(before, new).mode,
        bump=found.bump,
        needed_version=_needed(old.version, found),
        enough=is_enough(old.version, new.version, found.bump),
        differences=[_describe(each) for each in differences],
    )


def _needed(version: str, found: Compatibility) -> str:
    return version if found.bump == "none" else raise_version(version, found.bump)


def _describe(difference: Difference) -> DifferenceAnswer:
    return DifferenceAnswer(
        path=difference.path,
        what=difference.what,
        why=difference.why,
        backward=difference.backward,
        forward=difference.forward,
        bump=difference.bump,
    )
