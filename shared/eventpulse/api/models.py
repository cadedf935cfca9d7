"""What the API answers and takes, as pydantic models: the OpenAPI document is made from these.

Answers never leave out a field: what is not known yet is null. Times are ISO 8601 UTC text.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, RootModel

from eventpulse.adapters.object_names import check_upload_name
from eventpulse.contracts.contract import Contract, FileFormat
from eventpulse.contracts.freshness import FreshnessWord
from eventpulse.ingestions.ingestion import Reason, Sort, SourceObject, State
from eventpulse.marts.mart import Materialization
from eventpulse.values import Value, format_time, parse_time

PAGE_LIMIT = 200
MAX_UPLOAD_BYTES = 5 << 40
"""Cloud Storage's own limit of one object."""


class Answer(Value):
    """What the API answers with."""


class Request(Value):
    """What the API takes: a key that it does not know is refused."""


class Problem(BaseModel):
    """RFC 9457 problem details. `code` is for programs, `detail` for people; `problems` names every
    fault of what was sent as "path.to.field: what is wrong"."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    request_id: str
    problems: list[str] = []


def _check_time(text: str) -> str:
    """A moment as the log writes it; a day is its beginning in UTC, as is a time without a zone."""
    try:
        at = parse_time(text)
    except ValueError as error:
        raise ValueError("an ISO 8601 date or time, 2026-01-31 or 2026-01-31T12:00:00Z") from error
    try:
        return format_time(at if at.tzinfo else at.replace(tzinfo=UTC))
    except OverflowError as error:
        raise ValueError("a time between the years 1 and 9999 in UTC") from error


Moment = Annotated[str, AfterValidator(_check_time)]
Cursor = Annotated[str, Field(min_length=1, max_length=4000)]

# --- Ingestions ----------------------------------------------------------------------------------

Limit = Annotated[int, Field(ge=1, le=PAGE_LIMIT)]


MOST_LEFT_OUT = 7
"""Datasets that one request leaves out: with the four reasons that may be left, they make 28 of the
30 combinations that a query compares at most."""


class ReceivedFilter(Request):
    dataset: str | None = None
    not_dataset: tuple[str, ...] = Field(
        (), max_length=MOST_LEFT_OUT, description="Leave these out; may be repeated."
    )
    not_reason: tuple[Reason, ...] = Field((), description="Leave out what was rejected for this.")
    since: Moment | None = Field(None, description="The first moment of receipt.")
    until: Moment | None = Field(None, description="The first moment that is too late.")


class IngestionFilter(ReceivedFilter):
    """`id_prefix` finds ingestions by the beginning of their id and stands alone."""

    state: State | None = None
    not_state: tuple[State, ...] = Field(
        (), description="Leave these out; may be repeated, as each `not_…` may."
    )
    reason: Reason | None = Field(None, description="Why it was rejected.")
    object: str | None = Field(None, description="The raw object's name, exactly.")
    not_object: tuple[str, ...] = Field(
        (), max_length=MOST_LEFT_OUT, description="Leave out the raw objects of this name."
    )
    search: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="A text in the id, object, dataset, state, reason or detail, in any case. One "
        "request looks through 2,000 ingestions; go on with next_cursor, even from an empty page. "
        "So it is where datasets, objects or reasons are left out.",
    )
    sort: Sort = Field(
        "-received_at",
        description="By receipt, rows read, rows refused or duration; with - the newest, or the "
        "most, comes first. What has no such figure (it has not come so far, or is a duplicate) "
        "comes after all others then, and before them without the -.",
    )
    id_prefix: str | None = Field(None, pattern=r"^[0-9a-f-]{1,36}$")
    cursor: Cursor | None = Field(None, description="`next_cursor` of the page before.")
    limit: Limit = 50


class IngestionCounts(Answer):
    """How many ingestions there are, and how many in each state."""

    total: int
    states: dict[State, int]


class FailureFilter(ReceivedFilter):
    """`since` is 30 days back if it is not given."""


class FailureGroup(Answer):
    """Ingestions of one dataset that ended badly for one cause and that nobody has replayed."""

    state: Literal["rejected", "failed"]
    reason: Reason | None
    failed_step: str | None
    dataset: str | None
    count: int
    first_seen: str
    last_seen: str
    last_ingestion: str
    last_object: str
    last_detail: str | None


class FailureGroups(Answer):
    """The group seen last comes first; not `complete` when there are too many to look at."""

    groups: list[FailureGroup]
    since: str
    complete: bool


class ReplayMany(Request):
    """Which ingestions to replay: those named, or those that fit a failure group and were not
    replayed yet, the longest waiting first."""

    ids: list[str] | None = Field(None, min_length=1, max_length=PAGE_LIMIT)
    state: Literal["rejected", "failed"] | None = None
    reason: Reason | None = None
    failed_step: str | None = None
    dataset: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Limit = 100


class ReplayOutcome(Answer):
    """The replay that was begun, or the code and detail of the problem that kept it."""

    ingestion: str
    replay: str | None
    code: str | None
    detail: str | None


class ManyReplays(Answer):
    """`more`: others fit, which the limit left out; ask again for them."""

    replays: list[ReplayOutcome]
    more: bool


class IngestionAnswer(Answer):
    """One ingestion.

    `rows_read = rows_accepted + rows_quarantined + rows_duplicate` once it was validated, and
    `rows_accepted = rows_current + rows_superseded` once it was loaded; both are as the table
    stands now, unless `rows_live` is false (the warehouse did not answer: they are as of the load).
    A duplicate read nothing, so its rows are 0; its URIs are those of `duplicate_of`, whose
    documents speak of the same bytes. `proposal` is the contract that its verdict proposes.
    A bundle of devices' batches has many `objects`: `object_count` of them, of which a list shows
    the first, and one ingestion the first 100.
    """

    id: str
    state: State
    reason: Reason | None
    detail: str | None
    dataset: str | None
    object: str
    objects: list[SourceObject]
    object_count: int
    contract_version: str | None
    failed_step: str | None
    duplicate_of: str | None
    replay_of: str | None
    replaced_by: str | None
    recovers: str | None
    recoveries: int
    retract_requested: bool
    proposal: str | None
    rows_read: int | None
    rows_accepted: int | None
    rows_quarantined: int | None
    rows_duplicate: int | None
    rows_current: int | None
    rows_superseded: int | None
    rows_live: bool
    quality_uri: str | None
    drift_uri: str | None
    lineage_uri: str | None
    quarantine_uri: str | None
    received_at: str
    updated_at: str
    finished_at: str | None
    seconds: float | None = Field(description="From received to finished.")


class IngestionPage(Answer):
    ingestions: list[IngestionAnswer]
    next_cursor: str | None


class TimelineEvent(Answer):
    """A fact of the ingestion's stream; `cause` names the request that made it, and who sent it."""

    version: int
    type: str
    at: str
    data: dict[str, JsonValue]
    cause: dict[str, str]


class StepRun(Answer):
    """One attempt of a step. `outcome` is the type of the event that ended it, null while it runs
    or when it was killed; `seconds` then is null too."""

    step: str
    attempt: int
    started_at: str
    ended_at: str | None
    seconds: float | None
    outcome: str | None
    problem: str | None


class Timeline(Answer):
    ingestion: str
    events: list[TimelineEvent]
    steps: list[StepRun]


class QuarantineQuery(Request):
    format: Literal["json", "csv", "xlsx"] = Field(
        "json",
        description="`csv` sends every row, for a spreadsheet; formulas are disarmed. `xlsx` is a "
        "workbook to mend the rows in, for POST …/recover.",
    )
    column: str | None = Field(None, description="Only rows that have a fault in it.")
    rule: str | None = Field(None, description="Only rows that break a rule of this kind.")
    cursor: str | None = Field(None, pattern=r"^[0-9]{1,18}$")
    limit: Limit = 50


class RefusedCell(Answer):
    """`headers` are those of the row's cells that are at fault; none where the whole row is."""

    column: str
    headers: list[str]
    rule: str
    value: str | None
    message: str


class RefusedRecord(Answer):
    """A row that was set apart. `record` counts from 1 after the header; `row` is the raw text by
    header. Values of columns that the contract classifies as confidential are masked."""

    object: str
    generation: int
    sheet: str | None
    record: int
    duplicate: bool
    failures: list[RefusedCell]
    row: dict[str, str | None]


class QuarantinePage(Answer):
    """`columns` are the headers of the contract, in its order."""

    ingestion: str
    quarantine_uri: str | None
    columns: list[str]
    rows: list[RefusedRecord]
    next_cursor: str | None


class RowsQuery(Request):
    limit: int = Field(20, ge=1, le=10_000, description="How many rows.")


class SampleRows(Answer):
    """Rows as JSON values; decimals and times are text. `masked` are the columns whose values the
    contract classifies."""

    columns: list[str]
    masked: list[str]
    rows: list[dict[str, JsonValue]]


# --- Datasets and contracts ----------------------------------------------------------------------


class FreshnessAnswer(Answer):
    """Whether the dataset is as new as its contract's slaProperties promise. `empty`: promised and
    never loaded; `undeclared`: nothing is promised. At `due_at` the next load must be there."""

    state: FreshnessWord
    due_at: str | None
    frequency_seconds: float | None
    latency_seconds: float | None


class Run(Answer):
    """One of a dataset's ingestions, in short."""

    id: str
    object: str
    state: State
    reason: Reason | None
    received_at: str
    finished_at: str | None
    rows_read: int | None
    rows_quarantined: int | None


class DatasetSummary(Answer):
    """`rows` is null when the warehouse did not answer; `loading` while a load is under way. `runs`
    are the newest ingestions, newest first."""

    name: str
    description: str
    freshness: FreshnessAnswer
    runs: list[Run]
    contract_version: str | None
    drift: dict[str, str] = Field(description="The policy's mode by kind of change.")
    loads: int
    loaded_at: str | None
    loading: bool
    rows: int | None


class DatasetList(Answer):
    datasets: list[DatasetSummary]


class DigestAnswer(Answer):
    """The same rows have the same digest, on every engine; `columns` are those it covers."""

    dataset: str
    digest: str
    rows: int
    columns: list[str]


class ContractQuery(Request):
    version: str | None = Field(None, description="The current one, if it is not given.")


class ContractAnswer(Answer):
    dataset: str
    version: str
    current: bool
    sha256: str
    uri: str
    contract: Contract


class ContractText(Request):
    """An ODCS document; `source` names it in the problems that are found."""

    text: str = Field(min_length=1)
    source: str = Field("contract", min_length=1, max_length=200)


class PublishedContract(Answer):
    """`changed` is false when the registry had this very contract."""

    dataset: str
    version: str
    sha256: str
    changed: bool


# --- Marts ---------------------------------------------------------------------------------------


class MartText(Request):
    """One SELECT in BigQuery's SQL, under a head of `-- key: value` lines; and the ODCS YAML that
    its rows are checked by after each build, if it has one."""

    text: str = Field(min_length=1)
    contract: str = ""


MartWord = Literal["waiting", "building", "built", "failed"]


class MartSummary(Answer):
    """`rows` of a table as of its last build, null for a view. `finding` is what the mart's own
    contract found wrong with the last build, in a sentence."""

    name: str
    description: str
    materialization: Materialization
    state: MartWord
    error: str | None
    sources: list[str]
    builds: int
    built_at: str | None
    rows: int | None
    finding: str | None
    quality_uri: str | None
    lineage_uri: str | None


class MartList(Answer):
    marts: list[MartSummary]


class MartQuery(Request):
    limit: int = Field(10, ge=0, le=PAGE_LIMIT, description="How many rows to preview.")


class MartAnswer(MartSummary):
    """`rows` are counted now, for a view too."""

    sql: str
    columns: list[str]
    versions: dict[str, int]
    preview: list[dict[str, JsonValue]]


class PublishedMart(Answer):
    name: str
    changed: bool


# --- Uploads and health --------------------------------------------------------------------------


def _check_md5(text: str) -> str:
    try:
        if len(base64.b64decode(text, validate=True)) == 16:
            return text
    except binascii.Error:
        pass
    raise ValueError("the MD5 of the bytes, in base64 (24 characters)")


class UploadRequest(Request):
    """A file that someone wants to send. With `dataset`, the name must be one that the dataset's
    contract takes."""

    name: Annotated[str, AfterValidator(check_upload_name)]
    length: int = Field(ge=0, le=MAX_UPLOAD_BYTES, description="In bytes.")
    md5: Annotated[str, AfterValidator(_check_md5)]
    content_type: str = Field(
        "application/octet-stream", pattern=r"^[\w.+-]+/[\w.+-]+( *; *[\w.+-]+=[\w.+-]+)*$"
    )
    dataset: str | None = None
    replaces: int | None = Field(
        None,
        ge=1,
        le=(1 << 63) - 1,
        description="The live generation of the object of this name, which the file replaces.",
    )


class DialectHints(Answer):
    """How the dataset's files are written, as far as its contract says; null: found out."""

    format: FileFormat | None
    delimiter: str | None
    quote: str
    escape: str | None
    encoding: str | None
    null_markers: list[str]
    decimal_mark: str
    header_row: int | None
    sheet: str | None
    columns: list[str] = Field(description="The headers that the contract names, in its order.")
    required: list[str] = Field(description="Those of them that every row must fill.")


class UploadAnswer(Answer):
    """The one request that makes the object: send it as it is, with the bytes as its body.

    `datasets` are those whose contract takes the name: without any, the file will be rejected.
    `dialect` is that of the dataset, if there is just one.
    """

    name: str
    method: str
    url: str
    headers: dict[str, str]
    expires: str
    datasets: list[str]
    dialect: DialectHints | None


class Health(Answer):
    status: Literal["ok"]
    version: str


class PortState(Answer):
    ready: bool
    problem: str | None


class Readiness(Answer):
    ready: bool
    ports: dict[str, PortState]


# --- Documents that others define ----------------------------------------------------------------


class LineageDocument(RootModel[list[dict[str, JsonValue]]]):
    """OpenLineage 2-0-2 run events: START, then COMPLETE or FAIL."""


class OpenApiDocument(RootModel[dict[str, JsonValue]]):
    """An OpenAPI 3.1 document."""
