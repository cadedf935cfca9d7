"""The queries that the EventLog's suite asks, and what they must answer.

`QUERIES` are templates over one kind of stream, `probe`; `firestore.indexes.json` beside this file
is `index_file(QUERIES…)`, and a test keeps it so. Every query names a `run`, so that many examples
share one database without meeting.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eventpulse.ports import Json, Query

KIND = "probe"
INDEXES = Path(__file__).with_name("firestore.indexes.json")

QUERIES: dict[str, Query] = {
    "all": Query(KIND, (("run", "==", ""),)),
    "by_state": Query(KIND, (("run", "==", ""), ("state", "==", ""))),
    "by_states": Query(KIND, (("run", "==", ""), ("state", "in", []))),
    "oldest": Query(KIND, (("run", "==", ""),), (("created", "asc"),)),
    "newest": Query(KIND, (("run", "==", ""),), (("created", "desc"),)),
    "newest_by_states": Query(
        KIND, (("run", "==", ""), ("state", "in", [])), (("created", "desc"),)
    ),
    "mixed": Query(KIND, (("run", "==", ""),), (("created", "asc"), ("path", "desc"))),
    "created_between": Query(
        KIND,
        (("run", "==", ""), ("created", ">=", ""), ("created", "<", "")),
        (("created", "asc"),),
    ),
    "created_before": Query(KIND, (("run", "==", ""), ("created", "<", "")), (("created", "asc"),)),
    "created_until": Query(
        KIND, (("run", "==", ""), ("created", "<=", "")), (("created", "desc"),)
    ),
    "created_within": Query(
        KIND,
        (("run", "==", ""), ("created", ">", ""), ("created", "<=", "")),
        (("created", "desc"), ("path", "asc")),
    ),
    "largest": Query(KIND, (("run", "==", ""),), (("size", "desc"), ("created", "desc"))),
    "smallest_within": Query(
        KIND,
        (("run", "==", ""), ("created", ">=", ""), ("created", "<", "")),
        (("size", "asc"), ("created", "asc")),
    ),
    "largest_by_states": Query(
        KIND, (("run", "==", ""), ("state", "in", [])), (("size", "desc"), ("created", "desc"))
    ),
    # Never asked: with its index and that of `largest`, merged, `largest_by_states` needs no other.
    "largest_of_state": Query(
        KIND, (("state", "==", ""),), (("size", "desc"), ("created", "desc"))
    ),
}


def fill(name: str, run: str, **values: Any) -> Query:
    """A template with its values: fields in order, `created` twice where it bounds twice."""
    template = QUERIES[name]
    left = {field: list(value) for field, value in values.items()}
    where = [
        (field, operator, run if field == "run" else left[field].pop(0))
        for field, operator, _ in template.where
    ]
    return dataclasses.replace(template, where=tuple(where))


def expect(query: Query, projections: Mapping[str, Mapping[str, Json]]) -> list[str]:
    """The names of the streams that `query` answers, in order, by plain Python."""
    found = [name for name, fields in projections.items() if _matches(query, fields)]
    return sorted(found, key=functools.cmp_to_key(functools.partial(_compare, query, projections)))


def _matches(query: Query, fields: Mapping[str, Json]) -> bool:
    return all(_holds(fields[name], operator, value) for name, operator, value in query.where)


def _holds(found: Json, operator: str, value: Json) -> bool:
    if operator == "==":
        return (type(found), found) == (type(value), value)
    if operator == "in":
        assert isinstance(value, list)
        return (type(found), found) in [(type(one), one) for one in value]
    if not isinstance(found, str) or not isinstance(value, str):
        return False
    left, right = found.encode(), value.encode()
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[
        operator
    ]


def _compare(
    query: Query, projections: Mapping[str, Mapping[str, Json]], one: str, other: str
) -> int:
    for field, way in query.order_by:
        left, right = (_rank(projections[name][field]) for name in (one, other))
        if left != right:
            return 1 if (left > right) == (way == "asc") else -1
    last = query.order_by[-1][1] if query.order_by else "asc"
    return 1 if (one.encode() > other.encode()) == (last == "asc") else -1


def _rank(value: Json) -> tuple[int, Any]:
    if isinstance(value, str):
        return 3, value.encode()
    return (0, 0) if value is None else (1 if isinstance(value, bool) else 2, value)


def walk(log: Any, query: Query, limit: int) -> list[str]:
    """The streams of all pages, and that each but the last is full."""
    names: list[str] = []
    cursor = None
    while True:
        page = log.query(query, limit=limit, cursor=cursor)
        names += [head.stream for head in page.heads]
        if page.cursor is None:
            return names
        assert len(page.heads) == limit
        assert page.cursor != cursor
        cursor = page.cursor


def streams_of(heads: Sequence[Any]) -> list[str]:
    return [head.stream for head in heads]
