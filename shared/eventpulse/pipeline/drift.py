"""Drift: from facts to a verdict. Schema first, then quality; accepted, rejected, or once more."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from eventpulse.contracts.contract import Contract
from eventpulse.drift.accepted_schema import (
    AcceptedSchema,
    SketchesRef,
    Trial,
    adopt,
    extend_contract,
)
from eventpulse.drift.proposals import propose_drift
from eventpulse.drift.verdict import (
    Change,
    DriftVerdict,
    compare_columns,
    describe_changes,
    describe_refusals,
    hash_schema,
    match_header,
    merge_changes,
    observed_type,
    plan_trial,
    propose_patch,
)
from eventpulse.errors import BackendUnavailable
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.ingestions.quality import (
    Balance,
    ColumnProfile,
    QualityReport,
    RuleResult,
    evaluate_rules,
    invalid_percent,
    judge_rows,
)
from eventpulse.leases import Delivery
from eventpulse.pipeline.documents import read_json
from eventpulse.pipeline.fleet.bundle import find_offenders
from eventpulse.pipeline.registry import load_contract
from eventpulse.pipeline.reports import describe_sources, note_proposal, reject, write_verdicts
from eventpulse.pipeline.sketches import keep_sketches
from eventpulse.pipeline.steps import Outcome, run_step
from eventpulse.pipeline.streams import Changes, accept_schema, dataset_of
from eventpulse.platform import Platform
from eventpulse.ports import Json, NewEvent

Facts = dict[str, Any]


def judge_drift(platform: Platform, ingestion_id: str, delivery: Delivery) -> None:
    run_step(platform, "drift", ingestion_id, delivery, partial(_judge, platform))


def _judge(platform: Platform, ingestion: Ingestion) -> Outcome:
    assert ingestion.dataset is not None
    assert ingestion.facts is not None
    contract = load_contract(platform, ingestion.dataset, ingestion.contract_version)
    schema = dataset_of(platform, ingestion.dataset).table_schema
    trial = ingestion.trial or Trial()
    facts: Facts = read_json(platform, "staged", ingestion.facts)
    found = [Change.model_validate(each) for each in facts["header_changes"]]
    # Its rows were staged with what its header brings: that is no version of the schema yet.
    brings = any(change.mode == "evolve" for change in found)
    if not facts["header_only"]:
        known = extend_contract(contract, schema, trial)
        found += compare_columns(known, facts["columns"], trial)
    changes = merge_changes(_earlier_changes(platform, ingestion), found)
    verdict = _verdict(ingestion, contract, schema, facts, changes)
    if verdict.outcome != "rejected":
        wanted = plan_trial(extend_contract(contract, schema), schema, changes)
        moved = (brings or not wanted.is_empty) and schema.version != ingestion.schema_version
        if wanted != trial or moved:
            return _return(wanted, changes)
    report = _report(ingestion, contract, facts, verdict)
    proposed = _propose(ingestion, verdict, waits=report.outcome == "rejected")
    if proposed:
        verdict = verdict.model_copy(update={"proposal": proposed[0]})
    if report.outcome == "rejected":
        offenders = find_offenders(facts["objects"], contract.max_invalid_percent)
        return reject(
            platform, ingestion, contract, report, verdict, offenders=offenders, proposed=proposed
        )
    adopted = adopt(schema, trial)
    sketches = keep_sketches(platform, ingestion, schema, verdict.observed_hash, facts["sketches"])
    accepted: dict[str, Json] = {
        "detail": verdict.message,
        **write_verdicts(platform, ingestion, report, verdict),
    }
    if adopted is not schema:
        accepted["schema_version"] = adopted.version
    if proposed:
        accepted["proposal"] = proposed[0]
    dataset = ingestion.dataset

    def others(events: Changes) -> None:
        _move_baseline(dataset, schema.version, trial, verdict, sketches, events)
        note_proposal(proposed, events)

    return Outcome(NewEvent("accepted", accepted), others=others)


def _propose(
    ingestion: Ingestion, verdict: DriftVerdict, *, waits: bool
) -> tuple[str, NewEvent] | None:
    """The proposal of the contract that would accept what was seen; None when nothing was, or no
    contract would."""
    if not verdict.patch or ingestion.dataset is None or ingestion.contract_version is None:
        return None
    return propose_drift(
        ingestion.dataset,
        ingestion.contract_version,
        verdict.changes,
        verdict.patch,
        ingestion.id,
        waits=waits,
    )


def _earlier_changes(platform: Platform, ingestion: Ingestion) -> list[Change]:
    """What sent the ingestion back to validation before."""
    if not ingestion.returned:
        return []
    events = platform.log.read(ingestion.stream)
    found = [event.data.get("changes", []) for event in events if event.type == "returned"]
    return [Change.model_validate(each) for changes in found for each in changes]  # type: ignore[union-attr]


def _verdict(
    ingestion: Ingestion,
    contract: Contract,
    schema: AcceptedSchema,
    facts: Facts,
    changes: Sequence[Change],
) -> DriftVerdict:
    known = extend_contract(contract, schema, ingestion.trial)
    match = match_header(known, facts["header"])
    absent = {each.name for each in match.missing}
    observed = {
        each["name"]: observed_type(each) for each in facts["columns"] if each["name"] not in absent
    }
    rejected = any(change.rejects for change in changes)
    evolves = any(change.mode == "evolve" for change in changes)
    return DriftVerdict(
        ingestion=ingestion.id,
        dataset=ingestion.dataset,
        contract_version=ingestion.contract_version,
        outcome="rejected" if rejected else "evolved" if evolves else "accepted",
        message=describe_changes(changes),
        header=facts["header"],
        observed=observed,
        observed_hash=hash_schema(observed),
        accepted_hash=schema.observed_hash,
        changes=list(changes),
        patch=propose_patch(changes, extend_contract(contract, schema), schema),
    )


def _report(
    ingestion: Ingestion, contract: Contract, facts: Facts, verdict: DriftVerdict
) -> QualityReport:
    balance = Balance.model_validate(facts["balance"])
    results = evaluate_rules(contract, balance, facts["metrics"])
    broken = judge_rows(contract, balance, results)
    reason = "drift" if verdict.outcome == "rejected" else "quality" if broken else None
    refused = balance.rows_quarantined + balance.rows_duplicate
    message = {
        "drift": verdict.message,
        "quality": " ".join(filter(None, [describe_refusals(verdict.changes), broken])),
        None: f"{balance.rows_accepted} of {balance.rows_read} rows are accepted"
        + (f", {refused} refused" if refused else "")
        + ".",
    }[reason]
    return QualityReport(
        ingestion=ingestion.id,
        dataset=ingestion.dataset,
        contract_version=ingestion.contract_version,
        objects=describe_sources(ingestion),
        outcome="rejected" if reason else "accepted",
        reason=reason,
        message=message,
        balance=balance,
        invalid_percent=invalid_percent(balance),
        max_invalid_percent=contract.max_invalid_percent,
        rules=[_rule_result(each) for each in facts["rules"]],
        dataset_rules=[] if facts["header_only"] else results,
        columns=[
            ColumnProfile.model_validate({k: v for k, v in each.items() if k != "readings"})
            for each in facts["columns"]
        ],
        dialect=facts["dialect"],
        quarantine_uri=ingestion.quarantine.uri if ingestion.quarantine else None,
    )


def _rule_result(facts: Facts) -> RuleResult:
    checked, failed = max(facts["checked"], facts["failed"]), facts["failed"]
    return RuleResult(
        column=facts["column"],
        rule=facts["rule"],
        checked=checked,
        passed=checked - failed,
        failed=failed,
        share_failed=failed / checked if checked else 0.0,
        samples=facts["samples"],
        remedies=facts.get("remedies", []),
    )


def _return(trial: Trial, changes: Sequence[Change]) -> Outcome:
    """Have the file validated again under what it brings: its rows were not staged so."""
    data: dict[str, Json] = {
        "trial": trial.model_dump(mode="json"),
        "changes": [each.model_dump(mode="json") for each in changes],
    }
    return Outcome(NewEvent("returned", data))


def _move_baseline(  # noqa: PLR0917 - bound once, to be called with the changes
    dataset: str,
    base: int,
    trial: Trial,
    verdict: DriftVerdict,
    sketches: SketchesRef | None,
    changes: Changes,
) -> None:
    """The accepted schema, as this file's verdict moves it: only accepted files do.

    Raises BackendUnavailable when another file moved it since the verdict, so that the step runs
    again and decides anew.
    """
    now = changes.dataset(dataset).table_schema
    moved = adopt(now, trial)
    if moved is not now and now.version != base:
        operation = f"accept what a file adds to the schema of {dataset}"
        raise BackendUnavailable("the log", operation, "another file changed it meanwhile")
    if now.observed_hash != verdict.observed_hash or (sketches and now.sketches is None):
        update: dict[str, object] = {
            "observed": verdict.observed,
            "observed_hash": verdict.observed_hash,
        }
        if sketches is not None:
            update["sketches"] = sketches
        moved = moved.model_copy(update=update)
    if moved is not now:
        accept_schema(changes, dataset, moved)


def foresee(
    ingestion: Ingestion, contract: Contract, schema: AcceptedSchema, facts: Facts
) -> QualityReport:
    """The report that judging these facts would write; nothing happens."""
    trial = ingestion.trial or Trial()
    changes = [Change.model_validate(each) for each in facts["header_changes"]]
    if not facts["header_only"]:
        changes += compare_columns(
            extend_contract(contract, schema, trial), facts["columns"], trial
        )
    verdict = _verdict(ingestion, contract, schema, facts, changes)
    return _report(ingestion, contract, facts, verdict)
