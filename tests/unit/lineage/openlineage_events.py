"""OpenLineage events read strictly, as the classes that its JSON Schemas generate declare them."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import types
import typing
import uuid
from functools import cache
from typing import Any

import attr
from openlineage.client import facet_v2, generated
from openlineage.client.event_v2 import RunEvent
from openlineage.client.serde import Serde

Event = dict[str, Any]


def _facet_classes() -> dict[str, type]:
    """Every generated class by the `_schemaURL` that it writes."""
    classes: dict[str, type] = {}
    for module in pkgutil.iter_modules(generated.__path__):
        loaded = importlib.import_module(f"{generated.__name__}.{module.name}")
        for _, each in inspect.getmembers(loaded, inspect.isclass):
            if issubclass(each, facet_v2.BaseFacet):
                classes[each._get_schema()] = each
    return classes


FACETS = _facet_classes()


def rebuild(wanted: Any, value: Any, at: str = "event") -> Any:
    """`value` as an instance of the type that a generated class declares; what is absent is None.

    Fails on a key that the class does not have, on one that it needs and misses, and on a value of
    another type.
    """
    origin = typing.get_origin(wanted)
    if wanted is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None:
            assert type(None) in typing.get_args(wanted), f"{at} is null"
            return None
        (inner,) = [each for each in typing.get_args(wanted) if each is not type(None)]
        return rebuild(inner, value, at)
    if origin is list:
        assert isinstance(value, list), at
        (inner,) = typing.get_args(wanted)
        return [rebuild(inner, each, f"{at}[{n}]") for n, each in enumerate(value)]
    if origin is dict:
        assert isinstance(value, dict), at
        inner = typing.get_args(wanted)[1]
        return {key: rebuild(inner, each, f"{at}.{key}") for key, each in value.items()}
    if attr.has(wanted):
        return _rebuild_class(wanted, value, at)
    if inspect.isclass(wanted) and issubclass(wanted, generated.base.EventType):
        return wanted(value)
    accepted = (int, float) if wanted is float else wanted
    assert isinstance(value, accepted), f"{at} is {value!r}, not {wanted}"
    assert not (isinstance(value, bool) and wanted is not bool), f"{at} is {value!r}"
    return value


@cache
def hints_of(wanted: type) -> dict[str, Any]:
    return typing.get_type_hints(wanted)


def _rebuild_class(wanted: type, value: Any, at: str) -> Any:
    assert isinstance(value, dict), at
    if issubclass(wanted, facet_v2.BaseFacet):
        actual = FACETS[value["_schemaURL"]]
        assert issubclass(actual, wanted), f"{at} is no {wanted.__name__}"
        wanted = actual
    hints = hints_of(wanted)
    known = {each.name: each for each in attr.fields(typing.cast("Any", wanted))}
    assert not value.keys() - known.keys(), f"{at} has unknown keys"
    arguments = {
        (each.alias or key): rebuild(hints[key], value.get(key), f"{at}.{key}")
        for key, each in known.items()
        if each.init and (key in value or type(None) in typing.get_args(hints[key]))
    }
    rebuilt = wanted(**arguments)
    for key, each in value.items():
        if not known[key].init:
            assert getattr(rebuilt, key) == each, f"{at}.{key}"
    return rebuilt


def check_events(events: list[Event], ended: str) -> tuple[Event, Event]:
    """The START and the last event, after every rule that holds for all runs."""
    for event in events:
        assert Serde.to_dict(rebuild(RunEvent, event)) == event, "the round trip changes nothing"
        assert json.loads(json.dumps(event, allow_nan=False)) == event
        assert (
            event["schemaURL"]
            == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
        )
        assert uuid.UUID(event["run"]["runId"])
        _check_lineagenames_of(event)
    start, end = events
    assert (start["eventType"], end["eventType"]) == ("START", ended)
    assert start["run"]["runId"] == end["run"]["runId"]
    assert start["job"] == end["job"]
    assert names_of(start["inputs"]) == names_of(end["inputs"])
    assert names_of(start["outputs"]) == names_of(end["outputs"])
    return start, end


def names_of(datasets: list[Event]) -> list[tuple[str, str]]:
    return [(each["namespace"], each["name"]) for each in datasets]


def _check_lineagenames_of(event: Event) -> None:
    """Column lineage speaks of datasets and columns that the event itself describes."""
    inputs = {(each["namespace"], each["name"]): each for each in event["inputs"]}
    for output in event["outputs"]:
        facets = output["facets"]
        if "columnLineage" not in facets:
            continue
        columns = {each["name"] for each in facets["schema"]["fields"]}
        for column, lineage in facets["columnLineage"]["fields"].items():
            assert column in columns
            for source in lineage["inputFields"]:
                dataset = inputs[source["namespace"], source["name"]]
                if "schema" in dataset["facets"]:
                    known = {each["name"] for each in dataset["facets"]["schema"]["fields"]}
                    assert source["field"] in known
