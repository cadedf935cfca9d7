"""Which kinds of streams there are, how each one's projection follows from its events, and the
queries over them. Pure.

A kind is the first part of a stream's name. Its module is imported when it is asked for: a function
writes a few kinds, and starts without the models of all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module

from eventpulse.ports import Json, NewEvent, Query

Projector = Callable[[Mapping[str, Json], str, NewEvent, str], dict[str, Json]]

PROJECTORS: Mapping[str, str] = {
    "action": "eventpulse.operations.actions:project_action",
    "alert": "eventpulse.fleet.alerts:project_alert",
    "backfill": "eventpulse.operations.backfills:project_backfill",
    "batch": "eventpulse.fleet.batches:project_batch",
    "catalogue": "eventpulse.contracts.registrations:project_catalogue",
    "command": "eventpulse.fleet.commands:project_command",
    "content": "eventpulse.ingestions.ingestion:project_content",
    "contract": "eventpulse.contracts.registrations:project_contract",
    "dataset": "eventpulse.ingestions.loading:project_dataset",
    "device": "eventpulse.fleet.devices:project_device",
    "epoch": "eventpulse.fleet.batches:project_epoch",
    "group": "eventpulse.ingestions.loading:project_group",
    "ingestion": "eventpulse.ingestions.ingestion:project_ingestion",
    "mart": "eventpulse.marts.mart:project_mart",
    "object": "eventpulse.ingestions.ingestion:project_object",
    "presence": "eventpulse.fleet.devices:project_presence",
    "proposal": "eventpulse.drift.proposals:project_proposal",
    "recovery": "eventpulse.ingestions.recovery:project_recovery",
    "schema": "eventpulse.ingestions.loading:project_schema",
    "sweep": "eventpulse.operations.sweeping:project_sweep",
    "trend": "eventpulse.operations.trends:project_trend",
    "verification": "eventpulse.operations.verifications:project_verification",
}


@cache
def find_projector(kind: str) -> Projector:
    """How a kind of stream is projected. Raises KeyError for a kind that there is not."""
    module, _, name = PROJECTORS[kind].partition(":")
    projector: Projector = getattr(import_module(module), name)
    return projector


def list_queries() -> list[Query]:
    """Every query that the code makes, as the modules of streams declare them."""
    modules = dict.fromkeys(each.partition(":")[0] for each in PROJECTORS.values())
    declared = [getattr(import_module(each), "declared_queries", list) for each in modules]
    return [query for declare in declared for query in declare()]
