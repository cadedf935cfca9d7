"""Firestore's values: their order across types, their place in a document, their stored size.

https://firebase.google.com/docs/firestore/manage-data/data-types (order)
https://firebase.google.com/docs/firestore/storage-size (size)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

from google.cloud.firestore_v1.field_path import FieldPath

from emulators.firestore.protos import Message, Value
from emulators.refusal import invalid_argument

DOCUMENT_ID = "__name__"
MAX_DOCUMENT_BYTES = 1_048_576
_VECTOR_TYPE = "__vector__"

# The rank of each type when values of different types are compared.
_RANK = {
    "null_value": 0,
    "boolean_value": 1,
    "integer_value": 2,
    "double_value": 2,
    "timestamp_value": 3,
    "string_value": 4,
    "bytes_value": 5,
    "reference_value": 6,
    "geo_point_value": 7,
    "array_value": 8,
    "vector": 9,
    "map_value": 10,
}

SortKey = tuple[int, Any]


def path_key(name: str) -> tuple[str, ...]:
    """The order of document names: segment by segment."""
    return tuple(name.split("/"))


def sort_key(value: Message) -> SortKey:
    """A key that sorts and equals as Firestore compares: ``(type rank, comparable)``."""
    kind = value.WhichOneof("value_type")
    if kind not in _RANK:
        raise invalid_argument(f"a value of type {kind} cannot be stored or compared")
    rank = _RANK[kind]
    match kind:
        case "null_value":
            return rank, 0
        case "integer_value" | "double_value":
            number = getattr(value, kind)
            # NaN is equal to itself and less than every other number.
            return rank, (0, 0) if math.isnan(number) else (1, number)
        case "timestamp_value":
            return rank, (value.timestamp_value.seconds, value.timestamp_value.nanos)
        case "reference_value":
            return rank, path_key(value.reference_value)
        case "geo_point_value":
            return rank, (value.geo_point_value.latitude, value.geo_point_value.longitude)
        case "array_value":
            return rank, tuple(sort_key(item) for item in value.array_value.values)
        case "map_value":
            fields = value.map_value.fields
            entries = tuple((name, sort_key(fields[name])) for name in sorted(fields))
            if fields.get("__type__") == Value(string_value=_VECTOR_TYPE):
                return _RANK["vector"], (len(fields["value"].array_value.values), entries)
            return rank, entries
    return rank, getattr(value, kind)


@functools.lru_cache(maxsize=4096)
def parse_field_path(path: str) -> tuple[str, ...]:
    """``a.`b.c`.d`` as ``('a', 'b.c', 'd')``."""
    try:
        return tuple(FieldPath.from_api_repr(path).parts)
    except ValueError as error:
        raise invalid_argument(f"Property {path!r} is not a valid field path: {error}") from error


def get_field(fields: Message, parts: Iterable[str]) -> Message | None:
    """The value at a path, or None when the document has no such field."""
    value = None
    for part in parts:
        if fields is None or part not in fields:
            return None
        value = fields[part]
        fields = value.map_value.fields if value.HasField("map_value") else None
    return value


def set_field(fields: Message, parts: tuple[str, ...], value: Message) -> None:
    """Put a value at a path; whatever stands in the way and is no map becomes one."""
    for part in parts[:-1]:
        parent = fields[part]
        if not parent.HasField("map_value"):
            parent.Clear()
            parent.map_value.SetInParent()
        fields = parent.map_value.fields
    fields[parts[-1]].CopyFrom(value)


def delete_field(fields: Message, parts: tuple[str, ...]) -> None:
    """Remove the value at a path, if it is there."""
    for part in parts[:-1]:
        if part not in fields or not fields[part].HasField("map_value"):
            return
        fields = fields[part].map_value.fields
    if parts[-1] in fields:
        del fields[parts[-1]]


def measure_name(name: str) -> int:
    """Stored bytes of a document name."""
    _, _, path = name.partition("/documents/")
    return sum(len(segment.encode()) + 1 for segment in path.split("/")) + 16


def _measure_value(value: Message) -> int:
    kind = value.WhichOneof("value_type")
    match kind:
        case "null_value" | "boolean_value":
            return 1
        case "string_value":
            return len(value.string_value.encode()) + 1
        case "bytes_value":
            return len(value.bytes_value)
        case "reference_value":
            return measure_name(value.reference_value)
        case "geo_point_value":
            return 16
        case "array_value":
            return sum(_measure_value(item) for item in value.array_value.values)
        case "map_value":
            return _measure_fields(value.map_value.fields)
    return 8


def _measure_fields(fields: Message) -> int:
    return sum(len(name.encode()) + 1 + _measure_value(fields[name]) for name in fields)


def measure_document(document: Message) -> int:
    """Stored bytes of a document, as Firestore counts them against its limit of 1 MiB."""
    return measure_name(document.name) + _measure_fields(document.fields) + 32
