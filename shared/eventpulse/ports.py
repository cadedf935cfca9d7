"""The four ports, and the values that cross them. The comments are the contract of every adapter.

Faults, for every method of every port: a fault that may pass (unavailable, deadline exceeded,
throttled, connection reset, serialization failure) is first retried by the client library's own
retry where it has one, and surfaces as `BackendUnavailable` with `retry_after` when the backend
named one. A fault that stays surfaces as the `TerminalError` that the method names, or as the
client's own exception when it is a programming error. A missing thing is a value (None, empty)
unless the method says otherwise. Times are timezone-aware UTC datetimes. Adapters connect on first
use, never in their constructor, and may be shared by threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# --- Objects -------------------------------------------------------------------------------------

Bucket = Literal["raw", "staged", "quarantine", "reports"]
BUCKETS: tuple[Bucket, ...] = ("raw", "staged", "quarantine", "reports")


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One generation of one object: its content never changes."""

    bucket: Bucket
    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a store knows of one generation. `md5` and `crc32c` are base64 as in Cloud Storage."""

    ref: ObjectRef
    size: int
    created: datetime
    content_type: str
    md5: str | None = None
    crc32c: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request that whoever holds it may send once: method, url, and headers to send verbatim."""

    method: str
    url: str
    headers: Mapping[str, str]
    expires: datetime


class ObjectWriter(Protocol):
    """A binary sink. `stored` is set once the `write` context was left without an error."""

    stored: StoredObject

    def write(self, data: bytes, /) -> int: ...


class ObjectStore(Protocol):
    """Immutable generations of named objects in four buckets.

    Names are any valid UTF-8 of 1 to 1,024 bytes without CR, LF or NUL, except `.` and `..` (as in
    Cloud Storage; others are a ValueError); a name is never a path: `../x`, `a//b`, `%2F` are
    plain names. Objects appear atomically and
    whole, and a reader of one generation never sees another's bytes. In the raw bucket every
    generation stays readable by its number after it was replaced or deleted.
    """

    def bucket_name(self, bucket: Bucket) -> str:
        """The bucket's own name as it stands in finalize events, e.g. `acme-raw`."""
        ...

    def uri(self, ref: ObjectRef) -> str:
        """The object's address without its generation: `gs://acme-raw/a.csv`, `file:///…`."""
        ...

    def stat(self, bucket: Bucket, name: str, generation: int | None = None) -> StoredObject | None:
        """The live generation, or the given one; None when there is none."""
        ...

    def open(self, ref: ObjectRef) -> BinaryIO:
        """A sequential and seekable reader; memory does not grow with the object's size.

        Raises ObjectMissing. The caller closes it. Content is as stored (no gzip transcoding).
        """
        ...

    def write(
        self,
        bucket: Bucket,
        name: str,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
        replace: bool = False,
    ) -> AbstractContextManager[ObjectWriter]:
        """Stream a new object. It appears when the context is left without an exception.

        On an exception nothing appears. With `replace=False` an existing live object raises
        ObjectExists when the context is left, or while a large body is written (of many concurrent
        writers exactly one wins); with `replace=True` a new generation, greater than all before
        it, becomes the live one.
        """
        ...

    def list(
        self, bucket: Bucket, prefix: str = "", after: str = "", *, generations: bool = False
    ) -> Iterator[StoredObject]:
        """Live objects whose name starts with `prefix` and is greater than `after`, by name.

        With `generations` every stored generation of these names, replaced and deleted ones too,
        by name and then by generation; outside the raw bucket only live ones are sure to be kept.
        Order is that of the names' UTF-8 bytes. Pages are fetched as the iterator is consumed.
        """
        ...

    def delete(self, ref: ObjectRef) -> bool:
        """Remove the live object if `ref` is its generation; False when it was not."""
        ...

    def sign_upload(
        self,
        name: str,
        *,
        length: int,
        md5: str,
        content_type: str,
        expires: datetime,
        metadata: Mapping[str, str] | None = None,
        replaces: int | None = None,
    ) -> SignedRequest:
        """A request that creates this raw object once with exactly these bytes, before `expires`;
        with `replaces`, one that takes the place of just this live generation.

        The store itself refuses another length, MD5 (base64), content type or metadata, an object
        that exists, or whose live generation is another than `replaces` (412), a changed signature
        (403) and a request past `expires` (400). Names with a segment `.` or `..` are a ValueError:
        HTTP clients would resolve them.
        """
        ...


# --- State ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """A fact of one stream. Versions run 1, 2, 3 … without gaps."""

    stream: str
    version: int
    type: str
    at: datetime
    data: Mapping[str, Json]
    cause: Mapping[str, str]  # request_id, traceparent, actor
    writer: str


@dataclass(frozen=True, slots=True)
class Head:
    """Where a stream stands: its version (0: it does not exist) and its projection document.

    `token` is the adapter's own (Firestore's update_time); pass heads on as they were read.
    """

    stream: str
    version: int
    projection: Mapping[str, Json]
    token: object = None


@dataclass(frozen=True, slots=True)
class NewEvent:
    type: str
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Append:
    """Events to add right after `head`, and the projection that the stream has then."""

    head: Head
    events: Sequence[NewEvent]
    projection: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Claim:
    """A document that may exist once. `key` is any text; `data` stays far below 1 MiB."""

    key: str
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conflict:
    """What a commit met: a stream that is no longer at the expected version, or a claim taken."""

    kind: Literal["stream", "claim"]
    key: str


Operator = Literal["==", "in", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Query:
    """Projections of one kind of stream, by top-level fields of the projection.

    Filters with `==` and `in` compare strings, integers, booleans or None; ranges compare strings
    only (times are ISO 8601 UTC with six decimals, so that text order is time order), by their
    UTF-8 bytes, and are on ordered fields. Order is None, false, true, integers, strings. Every
    queried field is present in every projection of the kind; a range never matches None. The
    stream's name breaks ties, in the direction of the last ordered field.
    """

    kind: str
    where: tuple[tuple[str, Operator, Json], ...] = ()
    order_by: tuple[tuple[str, Literal["asc", "desc"]], ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Heads in the query's order, and the cursor of the next page (None: this was the last)."""

    heads: Sequence[Head]
    cursor: str | None


class EventLog(Protocol):
    """Append-only streams with one projection document each. The state of everything.

    A stream's name is `<kind>/<id>`; the kind is a lower-case word, the id any text without `/`.
    """

    def head(self, stream: str) -> Head:
        """Version 0 and an empty projection when the stream does not exist."""
        ...

    def heads(self, streams: Sequence[str]) -> list[Head]:
        """As `head`, in the order asked, in as few round trips as the backend allows."""
        ...

    def read(self, stream: str, after: int = 0) -> list[Event]:
        """The events with a version greater than `after`, in order; empty when there are none."""
        ...

    def commit(
        self,
        appends: Sequence[Append],
        claims: Sequence[Claim] = (),
        *,
        at: datetime,
        cause: Mapping[str, str] | None = None,
    ) -> Conflict | None:
        """All of it, atomically, or nothing and the conflict that was met.

        Of any number of concurrent commits at one version of a stream, or of one claim, exactly
        one wins. Each call carries a writer id of its own: when the answer to a commit was
        ambiguous (deadline, connection reset) and the same commit is sent again by the adapter,
        finding its own writer id is success. An append may carry no events: it then replaces the
        projection and does not move the version, under the same condition. At most 400 documents
        and 9 MB of their JSON; a document has at most 1 MB.
        """
        ...

    def claim(self, key: str) -> Mapping[str, Json] | None:
        """The data of a claim; None when nobody made it."""
        ...

    def query(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """One page of at most `limit` heads.

        A cursor is opaque, stays valid while streams are added, and is only good for the same
        query; a malformed one raises RequestRefused (400, `invalid_cursor`).
        """
        ...

    def count(self, query: Query) -> int:
        """How many streams the query matches."""
        ...


# --- Tasks ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """One HTTP call that a function will receive: POST, JSON body, at least once.

    `name` is [A-Za-z0-9_-]{1,500}; a name is accepted once, also after its task is done.
    `headers` carries X-Request-ID and traceparent.
    """

    name: str
    function: str
    body: Mapping[str, Json]
    not_before: datetime | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class TaskQueue(Protocol):
    """Named tasks, delivered at least once, retried with backoff until answered 2xx."""

    def enqueue(self, task: Task) -> bool:
        """True when the task was added, False when its name was used before."""
        ...

    def pending(self) -> int:
        """How many tasks wait or run, those included that are not due yet, such as one at a lease's
        end. For progress and tests; whether work is done, the log says."""
        ...


# --- Warehouse -----------------------------------------------------------------------------------

ColumnType = Literal[
    "string", "integer", "number", "decimal", "boolean", "date", "timestamp", "time", "json"
]
Layer = Literal["history", "curated", "marts"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the contract types it. Precision and scale belong to `decimal` only."""

    name: str
    type: ColumnType
    required: bool = False
    precision: int | None = None
    scale: int | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class DatasetTable:
    """What the warehouse must hold for one dataset.

    Three tables: the history `history.rows_<dataset>` (append-only: columns and `_ingestion_id`,
    `_source_row`, `_source_sha256`, `_source_created_at`), the active ingestions
    `history.active_<dataset>` (`ingestion_id`, `contract_version`, `loaded_at`, `rows_accepted`,
    `rows_current`, `fence`) and the curated table `curated.<dataset>` (the columns and
    `_ingestion_id`, `_source_row`, `_source_sha256`, `_contract_version`, `_loaded_at`).

    `key` is empty for a dataset without a primary key: a row's key is then (`_source_sha256`,
    `_source_row`). `ordering` is the column that says which of two versions of a key is newer.
    `temporary` tables are dropped by who made them; where tables can expire, they also do, after a
    day, in case nobody does.
    """

    dataset: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    ordering: str | None = None
    partition_by: str | None = None
    description: str = ""
    temporary: bool = False

    @property
    def pinned(self) -> frozenset[str]:
        """The columns that key, order or partition the table: their type never changes."""
        return frozenset((*self.key, *filter(None, (self.ordering, self.partition_by))))


@dataclass(frozen=True, slots=True)
class JobStats:
    """What a job cost: rows written, bytes processed, slot milliseconds (0 where not billed)."""

    rows: int = 0
    bytes: int = 0
    slot_ms: int = 0


@dataclass(frozen=True, slots=True)
class Activation:
    """An ingestion whose history rows become visible, and how many there must be."""

    ingestion_id: str
    contract_version: str
    loaded_at: datetime
    rows_accepted: int


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Of one active ingestion: its history rows, and those that the curated table shows now."""

    accepted: int
    current: int

    @property
    def superseded(self) -> int:
        return self.accepted - self.current


class Warehouse(Protocol):
    """Typed tables. Names from outside are quoted, never pasted."""

    def ensure_tables(self, table: DatasetTable) -> None:
        """Create what is missing; add new columns as nullable; widen; relax REQUIRED; describe.

        Idempotent. A column whose type is now a wider one (`widening.WIDER`) keeps its values in
        it, in the history and the curated table alike; moments as text are ISO 8601 in UTC.
        Another change of type, any of a column that keys, orders or partitions, a whole number
        that a floating point one would round, or another key raises TableConflict.
        """
        ...

    def load_rows(self, table: DatasetTable, sources: Sequence[ObjectRef], job_id: str) -> JobStats:
        """Append the Parquet objects' rows to the history, all or none, once per `job_id`.

        The objects hold the table's columns and the four `_` columns of the history. A `job_id`
        that succeeded before returns its statistics again and adds nothing; one that is still
        running is awaited; one that failed raises LoadRejected and stays spent.
        """
        ...

    def publish(
        self,
        table: DatasetTable,
        activate: Sequence[Activation],
        deactivate: Sequence[str] = (),
        *,
        fence: int,
    ) -> dict[str, RowCounts]:
        """The one statement: set who is active, recompute the touched keys, in one transaction.

        Touched keys are those of the rows of all ingestions named. Each shows the winner among the
        rows of active ingestions: greatest by (ordering column, `_source_created_at`,
        `_source_sha256`, `_source_row`, `_ingestion_id`), nulls last; a key left without rows is
        deleted. `rows_current` of every active ingestion whose rows won or lost is updated. An
        activated ingestion without its `rows_accepted` rows in the history raises BooksUnbalanced
        and changes nothing. Doing it again changes nothing. Returns the counts of the activated.

        `fence` grows with each of the dataset's decisions: once a publish with a greater one has
        been done, a belated one raises PublishOvertaken and changes nothing.
        """
        ...

    def discard_rows(self, dataset: str, ingestion_ids: Sequence[str]) -> None:
        """Take the rows of ingestions that are not active out of the history: what a load has left
        that was never published. Active ones are left alone; doing it again changes nothing."""
        ...

    def row_counts(self, dataset: str, ingestion_ids: Sequence[str]) -> dict[str, RowCounts]:
        """The counts of those that are active now; others are absent from the answer."""
        ...

    def read_table(
        self, layer: Layer, name: str, columns: Sequence[Column], limit: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The named columns, typed as `rows/arrow.py` maps them, in no particular order.

        Batches are bounded; empty when the table does not exist.
        """
        ...

    def replace_view(self, name: str, sql: str) -> None:
        """Create or replace `marts.<name>` as a view of `sql` (BigQuery's dialect)."""
        ...

    def replace_table(
        self, name: str, sql: str, *, build: str = "", over: Sequence[str] = ()
    ) -> JobStats:
        """Replace `marts.<name>` by the rows of `sql`; readers see the old or the new, whole.

        `build` is an id, [A-Za-z0-9_-]{1,500}, that no other build has; `over` are those of earlier
        ones that may go on somewhere. They have ended before this one begins, and one that only
        comes afterwards raises BuildOvertaken and changes nothing.
        """
        ...

    def column_types(self, layer: Layer, name: str) -> dict[str, ColumnType]:
        """The columns of a table or view, in order; empty when it does not exist."""
        ...

    def measure(self, name: str, sql: str) -> list[float | None]:
        """The one row of numbers that a SELECT gives (BigQuery's dialect, tables of `curated` and
        `marts`). `name` is what it is asked for; SQL that cannot run raises SqlRejected with it.
        """
        ...

    def tabulate(self, name: str, sql: str, limit: int) -> list[dict[str, Json]]:
        """The rows that a SELECT gives, as JSON values like those of `preview`, at most `limit`;
        none when a table that it reads does not exist. SQL as for `measure`."""
        ...

    def preview(self, layer: Layer, name: str, limit: int) -> list[dict[str, Json]]:
        """A few rows as JSON values (decimals and times as text); empty without the table."""
        ...

    def count_rows(self, layer: Layer, name: str) -> int:
        """Rows of a table or view; 0 when it does not exist."""
        ...

    def drop_dataset(self, dataset: str) -> None:
        """Remove the three tables of a dataset, if they are there (`verify` rebuilds elsewhere)."""
        ...
