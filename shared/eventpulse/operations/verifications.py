"""Verifications: whether a table equals the one that its raw objects make. Pure.

    running ──▶ done
       └──────▶ failed

Invariants:
- the table's digest and the ingestions that it is made of are noted at one moment between two
  loads; whatever is loaded afterwards does not matter;
- these ingestions are loaded again in the order in which they were, a slice at a time, into scratch
  tables that bear the verification's id; a slice has a load job and a fence of its own, so that
  loading it twice is loading it once;
- what was found is noted before the scratch tables are removed, and they are before it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.leases import Lease
from eventpulse.ports import Json, NewEvent, Query
from eventpulse.values import Document, Value

VerificationState = Literal["running", "done", "failed"]
Stage = Literal["snapshot", "rebuild", "compare", "clear"]

SLICE_BYTES = 1 << 30
"""A slice has one raw object, or so many bytes of them: it is read within one task."""

MOST_DIFFERENCES = 20


class Slice(Value):
    """Ingestions that are loaded together: of one contract version and one accepted schema."""

    contract_version: str
    schema_version: int
    ingestions: tuple[str, ...]


class Difference(Value):
    """An ingestion whose rows in the table are not those that it should have there: how many it
    has, and how many were rebuilt. Where both are the same, what is in them differs."""

    ingestion: str
    rows: int
    rebuilt_rows: int


class Verification(Value):
    """The projection of `verification/<id>`. `ingestions` make the table, and `position` of them
    have been rebuilt; which ones, and the table's rows by ingestion, stand in the `snapshot`.
    `differing` ingestions have other rows than they should, of which `differences` names some.
    `job_number` is that of the slice's load job: a failed one's id is spent."""

    id: str
    dataset: str = ""
    requested_by: str = ""
    state: VerificationState = "running"
    detail: str | None = None
    snapshot: Document | None = None
    ingestions: int = 0
    position: int = 0
    job_number: int = 1
    digest: str | None = None
    rows: int | None = None
    rebuilt_digest: str | None = None
    rebuilt_rows: int | None = None
    differing: int | None = None
    differences: tuple[Difference, ...] = ()
    lease: Lease | None = None
    attempts: int = 0
    created_at: str = ""
    updated_at: str = ""
    finished_at: str | None = None

    @property
    def stream(self) -> str:
        return f"verification/{self.id}"

    @property
    def scratch(self) -> str:
        """The dataset's name in which it rebuilds."""
        return f"verify_{self.id.replace('-', '_')}"

    @property
    def stage(self) -> Stage:
        """What is to be done next."""
        if self.snapshot is None:
            return "snapshot"
        if self.position < self.ingestions:
            return "rebuild"
        return "compare" if self.rebuilt_digest is None else "clear"

    @property
    def equal(self) -> bool | None:
        """None until it is known."""
        return None if self.rebuilt_digest is None else self.digest == self.rebuilt_digest


_Fields = dict[str, Any]


def _done(data: _Fields) -> _Fields:
    """A part is done: the next one begins anew."""
    return {**data, "lease": None, "attempts": 0, "job_number": 1}


EVENTS: Mapping[str, Callable[[Verification, _Fields, str], _Fields]] = {
    "requested": lambda _v, d, at: {**d, "created_at": at},
    "step.started": lambda _v, d, _at: {"lease": d, "attempts": d["attempt"]},
    "step.faulted": lambda v, d, _at: {
        "lease": None,
        "job_number": v.job_number + d["job_spent"],
    },
    "snapshot.taken": lambda _v, d, _at: _done(d),
    "rebuilt": lambda _v, d, _at: _done(d),
    "compared": lambda _v, d, _at: _done(d),
    "completed": lambda _v, d, at: {**_done(d), "state": "done", "finished_at": at},
    "failed": lambda _v, d, at: {**_done(d), "state": "failed", "finished_at": at},
}
"""What each event changes."""


def project_verification(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    before = Verification.model_validate(projection or {"id": stream.partition("/")[2]})
    changed = EVENTS[event.type](before, dict(event.data), at)
    merged = {**before.model_dump(), **changed, "updated_at": at}
    return Verification.model_validate(merged).model_dump(mode="json")


# --- What a table is made of, and what is not as it should be ------------------------------------


class Loaded(NamedTuple):
    """What counts of an ingestion whose rows are in its table; in the order of loading."""

    finished_at: str
    id: str
    contract_version: str
    schema_version: int
    size: int

    @property
    def layout(self) -> tuple[str, int]:
        """The contract version and the accepted schema that make the table's layout."""
        return self.contract_version, self.schema_version


def find_loaded(ingestions: Iterable[Ingestion]) -> list[Loaded]:
    """Those whose rows belong in their table, in the order in which they were loaded: of several
    layouts the last to be published decides."""
    return sorted(
        Loaded(
            each.finished_at or "",
            each.id,
            each.contract_version or "",
            each.schema_version,
            sum(source.size for source in each.objects),
        )
        for each in ingestions
        if each.state == "loaded" and each.replaced_by is None
    )


def cut_slices(loaded: Sequence[Loaded], most: int) -> list[Slice]:
    """At most `most` ingestions of one layout and, beyond the first, SLICE_BYTES in each slice."""
    slices: list[list[Loaded]] = []
    room = 0
    for each in loaded:
        last = slices[-1] if slices else []
        if not last or last[0].layout != each.layout or len(last) == most or each.size > room:
            slices.append([])
            room = SLICE_BYTES
        slices[-1].append(each)
        room -= each.size
    return [
        Slice(
            contract_version=some[0].contract_version,
            schema_version=some[0].schema_version,
            ingestions=tuple(each.id for each in some),
        )
        for some in slices
    ]


def find_differences(
    table: Mapping[str, tuple[int, int]], rebuilt: Mapping[str, tuple[int, int]]
) -> list[Difference]:
    """The ingestions whose rows are not the same in both: (rows, sum of their hashes) of each."""
    nothing = (0, 0)
    return [
        Difference(
            ingestion=each,
            rows=table.get(each, nothing)[0],
            rebuilt_rows=rebuilt.get(each, nothing)[0],
        )
        for each in sorted({*table, *rebuilt})
        if table.get(each, nothing) != rebuilt.get(each, nothing)
    ]


# --- Queries -------------------------------------------------------------------------------------


def query_verifications(dataset: str | None = None, state: str | None = None) -> Query:
    """The list that people read, newest first."""
    wanted = (("dataset", dataset), ("state", state))
    where: list[tuple[str, Any, Json]] = [
        (name, "==", value) for name, value in wanted if value is not None
    ]
    return Query("verification", tuple(where), (("created_at", "desc"),))


def query_stalled(before: str) -> Query:
    """Verifications under way that nothing has touched since `before`, for sweep."""
    return Query(
        "verification",
        (("state", "==", "running"), ("updated_at", "<", before)),
        (("updated_at", "asc"),),
    )


def declared_queries() -> list[Query]:
    """Every query of verifications that the code makes."""
    listed = [query_verifications(d, s) for d in (None, "a") for s in (None, "running")]
    return [*listed, query_stalled("2026")]
