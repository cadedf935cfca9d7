"""Drafts of files, for tests."""

from __future__ import annotations

import io
from collections.abc import Iterable

from eventpulse.contracts.contract import Dialect
from eventpulse.drift.drafts import Draft, draft_contract
from eventpulse.formats import open_reader
from eventpulse.odcs.writer import write_draft
from eventpulse.rows.surveys import survey_file


def draft_file(content: bytes, name: str, taken: Iterable[str] = ()) -> Draft:
    survey = survey_file(open_reader(io.BytesIO(content), name, Dialect(), ()))
    draft = draft_contract(survey, name, taken)
    assert draft is not None
    return draft


def draft_text(content: bytes, name: str) -> str:
    return write_draft(draft_file(content, name))
