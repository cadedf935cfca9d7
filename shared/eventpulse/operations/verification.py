"""Verifications of a dataset: whether its table equals one rebuilt from raw objects. Pure.

One at a time per dataset, under a lease: two would rebuild into the same scratch tables. The state
is the fold of the stream's events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventpulse.contracts.contract import LONGEST_DATASET
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.leases import Lease
from eventpulse.ports import Json, NewEvent
from eventpulse.values import Value

SCRATCH_SUFFIX = "__verify"


class Verification(Value):
    """The result: digests and row counts of the table and of the rebuilt one, and the ingestions
    that were rebuilt from."""

    dataset: str
    equal: bool
    digest: str
    rebuilt_digest: str
    rows: int
    rebuilt_rows: int
    ingestions: tuple[str, ...]


class VerificationState(Value):
    """The projection of `verification/<dataset>`: who verifies now, and what came out last."""

    dataset: str
    lease: Lease | None = None
    equal: bool | None = None
    digest: str | None = None
    rebuilt_digest: str | None = None
    verified_at: str | None = None


_Fields = dict[str, Any]

EVENTS: Mapping[str, Callable[[_Fields, str], _Fields]] = {
    "step.started": lambda d, _at: {"lease": d},
    "step.faulted": lambda _d, _at: {"lease": None},
    "verified": lambda d, at: {
        **{name: d[name] for name in ("equal", "digest", "rebuilt_digest")},
        "verified_at": at,
        "lease": None,
    },
}


def project_verification(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    before = VerificationState.model_validate(
        projection or {"dataset": stream.partition("/")[2]}
    ).model_dump()
    changed = EVENTS[event.type](dict(event.data), at)
    return VerificationState.model_validate({**before, **changed}).model_dump(mode="json")


def scratch_name(dataset: str) -> str:
    """As long as a dataset's name may be: of a long one the end is its hash."""
    room = LONGEST_DATASET - len(SCRATCH_SUFFIX)
    if len(dataset) > room:
        digest = hashlib.sha256(dataset.encode()).hexdigest()[:8]
        dataset = f"{dataset[: room - 9]}_{digest}"
    return f"{dataset}{SCRATCH_SUFFIX}"


def is_active(ingestion: Ingestion) -> bool:
    """Whether the ingestion's rows belong in its table."""
    return ingestion.state == "loaded" and ingestion.replaced_by is None


def group_layouts(ingestions: Sequence[Ingestion]) -> list[tuple[str, int, list[Ingestion]]]:
    """Runs of ingestions that share contract version and schema version, in the order of loading:
    each run is one table layout, and the last to be published decides, as it did for the table."""
    runs: list[tuple[str, int, list[Ingestion]]] = []
    for each in sorted(ingestions, key=lambda i: (i.finished_at or "", i.id)):
        layout = (each.contract_version or "", each.schema_version)
        if not runs or runs[-1][:2] != layout:
            runs.append((*layout, []))
        runs[-1][2].append(each)
    return runs
