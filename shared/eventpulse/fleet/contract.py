"""What devices must know of a contract: the rules of a reading, in ODCS's words. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from eventpulse.contracts.contract import Contract, Field
from eventpulse.fleet.alerts import AlertRules, SensorLimit
from eventpulse.ports import Json

_ALERT_NAMES = {
    "offline": "offline",
    "missingRangeSeconds": "missing_range_seconds",
    "batteryPercent": "battery_percent",
    "clockOffSeconds": "clock_off_seconds",
    "spoolPercent": "spool_percent",
}
_BOUNDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
    "multipleOf": "multiple_of",
}
_OTHERS = {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"}


def describe_fleet(contract: Contract) -> dict[str, Json] | None:
    """What the functions of the fleet need of a contract, small enough for the catalogue; None for
    a dataset that no devices send."""
    if contract.bundling is None:
        return None
    bundling = contract.bundling
    return {
        "bundling": {
            "seconds": bundling.window_seconds,
            "objects": bundling.objects,
            "bytes": bundling.bytes,
        },
        "alerts": read_alert_rules(contract).model_dump(mode="json"),
        "properties": [_describe_property(each) for each in contract.fields],
    }


def read_alert_rules(contract: Contract) -> AlertRules:
    declared = {_ALERT_NAMES[name]: limit for name, limit in contract.alerts.items()}
    sensors = {
        each.name: SensorLimit(above=each.alert.above, below=each.alert.below)
        for each in contract.fields
        if each.alert is not None
    }
    return AlertRules.model_validate({**declared, "sensors": sensors})


def _describe_property(field: Field) -> dict[str, Json]:
    options: dict[str, Json] = {}
    for word, name in _BOUNDS.items():
        bound = getattr(field.options, name)
        if bound is not None:
            options[word] = _as_number(bound, field)
    for word, name in _OTHERS.items():
        if getattr(field.options, name) is not None:
            options[word] = getattr(field.options, name)
    if field.options.enum:
        options["enum"] = [_as_number(each, field) for each in field.options.enum]
    described: dict[str, Json] = {
        "name": field.name,
        "logicalType": field.type,
        "required": field.column.required,
    }
    return {**described, "logicalTypeOptions": options} if options else described


def _as_number(text: str, field: Field) -> Json:
    """Bounds are text in a contract; of numbers they are numbers to a device."""
    if field.type == "integer":
        return int(text)
    return float(text) if field.type == "number" else text


def find_rules(entry: Mapping[str, Json]) -> AlertRules:
    """The alert rules in a dataset's entry of the catalogue; the defaults when it has none."""
    fleet = entry.get("fleet")
    return AlertRules.model_validate(fleet["alerts"] if isinstance(fleet, dict) else {})
