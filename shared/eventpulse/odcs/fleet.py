"""The custom properties of datasets that devices send: bundling, alerts, names that bind rows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from eventpulse.contracts.contract import AlertLimit, Bundling
from eventpulse.odcs.problems import Refused, describe_value, list_words

MOST_BUNDLED = 150
"""A commit holds 400 documents, two of them for each batch of a bundle."""
MOST_BUNDLED_BYTES = 256 << 20

ALERT_LIMITS: Mapping[str, tuple[float, float] | None] = {
    "offline": None,
    "missingRangeSeconds": (1, 30 * 86_400),
    "batteryPercent": (0, 100),
    "clockOffSeconds": (1, 365 * 86_400),
    "spoolPercent": (1, 100),
}
"""The alerts that may be declared, each with the bounds of its limit; None: true or false."""

_OBJECT_COLUMNS = re.compile(r"(\{[a-z_][a-z0-9_]*\}|[^{}])+")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_names(value: object, known: Mapping[str, object], what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise Refused(f"is {describe_value(value)}", f"map {list_words(known)} to their values")
    for name in value:
        if name not in known:
            raise Refused(
                f"names {describe_value(name)}, which is no {what}",
                f"known are {list_words(known, 'and')}",
            )
    return value


def parse_bundling(value: object) -> Bundling:
    limits = {"seconds": 86_400, "objects": MOST_BUNDLED, "bytes": MOST_BUNDLED_BYTES}
    given = _check_names(value, limits, "limit of a bundle")
    found: dict[str, float] = {}
    for name, most in limits.items():
        limit = given.get(name, most if name != "seconds" else None)
        least = 0 if name == "seconds" else 1
        if not _is_number(limit) or not least <= float(limit) <= most:
            raise Refused(
                f"gives {name} {describe_value(limit)}", f"give a number from {least} to {most:,}"
            )
        found[name] = float(limit)
    return Bundling(found["seconds"], int(found["objects"]), int(found["bytes"]))


def parse_alerts(value: object) -> Mapping[str, float | bool | None]:
    """The declared limits; None for one that is switched off with `false`."""
    limits: dict[str, float | bool | None] = {}
    for name, limit in _check_names(value, ALERT_LIMITS, "alert").items():
        bounds = ALERT_LIMITS[name]
        if isinstance(limit, bool) and (bounds is None or not limit):
            limits[name] = limit if bounds is None else None
        elif bounds is not None and _is_number(limit) and bounds[0] <= limit <= bounds[1]:
            limits[name] = float(limit)
        else:
            range_ = f"{bounds[0]:g} to {bounds[1]:g}, or " if bounds else "true or "
            raise Refused(f"gives {name} {describe_value(limit)}", f"say {range_}false")
    return limits


def parse_alert(value: object) -> AlertLimit:
    given = _check_names(value, {"above": None, "below": None}, "side of a limit")
    for side, limit in given.items():
        if not _is_number(limit):
            raise Refused(f"gives {side} {describe_value(limit)}", "give a number")
    above, below = given.get("above"), given.get("below")
    if above is not None and below is not None and below > above:
        raise Refused("alerts for every value", "let `below` be less than `above`")
    return AlertLimit(above, below)


def parse_object_columns(value: object) -> str:
    if not isinstance(value, str) or not _OBJECT_COLUMNS.fullmatch(value) or "{" not in value:
        raise Refused(
            f"is {describe_value(value)}",
            "give a pattern of object names with {column} for a segment, such as "
            "telemetry/{device_id}/*",
        )
    names = re.findall(r"\{([^}]*)\}", value)
    if len(set(names)) != len(names):
        raise Refused("names a column twice", "name each column once")
    return value


FLEET_SCHEMA_PROPERTIES: Mapping[str, Callable[[object], Any]] = {
    "objectColumns": parse_object_columns,
    "bundling": parse_bundling,
    "alerts": parse_alerts,
}
FLEET_FIELD_PROPERTIES: Mapping[str, Callable[[object], Any]] = {"alert": parse_alert}
