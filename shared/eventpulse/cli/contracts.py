"""Commands about contracts that change: proposals to accept or reject, and versions to compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from eventpulse.cli.commands import NOT_WELL, OK, Session, UsageError, is_well, read_text
from eventpulse.client import Answer, Client
from eventpulse.contracts.compatibility import (
    compare_contracts,
    is_enough,
    judge_differences,
    judge_transitive,
    raise_version,
)
from eventpulse.contracts.contract import Contract
from eventpulse.errors import RequestRefused


def show_proposals(session: Session) -> int:
    """The list, or one proposal with the contract that it stands for."""
    from eventpulse.cli.contract_rendering import show_proposal, show_proposal_list

    given, client = session.given, session.client
    if given.id is not None:
        found = client.get_proposal(client.resolve_proposal(given.id))
        session.show(found, lambda: show_proposal(session.console, found))
        return OK
    state = None if given.all else "open"
    page = client.list_proposals(
        state=state, dataset=given.dataset, limit=given.limit, cursor=given.cursor
    )
    session.show(page, lambda: show_proposal_list(session.console, page))
    return OK


def accept(session: Session) -> int:
    """Register the contract, write it where it belongs, and replay what waited for it."""
    from eventpulse.cli.contract_rendering import show_acceptance
    from eventpulse.cli.progress import follow_ingestions

    given, client = session.given, session.client
    text = read_text(given.contract) if given.contract else None
    accepted = _accept_all(client, client.resolve_proposal(given.id), text)
    if given.into is not None:
        if not given.into.is_dir():
            raise UsageError(f"there is no folder {given.into}")
        file = given.into / f"{accepted['proposal']['dataset']}.odcs.yaml"
        file.write_text(accepted["contract"], "utf-8")
    ended: list[dict[str, Any]] = []
    if given.wait and accepted["replays"]:
        started = [client.get_ingestion(each) for each in accepted["replays"].values()]
        ended = follow_ingestions(client, started, given.timeout)
    answer = {**accepted, "ingestions": ended} if given.wait else accepted
    session.show(answer, lambda: show_acceptance(session.console, accepted, ended))
    return OK if all(map(is_well, ended)) else NOT_WELL


def _accept_all(client: Client, proposal: str, text: str | None) -> Answer:
    """Accept, and again for as long as that replays more of what waits."""
    accepted = client.accept_proposal(proposal, text)
    while accepted["remaining"]:
        more = client.accept_proposal(proposal)
        replays = {**accepted["replays"], **more["replays"]}
        if len(replays) == len(accepted["replays"]):
            break
        left = {**accepted["left"], **more["left"]}
        accepted = {**accepted, "replays": replays, "left": left, "remaining": more["remaining"]}
    return accepted


def reject(session: Session) -> int:
    from eventpulse.cli.contract_rendering import show_decision

    client = session.client
    rejected = client.reject_proposal(client.resolve_proposal(session.given.id))
    session.show(rejected, lambda: show_decision(session.console, rejected))
    return OK


# --- Versions ------------------------------------------------------------------------------------


def diff_contracts(session: Session) -> int:
    """Compare two contracts; exits 1 when the new version says less than its changes need."""
    from eventpulse.cli.contract_rendering import show_compatibility

    given = session.given
    old, new = _find_contract(session, given.old), _find_contract(session, given.new)
    differences = compare_contracts(old, new)
    found = judge_differences(differences)
    before = _published_before(session, new, given.old, given.new)
    answer: dict[str, Any] = {
        "dataset": new.dataset,
        "old": old.version,
        "new": new.version,
        "mode": found.mode,
        "transitive": judge_transitive([*before, old], new).mode if before else found.mode,
        "bump": found.bump,
        "needed_version": (
            old.version if found.bump == "none" else raise_version(old.version, found.bump)
        ),
        "enough": is_enough(old.version, new.version, found.bump),
        "differences": [
            {
                "path": each.path,
                "what": each.what,
                "why": each.why,
                "backward": each.backward,
                "forward": each.forward,
                "bump": each.bump,
            }
            for each in differences
        ],
    }
    session.show(answer, lambda: show_compatibility(session.console, answer))
    return OK if answer["enough"] or not differences else NOT_WELL


def _find_contract(session: Session, name: str) -> Contract:
    """A file, or DATASET or DATASET@VERSION of the registry."""
    from eventpulse.odcs import read_contract

    file = Path(name)
    if file.is_file():
        return read_contract(read_text(file), name)
    if "/" in name or name.endswith(".yaml"):
        raise UsageError(f"there is no file {name}")
    dataset, _, version = name.partition("@")
    return read_contract(session.client.get_contract_text(dataset, version or None), name)


def _published_before(session: Session, new: Contract, *names: str) -> list[Contract]:
    """What the registry has beside, when a published version was asked for; else nothing, since
    files are compared without a stack."""
    from eventpulse.odcs import read_contract

    if all(Path(name).is_file() for name in names):
        return []
    client = session.client
    try:
        versions = client.get_dataset(new.dataset)["contract_versions"]
    except RequestRefused as error:
        sys.stderr.write(f"eventpulse: {error.message}\n")
        return []
    return [
        read_contract(client.get_contract_text(new.dataset, version), f"{new.dataset}@{version}")
        for version in versions
        if version != new.version
    ]
