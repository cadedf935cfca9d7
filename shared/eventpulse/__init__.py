"""EventPulse: contract-driven, event-based ingestion."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventpulse.notebook import Notebook


def connect(url: str = "", token: str = "") -> Notebook:
    """A stack in a notebook: its ingestions, quality, quarantine, marts and telemetry as pandas
    DataFrames, and `ingest(df, dataset=…)`. Without `url`, the stack that EVENTPULSE_URL names or
    that runs on EVENTPULSE_HOME; `token` is the bearer, in a cloud a Google ID token.

    Needs `pip install 'eventpulse[notebook]'`.
    """
    from eventpulse.notebook import Notebook, find_client

    return Notebook(find_client(url, token))
