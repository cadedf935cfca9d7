"""What every ingestion leaves: a quality report, a drift verdict and a lineage artifact."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import parse_qs, urlsplit

from eventpulse.contracts.contract import Contract
from eventpulse.drift.verdict import DriftVerdict
from eventpulse.ingestions.ingestion import Ingestion, Reason
from eventpulse.ingestions.quality import Balance, QualityReport
from eventpulse.lineage.artifact import describe_ingestion
from eventpulse.lineage.run_events import DatasetName
from eventpulse.pipeline.documents import document_name, dump, write_json, write_model
from eventpulse.pipeline.fleet.bundle import return_batches
from eventpulse.pipeline.steps import Outcome
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import Json, Layer, NewEvent

NOTHING_READ = Balance(rows_read=0, rows_accepted=0, rows_quarantined=0, rows_duplicate=0)


def describe_sources(ingestion: Ingestion) -> list[dict[str, Json]]:
    return [each.model_dump(mode="json") for each in ingestion.objects]


def reject_unread(
    platform: Platform,
    ingestion: Ingestion,
    reason: Reason,
    message: str,
    contract: Contract | None = None,
    *,
    offenders: Collection[str] = (),
    proposed: tuple[str, NewEvent] | None = None,
) -> Outcome:
    """Reject a file of which no row was judged; its three documents say so."""
    report = QualityReport(
        ingestion=ingestion.id,
        dataset=ingestion.dataset,
        contract_version=ingestion.contract_version,
        objects=describe_sources(ingestion),
        outcome="rejected",
        reason=reason,
        message=message,
        balance=NOTHING_READ,
        invalid_percent=0.0,
        max_invalid_percent=contract.max_invalid_percent if contract else None,
    )
    verdict = DriftVerdict(
        ingestion=ingestion.id,
        dataset=ingestion.dataset,
        contract_version=ingestion.contract_version,
        outcome="not_evaluated",
        message=message,
        proposal=proposed[0] if proposed else None,
    )
    return reject(
        platform, ingestion, contract, report, verdict, offenders=offenders, proposed=proposed
    )


def reject(
    platform: Platform,
    ingestion: Ingestion,
    contract: Contract | None,
    report: QualityReport,
    verdict: DriftVerdict,
    *,
    offenders: Collection[str] = (),
    proposed: tuple[str, NewEvent] | None = None,
) -> Outcome:
    """Reject what was read. A bundle is dissolved: its batches are read again in other bundles,
    the offending objects (all of them, if none is named) each by itself. `proposed` is the proposal
    that waits for an operator, made in the same commit."""
    documents = write_verdicts(platform, ingestion, report, verdict)
    documents["lineage"] = write_lineage(
        platform, ingestion, contract, report, verdict, ended=ingestion.updated_at
    )
    data: dict[str, Json] = {
        "reason": report.reason,
        "detail": report.message,
        "schema_version": ingestion.schema_version,
        **report.balance.model_dump(),
        **documents,
    }
    if proposed:
        data["proposal"] = proposed[0]

    def others(changes: Changes) -> None:
        return_batches(ingestion, offenders, changes)
        note_proposal(proposed, changes)

    return Outcome(NewEvent("rejected", data), others=others)


def note_proposal(proposed: tuple[str, NewEvent] | None, changes: Changes) -> None:
    """Make or join a proposal in the commit of the verdict that it comes from."""
    if proposed:
        changes.add(f"proposal/{proposed[0]}", proposed[1])


def write_verdicts(
    platform: Platform, ingestion: Ingestion, report: QualityReport, verdict: DriftVerdict
) -> dict[str, Json]:
    name = document_name(ingestion, "quality.json")
    quality = write_model(platform, "reports", name, report)
    name = document_name(ingestion, "drift.json")
    drift = write_model(platform, "reports", name, verdict)
    return {"quality": dump(quality), "drift": dump(drift)}


def write_lineage(
    platform: Platform,
    ingestion: Ingestion,
    contract: Contract | None,
    report: QualityReport,
    verdict: DriftVerdict,
    *,
    ended: str,
) -> Json:
    """The OpenLineage artifact: START, then COMPLETE or FAIL as the report says."""
    events = describe_ingestion(
        ingestion,
        contract,
        report,
        source_uris=[platform.objects.uri(each.ref) for each in ingestion.objects],
        table=name_table(platform, "curated", ingestion.dataset) if ingestion.dataset else None,
        ended=ended,
        header=verdict.header,
    )
    name = document_name(ingestion, "lineage.json")
    return dump(write_json(platform, "reports", name, events))


def name_table(platform: Platform, layer: Layer, name: str) -> DatasetName:
    """A table's name in OpenLineage's naming, from the warehouse's URL."""
    url = urlsplit(platform.settings.warehouse)
    if url.scheme == "bigquery":
        prefix = parse_qs(url.query).get("prefix", ["ep"])[0]
        return DatasetName("bigquery", f"{url.netloc}.{prefix}_{layer}.{name}")
    authority = f"{url.hostname or 'localhost'}:{url.port or 5432}"
    database = url.path.strip("/") or "postgres"
    return DatasetName(f"postgres://{authority}", f"{database}.{layer}.{name}")
