"""The contract registry: immutable versions per dataset, of which one is current."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventpulse.contracts.compatibility import (
    compare_contracts,
    is_enough,
    judge_differences,
    raise_version,
)
from eventpulse.contracts.contract import Contract
from eventpulse.contracts.registrations import ContractVersions, Registration
from eventpulse.drift.accepted_schema import Evolution, adopt, plan_growth
from eventpulse.drift.proposals import has_patch
from eventpulse.errors import ContractInvalid, RequestRefused
from eventpulse.fleet.contract import describe_fleet
from eventpulse.pipeline.catalogue import CATALOGUE
from eventpulse.pipeline.documents import ref_of, write_contract
from eventpulse.pipeline.streams import Changes, accept_schema
from eventpulse.platform import Platform
from eventpulse.ports import Json, NewEvent
from eventpulse.values import Document


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing did: `changed` is False when the registry had this very contract."""

    dataset: str
    version: str
    sha256: str
    changed: bool


def publish_contract(platform: Platform, text: str, source: str) -> Published:
    """Register a contract's version from the repository and make it current.

    Publishing the same bytes again does nothing. Raises ContractInvalid when it does not parse,
    when its version is registered with other content or is too small a step, and when its table
    could not follow; RequestRefused (409) when the registry holds an accepted proposal that the
    text does not have.
    """
    from eventpulse.odcs import read_contract

    contract = read_contract(text, source)
    document = store_contract(platform, contract, text)
    while True:
        changes = Changes(platform)
        known = contract_versions(changes, contract.dataset)
        if known.current == contract.version and _has(known, contract):
            if known.versions[contract.version].seen:
                return Published(contract.dataset, contract.version, contract.sha256, changed=False)
            seen = NewEvent("contract.seen", {"version": contract.version})
            changes.add(f"contract/{contract.dataset}", seen)
        else:
            _check_seen(platform, known, contract)
            register_contract(platform, changes, contract, document, source=source)
        if changes.commit():
            changed = known.current != contract.version
            return Published(contract.dataset, contract.version, contract.sha256, changed=changed)


def _has(known: ContractVersions, contract: Contract) -> bool:
    entry = known.versions.get(contract.version)
    return entry is not None and entry.sha256 == contract.sha256


def register_contract(
    platform: Platform,
    changes: Changes,
    contract: Contract,
    document: Document,
    *,
    source: str,
    proposal: str | None = None,
) -> None:
    """Add to `changes` what makes this version the current one, and what its table needs for it.

    Raises ContractInvalid, see `publish_contract`.
    """
    known = contract_versions(changes, contract.dataset)
    entry = known.versions.get(contract.version)
    if entry is not None and entry.sha256 != contract.sha256:
        problem = (
            f"version: {contract.version} of {contract.dataset} is published with other content "
            "and never changes; raise the version"
        )
        raise ContractInvalid(source, [problem])
    versions = [_read_entry(platform, each) for each in known.versions.values()]
    state = changes.dataset(contract.dataset)
    if entry is None and known.head is not None:
        _check_step(_read_entry(platform, known.head), contract, source)
    problems, widened = plan_growth(versions, state.table_schema, contract, loaded=state.loads > 0)
    if problems:
        raise ContractInvalid(source, problems)
    registered = entry or Registration(
        version=contract.version,
        sha256=contract.sha256,
        document=document,
        patterns=contract.path_patterns,
        frequency=contract.service_level.frequency,
        latency=contract.service_level.latency,
        fleet=describe_fleet(contract),
        origin="proposal" if proposal else "repository",
        proposal=proposal,
        seen=proposal is None,
    )
    data: dict[str, Json] = registered.model_dump(mode="json")
    changes.add(f"contract/{contract.dataset}", NewEvent("contract.published", data))
    current: dict[str, Json] = {"dataset": contract.dataset, "version": contract.version}
    changes.add(CATALOGUE, NewEvent("contract.current", {**current, "entry": data}))
    schema = adopt(state.table_schema, Evolution(widened=widened))
    if schema is not state.table_schema:
        accept_schema(changes, contract.dataset, schema)


def _check_step(current: Contract, contract: Contract, source: str) -> None:
    """Raises ContractInvalid when the version says less than what changes."""
    differences = compare_contracts(current, contract)
    bump = judge_differences(differences).bump
    if is_enough(current.version, contract.version, bump):
        return
    weighty = [each for each in differences if each.bump == bump]
    listed = "; ".join(f"{each.path}: {each.what}" for each in weighty[:5])
    problem = (
        f"version: {contract.version} is too small a step from {current.version}, since this is a "
        f"{bump} change ({listed}); raise it to {raise_version(current.version, bump)} or higher"
    )
    raise ContractInvalid(source, [problem])


def _check_seen(platform: Platform, known: ContractVersions, contract: Contract) -> None:
    """Raises RequestRefused when the current version is an accepted proposal that neither the
    repository has published since nor the text contains."""
    head = known.head
    if head is None or head.seen or head.proposal is None:
        return
    proposal = platform.log.head(f"proposal/{head.proposal}").projection
    patch: Any = proposal.get("patch") or []
    current = _read_entry(platform, head)
    draft = not patch and {f.name for f in current.fields} <= {f.name for f in contract.fields}
    if contract.version != current.version and (draft or (patch and has_patch(contract, patch))):
        return
    base = known.versions.get(str(proposal.get("base")))
    text = read_contract_text(platform, head)
    difference = diff_texts(
        read_contract_text(platform, base) if base else "", text, contract.dataset
    )
    raise RequestRefused(
        409,
        "contract_unseen",
        "The registry has a version that this text does not",
        f"{contract.dataset} {head.version} was accepted from a proposal, and "
        f"{contract.version} would undo it. Bring it into the repository (`eventpulse contract "
        f"show {contract.dataset} > {contract.dataset}.odcs.yaml`, or the patch below), publish "
        f"that, and then what you have beside it.\n{difference}",
        version=head.version,
        proposal=head.proposal,
        patch=difference,
    )


def diff_texts(old: str, new: str, dataset: str) -> str:
    """A unified diff of a contract's file, as `patch` takes it."""
    name = f"contracts/{dataset}.odcs.yaml"
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(lines)


def contract_versions(changes: Changes, dataset: str) -> ContractVersions:
    projection = changes.projection(f"contract/{dataset}")
    return ContractVersions.model_validate(projection or {"dataset": dataset})


def store_contract(platform: Platform, contract: Contract, text: str) -> Document:
    """Write a contract's text under a name of its own, unless it is there."""
    prefix = f"contracts/{contract.dataset}/{contract.version}-"
    return write_contract(platform, prefix, text)


def contract_entry(platform: Platform, dataset: str, version: str | None) -> Mapping[str, Json]:
    """A version's catalogue entry (None: the current one). Raises RequestRefused (404)."""
    head = platform.log.head(f"contract/{dataset}")
    versions = head.projection.get("versions", {})
    wanted = str(version or head.projection.get("current", ""))
    entry = versions.get(wanted) if isinstance(versions, dict) else None
    if not isinstance(entry, dict):
        which = f"version {version} of a contract" if version else "contract"
        raise RequestRefused(
            404,
            "contract_not_found",
            "No such contract",
            f"There is no {which} for the dataset {dataset!r}. Publish one with "
            "`eventpulse contract publish`.",
        )
    return entry


def read_contract_text(platform: Platform, entry: Registration | Mapping[str, Json]) -> str:
    found = entry if isinstance(entry, Registration) else Registration.model_validate(entry)
    document = found.document
    with platform.objects.open(ref_of("reports", document)) as stream:
        return stream.read().decode()


def load_contract(platform: Platform, dataset: str, version: str | None) -> Contract:
    """The contract of a dataset under a version (None: the current one)."""
    return _read_entry(platform, contract_entry(platform, dataset, version))


def load_versions(platform: Platform, dataset: str) -> list[Contract]:
    """Every published version of a dataset's contract, the current one last."""
    head = platform.log.head(f"contract/{dataset}")
    versions = head.projection.get("versions", {})
    current = head.projection.get("current")
    assert isinstance(versions, dict)
    entries = sorted(versions.items(), key=lambda each: each[0] == current)
    return [_read_entry(platform, entry) for _, entry in entries]  # type: ignore[arg-type]


_parsed: dict[str, Contract] = {}
_MOST_PARSED = 512


def _read_entry(platform: Platform, entry: Registration | Mapping[str, Json]) -> Contract:
    """Parsed once per process: a version never changes, and its hash names it."""
    from eventpulse.odcs import read_contract

    sha256 = entry.sha256 if isinstance(entry, Registration) else str(entry["sha256"])
    if sha256 not in _parsed:
        if len(_parsed) >= _MOST_PARSED:
            _parsed.clear()
        text = read_contract_text(platform, entry)
        _parsed[sha256] = read_contract(text, f"contract {sha256[:12]}")
    return _parsed[sha256]
