"""One ODCS file → one `Contract`, or every problem that it has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from eventpulse.contracts.contract import (
    DRIFT_PRESETS,
    LONGEST_DATASET,
    Contract,
    Field,
    QualityRule,
)
from eventpulse.errors import ContractInvalid
from eventpulse.odcs.document import DocumentInvalid, read_document
from eventpulse.odcs.problems import (
    Problems,
    describe_value,
    join_path,
    label_items,
    list_words,
    quote_text,
    suggest_name,
)

if TYPE_CHECKING:
    from open_data_contract_standard.model import (
        OpenDataContractStandard,
        SchemaObject,
        SchemaProperty,
    )

_API_VERSION = re.compile(r"v3\.[12]\.\d{1,3}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,63}")
_DATASET = re.compile(rf"[a-z][a-z0-9_]{{0,{LONGEST_DATASET - 1}}}")
_ORDERED = ("integer", "number", "date", "timestamp")
_PARTITIONED = ("date", "timestamp")


def read_contract(text: str | bytes, source: str) -> Contract:
    """The contract in an ODCS YAML text. `source` names the file in errors.

    Raises ContractInvalid with all problems at once, each "path.to.key: what is wrong; what to do".
    `Contract.sha256` is of the bytes given (of the UTF-8 of a str).
    """
    contract, problems = _read(text)
    if contract is None or problems:
        raise ContractInvalid(source, problems)
    return contract


def lint_contract(text: str | bytes) -> list[str]:
    """The problems that `read_contract` would raise; empty for a contract without any."""
    return _read(text)[1]


def _read(text: str | bytes) -> tuple[Contract | None, list[str]]:
    try:
        data = text.encode() if isinstance(text, str) else text
        raw = read_document(text)
    except UnicodeEncodeError as error:
        what = f"(file): the character at position {error.start} is half a surrogate pair"
        return None, [f"{what}; save the file as UTF-8"]
    except DocumentInvalid as error:
        return None, error.problems
    # The standard's model takes a while to import and only those who read YAML need it.
    from eventpulse.odcs.structure import read_structure

    problems = Problems()
    document = read_structure(raw, problems)
    _check_header(document, raw, problems)
    schema = _only_schema(document, raw, problems)
    if schema is None:
        return None, problems.found
    contract = _read_schema(document, schema, problems)
    return replace(contract, sha256=sha256(data).hexdigest()), problems.found


def _check_header(
    document: OpenDataContractStandard, raw: Mapping[str, object], problems: Problems
) -> None:
    from eventpulse.odcs.custom import CONTRACT_PROPERTIES, read_custom_properties
    from eventpulse.odcs.vocabulary import API_VERSIONS, STATUSES

    api = document.apiVersion
    _require(raw, "apiVersion", f"say {API_VERSIONS}", problems)
    if api is not None and not _API_VERSION.fullmatch(api):
        problems.add("apiVersion", f"is {describe_value(api)}", f"say {API_VERSIONS}")
    _require(raw, "kind", "say DataContract", problems)
    if document.kind not in (None, "DataContract"):
        problems.add("kind", f"is {describe_value(document.kind)}", "say DataContract")
    _require(raw, "id", "give the contract an id that never changes", problems)
    _require(raw, "version", 'give one such as "1.0.0"', problems)
    if document.version is not None and not _VERSION.fullmatch(document.version):
        what = f"is {describe_value(document.version)}"
        problems.add("version", what, "use at most 64 letters, digits, dots, + and -")
    if api is None or api.startswith("v3.1"):  # v3.2 made it optional
        _require(raw, "status", f"say {list_words(STATUSES)}", problems)
    if document.status is not None and document.status not in STATUSES:
        problems.add(
            "status", f"is {describe_value(document.status)}", f"say {list_words(STATUSES)}"
        )
    read_custom_properties(document.customProperties, CONTRACT_PROPERTIES, "", problems)


def _require(raw: Mapping[str, object], key: str, remedy: str, problems: Problems) -> None:
    if raw.get(key) in (None, "") and not problems.concern(key):
        problems.add(key, "is missing", remedy)


def _only_schema(
    document: OpenDataContractStandard, raw: Mapping[str, object], problems: Problems
) -> SchemaObject | None:
    found = document.schema_ or []
    declared = raw.get("schema")
    count = len(declared) if isinstance(declared, list) else 0
    if count != 1 and not problems.concern("schema"):
        what = f"has {count} objects" if count else "has no object"
        problems.add("schema", what, "describe exactly one dataset per contract")
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class _Property:
    """A property as declared, what was read from it, and where its problems go."""

    declared: SchemaProperty
    field: Field
    path: str


def _read_schema(
    document: OpenDataContractStandard, schema: SchemaObject, problems: Problems
) -> Contract:
    from eventpulse.odcs.custom import SCHEMA_PROPERTIES, read_custom_properties, read_dialect
    from eventpulse.odcs.service_level import read_service_level

    path = label_items("schema", [{"name": schema.name}])[0]
    dataset = _read_dataset(schema, path, problems)
    properties = _read_properties(schema, path, problems)
    custom = read_custom_properties(schema.customProperties, SCHEMA_PROPERTIES, path, problems)
    dialect = read_dialect(custom, path, problems)
    fields = tuple(
        replace(each, decimal_mark=dialect.decimal_mark) if each.type == "number" else each
        for each in _place_keys(properties, problems)
    )
    purpose = document.description.purpose if document.description else None
    return Contract(
        dataset=dataset,
        version=document.version or "",
        sha256="",
        fields=fields,
        description=(schema.description or purpose or "").strip(),
        ordering=_read_ordering(custom, fields, path, problems),
        partition_by=_read_partition(properties, problems),
        path_patterns=custom.get("pathPatterns", ()),
        dialect=dialect,
        drift=custom.get("driftPolicy", DRIFT_PRESETS["warn"]),
        max_invalid_percent=custom.get("maxInvalidPercent", 5.0),
        quality=_read_rules(schema, dataset, properties, path, problems),
        service_level=read_service_level(document.slaProperties, dataset, problems),
        object_columns=_read_object_columns(custom, fields, path, problems),
        bundling=custom.get("bundling"),
        alerts=custom.get("alerts", {}),
    )


def _read_dataset(schema: SchemaObject, path: str, problems: Problems) -> str:
    name = schema.name or ""
    if schema.name is None:
        if not problems.concern(join_path(path, "name")):
            problems.add(join_path(path, "name"), "is missing", "name the dataset")
    elif not _DATASET.fullmatch(name):
        problems.add(
            join_path(path, "name"),
            f"{quote_text(name)} is no dataset name",
            f"use at most {LONGEST_DATASET} lower-case letters, digits and _, a letter first",
        )
    if schema.physicalName not in (None, name):
        what = f"is {describe_value(schema.physicalName)}, and tables are named after the dataset"
        problems.add(join_path(path, "physicalName"), what, "remove it")
    if schema.logicalType not in (None, "object"):
        what = f"is {describe_value(schema.logicalType)}"
        problems.add(join_path(path, "logicalType"), what, "say object, or remove it")
    return name


def _read_properties(schema: SchemaObject, path: str, problems: Problems) -> list[_Property]:
    from eventpulse.odcs.fields import read_field

    here = join_path(path, "properties")
    declared = schema.properties or []
    if not declared and not problems.concern_part(here):
        problems.add(here, "is empty", "describe the columns of the dataset")
    labels = label_items(here, [{"name": p.name} for p in declared])
    properties = [
        _Property(p, read_field(p, label, problems), label)
        for p, label in zip(declared, labels, strict=True)
    ]
    _check_headers(properties, problems)
    return properties


def _check_headers(properties: Sequence[_Property], problems: Problems) -> None:
    """No header may mean two columns, whatever its case."""
    owners: dict[str, _Property] = {}
    for item in properties:
        for header in item.field.headers if item.field.name else ():
            owner = owners.setdefault(header.strip().casefold(), item)
            if owner is item:
                continue
            if owner.field.name == item.field.name:
                problems.add(item.path, "describes a column a second time", "keep one of the two")
                break
            what = f"the header {quote_text(header)} means {owner.field.name} too"
            problems.add(item.path, what, "change `physicalName` or `aliases` of one of the two")


def _place_keys(properties: Sequence[_Property], problems: Problems) -> tuple[Field, ...]:
    """The fields with their positions in the primary key, counted from 1 without gaps."""
    keyed = [item for item in properties if item.declared.primaryKey]
    positions = [_declared_position(item.declared.primaryKeyPosition) for item in keyed]
    if all(position is None for position in positions):
        positions = list(range(1, len(keyed) + 1))
    elif sorted(p or 0 for p in positions) != list(range(1, len(keyed) + 1)):
        for item in keyed:
            found = describe_value(item.declared.primaryKeyPosition)
            what = f"is {found}, and positions in a key run 1, 2, 3 … without gaps"
            here = join_path(item.path, "primaryKeyPosition")
            problems.add(here, what, "number the columns of the key in their order")
    placed = {id(item): position for item, position in zip(keyed, positions, strict=True)}
    for item in properties:
        _check_key(item, problems)
    return tuple(replace(item.field, key_position=placed.get(id(item))) for item in properties)


def _declared_position(position: int | None) -> int | None:
    return None if position == -1 else position  # the standard's default


def _check_key(item: _Property, problems: Problems) -> None:
    declared, field = item.declared, item.field
    if not declared.primaryKey:
        if _declared_position(declared.primaryKeyPosition) is not None:
            here = join_path(item.path, "primaryKeyPosition")
            problems.add(here, "stands at a column outside the key", "say `primaryKey: true` too")
        return
    here = join_path(item.path, "primaryKey")
    if declared.required is False:
        what = "a column of the key is always required"
        problems.add(join_path(item.path, "required"), what, "remove `required: false`")
    if field.column_type in ("json", "number"):
        remedy = "use another column"
        if field.column_type == "number":
            remedy = "declare it as integer, string, or with a `physicalType` of NUMERIC(p, s)"
        problems.add(here, f"a column of type {field.type} cannot be a key", remedy)


def _read_ordering(
    custom: Mapping[str, Any], fields: Sequence[Field], path: str, problems: Problems
) -> str | None:
    name: str | None = custom.get("orderingColumn")
    if name is None:
        return None
    here = f"{join_path(path, 'customProperties')}[orderingColumn].value"
    field = next((f for f in fields if f.name == name), None)
    if field is None:
        close = suggest_name(name, [f.name for f in fields])
        remedy = f"did you mean `{close}`?" if close else "name a property of this schema"
        problems.add(here, f"{quote_text(name)} is no property", remedy)
    elif field.type not in _ORDERED:
        what = f"{name} is of type {field.type}, which does not say which row is newer"
        problems.add(here, what, f"name a column of type {list_words(_ORDERED)}")
    return name


def _read_object_columns(
    custom: Mapping[str, Any], fields: Sequence[Field], path: str, problems: Problems
) -> str | None:
    pattern: str | None = custom.get("objectColumns")
    text = {each.name for each in fields if each.type == "string"}
    for name in re.findall(r"\{([^}]*)\}", pattern or ""):
        if name not in text:
            here = f"{join_path(path, 'customProperties')}[objectColumns].value"
            what = f"names {quote_text(name)}, which is no text column"
            problems.add(here, what, "name a column with the logicalType string")
    return pattern


def _read_partition(properties: Sequence[_Property], problems: Problems) -> str | None:
    chosen: str | None = None
    for item in properties:
        position = _declared_position(item.declared.partitionKeyPosition)
        here = join_path(item.path, "partitioned")
        if not item.declared.partitioned:
            if position is not None:
                remedy = "say `partitioned: true` too, or remove it"
                at = join_path(item.path, "partitionKeyPosition")
                problems.add(at, "stands at a column that is not partitioned", remedy)
        elif item.field.type not in _PARTITIONED:
            what = f"tables cannot be partitioned by a column of type {item.field.type}"
            problems.add(here, what, f"choose one of type {list_words(_PARTITIONED)}")
        elif chosen is not None or position not in (None, 1):
            problems.add(here, "tables are partitioned by one column", "keep one, position 1")
        else:
            chosen = item.field.name
    return chosen


def _read_rules(
    schema: SchemaObject,
    dataset: str,
    properties: Sequence[_Property],
    path: str,
    problems: Problems,
) -> tuple[QualityRule, ...]:
    from eventpulse.odcs.quality import Subject, read_quality

    fields = {item.field.name: item.field for item in properties}
    rules = read_quality(schema.quality, Subject(dataset, fields), path, problems)
    for item in properties:
        subject = Subject(dataset, fields, item.field)
        rules += read_quality(item.declared.quality, subject, item.path, problems)
    names = [rule.name for rule in rules]
    for name in sorted({name for name in names if names.count(name) > 1}):
        here = join_path(path, "quality")
        problems.add(here, f"two rules are called {quote_text(name)}", "give each a `name`")
    return tuple(rules)
