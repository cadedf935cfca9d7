"""Structured queries: what they mean, evaluated over the documents of a collection.

``parse_query`` turns a ``StructuredQuery`` into a ``Query`` or refuses it; ``Query.run`` filters,
orders, cuts and projects. The rules that are easily forgotten:

  - A filter compares values of its operand's type only; ``!=`` and ``not-in`` never match null.
  - Inequality fields that the query does not order by are appended to its order, in field-path
    order, then ``__name__``, each in the direction of the last order given.
  - A document that lacks a field of the order is not in the answer, whichever disjunct matched.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from emulators.firestore.protos import Document, Message, StructuredQuery, Value
from emulators.firestore.values import (
    DOCUMENT_ID,
    SortKey,
    get_field,
    parse_field_path,
    set_field,
    sort_key,
)
from emulators.refusal import invalid_argument, unimplemented

MAX_DISJUNCTIONS = 30
_ASCENDING = StructuredQuery.ASCENDING
_DESCENDING = StructuredQuery.DESCENDING
_FIELD_OPERATOR = StructuredQuery.FieldFilter.Operator
_UNARY_OPERATOR = StructuredQuery.UnaryFilter.Operator
_NULL_RANK = 0
_NAN = sort_key(Value(double_value=float("nan")))

Predicate = Callable[[Message], bool]


@dataclass(frozen=True)
class Term:
    """One comparison of a disjunct, as far as an index cares."""

    field: str
    kind: str  # "equal", "contains" or "inequality"


@dataclass(frozen=True)
class Order:
    """One field of the order."""

    field: str
    descending: bool

    def key_of(self, document: Message) -> SortKey | None:
        """The document's place by this field, None where it lacks the field."""
        value = read_field(document, self.field)
        return None if value is None else sort_key(value)


@dataclass(frozen=True)
class Cursor:
    """A position among the answers: the first values of the order, before or after equals."""

    keys: tuple[SortKey, ...]
    before: bool

    def compare(self, keys: Sequence[SortKey], orders: Sequence[Order]) -> int:
        """Negative where ``keys`` come before the position, positive where they come after."""
        for key, own, order in zip(keys, self.keys, orders, strict=False):
            if key != own:
                return -1 if (key < own) != order.descending else 1
        return 1 if self.before else -1


@dataclass(frozen=True)
class Query:
    """A query, parsed; ``disjuncts`` is its filter in disjunctive normal form."""

    collection_id: str
    all_descendants: bool
    matches: Predicate
    disjuncts: tuple[tuple[Term, ...], ...]
    orders: tuple[Order, ...]
    start: Cursor | None
    end: Cursor | None
    offset: int
    limit: int | None
    projection: tuple[str, ...] | None

    def run(self, documents: list[Message]) -> list[Message]:
        """The answers among ``documents``, in order, cut and projected."""
        found = [
            (keys, document)
            for document in documents
            if (keys := self._place(document)) is not None
        ]
        for position in reversed(range(len(self.orders))):
            found.sort(
                key=lambda item: item[0][position],
                reverse=self.orders[position].descending,
            )
        stop = None if self.limit is None else self.offset + self.limit
        return [
            self._project(document) for _, document in itertools.islice(found, self.offset, stop)
        ]

    def _place(self, document: Message) -> tuple[SortKey, ...] | None:
        if not self.matches(document):
            return None
        keys = []
        for order in self.orders:
            key = order.key_of(document)
            if key is None:
                return None
            keys.append(key)
        if self.start is not None and self.start.compare(keys, self.orders) < 0:
            return None
        if self.end is not None and self.end.compare(keys, self.orders) > 0:
            return None
        return tuple(keys)

    def _project(self, document: Message) -> Message:
        return document if self.projection is None else project(document, self.projection)


def read_field(document: Message, path: str) -> Message | None:
    """The value at a field path; ``__name__`` is the document's own name."""
    if path == DOCUMENT_ID:
        return Value(reference_value=document.name)
    return get_field(document.fields, parse_field_path(path))


def project(document: Message, paths: Sequence[str]) -> Message:
    """The document with the fields at ``paths`` only."""
    answer = Document(name=document.name)
    answer.create_time.CopyFrom(document.create_time)
    answer.update_time.CopyFrom(document.update_time)
    for path in paths:
        value = None if path == DOCUMENT_ID else read_field(document, path)
        if value is not None:
            set_field(answer.fields, parse_field_path(path), value)
    return answer


def parse_query(query: Message) -> Query:
    """A ``StructuredQuery`` as a ``Query``.

    Raises Refusal: INVALID_ARGUMENT for what can never run, UNIMPLEMENTED for what only the
    service runs.
    """
    selectors = query.from_
    if len(selectors) != 1:
        raise unimplemented("a query that is not over exactly one collection or collection group")
    if query.HasField("find_nearest"):
        raise unimplemented("vector search")
    selector = selectors[0]
    matches: Predicate = _always
    disjuncts: list[tuple[Term, ...]] = [()]
    if query.HasField("where"):
        matches = _compile(query.where)
        disjuncts = list(_expand(query.where))
        _check_disjunctions(query.where)
    orders = _normalise_orders(query.order_by, disjuncts)
    select = query.select.fields
    return Query(
        collection_id=selector.collection_id,
        all_descendants=selector.all_descendants,
        matches=matches,
        disjuncts=tuple(disjuncts),
        orders=orders,
        start=_parse_cursor(query, "start_at", orders),
        end=_parse_cursor(query, "end_at", orders),
        offset=query.offset,
        limit=query.limit.value if query.HasField("limit") else None,
        projection=tuple(f.field_path for f in select) if query.HasField("select") else None,
    )


def _always(_document: Message) -> bool:
    return True


def _normalise_orders(
    given: Sequence[Message], disjuncts: Sequence[Sequence[Term]]
) -> tuple[Order, ...]:
    orders = [Order(o.field.field_path, o.direction == _DESCENDING) for o in given]
    named = {order.field for order in orders}
    last = orders[-1].descending if orders else False
    unequal = {t.field for terms in disjuncts for t in terms if t.kind == "inequality"}
    for field in sorted(unequal - named - {DOCUMENT_ID}):
        orders.append(Order(field, last))
    if DOCUMENT_ID not in named:
        orders.append(Order(DOCUMENT_ID, last))
    return tuple(orders)


def _parse_cursor(query: Message, name: str, orders: Sequence[Order]) -> Cursor | None:
    if not query.HasField(name):
        return None
    cursor = getattr(query, name)
    if len(cursor.values) > len(orders):
        raise invalid_argument(f"{name} has more values than the query has orders")
    for value, order in zip(cursor.values, orders, strict=False):
        if order.field == DOCUMENT_ID and not value.HasField("reference_value"):
            raise invalid_argument(f"{name} needs a document reference for {DOCUMENT_ID}")
    return Cursor(tuple(sort_key(value) for value in cursor.values), cursor.before)


# -- filters -------------------------------------------------------------------------------


def _compile(where: Message) -> Predicate:
    match where.WhichOneof("filter_type"):
        case "composite_filter":
            parts = [_compile(part) for part in where.composite_filter.filters]
            if where.composite_filter.op == StructuredQuery.CompositeFilter.OR:
                return lambda document: any(part(document) for part in parts)
            return lambda document: all(part(document) for part in parts)
        case "field_filter":
            path = where.field_filter.field.field_path
            test = _compile_field_test(where.field_filter)
        case "unary_filter":
            path = where.unary_filter.field.field_path
            test = _compile_unary_test(where.unary_filter.op)
        case _:
            raise invalid_argument("a filter must be composite, field or unary")

    def matches(document: Message) -> bool:
        value = read_field(document, path)
        return value is not None and test(value)

    return matches


def _compile_unary_test(operator: int) -> Predicate:
    match _UNARY_OPERATOR.Name(operator):
        case "IS_NULL":
            return lambda value: sort_key(value)[0] == _NULL_RANK
        case "IS_NOT_NULL":
            return lambda value: sort_key(value)[0] != _NULL_RANK
        case "IS_NAN":
            return lambda value: sort_key(value) == _NAN
        case "IS_NOT_NAN":
            return lambda value: sort_key(value) != _NAN and sort_key(value)[0] != _NULL_RANK
    raise invalid_argument("a unary filter needs an operator")


def _compile_field_test(field_filter: Message) -> Predicate:
    operator = _FIELD_OPERATOR.Name(field_filter.op)
    operand = sort_key(field_filter.value)
    if operator in ("IN", "NOT_IN", "ARRAY_CONTAINS_ANY"):
        return _compile_list_test(operator, field_filter.value)
    match operator:
        case "EQUAL":
            return lambda value: sort_key(value) == operand
        case "NOT_EQUAL":
            return lambda value: (key := sort_key(value)) != operand and key[0] != _NULL_RANK
        case "LESS_THAN":
            return lambda value: _same_type(key := sort_key(value), operand) and key < operand
        case "LESS_THAN_OR_EQUAL":
            return lambda value: _same_type(key := sort_key(value), operand) and key <= operand
        case "GREATER_THAN":
            return lambda value: _same_type(key := sort_key(value), operand) and key > operand
        case "GREATER_THAN_OR_EQUAL":
            return lambda value: _same_type(key := sort_key(value), operand) and key >= operand
        case "ARRAY_CONTAINS":
            return lambda value: operand in _array_keys(value)
    raise invalid_argument("a field filter needs an operator")


def _compile_list_test(operator: str, operand: Message) -> Predicate:
    if not operand.array_value.values:
        raise invalid_argument(f"{operator} needs a non-empty array")
    options = _array_keys(operand)
    match operator:
        case "IN":
            return lambda value: sort_key(value) in options
        case "NOT_IN":
            return lambda value: (key := sort_key(value)) not in options and key[0] != _NULL_RANK
    return lambda value: not options.isdisjoint(_array_keys(value))


def _same_type(key: SortKey, operand: SortKey) -> bool:
    return key[0] == operand[0]


def _array_keys(value: Message) -> set[Any]:
    return {sort_key(item) for item in value.array_value.values}


# -- disjunctive normal form ---------------------------------------------------------------


def _expand(where: Message) -> Iterator[tuple[Term, ...]]:
    """The disjuncts; an ``in`` counts as one, because each of its values needs the same index."""
    match where.WhichOneof("filter_type"):
        case "composite_filter":
            parts = [list(_expand(part)) for part in where.composite_filter.filters]
            if where.composite_filter.op == StructuredQuery.CompositeFilter.OR:
                yield from itertools.chain.from_iterable(parts)
            else:
                for combination in itertools.product(*parts):
                    yield tuple(itertools.chain.from_iterable(combination))
        case "field_filter":
            operator = _FIELD_OPERATOR.Name(where.field_filter.op)
            yield (_make_term(where.field_filter.field.field_path, operator),)
        case "unary_filter":
            operator = _UNARY_OPERATOR.Name(where.unary_filter.op)
            yield (_make_term(where.unary_filter.field.field_path, operator),)


def _make_term(path: str, operator: str) -> Term:
    return Term(path, _TERM_KINDS.get(operator, "inequality"))


_TERM_KINDS = {
    "EQUAL": "equal",
    "IN": "equal",
    "IS_NULL": "equal",
    "IS_NAN": "equal",
    "ARRAY_CONTAINS": "contains",
    "ARRAY_CONTAINS_ANY": "contains",
}


def _check_disjunctions(where: Message) -> None:
    count = _count_disjunctions(where)
    if count > MAX_DISJUNCTIONS:
        raise invalid_argument(
            f"the query has {count} disjunctions; the maximum allowed is {MAX_DISJUNCTIONS}"
        )


def _count_disjunctions(where: Message) -> int:
    if not where.HasField("composite_filter"):
        listing = _FIELD_OPERATOR.Name(where.field_filter.op) in ("IN", "ARRAY_CONTAINS_ANY")
        return len(where.field_filter.value.array_value.values) if listing else 1
    counts = [_count_disjunctions(part) for part in where.composite_filter.filters]
    if where.composite_filter.op == StructuredQuery.CompositeFilter.OR:
        return sum(counts)
    return math.prod(counts)
