"""One box to find things: datasets and marts by a part of their name, ingestions by the beginning
of their id or of their object's name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from pydantic import Field

from eventpulse.api.endpoints import Call
from eventpulse.api.models import Answer, Request
from eventpulse.ingestions.ingestion import Ingestion, query_id_prefix, query_objects
from eventpulse.ingestions.loading import ALL_DATASETS
from eventpulse.marts.mart import ALL_MARTS
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.pipeline.streams import list_heads
from eventpulse.platform import Platform
from eventpulse.ports import Query

Kind = Literal["dataset", "mart", "ingestion"]

_ID = re.compile(r"[0-9a-f][0-9a-f-]{1,35}")


class SearchQuery(Request):
    q: str = Field(min_length=1, max_length=200)
    limit: int = Field(10, ge=1, le=50, description="At most so many of each kind.")


class Found(Answer):
    """`id` names it in the API, `title` to people; `detail` tells what it is."""

    kind: Kind
    id: str
    title: str
    detail: str


class SearchAnswer(Answer):
    found: list[Found]


def search(call: Call) -> SearchAnswer:
    wanted: SearchQuery = call.query
    text = wanted.q.strip()
    found: list[Found] = []
    for look in LOOKS.values():
        for number, each in enumerate(look(call.platform, text, wanted.limit)):
            if number == wanted.limit:
                break
            found.append(each)
    return SearchAnswer(found=found)


def _find_datasets(platform: Platform, text: str, _limit: int) -> Iterator[Found]:
    entries = get_catalogue(platform).entries
    names = {str(h.projection["name"]) for h in list_heads(platform, ALL_DATASETS)}
    for name in sorted({*entries, *names}):
        if text.casefold() in name.casefold():
            version = entries[name]["version"] if name in entries else None
            detail = f"contract {version}" if version else "no contract"
            yield Found(kind="dataset", id=name, title=name, detail=detail)


def _find_marts(platform: Platform, text: str, _limit: int) -> Iterator[Found]:
    for head in list_heads(platform, ALL_MARTS):
        name = str(head.projection["name"])
        if text.casefold() in name.casefold():
            yield Found(kind="mart", id=name, title=name, detail="mart")


def _find_ingestions(platform: Platform, text: str, limit: int) -> Iterator[Found]:
    queries: list[Query] = [query_objects(text)]
    if _ID.fullmatch(text.lower()):
        queries.insert(0, query_id_prefix(text.lower()))
    seen: set[str] = set()
    for query in queries:
        for head in platform.log.query(query, limit=limit).heads:
            ingestion = Ingestion.model_validate(head.projection)
            if ingestion.id not in seen:
                seen.add(ingestion.id)
                yield Found(
                    kind="ingestion",
                    id=ingestion.id,
                    title=ingestion.object,
                    detail=f"{ingestion.state} {ingestion.received_at[:16]}",
                )


LOOKS: Mapping[Kind, Callable[[Platform, str, int], Iterator[Found]]] = {
    "dataset": _find_datasets,
    "mart": _find_marts,
    "ingestion": _find_ingestions,
}
"""How each kind of thing is found, in the order in which it is shown."""
