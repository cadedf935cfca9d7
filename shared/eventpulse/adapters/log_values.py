"""What every EventLog adapter agrees on: names, sizes, text, queries and cursors.

Invariants:
  - A document (an event's data, a projection, a claim's data) is stored whole as one JSON text and
    read back from it, so that both lanes return the same values: nested lists, keys with dots,
    integers of any size, NUL and lone surrogates included. Only NaN and infinity are refused.
  - What queries see is a copy of the projection's top-level strings, integers, booleans and nulls
    whose names are lower-case words (`queryable_fields`); text above 1,100 bytes and integers above
    64 bits are null there.
  - What one lane cannot do is refused in every lane, with a ValueError: it is a mistake in the
    calling code. What comes from users (the id, the compared values, the cursor) never is: an id
    or value that cannot exist is not found.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, TypeAlias, TypeGuard

from eventpulse.errors import RequestRefused
from eventpulse.ports import Append, Claim, Head, Json, Query

MAX_STREAM_BYTES = 400
MAX_QUERYABLE_BYTES = 1_100
MAX_JSON_BYTES = 1_000_000
MAX_DOCUMENTS = 400
MAX_COMMIT_BYTES = 9_000_000
"""Of JSON: Firestore takes 10 MiB, with 3 KB for the names and queryable fields of a document."""
MAX_ALTERNATIVES = 30
"""Of `in`: the product of the numbers of values over all filters."""
REMEMBERED_WRITERS = 8
"""How many writers a head remembers, newest first, to recognise a commit that had no events."""

_WORD = re.compile(r"[a-z][a-z0-9_]*")
_ESCAPES = {0: "\x01\x01", 1: "\x01\x02"}
_INT64 = range(-(2**63), 2**63)
_RANGES = ("<", "<=", ">", ">=")

Scalar: TypeAlias = "str | int | bool | None"
"""What filters and orders compare."""

# --- Streams and documents -----------------------------------------------------------------------


def stream_kind(stream: str) -> str | None:
    """The kind of a stream's name; None when there can be no stream of that name."""
    kind, separator, identity = stream.partition("/")
    if not separator or not _WORD.fullmatch(kind) or "/" in identity:
        return None
    return kind if _fits(stream, MAX_STREAM_BYTES) else None


def new_writer() -> str:
    """An id that no other call to `commit` carries."""
    return uuid.uuid4().hex


def encode_json(value: Json | Mapping[str, Json] | Mapping[str, str]) -> str:
    """One compact JSON text of at most 1,000,000 bytes; ValueError beyond it and for NaN."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can carry
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
        size = len(text)
    if size > MAX_JSON_BYTES:
        raise ValueError(f"a document of {size:,} bytes is above the {MAX_JSON_BYTES:,} allowed")
    return text


def decode_json(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document


def queryable_fields(projection: Mapping[str, Json]) -> dict[str, Scalar]:
    """The part of a projection that filters and orders can see."""
    return {
        name: value if _is_queryable(value) else None
        for name, value in projection.items()
        if _WORD.fullmatch(name) and not isinstance(value, (float, list, dict))
    }


def escape_text(text: str) -> str:
    """Text without NUL, which neither Postgres nor a document id holds; order and identity stay."""
    return text.translate(_ESCAPES)


def unescape_text(text: str) -> str:
    return text.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01")


def hash_claim(key: str) -> bytes:
    """32 bytes that stand for a claim's key: keys have any length, and hashes spread evenly."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class CommitTexts:
    """What a commit stores, as JSON: the projection of each append, the data of each of its
    events, the data of each claim."""

    projections: Sequence[str]
    events: Sequence[Sequence[str]]
    claims: Sequence[str]


def encode_commit(appends: Sequence[Append], claims: Sequence[Claim], at: datetime) -> CommitTexts:
    """The texts of a commit. Raises ValueError for one that no adapter takes."""
    _check_commit(appends, claims, at)
    texts = CommitTexts(
        [encode_json(append.projection) for append in appends],
        [[encode_json(event.data) for event in append.events] for append in appends],
        [encode_json(claim.data) for claim in claims],
    )
    stored = chain(texts.projections, *texts.events, texts.claims)
    size = sum(len(text) if text.isascii() else len(text.encode()) for text in stored)
    if size > MAX_COMMIT_BYTES:
        raise ValueError(f"{size:,} bytes in one commit; {MAX_COMMIT_BYTES:,} are allowed")
    return texts


def _check_commit(appends: Sequence[Append], claims: Sequence[Claim], at: datetime) -> None:
    if at.utcoffset() is None:
        raise ValueError("the time of a commit needs a time zone")
    streams = [append.head.stream for append in appends]
    if len(set(streams)) < len(streams) or len({c.key for c in claims}) < len(claims):
        raise ValueError("a stream, or a claim, is named twice in one commit")
    documents = len(claims) + sum(1 + len(append.events) for append in appends)
    if documents > MAX_DOCUMENTS:
        raise ValueError(f"{documents} documents in one commit; {MAX_DOCUMENTS} are allowed")
    for append in appends:
        _check_append(append)


def _check_append(append: Append) -> None:
    head = append.head
    if stream_kind(head.stream) is None:
        raise ValueError(f"{head.stream!r} is no stream's name: <kind>/<id>, at most 400 bytes")
    if head.version == 0 and not append.events:
        raise ValueError(f"{head.stream} does not exist: a stream begins with an event")
    if (head.version == 0) != (head.token is None):
        raise ValueError(f"the head of {head.stream} is not as it was read")


def _fits(text: str, limit: int) -> bool:
    try:
        return len(text.encode()) <= limit
    except UnicodeEncodeError:
        return False


def _is_queryable(value: Json) -> TypeGuard[Scalar]:
    if isinstance(value, str):
        return _fits(value, MAX_QUERYABLE_BYTES)
    return value is None or isinstance(value, bool) or (isinstance(value, int) and value in _INT64)


# --- Queries -------------------------------------------------------------------------------------


def normalise_query(query: Query) -> Query | None:
    """The query with only values that can be stored, `in` without repetitions; None: no answers.

    Raises ValueError for a query that no adapter takes: see `eventpulse.ports.Query`.
    """
    _check_query(query)
    where: list[tuple[str, Any, Json]] = []
    for name, operator, value in query.where:
        if operator in _RANGES:
            where.append((name, operator, value))
            continue
        values = _as_alternatives(operator, value)
        if not values:
            return None
        alone = len(values) == 1
        where.append((name, "==", values[0]) if alone else (name, "in", values))
    if math.prod(len(v) for _, _, v in where if isinstance(v, list)) > MAX_ALTERNATIVES:
        raise ValueError(f"more than {MAX_ALTERNATIVES} combinations of `in` values: {query}")
    return Query(query.kind, tuple(where), query.order_by)


def equal_fields(query: Query) -> list[str]:
    """The fields that a query compares for equality, as far as an index cares."""
    return sorted({name for name, operator, _ in query.where if operator in ("==", "in")})


def _as_alternatives(operator: str, value: Json) -> list[Json]:
    """What may be equal, without what cannot be; `True` and `1` are two values."""
    values = value if operator == "in" and isinstance(value, list) else [value]
    distinct = {(type(v), v): v for v in values if _is_queryable(v)}
    return list(distinct.values())


def _check_query(query: Query) -> None:
    ordered = [name for name, _ in query.order_by]
    problem = ""
    if not _WORD.fullmatch(query.kind):
        problem = "the kind is a lower-case word"
    elif len(set(ordered)) < len(ordered):
        problem = "a field is ordered twice"
    elif not all(map(_WORD.fullmatch, {*ordered, *(name for name, _, _ in query.where)})):
        problem = "the names of queried fields are lower-case words"
    for name, operator, value in query.where:
        if operator in _RANGES:
            if not isinstance(value, str):
                problem = "ranges compare strings"
            elif name not in ordered:
                problem = "ranges are on ordered fields only"
        elif name in ordered:
            problem = "an ordered field is filtered by ranges only"
        elif operator == "in" and not isinstance(value, list):
            problem = "`in` takes a list"
        elif any(isinstance(v, (float, dict, list)) for v in _as_list(value)):
            problem = "`==` and `in` compare strings, integers, booleans and None"
    if problem:
        raise ValueError(f"{problem}: {query}")


def _as_list(value: Json) -> Iterable[Json]:
    return value if isinstance(value, list) else [value]


# --- Cursors -------------------------------------------------------------------------------------


def encode_cursor(query: Query, last: Head) -> str:
    """Where the page that ends with `last` ends."""
    fields = queryable_fields(last.projection)
    values = [fields.get(name) for name, _ in query.order_by]
    text = json.dumps([_fingerprint(query), values, last.stream])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(query: Query, cursor: str) -> tuple[list[Scalar], str]:
    """The values of the ordered fields and the stream after which the next page begins.

    Raises RequestRefused (400, `invalid_cursor`) for anything but a cursor of this query.
    """
    try:
        padding = "=" * (-len(cursor) % 4)
        content = json.loads(base64.b64decode(cursor + padding, altchars=b"-_", validate=True))
        fingerprint, values, stream = content
        if fingerprint != _fingerprint(query) or len(values) != len(query.order_by):
            raise ValueError("of another query")
        if stream_kind(stream) != query.kind or not all(map(_is_queryable, values)):
            raise ValueError("not a position")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RequestRefused(
            400,
            "invalid_cursor",
            "Invalid cursor",
            "The cursor does not belong to this query; start again without one.",
        ) from error
    return values, stream


def _fingerprint(query: Query) -> str:
    content = json.dumps([query.kind, query.where, query.order_by])
    return hashlib.sha256(content.encode()).hexdigest()[:12]
