"""What operators decide about proposals: to accept one, which makes a contract, or to reject it."""

from __future__ import annotations

from dataclasses import dataclass

from eventpulse.contracts.compatibility import (
    compare_contracts,
    judge_differences,
    raise_version,
)
from eventpulse.contracts.contract import Contract
from eventpulse.drift.proposals import Proposal, has_patch
from eventpulse.errors import ContractInvalid, RequestRefused
from eventpulse.ingestions.ingestion import query_waiting
from eventpulse.pipeline.documents import ref_of
from eventpulse.pipeline.registry import (
    contract_versions,
    diff_texts,
    load_contract,
    read_contract_text,
    register_contract,
    store_contract,
)
from eventpulse.pipeline.replay import replay_ingestion
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import NewEvent

MOST_REPLAYS = 200
"""That one acceptance begins, so that it ends within its request."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The contract that accepting a proposal would register now, as text and as a diff against the
    current one's. `problem` says why there is none."""

    version: str
    text: str
    diff: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What accepting did: the contract version, its text and diff, and the replays by what they
    replay. `left` are waiting ingestions that could not be replayed, with the reason; `remaining`
    counts those that still wait: accept again."""

    proposal: Proposal
    version: str
    text: str
    diff: str
    replays: dict[str, str]
    left: dict[str, str]
    remaining: int


def suggest_contract(platform: Platform, proposal: Proposal) -> Suggestion:
    """The contract that the proposal stands for, as the registry is now."""
    changes = Changes(platform)
    head = contract_versions(changes, proposal.dataset).head
    old = read_contract_text(platform, head) if head is not None else ""
    try:
        contract, text = _make_contract(platform, changes, proposal, None)
    except RequestRefused as error:
        return Suggestion("", "", "", error.message)
    return Suggestion(contract.version, text, diff_texts(old, text, proposal.dataset))


def accept_proposal(platform: Platform, proposal_id: str, text: str | None = None) -> Acceptance:
    """Register the contract version that a proposal stands for, and replay what waits for it.

    `text` is the contract as an operator has edited it; without it the proposal's own. At most
    MOST_REPLAYS are begun. Accepting again registers nothing, and replays what still waits, or has
    come to wait since. Raises RequestRefused (404;
    409 when it was rejected, or does not fit the current contract any more), and ContractInvalid.
    """
    while True:
        changes = Changes(platform)
        proposal = changes.proposal(proposal_id)
        if proposal.state == "rejected":
            raise _decided(proposal)
        known = contract_versions(changes, proposal.dataset)
        base = known.head
        if proposal.state == "accepted":
            break
        contract, made = _make_contract(platform, changes, proposal, text)
        if base is None or base.version != contract.version:
            document = store_contract(platform, contract, made)
            source = f"the contract of proposal {proposal_id}"
            register_contract(
                platform, changes, contract, document, source=source, proposal=proposal_id
            )
        changes.add(proposal.stream, NewEvent("accepted", {"version": contract.version}))
        if changes.commit():
            break
    return _finish(platform, proposal_id)


def _finish(platform: Platform, proposal_id: str) -> Acceptance:
    changes = Changes(platform)
    proposal = changes.proposal(proposal_id)
    known = contract_versions(changes, proposal.dataset)
    version = proposal.version or ""
    text = read_contract_text(platform, known.versions[version])
    base = known.versions.get(proposal.base or "")
    old = read_contract_text(platform, base) if base is not None else ""
    diff = diff_texts(old, text, proposal.dataset)
    replays, left = _replay_waiting(platform, proposal)
    remaining = count_waiting(platform, proposal_id)
    return Acceptance(proposal, version, text, diff, replays, left, remaining)


def count_waiting(platform: Platform, proposal_id: str) -> int:
    """How many ingestions wait for a proposal and were not replayed yet."""
    return platform.log.count(query_waiting(proposal_id))


def _replay_waiting(
    platform: Platform, proposal: Proposal
) -> tuple[dict[str, str], dict[str, str]]:
    """Replay those that the proposal names, which changes nothing for those that were, and of all
    others that wait for it as many as one call may."""
    named = Changes(platform)
    named.fetch(*(f"ingestion/{each}" for each in proposal.waiting))
    new = sum(named.ingestion(each).replays == 0 for each in proposal.waiting)
    page = platform.log.query(query_waiting(proposal.id), limit=MOST_REPLAYS + new)
    others = [str(head.projection["id"]) for head in page.heads]
    others = [each for each in others if each not in proposal.waiting]
    replays: dict[str, str] = {}
    left: dict[str, str] = {}
    for waiting in (*proposal.waiting, *others[: max(0, MOST_REPLAYS - new)]):
        try:
            replays[waiting] = replay_ingestion(platform, waiting, f"proposal {proposal.id}")
        except RequestRefused as error:
            left[waiting] = error.message
    return replays, left


def reject_proposal(platform: Platform, proposal_id: str) -> Proposal:
    """Close a proposal. Rejecting again changes nothing. Raises RequestRefused (404; 409 when it
    was accepted)."""
    while True:
        changes = Changes(platform)
        proposal = changes.proposal(proposal_id)
        if proposal.state == "rejected":
            return proposal
        if proposal.state == "accepted":
            raise _decided(proposal)
        changes.add(proposal.stream, NewEvent("rejected"))
        if changes.commit():
            return changes.proposal(proposal_id)


def _decided(proposal: Proposal) -> RequestRefused:
    what = (
        f"Its contract is registered as {proposal.dataset} {proposal.version}."
        if proposal.state == "accepted"
        else "Publish a contract by hand if it is wanted after all."
    )
    return RequestRefused(
        409,
        "proposal_decided",
        f"The proposal was {proposal.state}",
        f"It was {proposal.state} at {proposal.decided_at}. {what}",
        state=proposal.state,
    )


def read_draft(platform: Platform, proposal: Proposal) -> str:
    """The text of a drafted contract."""
    assert proposal.document is not None
    with platform.objects.open(ref_of("reports", proposal.document)) as stream:
        return stream.read().decode()


# --- The contract --------------------------------------------------------------------------------


def _make_contract(
    platform: Platform, changes: Changes, proposal: Proposal, text: str | None
) -> tuple[Contract, str]:
    """The contract to register and its text: what an operator wrote, the draft, or the current
    contract with the patch. Raises RequestRefused (409), ContractInvalid."""
    from eventpulse.odcs import read_contract

    head = contract_versions(changes, proposal.dataset).head
    if text is not None:
        contract = read_contract(text, "the contract sent")
        if contract.dataset != proposal.dataset:
            problem = f"schema: the proposal is for the dataset {proposal.dataset}; keep its name"
            raise ContractInvalid("the contract sent", [problem])
        return contract, text
    if proposal.kind == "draft":
        if head is not None:
            raise _outdated(
                proposal,
                f"{proposal.dataset} has a contract by now ({head.version}); replay the files that "
                "wait for one",
            )
        made = _activate(read_draft(platform, proposal))
        return read_contract(made, "the draft"), made
    if head is None:
        raise _outdated(proposal, f"{proposal.dataset} has no contract any more")
    return _patch(platform, proposal, head.version)


def _activate(text: str) -> str:
    from eventpulse.odcs.patching import set_status

    return set_status(text, "active")


def _patch(platform: Platform, proposal: Proposal, current: str) -> tuple[Contract, str]:
    from eventpulse.odcs import read_contract
    from eventpulse.odcs.patching import patch_contract

    changes = Changes(platform)
    entry = contract_versions(changes, proposal.dataset).versions[current]
    old = load_contract(platform, proposal.dataset, current)
    text = read_contract_text(platform, entry)
    if has_patch(old, proposal.patch):
        return old, text
    try:
        draft = patch_contract(text, proposal.patch, raise_version(current, "patch"))
        new = read_contract(draft, "the patched contract")
        bump = judge_differences(compare_contracts(old, new)).bump
        made = patch_contract(text, proposal.patch, raise_version(current, bump))
        return read_contract(made, "the patched contract"), made
    except KeyError as error:
        problem = f"the current version {current} has no property {error.args[0]!r}"
        raise _outdated(proposal, problem) from error
    except ContractInvalid as error:
        raise _outdated(proposal, error.message) from error


def _outdated(proposal: Proposal, problem: str) -> RequestRefused:
    return RequestRefused(
        409,
        "proposal_outdated",
        "The proposal does not fit the contract that there is",
        f"It was made for {proposal.dataset} {proposal.base or '(no contract)'}, and {problem}. "
        "Send the whole contract that you want with the acceptance, or reject the proposal.",
        base=proposal.base,
    )
