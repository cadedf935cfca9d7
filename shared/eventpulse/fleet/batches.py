"""Batches of telemetry, and the epochs that they are parts of: what was claimed, what landed, and
what is missing. Pure.

Invariants:
- (device, epoch, first) names a batch, and its claim holds one content until it is refused;
- a batch is claimed, then lands, then belongs to one bundle, which is one ingestion; a commit
  conflict lets two bundles never take the same batch;
- an epoch knows which sequence numbers landed and which the device gave up, so what is missing is
  said exactly, and an epoch that two others name as their predecessor means a cloned device.

    claimed ──landed──▶ landed ──bundled──▶ bundled ──returned (its bundle was dissolved)──▶ landed
       ├──lapsed (nothing came in time) ─▶ claimed
       ├──void (refused content; may be claimed in parts) ─▶ claimed
       └──diverted──▶ diverted (revoked, unreadable, other devices' rows: an ingestion of its own)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from eventpulse.fleet.seq_ranges import Ranges, add_ranges, count_numbers, find_missing
from eventpulse.ports import Json, NewEvent, Query
from eventpulse.values import Value, derive_id

BatchState = Literal["claimed", "lapsed", "void", "landed", "diverted", "bundled"]

DATASET = "edge_telemetry"
MOST_NUMBER = 999_999_999_999
"""Twelve digits, as the names of batches have them."""
MOST_EVENTS = 5_000
MOST_BYTES = 4 << 20
MOST_TEXT_BYTES = 32 << 20
MOST_LINE_BYTES = 16 << 10
MOST_PIECES = 10_000
"""Ranges in which an epoch tells what landed, and what was given up. No agent scatters its numbers
so; what would be more is counted as missing, since a document has an end."""
MOST_SUCCESSORS = 20
CONTENT_TYPES = ("application/gzip",)

_NAME = re.compile(
    rf"^{DATASET}/(?P<device>[a-z0-9][a-z0-9-]{{0,62}})/(?P<epoch>[0-9a-f]{{16}})/"
    r"(?P<first>[0-9]{12})-(?P<last>[0-9]{12})-(?P<sha256>[0-9a-f]{64})\.ndjson\.gz$"
)


@dataclass(frozen=True, slots=True)
class BatchName:
    """What the name of a batch's object says."""

    device: str
    epoch: str
    first: int
    last: int
    sha256: str

    @property
    def object_name(self) -> str:
        numbers = f"{self.first:012}-{self.last:012}"
        return f"{DATASET}/{self.device}/{self.epoch}/{numbers}-{self.sha256}.ndjson.gz"

    @property
    def stream(self) -> str:
        return batch_stream(self.device, self.epoch, self.first)


def batch_stream(device: str, epoch: str, first: int) -> str:
    return f"batch/{device}.{epoch}.{first:012}"


def epoch_stream(device: str, epoch: str) -> str:
    return f"epoch/{device}.{epoch}"


def parse_batch_name(object_name: str) -> BatchName | None:
    """None for an object that is no device's batch."""
    found = _NAME.fullmatch(object_name)
    if found is None or int(found["first"]) < 1 or int(found["last"]) < int(found["first"]):
        return None
    return BatchName(
        found["device"], found["epoch"], int(found["first"]), int(found["last"]), found["sha256"]
    )


# --- Batches -------------------------------------------------------------------------------------


class Batch(Value):
    """The projection of `batch/<device>.<epoch>.<first>`. `rows` are the lines that it
    held; `alone`: no bundle may hold another beside it."""

    device: str
    epoch: str
    first: int
    last: int
    count: int
    bytes: int
    sha256: str
    md5: str
    alarm: bool = False
    state: BatchState = "claimed"
    dataset: str = DATASET
    claimed_at: str = ""
    expires: str = ""
    claims: int = 0
    generation: int | None = None
    created: str | None = None
    content_type: str = "application/gzip"
    landed_at: str | None = None
    rows: int | None = None
    alone: bool = False
    ingestion: str | None = None
    problem: str | None = None
    updated_at: str = ""

    @property
    def name(self) -> BatchName:
        return BatchName(self.device, self.epoch, self.first, self.last, self.sha256)

    @property
    def stream(self) -> str:
        return batch_stream(self.device, self.epoch, self.first)

    @property
    def has_landed(self) -> bool:
        return self.state in ("landed", "diverted", "bundled")


_Fields = dict[str, Any]
_BATCH_EVENTS: Mapping[str, Callable[[_Fields, _Fields, str], _Fields]] = {
    "claimed": lambda b, d, at: {
        **d,
        "state": "claimed",
        "claimed_at": at,
        "claims": b.get("claims", 0) + 1,
        "problem": None,
    },
    "lapsed": lambda _b, _d, _at: {"state": "lapsed"},
    "void": lambda _b, d, _at: {**d, "state": "void"},
    "landed": lambda _b, d, at: {**d, "state": "landed", "landed_at": at},
    "diverted": lambda _b, d, at: {**d, "state": "diverted", "landed_at": at},
    "bundled": lambda _b, d, _at: {**d, "state": "bundled"},
    "returned": lambda _b, d, _at: {**d, "state": "landed", "ingestion": None},
}


def project_batch(
    projection: Mapping[str, Json], _stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    before = dict(projection)
    changed = _BATCH_EVENTS[event.type](before, dict(event.data), at)
    merged = {**before, **changed, "updated_at": at}
    return Batch.model_validate(merged).model_dump(mode="json")


def bundle_id(dataset: str, batches: list[Batch]) -> str:
    """The ingestion that reads these batches: a UUID of them all."""
    members = [f"{each.stream}#{each.generation}" for each in batches]
    return derive_id("bundle", dataset, *members)


# --- Epochs --------------------------------------------------------------------------------------


class Predecessor(Value):
    epoch: str = Field(pattern=r"^[0-9a-f]{16}$")
    last: int = Field(ge=0)


class Epoch(Value):
    """The projection of `epoch/<device>.<epoch>`.

    `known_last` is the highest number that anyone has told of: a landed batch, a gap, or the epoch
    after it. Missing are the numbers up to it that neither landed nor were given up (`dropped`);
    `missing_since` is when there last began to be any, `unalerted_since` the same until an
    alert was opened. It has gaps when anything is missing or was given up. `successors` are the
    epochs that name this one as their predecessor.
    """

    device: str
    epoch: str
    first_seen: str = ""
    last_landed: str | None = None
    predecessor: Predecessor | None = None
    successors: tuple[str, ...] = ()
    known_last: int = 0
    landed: Ranges = ()
    dropped: Ranges = ()
    missing_count: int = 0
    missing_since: str | None = None
    unalerted_since: str | None = None
    has_missing: bool = False
    has_gaps: bool = False
    updated_at: str = ""

    @property
    def missing(self) -> Ranges:
        return find_missing(add_ranges(self.landed, *self.dropped), 1, self.known_last)

    def can_tell(self, kind: Literal["landed", "dropped"], ranges: Ranges) -> bool:
        """Whether it is still in few enough pieces with these numbers."""
        return len(add_ranges(getattr(self, kind), *ranges)) <= MOST_PIECES

    @property
    def is_forked(self) -> bool:
        return len(self.successors) > 1


def project_epoch(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    """`began`: its first batch was claimed; `succeeded`: another epoch names it; `landed`: numbers
    that came; `dropped`: numbers that the device gave up; `announced`: numbers up to `last` were
    claimed and did not come in time; `alerted`: operators know of what is missing."""
    device, _, name = stream.partition("/")[2].partition(".")
    start = {"device": device, "epoch": name, "first_seen": at}
    before = Epoch.model_validate(projection or start)
    data: _Fields = dict(event.data)
    changed: _Fields
    if event.type == "began":
        changed = {"predecessor": data.get("predecessor")}
    elif event.type == "succeeded":
        others = [each for each in before.successors if each != data["by"]]
        known = max(before.known_last, data["last"])
        changed = {
            "successors": [*others, data["by"]][-MOST_SUCCESSORS:],
            "known_last": known,
        }
    elif event.type == "announced":
        changed = {"known_last": max(before.known_last, data["last"])}
    elif event.type == "alerted":
        changed = {"unalerted_since": None}
    elif event.type in ("landed", "dropped"):
        ranges = [(first, last) for first, last in data["ranges"]]
        known = max([before.known_last, *(last for _, last in ranges)])
        changed = {
            event.type: add_ranges(getattr(before, event.type), *ranges),
            "known_last": known,
        }
        if event.type == "landed":
            changed["last_landed"] = at
    else:
        raise KeyError(event.type)
    after = Epoch.model_validate({**before.model_dump(), **changed, "updated_at": at})
    missing = count_numbers(after.missing)
    since = (before.missing_since or at) if missing else None
    known = before.has_missing and (event.type == "alerted" or before.unalerted_since is None)
    counted = {
        "missing_count": missing,
        "missing_since": since,
        "unalerted_since": None if known else since,
        "has_missing": bool(missing),
        "has_gaps": bool(missing or after.dropped),
    }
    return after.model_copy(update=counted).model_dump(mode="json")


# --- Queries -------------------------------------------------------------------------------------


def query_batches(device: str, state: str | None = None) -> Query:
    """A device's batches, those claimed last first."""
    where = [("device", "==", device)]
    where += [("state", "==", state)] if state else []
    return Query("batch", tuple(where), (("claimed_at", "desc"),))  # type: ignore[arg-type]


def query_landed(dataset: str) -> Query:
    """Batches that wait for a bundle, the longest waiting first."""
    where = (("dataset", "==", dataset), ("state", "==", "landed"))
    return Query("batch", where, (("landed_at", "asc"),))  # type: ignore[arg-type]


def query_outstanding(before: str) -> Query:
    """Claims whose last URL was given out before then, and of which nothing landed."""
    where = (("state", "==", "claimed"), ("claimed_at", "<", before))
    return Query("batch", where, (("claimed_at", "asc"),))  # type: ignore[arg-type]


def query_claimed_since(device: str, since: str) -> Query:
    """What a device claimed lately: its rate is limited by this count."""
    where = (("device", "==", device), ("claimed_at", ">=", since))
    return Query("batch", where, (("claimed_at", "desc"),))  # type: ignore[arg-type]


def query_epochs(device: str) -> Query:
    """A device's epochs, newest first."""
    return Query("epoch", (("device", "==", device),), (("first_seen", "desc"),))


def query_incomplete_epochs(before: str) -> Query:
    """Epochs that have missed numbers since before then, and no alert says so yet."""
    return Query("epoch", (("unalerted_since", "<", before),), (("unalerted_since", "asc"),))


def query_device_gaps(device: str) -> Query:
    """Epochs of which something is missing or was given up, newest first."""
    where = (("device", "==", device), ("has_gaps", "==", True))
    return Query("epoch", where, (("first_seen", "desc"),))  # type: ignore[arg-type]


def query_missing(device: str) -> Query:
    """Epochs of which something is missing, newest first."""
    where = (("device", "==", device), ("has_missing", "==", True))
    return Query("epoch", where, (("first_seen", "desc"),))  # type: ignore[arg-type]


def declared_queries() -> list[Query]:
    return [
        query_batches("a"),
        query_batches("a", "landed"),
        query_landed("a"),
        query_outstanding("2026"),
        query_claimed_since("a", "2026"),
        query_epochs("a"),
        query_incomplete_epochs("2026"),
        query_device_gaps("a"),
        query_missing("a"),
    ]
