"""Which keys of the Open Data Contract Standard EventPulse reads, shows or refuses.

Every key of every object of the standard stands in exactly one of three lists:

- *enforced*: it decides what happens to a file;
- *documentation*: it is accepted, kept with the contract and shown, and decides nothing;
- *refused*: it asks for something that EventPulse does not do, and the text says what to do.

Objects that are documentation as a whole are named in `DOCUMENTATION_OBJECTS`. A key that the
standard does not know is refused too: a key that nothing reads is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from eventpulse.contracts.contract import LogicalType


@dataclass(frozen=True, slots=True)
class Keys:
    """`refused` maps a key to "what is wrong; what to do"."""

    enforced: frozenset[str]
    documentation: frozenset[str]
    refused: Mapping[str, str] = field(default_factory=dict)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NOT_CHECKED = "EventPulse keeps {0} as JSON and does not look inside; remove it"
_NO_SCHEDULE = "rules run on every file and never by a schedule; remove it"

OBJECTS: Mapping[str, Keys] = {
    "OpenDataContractStandard": Keys(
        enforced=_words("apiVersion kind version id status schema slaProperties customProperties"),
        documentation=_words(
            "name tenant tags servers dataProduct description domain support price team roles "
            "authoritativeDefinitions context contractCreatedTs"
        ),
        refused={
            "slaDefaultElement": "EventPulse measures service levels on the dataset as a whole; "
            "remove it"
        },
    ),
    "SchemaObject": Keys(
        enforced=_words(
            "name physicalName logicalType description properties quality customProperties"
        ),
        documentation=_words(
            "id physicalType businessName deprecated synonyms authoritativeDefinitions tags "
            "dataGranularityDescription context"
        ),
        refused={
            "relationships": "EventPulse does not enforce foreign keys; write a `sql` quality rule"
        },
    ),
    "SchemaProperty": Keys(
        enforced=_words(
            "name physicalName physicalType logicalType logicalTypeOptions description primaryKey "
            "primaryKeyPosition required unique partitioned partitionKeyPosition classification "
            "enum quality customProperties"
        ),
        documentation=_words(
            "id businessName deprecated synonyms authoritativeDefinitions tags examples "
            "criticalDataElement transformDescription transformSourceObjects"
        ),
        refused={
            "encryptedName": "EventPulse keeps no encrypted copy of a column; declare the column "
            "of the file that is encrypted as a property of its own",
            "transformLogic": "EventPulse does not compute columns; write a mart in "
            "contracts/marts, or say it in `transformDescription`",
            "semanticType": "every property is a column of the file; remove it and write measures "
            "as a mart in contracts/marts",
            "relationships": "EventPulse does not enforce foreign keys; write a `sql` quality rule",
            "properties": _NOT_CHECKED.format("an object"),
            "items": _NOT_CHECKED.format("an array"),
            "map": "EventPulse has no map type; declare `logicalType: object`",
        },
    ),
    "DataQuality": Keys(
        enforced=_words(
            "name type metric arguments query unit severity dimension description mustBe mustNotBe "
            "mustBeGreaterThan mustBeGreaterOrEqualTo mustBeLessThan mustBeLessOrEqualTo "
            "mustBeBetween mustNotBeBetween"
        ),
        documentation=_words(
            "id authoritativeDefinitions businessImpact customProperties method tags"
        ),
        refused={
            "rule": "the standard calls it `metric` since v3.1; rename it",
            "schedule": _NO_SCHEDULE,
            "scheduler": _NO_SCHEDULE,
            "engine": "EventPulse runs `library` and `sql` rules only; rewrite the rule as one",
            "implementation": "EventPulse runs `library` and `sql` rules only; rewrite the rule "
            "as one",
        },
    ),
    "ServiceLevelAgreementProperty": Keys(
        enforced=_words("property value unit element"),
        documentation=_words("id driver description customProperties authoritativeDefinitions"),
        refused={
            "valueExt": "EventPulse reads one value per service level; keep `value` only",
            "schedule": "service levels are measured all the time; remove it",
            "scheduler": "service levels are measured all the time; remove it",
        },
    ),
    "EnumValue": Keys(
        enforced=_words("value"),
        documentation=_words("id label description tags customProperties authoritativeDefinitions"),
    ),
    "CustomProperty": Keys(
        enforced=_words("property value vendor"), documentation=_words("id description")
    ),
}

DOCUMENTATION_OBJECTS = _words(
    "AuthoritativeDefinition Support Pricing Team TeamMember Description Synonym Role Server "
    "Context VerifiedStatement Constraint"
)
UNREACHED_OBJECTS = _words("Relationship MapDefinition")
"""Objects that stand only under keys that are refused."""

API_VERSIONS = "v3.1.x or v3.2.x"
STATUSES = ("proposed", "draft", "active", "deprecated", "retired")
LOGICAL_TYPES: tuple[LogicalType, ...] = get_args(LogicalType)

_RANGE = _words("minimum maximum exclusiveMinimum exclusiveMaximum")
_MOMENT = _RANGE | _words("format defaultTimezone enum")
TYPE_OPTIONS: Mapping[LogicalType, frozenset[str]] = {
    "string": _words("minLength maxLength pattern format enum"),
    "integer": _RANGE | _words("multipleOf format enum"),
    "number": _RANGE | _words("multipleOf format enum"),
    "boolean": frozenset(),
    "date": _RANGE | _words("format enum"),
    "timestamp": _MOMENT,
    "time": _RANGE | _words("format enum"),
    "object": frozenset(),
    "array": frozenset(),
}
"""`logicalTypeOptions` per type. `enum` is the property's own key since v3.2; both are read."""

REFUSED_OPTIONS: Mapping[str, str] = {
    "timezone": "an ISO 8601 timestamp always carries its offset, and one that is read by "
    "`dateFormats` without %z is UTC; remove it",
    **dict.fromkeys(("maxProperties", "minProperties", "required"), _NOT_CHECKED.format("objects")),
    **dict.fromkeys(("maxItems", "minItems", "uniqueItems"), _NOT_CHECKED.format("arrays")),
}
"""Options that the standard knows and EventPulse does not enforce."""

INTEGER_FORMATS: Mapping[str, tuple[int, int]] = {
    **{f"i{n}": (-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (8, 16, 32, 64)},
    **{f"u{n}": (0, 2**n - 1) for n in (8, 16, 32)},
}
"""The formats of integers that fit the warehouse's 64 bits, with the range that each one is."""

PHYSICAL_TYPES: Mapping[LogicalType, frozenset[str]] = {
    "string": _words("STRING TEXT VARCHAR CHAR"),
    "integer": _words("INT64 INTEGER INT BIGINT SMALLINT"),
    "number": _words("FLOAT64 FLOAT DOUBLE NUMERIC DECIMAL") | {"DOUBLE PRECISION"},
    "boolean": _words("BOOL BOOLEAN"),
    "date": _words("DATE"),
    "timestamp": _words("TIMESTAMP TIMESTAMPTZ"),
    "time": _words("TIME"),
    "object": _words("JSON JSONB"),
    "array": _words("JSON JSONB"),
}
DECIMAL_TYPES = _words("NUMERIC DECIMAL")

ServiceLevelName = Literal["latency", "frequency"]
SERVICE_LEVELS: tuple[ServiceLevelName, ...] = get_args(ServiceLevelName)
DOCUMENTED_SERVICE_LEVELS = _words(
    "retention generalAvailability endOfSupport endOfLife timeToDetect timeToNotify timeToRepair"
)
"""What the people behind a dataset promise; nothing that EventPulse could measure."""

SECONDS: Mapping[str, int] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3_600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86_400),
    **dict.fromkeys(("month", "months"), 30 * 86_400),
    **dict.fromkeys(("y", "yr", "year", "years"), 365 * 86_400),
}
"""Units of service levels. A month is 30 days, a year 365; `m` may mean either and is refused."""
