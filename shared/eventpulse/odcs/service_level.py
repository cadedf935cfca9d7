"""ODCS `slaProperties` → `ServiceLevel`, in seconds."""

from __future__ import annotations

from collections.abc import Sequence

from open_data_contract_standard.model import ServiceLevelAgreementProperty

from eventpulse.contracts.contract import ServiceLevel
from eventpulse.odcs.literals import is_number
from eventpulse.odcs.problems import (
    Problems,
    describe_value,
    join_path,
    label_items,
    list_words,
)
from eventpulse.odcs.vocabulary import DOCUMENTED_SERVICE_LEVELS, SECONDS, SERVICE_LEVELS


def read_service_level(
    declared: Sequence[ServiceLevelAgreementProperty] | None, dataset: str, problems: Problems
) -> ServiceLevel:
    """Latency and frequency in seconds."""
    items = [item.model_dump() for item in declared or ()]
    found: dict[str, float] = {}
    if {"latency"} == {item.property for item in declared or ()} & set(SERVICE_LEVELS):
        what = "says how much later than its `frequency` data may come, and there is none"
        problems.add("slaProperties[latency]", what, "declare frequency, or remove it")
    for item, path in zip(declared or (), label_items("slaProperties", items), strict=True):
        name = item.property
        if name in DOCUMENTED_SERVICE_LEVELS:
            continue
        if name not in SERVICE_LEVELS:
            if not problems.concern(join_path(path, "property")):
                problems.add(path, *_explain_service_level(name))
            continue
        if name in found:
            problems.add(path, f"{name} appears twice", "keep one of them")
        if item.element not in (None, dataset):
            what = f"is {describe_value(item.element)}, and service levels are the dataset's"
            problems.add(join_path(path, "element"), what, "remove it")
        seconds = _read_seconds(item, path, problems)
        if seconds is not None:
            found[name] = seconds
    return ServiceLevel(latency=found.get("latency"), frequency=found.get("frequency"))


def _explain_service_level(name: str | None) -> tuple[str, str]:
    known = f"known are {list_words(SERVICE_LEVELS, 'and')}"
    if name is None:
        return "has no `property`", known
    if name == "freshness":
        return "is not measured under this name", "say latency"
    if name == "errorRate":
        return "is not a service level here", "give the custom property `maxInvalidPercent`"
    return "is not measured", known


def _read_seconds(
    item: ServiceLevelAgreementProperty, path: str, problems: Problems
) -> float | None:
    here, unit = join_path(path, "value"), join_path(path, "unit")
    if not is_number(item.value) or item.value <= 0:
        if not problems.concern(here):
            what = f"is {describe_value(item.value)}"
            problems.add(here, what, "give a number greater than 0")
    elif item.unit is None or item.unit not in SECONDS:
        if item.unit == "m":
            problems.add(unit, "may mean minutes or months", "say min or month")
        elif not problems.concern(unit):
            found = "is missing" if item.unit is None else f"is {describe_value(item.unit)}"
            problems.add(unit, found, "say s, min, h, d, week, month or year")
    else:
        return float(item.value) * SECONDS[item.unit]
    return None
