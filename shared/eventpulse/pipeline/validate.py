"""Validate: one streaming pass that gathers facts. Good rows to Parquet, bad ones to quarantine.

What is staged and quarantined depends on the raw objects, the contract's version and the accepted
schema's version alone, and is named after them.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from typing import Any, cast

from eventpulse.contracts.contract import Contract, bound_columns
from eventpulse.drift.accepted_schema import AcceptedSchema, Rename, extend_contract, merge_trials
from eventpulse.drift.verdict import (
    Change,
    compare_header,
    match_header,
    plan_trial,
    refused_headers,
)
from eventpulse.errors import FileUnreadable, ObjectMissing
from eventpulse.formats import DialectReport, open_reader
from eventpulse.ingestions.ingestion import Ingestion, SourceObject
from eventpulse.ingestions.quality import Balance
from eventpulse.leases import Delivery
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.pipeline.documents import document_name, dump, ref_of, write_json
from eventpulse.pipeline.drafting import draft_for
from eventpulse.pipeline.ordered_map import map_in_order
from eventpulse.pipeline.registry import load_contract
from eventpulse.pipeline.reports import reject_unread
from eventpulse.pipeline.sketches import match_renames, name_cells
from eventpulse.pipeline.staged_sql import ask_sql_rules
from eventpulse.pipeline.staging import StagingSink
from eventpulse.pipeline.steps import Outcome, run_step
from eventpulse.pipeline.streams import dataset_of
from eventpulse.platform import Platform
from eventpulse.ports import Json, NewEvent
from eventpulse.rows.allocation import prefer_returning_memory
from eventpulse.rows.sketching import sketch_fields
from eventpulse.rows.validation import RowChecker
from eventpulse.values import Document

THREADS = max(min(len(os.sched_getaffinity(0)) - 1, 3), 1)
"""How many batches are examined at once. Reading, settling and writing have threads of their own:
with one for each core besides, they would wait for each other more than they do."""


def validate_ingestion(platform: Platform, ingestion_id: str, delivery: Delivery) -> None:
    run_step(platform, "validate", ingestion_id, delivery, partial(_validate, platform))


def _validate(platform: Platform, ingestion: Ingestion) -> Outcome:
    if ingestion.dataset is None:
        return _reject_unknown(platform, ingestion)
    contract = load_contract(platform, ingestion.dataset, ingestion.contract_version)
    if ingestion.refusal is not None:
        detail = ingestion.detail or ""
        return reject_unread(platform, ingestion, ingestion.refusal, detail, contract)
    schema = dataset_of(platform, ingestion.dataset).table_schema
    ingestion = ingestion.model_copy(update={"schema_version": schema.version})
    try:
        facts = gather_facts(platform, ingestion, contract, schema)
    except FileUnreadable as error:
        broken = [str(error.fields["object"])]
        return reject_unread(
            platform, ingestion, "unreadable", error.message, contract, offenders=broken
        )
    except ObjectMissing as error:
        detail = f"{error.message} It was removed before it could be read; upload it again."
        return reject_unread(platform, ingestion, "unreadable", detail, contract)
    document = write_json(
        platform, "staged", document_name(ingestion, "facts.json"), facts.to_json()
    )
    data: dict[str, Json] = {
        "facts": dump(document),
        "staged": [dump(each) for each in facts.staged],
        "quarantine": dump(facts.quarantine),
        "schema_version": schema.version,
        "renames": [each.model_dump(mode="json") for each in facts.renames or ()],
        **facts.balance.model_dump(),
    }
    return Outcome(NewEvent("validated", data))


def _reject_unknown(platform: Platform, ingestion: Ingestion) -> Outcome:
    """No contract says what the file is: one is drafted from it, for an operator to accept."""
    datasets = get_catalogue(platform).route(ingestion.object)
    message = _explain_route(datasets, ingestion.object)
    if datasets:
        return reject_unread(platform, ingestion, "no_contract", message)
    drafted = draft_for(platform, ingestion)
    if isinstance(drafted, str):
        return reject_unread(platform, ingestion, "no_contract", f"{message} {drafted}")
    message += f" Proposal {drafted[0]} drafts one: accept it, and the file is replayed."
    return reject_unread(platform, ingestion, "no_contract", message, proposed=drafted)


def _explain_route(datasets: Sequence[str], name: str) -> str:
    if len(datasets) > 1:
        both = " and ".join(map(repr, datasets))
        return (
            f"The contracts of {both} both claim the path {name!r}. Make their path patterns "
            "differ, and replay the file."
        )
    return (
        f"No contract says what {name!r} is: its first folder names no dataset and no path "
        "pattern fits. Upload it under <dataset>/, or publish a contract for it and replay it."
    )


@dataclass
class Facts:
    """What validation saw; the document that drift decides from."""

    balance: Balance
    header: list[str] = field(default_factory=list)
    dialect: DialectReport = field(default_factory=dict)
    header_changes: list[dict[str, Json]] = field(default_factory=list)
    header_only: bool = False
    objects: list[dict[str, Json]] = field(default_factory=list)
    rules: list[dict[str, Json]] = field(default_factory=list)
    columns: list[dict[str, Json]] = field(default_factory=list)
    metrics: dict[str, dict[str, Json]] = field(default_factory=dict)
    staged: list[Document] = field(default_factory=list)
    quarantine: Document | None = None
    sketches: dict[str, dict[str, Any]] = field(default_factory=dict)
    renames: Sequence[Rename] | None = None

    @property
    def changes(self) -> list[Change]:
        return [Change.model_validate(each) for each in self.header_changes]

    def note_header(
        self, header: list[str], dialect: DialectReport, changes: Sequence[Change]
    ) -> None:
        """The header of one more object; a change that another object has brought counts once."""
        self.header, self.dialect = header, dialect
        new = [each.model_dump(mode="json") for each in changes]
        self.header_changes += [each for each in new if each not in self.header_changes]
        self.header_only |= any(each.rejects for each in changes)

    def to_json(self) -> dict[str, Any]:
        plain = {name: value for name, value in self.__dict__.items() if name != "balance"}
        plain["balance"] = self.balance.model_dump()
        plain["staged"] = [dump(each) for each in self.staged]
        plain["quarantine"] = dump(self.quarantine)
        plain["renames"] = [each.model_dump(mode="json") for each in self.renames or ()]
        return plain


def gather_facts(
    platform: Platform, ingestion: Ingestion, contract: Contract, schema: AcceptedSchema
) -> Facts:
    """Read every object of the ingestion once. Raises FileUnreadable, ObjectMissing.

    What the header brings and the drift policy takes over is read right away, so that the facts
    are those of all columns; drift has the rows staged again under it.
    """
    prefer_returning_memory()
    facts = Facts(Balance(rows_read=0, rows_accepted=0, rows_quarantined=0, rows_duplicate=0))
    facts.renames = ingestion.renames
    trial = ingestion.trial
    known = extend_contract(contract, schema, trial)
    checker: RowChecker | None = None
    with ExitStack() as stack:
        sink: StagingSink | None = None
        for source in ingestion.objects:
            with platform.objects.open(source.ref) as stream:
                reader = open_reader(stream, source.name, contract.dialect, known.fields)
                match = match_header(known, reader.header)
                if all(position is None for position in match.positions):
                    raise _no_header(source.name, known, reader.dialect)
                batches = iter(reader)
                first = None
                if facts.renames is None and match.missing and match.unknown:
                    first = next(batches, None)
                    sample = name_cells(reader.header, first)
                    facts.renames = match_renames(platform, known, schema, match, sample)
                changes = compare_header(
                    known,
                    match,
                    schema,
                    trial,
                    facts.renames or (),
                    omits_nulls=reader.omits_nulls,
                )
                facts.note_header(reader.header, reader.dialect, changes)
                if facts.header_only:
                    facts.objects = [{"object": source.name}]
                    return facts
                if checker is None or sink is None:
                    trial = merge_trials(trial, plan_trial(known, schema, facts.changes))
                    known = extend_contract(contract, schema, trial)
                    sink = stack.enter_context(StagingSink(platform, ingestion, known))
                    checker = RowChecker(known, (), (), emptied=trial.emptied)
                match = match_header(known, reader.header)
                checker.begin_object(
                    reader.header,
                    match.positions,
                    _refused(reader.header, changes),
                    bound_columns(contract.object_columns, source.name),
                )
                if not facts.sketches:
                    first = first or next(batches, None)
                    facts.sketches = sketch_fields(known, match, first) if first else {}
                rows = chain([first], batches) if first else batches
                for examined in map_in_order(checker.examine, rows, threads=THREADS):
                    sink.write(source, checker.settle(examined))
            facts.objects.append(_account(source, checker, facts.objects))
    assert checker is not None, "an ingestion has at least one object"
    assert sink is not None
    facts = _complete(facts, checker, sink)
    facts.metrics |= {
        name: dict(answer) for name, answer in ask_sql_rules(platform, known, facts.staged).items()
    }
    return facts


def _refused(header: Sequence[str], changes: Sequence[Change]) -> list[int]:
    names = refused_headers(changes)
    return [index for index, name in enumerate(header) if name in names]


_COUNTS = ("rows_read", "rows_accepted", "rows_quarantined", "rows_duplicate")


def _account(
    source: SourceObject, checker: RowChecker, before: Sequence[Mapping[str, Json]]
) -> dict[str, Json]:
    """What one object has added to the counts of all rows."""
    counted = {name: sum(cast(int, each[name]) for each in before) for name in _COUNTS}
    return {
        "object": source.name,
        "generation": source.generation,
        **{name: getattr(checker, name) - counted[name] for name in _COUNTS},
    }


def _no_header(name: str, contract: Contract, dialect: DialectReport) -> FileUnreadable:
    """Does not repeat what stands there: without a header it is a row, with what rows hold."""
    wanted = [each.headers[0] for each in contract.fields]
    listed = ", ".join(map(repr, wanted[:8])) + (" …" if len(wanted) > 8 else "")
    place, remedy = "the file", f"Name its columns as the contract does ({listed})."
    if "header_row" in dialect:
        place = f"row {dialect['header_row']}"
        remedy = f"Begin the file with a header ({listed})."
    if "sheet" in dialect:
        place += f" of the sheet {dialect['sheet']!r}"
    if "delimiter" in dialect:
        place += f", read with the delimiter {dialect['delimiter']!r}"
        remedy = f"{remedy[:-1]} and use the contract's delimiter."
    return FileUnreadable(name, f"none of the contract's columns is in {place}.", remedy)


def _complete(facts: Facts, checker: RowChecker, sink: StagingSink) -> Facts:
    facts.balance = Balance(
        rows_read=checker.rows_read,
        rows_accepted=checker.rows_accepted,
        rows_quarantined=checker.rows_quarantined,
        rows_duplicate=checker.rows_duplicate,
    )
    facts.balance.check("the validation")
    facts.rules = [asdict(each) for each in checker.rules.values()]
    facts.columns = checker.describe_columns()
    facts.metrics = checker.count_metrics()
    facts.staged, facts.quarantine = sink.staged, sink.quarantine
    return facts


def read_refused(platform: Platform, document: Document) -> Iterator[dict[str, Any]]:
    """The quarantine records of an ingestion, in the order of the file."""
    ref = ref_of("quarantine", document)
    with platform.objects.open(ref) as stream, gzip.open(stream) as lines:
        for line in lines:
            yield json.loads(line)
