"""Drafting: a file of an unknown dataset is read once, and leaves a contract to accept."""

from __future__ import annotations

from eventpulse.contracts.contract import Dialect
from eventpulse.drift.drafts import Draft, draft_contract
from eventpulse.drift.proposals import propose_draft
from eventpulse.errors import ContractInvalid, FileUnreadable, ObjectMissing
from eventpulse.formats import open_reader
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.pipeline.documents import write_contract
from eventpulse.platform import Platform
from eventpulse.ports import NewEvent
from eventpulse.values import Document


def draft_for(platform: Platform, ingestion: Ingestion) -> tuple[str, NewEvent] | str:
    """The proposal of a contract for an ingestion that has none: its id and event; or why there is
    none, in a sentence."""
    try:
        draft = _draft(platform, ingestion)
    except (FileUnreadable, ObjectMissing) as error:
        return f"No contract could be drafted: {error.message}"
    if draft is None:
        return "No contract could be drafted: no column of the file has a name."
    try:
        document = _write(platform, draft)
    except ContractInvalid as error:
        return f"No contract could be drafted: {error.message}"
    named = f"{len(draft.columns)} columns from {draft.rows} rows"
    summary = f"a contract for {draft.dataset!r}: {named}"
    return propose_draft(draft.dataset, draft.structure, document, summary, ingestion.id)


def _draft(platform: Platform, ingestion: Ingestion) -> Draft | None:
    from eventpulse.rows.surveys import survey_file

    source = ingestion.source
    with platform.objects.open(source.ref) as stream:
        survey = survey_file(open_reader(stream, source.name, Dialect(), ()))
    return draft_contract(survey, source.name, taken=get_catalogue(platform).entries)


def _write(platform: Platform, draft: Draft) -> Document:
    """The draft's text as an object named by its content. Raises ContractInvalid when it would be
    none: what a file calls its columns may be more than a contract can say."""
    from eventpulse.odcs import read_contract
    from eventpulse.odcs.writer import write_draft

    text = write_draft(draft)
    read_contract(text, f"the draft for {draft.object}")
    return write_contract(platform, f"drafts/{draft.dataset}/", text)
