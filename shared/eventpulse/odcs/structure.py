"""The raw mapping against the standard's model: unknown keys, refused keys, wrong types.

The model's own validation knows unknown keys at the top level only and coerces types, so the walk
here is what decides; what it returns is valid for the model. Everything that is complained about is
left out of the result, which lets the later checks go on without repeating the complaint.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from open_data_contract_standard.model import OpenDataContractStandard
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from eventpulse.odcs.problems import (
    Problems,
    describe_value,
    join_path,
    label_items,
    list_words,
    suggest_name,
)
from eventpulse.odcs.vocabulary import OBJECTS

_MISSING = object()
_TYPE_NAMES: Mapping[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a mapping",
}


def read_structure(raw: Mapping[str, object], problems: Problems) -> OpenDataContractStandard:
    """The contract as the standard's model, without what `problems` now complains about."""
    cleaned = _clean_object(raw, OpenDataContractStandard, "", problems)
    return OpenDataContractStandard.model_validate(cleaned, strict=True)


def _clean_object(
    raw: Mapping[str, object], model: type[BaseModel], path: str, problems: Problems
) -> dict[str, object]:
    known = {info.alias or name: info for name, info in model.model_fields.items()}
    keys = OBJECTS.get(model.__name__)
    cleaned: dict[str, object] = {}
    for key, value in raw.items():
        here = join_path(path, key)
        if key not in known:
            close = suggest_name(key, known)
            remedy = f"did you mean `{close}`?" if close else "remove it"
            problems.add(
                here, "is not a key of the standard here and nothing would read it", remedy
            )
        elif value is None:
            continue
        elif keys is not None and key in keys.refused:
            problems.add(here, *keys.refused[key].split("; ", 1))
        else:
            item = _clean_value(value, known[key], here, problems)
            if item is not _MISSING:
                cleaned[key] = item
    return cleaned


def _clean_value(value: object, info: FieldInfo, path: str, problems: Problems) -> object:
    cleaned = _clean_typed(value, info.annotation, path, problems)
    for bound in info.metadata:
        length = getattr(bound, "max_length", None)
        if length is not None and isinstance(cleaned, list) and len(cleaned) != length:
            problems.add(path, f"has {len(cleaned)} items", f"give exactly {length}")
            return _MISSING
    return cleaned


def _clean_typed(value: object, annotation: Any, path: str, problems: Problems) -> object:
    accepted = _alternatives(annotation)
    if Any in accepted:
        return value
    if isinstance(value, Mapping):
        for model in accepted:
            if isinstance(model, type) and issubclass(model, BaseModel):
                return _clean_object(value, model, path, problems)
        if any(get_origin(a) is dict for a in accepted):
            return dict(value)
    elif isinstance(value, list):
        for sequence in accepted:
            if get_origin(sequence) is list:
                return _clean_items(value, get_args(sequence)[0], path, problems)
    elif _is_scalar(value, accepted):
        return value
    problems.add(path, *_explain_type(value, accepted))
    return _MISSING


def _clean_items(
    items: list[object], annotation: Any, path: str, problems: Problems
) -> list[object]:
    labels = label_items(path, items)
    cleaned = [
        _clean_typed(item, annotation, label, problems)
        for item, label in zip(items, labels, strict=True)
    ]
    return [item for item in cleaned if item is not _MISSING]


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (types.UnionType, typing.Union):
        return tuple(a for a in get_args(annotation) if a is not type(None))
    return (annotation,)


def _is_scalar(value: object, accepted: tuple[Any, ...]) -> bool:
    # YAML's true is no number here, though Python's is.
    if isinstance(value, bool):
        return bool in accepted
    if isinstance(value, int):
        return int in accepted or float in accepted
    return type(value) in accepted


def _explain_type(value: object, accepted: tuple[Any, ...]) -> tuple[str, str]:
    origins = [get_origin(a) or (dict if issubclass(a, BaseModel) else a) for a in accepted]
    names = dict.fromkeys(_TYPE_NAMES[o] for o in origins)
    if float in origins:
        names.pop(_TYPE_NAMES[int], None)
    what = f"is {describe_value(value)} where {list_words(names)} is expected"
    if str in origins and not isinstance(value, (Mapping, list)) and value is not None:
        return what, f'put it in quotes: "{value}"'
    return what, "correct it"
