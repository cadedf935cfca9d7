"""A contract that uses no optional key, and edits of it, one for each thing a test is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

Document = dict[str, Any]
Edit = Callable[[Document], None]

TYPES = {
    "code": "string",
    "count": "integer",
    "amount": "number",
    "weight": "number",
    "flag": "boolean",
    "day": "date",
    "recorded_at": "timestamp",
    "clock": "time",
    "extra": "object",
    "parts": "array",
}


def make_document(*edits: Edit) -> Document:
    properties: list[Document] = [{"name": n, "logicalType": t} for n, t in TYPES.items()]
    properties[2]["physicalType"] = "NUMERIC(12,2)"
    document: Document = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "sales",
        "version": "1.0.0",
        "status": "active",
        "schema": [{"name": "sales", "properties": properties}],
    }
    for edit in edits:
        edit(document)
    return document


def write_document(*edits: Edit) -> str:
    return yaml.safe_dump(make_document(*edits), sort_keys=False)


def top(**keys: object) -> Edit:
    """Sets keys of the contract."""
    return lambda document: document.update(keys)


def schema(**keys: object) -> Edit:
    """Sets keys of the schema object."""
    return lambda document: document["schema"][0].update(keys)


def prop(column: str, /, **keys: object) -> Edit:
    """Sets keys of one property."""

    def edit(document: Document) -> None:
        properties = document["schema"][0]["properties"]
        next(p for p in properties if p["name"] == column).update(keys)

    return edit


def options(column: str, /, **keys: object) -> Edit:
    """Sets the logicalTypeOptions of one property."""
    return prop(column, logicalTypeOptions=keys)


def custom(**keys: object) -> Edit:
    """Adds a custom property of the schema object."""

    def edit(document: Document) -> None:
        document["schema"][0].setdefault("customProperties", []).append(keys)

    return edit


def without(*path: str | int) -> Edit:
    """Removes one key."""

    def edit(document: Document) -> None:
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return edit


def parse_edit(kind: str, value: Any) -> Edit:
    """An edit as a case file writes it: `options code` and what to set, for example."""
    what, _, column = kind.partition(" ")
    if kind == "contract without":
        return without(*value)
    if kind == "service level":
        return top(slaProperties=[value])
    if column:
        return {
            "property": lambda: prop(column, **value),
            "options": lambda: options(column, **value),
            "custom": lambda: prop(column, customProperties=[value]),
            "rule": lambda: prop(column, quality=[value]),
        }[what]()
    return {
        "contract": lambda: top(**value),
        "schema": lambda: schema(**value),
        "custom": lambda: custom(**value),
        "rule": lambda: schema(quality=[value]),
    }[what]()
