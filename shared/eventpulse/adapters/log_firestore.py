"""The EventLog in Firestore.

    eventpulse/{prefix}/{kind}/:{id}                          a stream: where it stands
    eventpulse/{prefix}/{kind}/:{id}/_events/{hash}-{version} its events
    eventpulse/{prefix}/_claims/{hash}                        claims

Invariants:
  - A commit is one Commit call, without a transaction. Each event and claim is written on the
    condition that it does not exist, each stream on the condition that its `update_time` is the
    one that was read (or that it does not exist). So all of it is written or nothing, and of
    concurrent commits at one version one wins.
  - A stream document is replaced whole: its four fields are always the same (`version`, `writers`,
    `projection` as JSON text, `fields` for queries). `writers` makes every write a change, because
    Firestore keeps the `update_time` of a document that a write left as it was.
  - The answer to a Commit may be lost. It is sent again, cannot apply twice, and finds its own
    writer id: in an event, a claim, or among a stream's last writers.
  - No id increases monotonically: events and claims are named by hashes. A stream's id has a colon
    before it (so that `.`, `..` and `__x__` are ids too) and keeps its order, because the name
    breaks ties in queries.

Indexes: single-field indexes are automatic, `index_file` gives the composite ones that queries need
and exempts what no query reads. The prefix is a document's id, so that it is in no index's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.cloud import firestore
from google.cloud.firestore_v1.base_query import FieldFilter, Or

from eventpulse.adapters.google_faults import make_retry, name_faults
from eventpulse.adapters.log_values import (
    REMEMBERED_WRITERS,
    decode_cursor,
    decode_json,
    encode_commit,
    encode_cursor,
    encode_json,
    equal_fields,
    escape_text,
    hash_claim,
    new_writer,
    normalise_query,
    queryable_fields,
    stream_kind,
    unescape_text,
)
from eventpulse.errors import SettingInvalid
from eventpulse.ports import Append, Claim, Conflict, Event, Head, Json, Page, Query

BACKEND = "Firestore"
ROOT = "eventpulse"
EVENTS, CLAIMS = "_events", "_claims"
FIELDS = "fields"

# What is only ever read whole: an index on it would cost and serve nothing.
_UNINDEXED_STREAM = ("projection", "version", "writers")
_UNINDEXED = {
    CLAIMS: ("data", "key", "writer"),
    EVENTS: ("at", "cause", "data", "type", "writer"),
}
_DIRECTIONS = {"asc": "ASCENDING", "desc": "DESCENDING"}
_ATTEMPT_SECONDS = 10.0
# Reads are retried as a whole: the client's own retry of a broken stream does not cover all calls.
_ONCE = Retry(predicate=if_exception_type())

Result = TypeVar("Result")


class FirestoreEventLog:
    """The log behind `firestore://PROJECT/DATABASE?prefix=x`.

    The database is `(default)` when it is not named, the prefix `default`. FIRESTORE_EMULATOR_HOST
    is the client's own. `patience` is how long, in seconds, a fault that may pass is retried.
    """

    def __init__(self, url: str, *, patience: float = 30.0) -> None:
        parts = urlsplit(url)
        options = parse_qs(parts.query)
        if parts.scheme != "firestore" or not parts.netloc or options.keys() - {"prefix"}:
            raise SettingInvalid("EVENTPULSE_STATE", url, "firestore://PROJECT/DATABASE?prefix=x")
        self._project = parts.netloc
        self._database = parts.path.strip("/") or "(default)"
        self._root = (ROOT, options.get("prefix", ["default"])[0])
        self._retry = make_retry(patience)

    @cached_property
    def _client(self) -> firestore.Client:
        return firestore.Client(project=self._project, database=self._database)

    def close(self) -> None:
        """Close the channel; the next call opens another."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    def head(self, stream: str) -> Head:
        return self.heads([stream])[0]

    def heads(self, streams: Sequence[str]) -> list[Head]:
        references = {s: self._stream(s) for s in streams if stream_kind(s)}
        found = self._get_all("read heads", references.values())
        return [
            _make_head(stream, found[references[stream].path])
            if stream in references and references[stream].path in found
            else Head(stream, 0, {})
            for stream in streams
        ]

    def read(self, stream: str, after: int = 0) -> list[Event]:
        if stream_kind(stream) is None:
            return []
        query = (
            self._stream(stream)
            .collection(EVENTS)
            .where(filter=FieldFilter("version", ">", after))
            .order_by("version")
        )
        return [_make_event(stream, found) for found in self._stream_query("read events", query)]

    def commit(
        self,
        appends: Sequence[Append],
        claims: Sequence[Claim] = (),
        *,
        at: datetime,
        cause: Mapping[str, str] | None = None,
    ) -> Conflict | None:
        texts = encode_commit(appends, claims, at)
        writer = new_writer()
        shared = {"at": at, "cause": encode_json(cause or {}), "writer": writer}
        batch = self._client.batch()
        for append, projection, events in zip(
            appends, texts.projections, texts.events, strict=True
        ):
            self._write_append(batch, append, projection, events, shared)
        for claim, data in zip(claims, texts.claims, strict=True):
            document = {
                "key": claim.key.encode("utf-8", "backslashreplace").decode(),
                "data": data,
                "writer": writer,
            }
            batch.create(self._claim(claim.key), document)
        with name_faults(BACKEND, "commit"):
            try:
                batch.commit(retry=self._retry, timeout=_ATTEMPT_SECONDS)
            except (
                exceptions.AlreadyExists,
                exceptions.FailedPrecondition,
                exceptions.NotFound,
                exceptions.RetryError,
            ) as error:
                return self._resolve(appends, claims, writer, error)
        return None

    def claim(self, key: str) -> Mapping[str, Json] | None:
        reference = self._claim(key)
        found = self._get_all("read a claim", [reference]).get(reference.path)
        return None if found is None else decode_json(found.get("data"))

    def query(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        position = None if cursor is None else decode_cursor(query, cursor)
        normal = normalise_query(query)
        if normal is None:
            return Page([], None)
        asked = self.make_query(normal).limit(limit + 1)
        if position is not None:
            values, stream = position
            asked = asked.start_after([*values, self._stream(stream)])
        found = self._stream_query("query", asked)
        heads = [_make_head(_stream_name(query.kind, one), one) for one in found]
        more = len(heads) > limit
        heads = heads[:limit]
        return Page(heads, encode_cursor(query, heads[-1]) if more else None)

    def count(self, query: Query) -> int:
        normal = normalise_query(query)
        if normal is None:
            return 0
        asked = self.make_query(normal).count()

        def work() -> int:
            return int(asked.get(retry=_ONCE, timeout=_ATTEMPT_SECONDS)[0][0].value)

        return self._run("count", work)

    # --- Writing ---------------------------------------------------------------------------------

    def _write_append(
        self,
        batch: Any,
        append: Append,
        projection: str,
        events: Sequence[str],
        shared: Mapping[str, Any],
    ) -> None:
        """`shared` is what all events of the commit have: `at`, `cause` and `writer`."""
        head, stream = append.head, self._stream(append.head.stream)
        numbered = enumerate(zip(append.events, events, strict=True), head.version + 1)
        for version, (event, data) in numbered:
            document = {"version": version, "type": event.type, "data": data, **shared}
            batch.create(_event(stream, version), document)
        update_time, writers = head.token if isinstance(head.token, tuple) else (None, [])
        document = {
            "version": head.version + len(append.events),
            "writers": [shared["writer"], *writers][:REMEMBERED_WRITERS],
            "projection": projection,
            FIELDS: queryable_fields(append.projection),
        }
        if update_time is None:
            batch.create(stream, document)
        else:
            option = self._client.write_option(last_update_time=update_time)
            batch.update(stream, document, option=option)

    def _resolve(
        self, appends: Sequence[Append], claims: Sequence[Claim], writer: str, error: Exception
    ) -> Conflict | None:
        """What a commit that was not acknowledged met; None when it is there itself."""
        streams = {append.head.stream: self._stream(append.head.stream) for append in appends}
        claimed = {claim.key: self._claim(claim.key) for claim in claims}
        first = [_event(streams[a.head.stream], a.head.version + 1) for a in appends if a.events]
        found = self._get_all("commit", [*streams.values(), *claimed.values(), *first[:1]])
        if any(_is_written_by(snapshot, writer) for snapshot in found.values()):
            return None
        for append in appends:
            snapshot = found.get(streams[append.head.stream].path)
            token = append.head.token
            update_time = token[0] if isinstance(token, tuple) else None
            if (None if snapshot is None else snapshot.update_time) != update_time:
                return Conflict("stream", append.head.stream)
        for key, reference in claimed.items():
            if reference.path in found:
                return Conflict("claim", key)
        raise error

    # --- Reading ---------------------------------------------------------------------------------

    def _run(self, operation: str, work: Callable[[], Result]) -> Result:
        with name_faults(BACKEND, operation):
            return self._retry(work)()

    def _get_all(self, operation: str, references: Iterable[Any]) -> dict[str, Any]:
        """The snapshots of those that exist, by path, in one round trip."""
        unique = list({reference.path: reference for reference in references}.values())

        def work() -> dict[str, Any]:
            snapshots = self._client.get_all(unique, retry=None, timeout=_ATTEMPT_SECONDS)
            return {one.reference.path: one for one in snapshots if one.exists}

        return self._run(operation, work) if unique else {}

    def _stream_query(self, operation: str, query: Any) -> list[Any]:
        return self._run(
            operation, lambda: list(query.stream(retry=_ONCE, timeout=_ATTEMPT_SECONDS))
        )

    def make_query(self, query: Query) -> Any:
        """The client's query for a normalised one."""
        asked: Any = self._client.collection(*self._root, query.kind)
        for name, operator, value in query.where:
            asked = asked.where(filter=_make_filter(f"{FIELDS}.{name}", operator, value))
        for name, way in query.order_by:
            asked = asked.order_by(f"{FIELDS}.{name}", direction=_DIRECTIONS[way])
        last = query.order_by[-1][1] if query.order_by else "asc"
        return asked.order_by("__name__", direction=_DIRECTIONS[last])

    # --- Names -----------------------------------------------------------------------------------

    def _stream(self, stream: str) -> Any:
        kind, _, identity = stream.partition("/")
        return self._client.document(*self._root, kind, ":" + escape_text(identity))

    def _claim(self, key: str) -> Any:
        return self._client.document(*self._root, CLAIMS, hash_claim(key).hex())


def _event(stream: Any, version: int) -> Any:
    digest = hashlib.sha256(f"{stream.path}\n{version}".encode()).hexdigest()
    return stream.collection(EVENTS).document(f"{digest[:16]}-{version}")


def _stream_name(kind: str, snapshot: Any) -> str:
    return f"{kind}/{unescape_text(snapshot.id[1:])}"


def _make_head(stream: str, snapshot: Any) -> Head:
    token = (snapshot.update_time, snapshot.get("writers"))
    return Head(stream, snapshot.get("version"), decode_json(snapshot.get("projection")), token)


def _make_event(stream: str, snapshot: Any) -> Event:
    document = snapshot.to_dict()
    at = document["at"]
    return Event(
        stream,
        document["version"],
        document["type"],
        datetime.combine(at.date(), at.timetz()),  # a plain datetime, not the client's own
        decode_json(document["data"]),
        decode_json(document["cause"]),
        document["writer"],
    )


def _is_written_by(snapshot: Any, writer: str) -> bool:
    document = snapshot.to_dict()
    return document.get("writer") == writer or writer in document.get("writers", ())


def _make_filter(path: str, operator: str, value: Json) -> Any:
    if operator == "in" and isinstance(value, list) and None in value:
        # `in` finds no null: null has a filter of its own.
        rest = [one for one in value if one is not None]
        return Or([FieldFilter(path, "==", None), FieldFilter(path, "in", rest)])
    return FieldFilter(path, operator, value)


# --- Indexes -------------------------------------------------------------------------------------


def required_index(query: Query) -> dict[str, Any] | None:
    """The composite index that serves a query alone, as in `firestore.indexes.json`; None for none.

    Filters on equality alone, and one ordered field alone, are served by the automatic indexes.
    The values of the query do not matter.
    """
    equal = equal_fields(query)
    if not query.order_by or len(equal) + len(query.order_by) < 2:
        return None
    fields = [(name, "asc") for name in equal] + [*query.order_by]
    return {
        "collectionGroup": query.kind,
        "queryScope": "COLLECTION",
        "fields": [
            {"fieldPath": f"{FIELDS}.{name}", "order": _DIRECTIONS[way]} for name, way in fields
        ],
    }


def index_file(queries: Iterable[Query], kinds: Iterable[str]) -> dict[str, Any]:
    """What `firestore.indexes.json` holds for these queries over these kinds of streams.

    Firestore merges indexes that each hold some of a query's equal fields and end in its whole
    order. A query whose equal fields each have such an index, because others need it, gets none:
    so a list with any mix of filters takes one index a filter and order, not one a mix.
    """
    needed = {_form(query): required_index(query) for query in queries}
    unindexed = dict(_UNINDEXED) | {kind: _UNINDEXED_STREAM for kind in sorted(set(kinds))}
    return {
        "indexes": [
            index
            for (kind, equal, order), index in needed.items()
            if index is not None
            and not (len(equal) > 1 and all((kind, (one,), order) in needed for one in equal))
        ],
        "fieldOverrides": [
            {"collectionGroup": collection, "fieldPath": field, "indexes": []}
            for collection, fields in unindexed.items()
            for field in fields
        ],
    }


def _form(query: Query) -> tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]:
    """What an index depends on: the kind, the fields that are compared for equality, the order."""
    return query.kind, tuple(equal_fields(query)), query.order_by
