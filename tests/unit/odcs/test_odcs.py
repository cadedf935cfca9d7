"""Contracts in YAML: what each keyword becomes, and what is said about each that is wrong."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from open_data_contract_standard import model
from pydantic import BaseModel

from eventpulse.contracts.contract import DRIFT_PRESETS, Contract, FieldOptions
from eventpulse.errors import ContractInvalid
from eventpulse.marts.mart import read_mart
from eventpulse.odcs import lint_contract, read_contract
from eventpulse.odcs.custom import FIELD_PROPERTIES, SCHEMA_PROPERTIES
from eventpulse.odcs.patterns import STRING_FORMATS
from eventpulse.odcs.vocabulary import (
    DOCUMENTATION_OBJECTS,
    OBJECTS,
    REFUSED_OPTIONS,
    UNREACHED_OBJECTS,
)
from tests.unit.odcs.documents import (
    TYPES,
    Edit,
    custom,
    options,
    parse_edit,
    prop,
    schema,
    top,
    write_document,
)

ROOT = Path(__file__).parents[3]
CONTRACTS = sorted(ROOT.glob("contracts/*.odcs.yaml"))
FAULTS = yaml.safe_load((ROOT / "tests/cases/contracts/faults.yaml").read_text("utf-8"))


def read(*edits: Edit) -> Contract:
    return read_contract(write_document(*edits), "sales.odcs.yaml")


def formats(*texts: str) -> Edit:
    return prop("day", customProperties=[{"property": "dateFormats", "value": list(texts)}])


def field_of(contract: Contract, name: str) -> Any:
    return next(f for f in contract.fields if f.name == name)


# --- What is read --------------------------------------------------------------------------------


def test_the_smallest_contract_has_the_defaults() -> None:
    text = write_document()
    contract = read_contract(text, "sales.odcs.yaml")
    assert (contract.dataset, contract.version) == ("sales", "1.0.0")
    assert contract.sha256 == sha256(text.encode()).hexdigest()
    assert {f.name: f.type for f in contract.fields} == TYPES
    assert contract.key == ()
    assert contract.max_invalid_percent == 5.0
    assert contract.drift == DRIFT_PRESETS["warn"]
    assert asdict(contract.dialect) == {
        "format": None,
        "delimiter": None,
        "quote": '"',
        "escape": None,
        "encoding": None,
        "null_markers": ("",),
        "decimal_mark": ".",
        "header_row": None,
        "comment": None,
        "sheet": None,
    }


def test_bytes_and_text_are_the_same_contract() -> None:
    text = write_document(schema(description="Verkäufe"))
    assert read_contract(text.encode(), "a") == read_contract(text, "b")


@pytest.mark.parametrize(
    ("column", "declared", "expected"),
    [
        ("count", {"minimum": 1, "maximum": 5}, {"minimum": "1", "maximum": "5"}),
        ("count", {"exclusiveMinimum": -1}, {"exclusive_minimum": "-1"}),
        ("count", {"multipleOf": 5}, {"multiple_of": "5"}),
        ("count", {"format": "i8"}, {"minimum": "-128", "maximum": "127"}),
        ("count", {"format": "u16", "minimum": 10}, {"minimum": "10", "maximum": "65535"}),
        ("count", {"format": "i64"}, {}),
        ("count", {"enum": [1, 2]}, {"enum": ("1", "2")}),
        (
            "weight",
            {"minimum": 0.1, "exclusiveMaximum": 1e18},
            {"minimum": "0.1", "exclusive_maximum": "1000000000000000000"},
        ),
        ("weight", {"format": "f64", "multipleOf": 0.25}, {"multiple_of": "0.25"}),
        (
            "amount",
            {"exclusiveMinimum": 0, "maximum": 10.5},
            {"exclusive_minimum": "0", "maximum": "10.5"},
        ),
        (
            "code",
            {"minLength": 1, "maxLength": 3, "pattern": "^[A-Z]+$"},
            {"min_length": 1, "max_length": 3, "pattern": "^[A-Z]+$"},
        ),
        ("code", {"enum": ["NO", "0042"]}, {"enum": ("NO", "0042")}),
        ("code", {"format": "uuid"}, {"format": "uuid", "pattern": STRING_FORMATS["uuid"]}),
        (
            "day",
            {"minimum": "2020-01-01", "maximum": "2020-12-31"},
            {"minimum": "2020-01-01", "maximum": "2020-12-31"},
        ),
        (
            "recorded_at",
            {"minimum": "2020-01-01T01:00:00+01:00"},
            {"minimum": "2020-01-01T00:00:00Z"},
        ),
        (
            "recorded_at",
            {"maximum": "2020-01-01 10:00", "defaultTimezone": "UTC"},
            {"maximum": "2020-01-01T10:00:00Z"},
        ),
        (
            "clock",
            {"minimum": "08:00", "exclusiveMaximum": "18:30:00"},
            {"minimum": "08:00:00", "exclusive_maximum": "18:30:00"},
        ),
    ],
)
def test_options_of_a_type_are_read(
    column: str, declared: dict[str, object], expected: dict[str, object]
) -> None:
    contract = read(options(column, **declared))
    assert field_of(contract, column).options == FieldOptions(**expected)  # type: ignore[arg-type]


def test_a_property_carries_its_own_keywords() -> None:
    contract = read(
        prop(
            "code",
            physicalName="Code No",
            description=" What it is. ",
            required=True,
            unique=True,
            classification="personal",
            customProperties=[{"property": "aliases", "value": ["CODE", "Nr"]}],
        )
    )
    code = field_of(contract, "code")
    assert code.headers == ("Code No", "code", "CODE", "Nr")
    assert (code.required, code.unique, code.masked) == (True, True, True)
    assert code.description == "What it is."


@pytest.mark.parametrize("word", ["public", "internal"])
def test_public_and_internal_values_are_shown(word: str) -> None:
    assert not field_of(read(prop("code", classification=word)), "code").masked


def test_the_enum_of_a_property_is_its_values() -> None:
    edit = prop("code", enum=[{"value": "a", "label": "A"}, {"value": "b"}])
    assert field_of(read(edit), "code").options.enum == ("a", "b")


@pytest.mark.parametrize(
    ("physical", "expected"),
    [
        ("NUMERIC(14,2)", (14, 2)),
        ("decimal ( 10 , 0 )", (10, 0)),
        ("NUMERIC(5)", (5, 0)),
        ("NUMERIC", (38, 9)),
        ("DOUBLE PRECISION", (None, None)),
    ],
)
def test_the_physical_type_of_a_number_gives_precision_and_scale(
    physical: str, expected: tuple[int | None, int | None]
) -> None:
    weight = field_of(read(prop("weight", physicalType=physical)), "weight")
    assert (weight.precision, weight.scale) == expected
    assert weight.column_type == ("number" if expected[0] is None else "decimal")


def test_the_key_is_in_the_order_of_its_positions() -> None:
    edits = (
        prop("code", primaryKey=True, primaryKeyPosition=2),
        prop("day", primaryKey=True, primaryKeyPosition=1),
    )
    assert read(*edits).key == ("day", "code")


def test_a_key_without_positions_is_in_the_order_of_its_columns() -> None:
    edits = (prop("day", primaryKey=True, primaryKeyPosition=-1), prop("code", primaryKey=True))
    assert read(*edits).key == ("code", "day")


def test_a_key_column_is_required() -> None:
    assert field_of(read(prop("code", primaryKey=True)), "code").column.required


def test_a_table_is_partitioned_by_the_declared_column() -> None:
    assert read(prop("day", partitioned=True, partitionKeyPosition=1)).partition_by == "day"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (options("day", format="dd.MM.yyyy"), ("%d.%m.%Y",)),
        (options("recorded_at", format="yyyy-MM-dd'T'HH:mm:ssXXX"), ("%Y-%m-%dT%H:%M:%S%z",)),
        (options("clock", format="hh:mm a"), ("%I:%M %p",)),
        (formats("%Y-%m-%d", "%d %b %Y"), ("%Y-%m-%d", "%d %b %Y")),
        (formats("%Y-%m-%d 00:00:00"), ("%Y-%m-%d 00:00:00",)),
    ],
)
def test_dates_are_read_in_the_declared_formats(edit: Edit, expected: tuple[str, ...]) -> None:
    assert expected in {f.formats for f in read(edit).fields}


def test_custom_properties_of_the_schema_are_read() -> None:
    contract = read(
        custom(property="format", value="csv"),
        custom(property="delimiter", value=";"),
        custom(property="quote", value="'"),
        custom(property="escape", value="\\"),
        custom(property="encoding", value="latin-1"),
        custom(property="nullMarkers", value=["", "NA"]),
        custom(property="decimalMark", value=","),
        custom(property="headerRow", value=3),
        custom(property="comment", value="#"),
        custom(property="pathPatterns", value=["sales/*"]),
        custom(property="orderingColumn", value="recorded_at"),
        custom(property="maxInvalidPercent", value=1.5),
        custom(property="driftPolicy", value={"added": "evolve", "renamed": "fail"}),
    )
    assert asdict(contract.dialect) == {
        "format": "csv",
        "delimiter": ";",
        "quote": "'",
        "escape": "\\",
        "encoding": "iso8859-1",
        "null_markers": ("", "NA"),
        "decimal_mark": ",",
        "header_row": 3,
        "comment": "#",
        "sheet": None,
    }
    assert contract.path_patterns == ("sales/*",)
    assert contract.ordering == "recorded_at"
    assert contract.max_invalid_percent == 1.5
    assert contract.drift == {**DRIFT_PRESETS["warn"], "added": "evolve", "renamed": "freeze"}


def test_a_sheet_is_read_for_xlsx() -> None:
    edits = (custom(property="format", value="xlsx"), custom(property="sheet", value="Sales"))
    assert read(*edits).dialect.sheet == "Sales"


@pytest.mark.parametrize("word", ["allow", "warn", "fail"])
def test_a_word_stands_for_a_drift_policy(word: str) -> None:
    assert read(custom(property="driftPolicy", value=word)).drift == DRIFT_PRESETS[word]


def test_a_custom_property_of_another_vendor_is_left_alone() -> None:
    contract = read(custom(property="delimiter", value="whatever", vendor="soda"))
    assert contract.dialect.delimiter is None


def test_quality_rules_are_read() -> None:
    contract = read(
        schema(
            quality=[
                {"metric": "rowCount", "mustBeBetween": [1, 10], "name": "size"},
                {
                    "type": "library",
                    "metric": "duplicateValues",
                    "arguments": {"properties": ["code", "day"]},
                    "mustBe": 0,
                    "severity": "warning",
                    "dimension": "uniqueness",
                },
                {"type": "text", "description": "Somebody looks at it now and then."},
            ]
        ),
        prop(
            "count",
            quality=[
                {"metric": "nullValues", "mustBeLessThan": 5, "unit": "percent"},
                {"metric": "invalidValues", "arguments": {"validValues": [1, 2]}, "mustBe": 0},
                {
                    "metric": "missingValues",
                    "arguments": {"missingValues": [None, "n/a"]},
                    "mustNotBeBetween": [3, 4],
                },
            ],
        ),
    )
    rules = {r.name: r for r in contract.quality}
    assert list(rules) == [
        "size",
        "code.day.duplicateValues.mustBe",
        "count.nullValues.mustBeLessThan",
        "count.invalidValues.mustBe",
        "count.missingValues.mustNotBeBetween",
    ]
    assert rules["size"].bounds == (1.0, 10.0)
    duplicates = rules["code.day.duplicateValues.mustBe"]
    assert (duplicates.columns, duplicates.severity) == (("code", "day"), "warning")
    assert (duplicates.dimension, duplicates.arguments) == ("uniqueness", {})
    assert rules["count.nullValues.mustBeLessThan"].unit == "percent"
    assert rules["count.invalidValues.mustBe"].arguments == {"validValues": ("1", "2")}
    missing = rules["count.missingValues.mustNotBeBetween"]
    assert (missing.arguments, missing.columns) == ({"missingValues": ("n/a",)}, ("count",))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT COUNT(*) FROM ${object}", "SELECT COUNT(*) FROM `curated`.`sales`"),
        ("SELECT MAX(${column}) FROM {table}", "SELECT MAX(`count`) FROM `curated`.`sales`"),
        (
            "WITH a AS (SELECT 1 AS x FROM curated.other) SELECT SUM(x) FROM a",
            "WITH a AS (SELECT 1 AS x FROM curated.other) SELECT SUM(x) FROM a",
        ),
    ],
)
def test_the_placeholders_of_a_query_are_filled_in(query: str, expected: str) -> None:
    contract = read(prop("count", quality=[{"type": "sql", "query": query, "mustBe": 0}]))
    assert contract.quality[0].query == expected


def test_service_levels_are_in_seconds() -> None:
    levels = [
        {"property": "latency", "value": 4, "unit": "h", "element": "sales"},
        {"property": "frequency", "value": 0.5, "unit": "d", "driver": "analytics"},
        {"property": "retention", "value": 2, "unit": "years"},
        {"property": "generalAvailability", "value": "2030-01-01T00:00:00Z"},
    ]
    level = read(top(slaProperties=levels)).service_level
    assert (level.latency, level.frequency) == (14_400.0, 43_200.0)


def test_documentation_is_accepted() -> None:
    contract = read(
        top(
            name="Sales",
            tenant="acme",
            domain="property",
            dataProduct="sales",
            tags=["a"],
            description={"purpose": "To know.", "usage": "Often.", "limitations": "None."},
            team={"name": "Sales", "members": [{"username": "a@example.com", "role": "owner"}]},
            support=[{"channel": "mail", "url": "mailto:a@example.com"}],
            price={"priceAmount": 1.5, "priceCurrency": "EUR"},
            roles=[{"role": "reader", "access": "read"}],
            servers=[{"server": "prod", "type": "snowflake", "schema": "x", "port": "443"}],
            authoritativeDefinitions=[{"url": "https://example.com", "type": "wiki"}],
            contractCreatedTs="2026-01-01T00:00:00Z",
            context="Ask first.",
        ),
        schema(
            physicalType="table",
            businessName="Sales",
            dataGranularityDescription="one sale",
            deprecated=False,
            synonyms=[{"synonym": "deals"}],
        ),
        prop("code", businessName="Code", examples=["a", 1], criticalDataElement=True, tags=["b"]),
        prop("count", transformDescription="counted", transformSourceObjects=["till"]),
    )
    assert contract.description == "To know."


def test_the_older_form_of_a_team_is_accepted() -> None:
    assert (
        lint_contract(write_document(top(team=[{"username": "a", "dateIn": "2020-01-01"}]))) == []
    )


# --- What is refused, and how it is said ---------------------------------------------------------


@pytest.mark.parametrize("case", FAULTS, ids=[case["problem"].split(";")[0] for case in FAULTS])
def test_a_fault_is_named_with_its_path_and_remedy(case: dict[str, Any]) -> None:
    ((kind, value),) = [item for item in case.items() if item[0] != "problem"]
    assert lint_contract(write_document(parse_edit(kind, value))) == [case["problem"]]


def test_all_faults_are_named_at_once_and_with_the_file() -> None:
    edits = (top(kind="Contract"), prop("code", required="yes"), options("count", pattern="a"))
    with pytest.raises(ContractInvalid) as raised:
        read_contract(write_document(*edits), "contracts/sales.odcs.yaml")
    assert raised.value.source == "contracts/sales.odcs.yaml"
    assert raised.value.problems == [
        "schema[sales].properties[code].required: is the text 'yes' where true or false is "
        "expected; correct it",
        "kind: is the text 'Contract'; say DataContract",
        "schema[sales].properties[count].logicalTypeOptions.pattern: is no option of the type "
        "integer; known are enum, exclusiveMaximum, exclusiveMinimum, format, maximum, minimum "
        "and multipleOf; remove it",
    ]
    assert str(raised.value).startswith("contracts/sales.odcs.yaml: schema[sales].properties[code]")


def test_a_key_with_a_gap_in_its_positions_is_refused() -> None:
    edits = (
        prop("code", primaryKey=True, primaryKeyPosition=1),
        prop("day", primaryKey=True, primaryKeyPosition=3),
    )
    assert [problem.split(": ")[0] for problem in lint_contract(write_document(*edits))] == [
        "schema[sales].properties[code].primaryKeyPosition",
        "schema[sales].properties[day].primaryKeyPosition",
    ]


def test_two_partition_columns_are_refused() -> None:
    edits = (prop("day", partitioned=True), prop("recorded_at", partitioned=True))
    assert lint_contract(write_document(*edits)) == [
        "schema[sales].properties[recorded_at].partitioned: tables are partitioned by one column; "
        "keep one, position 1"
    ]


# --- The vocabulary and the documents ------------------------------------------------------------

MODELS = {
    name: kind
    for name, kind in vars(model).items()
    if isinstance(kind, type) and issubclass(kind, BaseModel)
}


def test_every_object_of_the_standard_is_placed() -> None:
    named = set(OBJECTS) | DOCUMENTATION_OBJECTS | UNREACHED_OBJECTS
    assert set(MODELS) == named
    assert len(named) == len(OBJECTS) + len(DOCUMENTATION_OBJECTS) + len(UNREACHED_OBJECTS)


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_every_key_of_an_object_is_enforced_documentation_or_refused(name: str) -> None:
    keys = OBJECTS[name]
    declared = [info.alias or key for key, info in MODELS[name].model_fields.items()]
    assert sorted(declared) == sorted([*keys.enforced, *keys.documentation, *keys.refused])


@pytest.mark.parametrize("text", [t for k in OBJECTS.values() for t in k.refused.values()])
def test_a_refusal_says_what_to_do(text: str) -> None:
    what, remedy = text.split("; ", 1)
    assert what
    assert remedy


def read_guide() -> str:
    return (ROOT / "contracts/README.md").read_text("utf-8")


@pytest.mark.parametrize("name", [*SCHEMA_PROPERTIES, *FIELD_PROPERTIES])
def test_every_custom_property_is_documented_with_an_example_that_is_read(name: str) -> None:
    section = read_guide().split(f"### `{name}`\n", 1)[1].split("\n### ")[0]
    (example,) = yaml.safe_load(section.split("```yaml\n")[1].split("```")[0])
    assert example["property"] == name
    columns = {**dict.fromkeys(FIELD_PROPERTIES, "recorded_at"), "alert": "amount"}
    column = columns.get(name)
    edit = prop(column, customProperties=[example]) if column else custom(**example)
    contract = read(edit)
    assert contract != read()


def test_the_guide_documents_no_other_custom_property() -> None:
    sections = [line[5:-1] for line in read_guide().splitlines() if line.startswith("### `")]
    assert sections == [*SCHEMA_PROPERTIES, *FIELD_PROPERTIES]


def test_the_guide_names_what_is_enforced_and_what_is_refused() -> None:
    guide = read_guide()
    expected = {key for keys in OBJECTS.values() for key in keys.enforced | set(keys.refused)}
    expected |= set(REFUSED_OPTIONS) - {"required"}
    assert [key for key in sorted(expected) if key not in guide] == []


# --- The contracts of this repository ------------------------------------------------------------


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.name)
def test_a_published_contract_is_named_after_its_dataset(path: Path) -> None:
    contract = read_contract(path.read_bytes(), path.name)
    assert path.name == f"{contract.dataset}.odcs.yaml"
    assert contract.key
    assert contract.max_invalid_percent == 5.0
    assert any(rule.type == "library" for rule in contract.quality)
    assert all(field.description for field in contract.fields)


def test_the_published_contracts_are_six() -> None:
    assert [path.name.split(".")[0] for path in CONTRACTS] == [
        "airports",
        "edge_telemetry",
        "flights",
        "parcels",
        "planes",
        "weather",
    ]


@pytest.mark.parametrize("path", sorted(ROOT.glob("contracts/marts/*.sql")), ids=lambda p: p.stem)
def test_a_mart_reads_columns_that_the_contracts_describe(path: Path) -> None:
    contracts = [read_contract(p.read_bytes(), p.name) for p in CONTRACTS]
    described = {(f"curated.{c.dataset}", f.name) for c in contracts for f in c.fields}
    mart = read_mart(path.stem, path.read_text("utf-8"))
    assert mart.description.endswith(".")
    assert set().union(*mart.lineage.values()) <= described
    shown = {source for sources in mart.lineage.values() for source in sources}
    masked = {(f"curated.{c.dataset}", f.name) for c in contracts for f in c.fields if f.masked}
    assert shown.isdisjoint(masked)
