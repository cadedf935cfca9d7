"""Which index a query needs, and whether there is one.

Firestore answers a query from indexes only. Each field of a collection has an ascending, a
descending and an array-contains index by itself; everything else is declared in
``firestore.indexes.json`` (the format of the Firebase tools). A disjunct is served by a set of
indexes, merged, each of which holds

    some of the equality fields, in any order | the order's other fields, in order and direction

and which together cover all equality fields; ``__name__`` comes last in every index, in the
direction of the field before it. Indexes are never read backwards. Filters on equality alone,
or on one field alone, need nothing declared; a collection group has no index of its own accord.

https://firebase.google.com/docs/firestore/query-data/index-overview
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import grpc

from emulators.firestore.queries import Query, Term
from emulators.firestore.values import DOCUMENT_ID
from emulators.refusal import Refusal

ASCENDING, DESCENDING, CONTAINS = "ASCENDING", "DESCENDING", "CONTAINS"
Field = tuple[str, str]  # (field path, mode)


@dataclass(frozen=True)
class Index:
    """An index of one collection or collection group; ``name_mode`` is how ``__name__`` runs."""

    fields: tuple[Field, ...]
    name_mode: str

    def serves(self, need: Need) -> frozenset[str] | None:
        """The equality fields of ``need`` that the index covers, None when it is of no use."""
        split = len(self.fields) - len(need.ordered)
        if split < 0 or self.fields[split:] != need.ordered or self.name_mode != need.name_mode:
            return None
        covered = frozenset(path for path, _ in self.fields[:split])
        modes = {path: mode == CONTAINS for path, mode in self.fields[:split]}
        usable = all(path in need.equal and need.equal[path] == modes[path] for path in covered)
        return covered if usable and len(covered) == split else None


@dataclass(frozen=True)
class Need:
    """What one disjunct asks of its indexes."""

    equal: dict[str, bool]  # field path -> asked with array-contains
    ordered: tuple[Field, ...]
    name_mode: str


class Indexes:
    """The indexes that a file declares, read again when the file changes."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._composite: dict[tuple[str, bool], list[Index]] = {}
        self._overrides: dict[tuple[str, str], list[tuple[bool, str]]] = {}

    def require(self, query: Query) -> None:
        """Refuse with FAILED_PRECONDITION a query that no index serves."""
        self._refresh()
        for terms in query.disjuncts:
            need = find_need(query, terms)
            if not self._is_served(query, need):
                raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, self._explain(query, need))

    def _is_served(self, query: Query, need: Need) -> bool:
        if not need.equal and not need.ordered and need.name_mode == ASCENDING:
            return True
        found = [index.serves(need) for index in self._candidates(query, need)]
        useful = [covered for covered in found if covered is not None]
        return bool(useful) and frozenset().union(*useful) == frozenset(need.equal)

    def _candidates(self, query: Query, need: Need) -> Iterable[Index]:
        group = query.all_descendants
        yield from self._composite.get((query.collection_id, group), [])
        for path in dict.fromkeys([*need.equal, *(path for path, _ in need.ordered)]):
            for index_group, mode in self._single_field(query.collection_id, path):
                if index_group == group:
                    yield Index(((path, mode),), ASCENDING if mode == CONTAINS else mode)

    def _single_field(self, collection_id: str, path: str) -> list[tuple[bool, str]]:
        automatic = [(False, mode) for mode in (ASCENDING, DESCENDING, CONTAINS)]
        if path == DOCUMENT_ID:
            return []
        return self._overrides.get((collection_id, path), automatic)

    def _explain(self, query: Query, need: Need) -> str:
        equal = [
            (path, CONTAINS if contains else ASCENDING) for path, contains in need.equal.items()
        ]
        named = [*equal, *need.ordered]
        if not named or need.name_mode != _follow(named[-1]):
            named.append((DOCUMENT_ID, need.name_mode))
        index = {
            "collectionGroup": query.collection_id,
            "queryScope": "COLLECTION_GROUP" if query.all_descendants else "COLLECTION",
            "fields": [_describe(field) for field in named],
        }
        where = self._path or "the indexes file"
        return f"The query requires an index. Declare it in {where}: {json.dumps(index)}"

    def _refresh(self) -> None:
        if self._path is None or not self._path.exists():
            return
        stat = self._path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            self._composite, self._overrides = parse_indexes(self._path.read_text())
            self._stamp = stamp


def find_need(query: Query, terms: Iterable[Term]) -> Need:
    """What ``terms``, one disjunct of ``query``, ask of an index."""
    equal = {t.field: t.kind == "contains" for t in terms if t.kind != "inequality"}
    # The name itself is in every index: equality on it asks for nothing.
    equal.pop(DOCUMENT_ID, None)
    ordered: list[Field] = []
    name_mode = ASCENDING
    for order in query.orders:
        mode = DESCENDING if order.descending else ASCENDING
        if order.field == DOCUMENT_ID:
            name_mode = mode
            break
        if equal.get(order.field) is not False:
            ordered.append((order.field, mode))
    return Need(equal, tuple(ordered), name_mode)


def parse_indexes(
    text: str,
) -> tuple[dict[tuple[str, bool], list[Index]], dict[tuple[str, str], list[tuple[bool, str]]]]:
    """The composite indexes by (collection id, is group), and the overrides by (id, path)."""
    declared = json.loads(text)
    composite: dict[tuple[str, bool], list[Index]] = {}
    for entry in declared.get("indexes", []):
        fields = [(f["fieldPath"], f.get("order") or f["arrayConfig"]) for f in entry["fields"]]
        # __name__ may be declared, to run otherwise.
        name_mode = _follow(fields[-1])
        if fields[-1][0] == DOCUMENT_ID:
            fields.pop()
        key = (entry["collectionGroup"], entry.get("queryScope") == "COLLECTION_GROUP")
        composite.setdefault(key, []).append(Index(tuple(fields), name_mode))
    overrides = {
        (entry["collectionGroup"], entry["fieldPath"]): [
            (i.get("queryScope") == "COLLECTION_GROUP", i.get("order") or i["arrayConfig"])
            for i in entry["indexes"]
        ]
        for entry in declared.get("fieldOverrides", [])
    }
    return composite, overrides


def _follow(field: Field) -> str:
    """How ``__name__`` runs after ``field``."""
    return DESCENDING if field[1] == DESCENDING else ASCENDING


def _describe(field: Field) -> dict[str, str]:
    path, mode = field
    return {"fieldPath": path, "arrayConfig" if mode == CONTAINS else "order": mode}
