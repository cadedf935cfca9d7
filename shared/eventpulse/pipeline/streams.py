"""Reading and changing streams: what every use case does with the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from eventpulse.drift.accepted_schema import AcceptedSchema
from eventpulse.errors import RequestRefused
from eventpulse.ingestions.ingestion import (
    END_EVENTS,
    ContentHolder,
    Ingestion,
    ObjectHistory,
    SourceObject,
    landing_of,
    object_key,
)
from eventpulse.logs import event_cause
from eventpulse.operations.trends import LOAD_SHARD, choose_shard, ended_event, trend_stream
from eventpulse.pipeline.signals import report_alert, report_end
from eventpulse.platform import Platform
from eventpulse.ports import Append, Head, Json, NewEvent, Query
from eventpulse.streams import find_projector
from eventpulse.values import format_time

if TYPE_CHECKING:
    from eventpulse.drift.proposals import Proposal
    from eventpulse.ingestions.loading import DatasetState, LoadGroup

PAGE = 500


class Changes:
    """Some streams as they were read once, and the events to append to them in one commit.

    A lost race means: make a new one, read again, decide again.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._now = platform.clock()
        self._heads: dict[str, Head] = {}
        self._events: dict[str, list[NewEvent]] = {}
        self._projections: dict[str, Mapping[str, Json]] = {}

    @property
    def day(self) -> str:
        """The day of what is appended, in UTC."""
        return format_time(self._now)[:10]

    def fetch(self, *streams: str) -> None:
        """Read several heads in one round trip."""
        missing = [each for each in streams if each not in self._heads]
        for head in self._platform.log.heads(missing) if missing else ():
            self._heads[head.stream] = head
            self._projections[head.stream] = head.projection

    def head(self, stream: str) -> Head:
        self.fetch(stream)
        return self._heads[stream]

    def projection(self, stream: str) -> Mapping[str, Json]:
        """The projection with the events that were added so far."""
        self.fetch(stream)
        return self._projections[stream]

    def add(self, stream: str, *events: NewEvent) -> None:
        projector = find_projector(stream.partition("/")[0])
        at = format_time(self._now)
        projection = self.projection(stream)
        for event in events:
            projection = projector(projection, stream, event, at)
        self._projections[stream] = projection
        self._events.setdefault(stream, []).extend(events)

    def replace(self, stream: str, projection: Mapping[str, Json]) -> None:
        """Another projection without an event, for what is true of a moment only; the stream must
        exist."""
        self.fetch(stream)
        self._projections[stream] = projection
        self._events.setdefault(stream, [])

    def adopt(self, heads: Iterable[Head]) -> None:
        """Go by heads that a query has read, unless they were read before."""
        for head in heads:
            if head.stream not in self._heads:
                self._heads[head.stream] = head
                self._projections[head.stream] = head.projection

    def returned_batches(self) -> dict[str, str]:
        """The datasets whose batches wait for a bundle again, each with one of these batches and
        its version."""
        return {
            str(self._projections[stream]["dataset"]): (
                f"{stream.partition('/')[2]}-v{self._heads[stream].version + len(events)}"
            )
            for stream, events in self._events.items()
            if stream.startswith("batch/") and any(e.type == "returned" for e in events)
        }

    def changed_ingestions(self) -> list[tuple[Ingestion, int]]:
        """The ingestions that events were added to, and their versions once committed."""
        return [
            (
                Ingestion.model_validate(self._projections[stream]),
                self._heads[stream].version + len(events),
            )
            for stream, events in self._events.items()
            if stream.startswith("ingestion/")
        ]

    def commit(self) -> bool:
        """False when another was faster, and nothing was changed."""
        appends = [
            Append(self._heads[stream], events, self._projections[stream])
            for stream, events in self._events.items()
        ]
        if self._platform.log.commit(appends, at=self._now, cause=event_cause()):
            return False
        self._tell()
        return True

    def _tell(self) -> None:
        """What operators are to know of that is now committed."""
        for ingestion in self._ended():
            report_end(ingestion)
        for stream, events in self._events.items():
            if stream.startswith("alert/") and any(each.type == "opened" for each in events):
                report_alert(self._projections[stream])

    def _ended(self) -> list[Ingestion]:
        return [
            Ingestion.model_validate(self._projections[stream])
            for stream, events in self._events.items()
            if stream.startswith("ingestion/") and any(each.type in END_EVENTS for each in events)
        ]

    def ingestion(self, ingestion_id: str) -> Ingestion:
        """Raises RequestRefused (404) when there is none."""
        projection = self.projection(f"ingestion/{ingestion_id}")
        if not projection:
            raise RequestRefused(
                404,
                "ingestion_not_found",
                "No such ingestion",
                f"There is no ingestion {ingestion_id!r}. List them with GET /api/ingestions.",
            )
        return Ingestion.model_validate(projection)

    def content(self, key: str) -> ContentHolder:
        return ContentHolder.model_validate(self.projection(f"content/{key}"))

    def history(self, source: SourceObject) -> ObjectHistory:
        return ObjectHistory.model_validate(self.projection(history_stream(source)))

    def dataset(self, name: str) -> DatasetState:
        from eventpulse.ingestions.loading import DatasetState

        return DatasetState.model_validate(self.projection(f"dataset/{name}") or {"name": name})

    def proposal(self, proposal_id: str) -> Proposal:
        """Raises RequestRefused (404) when there is none."""
        from eventpulse.drift.proposals import Proposal

        projection = self.projection(f"proposal/{proposal_id}")
        if not projection:
            raise RequestRefused(
                404,
                "proposal_not_found",
                "No such proposal",
                f"There is no proposal {proposal_id!r}. List them with GET /api/proposals.",
            )
        return Proposal.model_validate(projection)

    def group(self, group_id: str) -> LoadGroup:
        from eventpulse.ingestions.loading import LoadGroup

        return LoadGroup.model_validate(self.projection(f"group/{group_id}") or {"id": group_id})


def history_stream(source: SourceObject) -> str:
    return f"object/{object_key(source.bucket, source.name)}"


def hold_content(changes: Changes, ingestion: Ingestion) -> None:
    """Make this ingestion stand for its content, and its landing one that counts."""
    changes.add(f"content/{ingestion.content_key}", NewEvent("held", {"ingestion": ingestion.id}))


def note_landing(changes: Changes, ingestion: Ingestion, *, of: Ingestion | None = None) -> None:
    """Note the landing in the history of its name; a copy in that of its first one's name too."""
    event = NewEvent("duplicated" if of else "landed", landing_of(ingestion).model_dump())
    for stream in {history_stream(each.source) for each in (ingestion, of) if each}:
        changes.add(stream, event)


def resume_copy(changes: Changes, copy: Ingestion, because: str) -> None:
    """A copy that was set aside counts after all, and stands for its content."""
    first = changes.ingestion(copy.duplicate_of) if copy.duplicate_of else None
    changes.add(copy.stream, NewEvent("resumed", {"because": because}))
    hold_content(changes, copy)
    note_landing(changes, copy)
    if first is not None and history_stream(first.source) != history_stream(copy.source):
        # The copy is a landing of its own name only; its first one's name forgets it.
        landing = landing_of(copy).model_dump()
        changes.add(history_stream(first.source), NewEvent("resumed", landing))


def release_content(changes: Changes, ingestion: Ingestion) -> None:
    """An ingestion ends otherwise than loaded: the copy that waited longest resumes."""
    if ingestion.dataset is None:
        return
    holder = changes.content(ingestion.content_key)
    if holder.holder != ingestion.id:
        return
    for waiting in holder.waiting:
        copy = changes.ingestion(waiting)
        if copy.state == "duplicate":
            resume_copy(changes, copy, ingestion.id)
            return
    released = NewEvent("released", {"ingestion": ingestion.id})
    changes.add(f"content/{ingestion.content_key}", released)


def accept_schema(changes: Changes, dataset: str, schema: AcceptedSchema) -> None:
    """Move a dataset's accepted schema, and remember it where no load is: `schema/<dataset>` is
    read whole by whoever asks for its history."""
    event = NewEvent("schema.accepted", {"schema": schema.model_dump(mode="json")})
    for stream in (f"dataset/{dataset}", schema_stream(dataset)):
        changes.add(stream, event)


def schema_stream(dataset: str) -> str:
    return f"schema/{dataset}"


def note_end(changes: Changes, ingestion_id: str) -> None:
    """Count an ingestion that these changes end, in the trend of its dataset."""
    ended = changes.ingestion(ingestion_id)
    stream = trend_stream(ended.dataset, changes.day, choose_shard(ended.id))
    changes.add(stream, ended_event([ended], changes.day))


def note_load(changes: Changes, group: LoadGroup) -> None:
    """Count the members that these changes end, and what loading them cost."""
    ended = [changes.ingestion(each.ingestion) for each in group.members]
    stream = trend_stream(group.dataset, changes.day, LOAD_SHARD)
    loads = any(each.action == "activate" for each in group.members)
    cost: dict[str, Json] | None = {**group.cost} if loads else None
    changes.add(stream, ended_event(ended, changes.day, cost))


def dataset_of(platform: Platform, name: str) -> DatasetState:
    return Changes(platform).dataset(name)


def begin_stream(platform: Platform, stream: str, event: NewEvent) -> None:
    """Make a stream with its first event; nothing when it is there."""
    while True:
        changes = Changes(platform)
        if changes.head(stream).version:
            return
        changes.add(stream, event)
        if changes.commit():
            return


def list_heads(platform: Platform, query: Query) -> list[Head]:
    """Every head that a query matches, page by page: for kinds of which there are few."""
    heads: list[Head] = []
    cursor: str | None = None
    while True:
        page = platform.log.query(query, limit=PAGE, cursor=cursor)
        heads += page.heads
        cursor = page.cursor
        if cursor is None:
            return heads
