"""The lineage artifact of an ingestion and of a mart's build."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from eventpulse.contracts.contract import Contract, Field
from eventpulse.contracts.rules import MASK
from eventpulse.ingestions.ingestion import Ingestion, SourceObject
from eventpulse.ingestions.quality import (
    Balance,
    ColumnProfile,
    DatasetRuleResult,
    QualityReport,
    RuleResult,
)
from eventpulse.lineage.artifact import describe_ingestion, describe_mart_build, name_object
from eventpulse.marts.mart import Mart, read_mart
from eventpulse.ports import Json
from eventpulse.values import derive_id
from tests.unit.lineage.openlineage_events import Event, check_events, names_of

TABLE = ("postgres://localhost:5432", "eventpulse.curated.people")
URI = "gs://acme-raw/people/2026 01.csv"
RECEIVED, ENDED = "2026-01-31T08:30:00.000000Z", "2026-01-31T08:30:02.500000Z"


# --- Ingestions ----------------------------------------------------------------------------------


CONTRACT = Contract(
    dataset="people",
    version="1.2.0",
    sha256="c" * 64,
    description="People who rent bicycles.",
    fields=(
        Field("id", type="integer", header="Id", key_position=1, description="Number on the card."),
        Field("name", header="Full name", classification="personal"),
        Field("salary", type="number", precision=9, scale=2, classification="confidential"),
        Field("height", type="number"),
        Field("joined", type="date"),
        Field("note"),
    ),
)
HEADER = ["height", "Id", "Full name", "salary", "joined", "extra"]


def ingestion_of(**changed: Any) -> Ingestion:
    values: dict[str, Any] = {
        "id": derive_id("object", "acme-raw", "people/2026 01.csv", 7),
        "dataset": "people",
        "objects": (source_of(7),),
        "received_at": RECEIVED,
        "rows_read": 100,
    }
    return Ingestion.model_validate({**values, **changed})


def source_of(generation: int, size: int = 2048, sha256: str = "a" * 64) -> SourceObject:
    return SourceObject(
        bucket="acme-raw",
        name="people/2026 01.csv",
        generation=generation,
        size=size,
        created=RECEIVED,
        sha256=sha256,
    )


def report_of(**changed: Any) -> QualityReport:
    values: dict[str, Any] = {
        "ingestion": derive_id("x"),
        "dataset": "people",
        "contract_version": "1.2.0",
        "objects": [],
        "outcome": "accepted",
        "message": "97 of 100 rows are accepted, 3 refused.",
        "balance": Balance(rows_read=100, rows_accepted=97, rows_quarantined=2, rows_duplicate=1),
        "invalid_percent": 2.0,
        "rules": [
            rule_of("id", "logicalType", failed=2, samples=[{"record": 4, "value": "x-secret-1"}]),
            rule_of("name", "required", failed=0),
            rule_of("id+name", "primaryKey", failed=1),
            rule_of("", "malformed", failed=0),
        ],
        "dataset_rules": [
            DatasetRuleResult(
                name="names are known",
                metric="nullValues",
                columns=["name"],
                observed=2.5,
                expected="at most 5",
                unit="percent",
                severity="warning",
                passed=True,
            ),
            DatasetRuleResult(
                name="some rows",
                metric="rowCount",
                columns=[],
                observed=100,
                expected="at least 200",
                unit="rows",
                severity="error",
                passed=False,
            ),
        ],
        "columns": [
            profile_of("id", "integer", minimum=1, maximum=2**60),
            profile_of("name", "string", minimum="Anna", maximum="Zoe"),
            profile_of("salary", "decimal", minimum="1234.50", maximum="98765.43"),
            profile_of("height", "number", minimum=1.5, maximum=2.25),
            profile_of("joined", "date", minimum="2020-01-01", maximum="2026-01-31"),
            profile_of("note", "string"),
        ],
    }
    return QualityReport.model_validate({**values, **changed})


def rule_of(
    column: str, rule: str, *, failed: int, samples: list[dict[str, Json]] | None = None
) -> RuleResult:
    return RuleResult(
        column=column,
        rule=rule,
        checked=100,
        passed=100 - failed,
        failed=failed,
        share_failed=failed / 100,
        samples=samples or [],
    )


def profile_of(name: str, type_: str, **extent: Any) -> ColumnProfile:
    return ColumnProfile(name=name, type=type_, cells=98, nulls=2, mistyped=0, **extent)


def describe(ingestion: Ingestion, report: QualityReport, **changed: Any) -> list[Event]:
    arguments: dict[str, Any] = {
        "contract": CONTRACT,
        "source_uris": [URI],
        "table": TABLE,
        "ended": ENDED,
        "header": HEADER,
    }
    return describe_ingestion(ingestion, report=report, **{**arguments, **changed})


def test_a_loaded_file_is_a_complete_run_of_its_datasets_job() -> None:
    ingestion = ingestion_of()
    start, end = check_events(describe(ingestion, report_of()), "COMPLETE")
    assert (start["eventTime"], end["eventTime"]) == (RECEIVED, ENDED)
    assert start["run"]["runId"] == ingestion.id
    assert (start["job"]["namespace"], start["job"]["name"]) == ("eventpulse", "ingest.people")
    assert start["job"]["facets"]["jobType"]["processingType"] == "BATCH"
    assert start["job"]["facets"]["documentation"]["description"] == "People who rent bicycles."
    assert names_of(end["inputs"]) == [("gs://acme-raw", "people/2026 01.csv")]
    assert names_of(end["outputs"]) == [TABLE]
    engine = end["run"]["facets"]["processing_engine"]
    assert engine["name"] == "eventpulse"
    assert end["producer"] == f"urn:eventpulse:{engine['version']}"
    assert "errorMessage" not in end["run"]["facets"]
    assert "parent" not in end["run"]["facets"]


def test_the_artifact_is_the_same_bytes_each_time() -> None:
    first, second = (
        json.dumps(describe(ingestion_of(), report_of()), sort_keys=False) for _ in range(2)
    )
    assert first == second


def test_columns_come_from_the_columns_that_the_file_called_otherwise() -> None:
    _, end = check_events(describe(ingestion_of(), report_of()), "COMPLETE")
    facets = end["outputs"][0]["facets"]
    assert [(each["name"], each["type"]) for each in facets["schema"]["fields"]] == [
        ("id", "integer"),
        ("name", "string"),
        ("salary", "decimal(9,2)"),
        ("height", "number"),
        ("joined", "date"),
        ("note", "string"),
    ]
    assert facets["schema"]["fields"][0]["description"] == "Number on the card."
    fields = facets["columnLineage"]["fields"]
    assert set(fields) == {"id", "name", "salary", "height", "joined"}, "the file has no note"
    assert fields["id"]["inputFields"] == [
        {
            "namespace": "gs://acme-raw",
            "name": "people/2026 01.csv",
            "field": "Id",
            "transformations": [
                {
                    "type": "DIRECT",
                    "subtype": "TRANSFORMATION",
                    "description": "text read as integer",
                    "masking": False,
                }
            ],
        }
    ]
    subtypes = {
        column: lineage["inputFields"][0]["transformations"][0]["subtype"]
        for column, lineage in fields.items()
    }
    assert subtypes["name"] == "IDENTITY"
    assert subtypes["salary"] == "TRANSFORMATION"


def test_without_a_header_the_file_is_taken_to_use_the_contractsnames_of() -> None:
    events = describe(ingestion_of(), report_of(), header=())
    _, end = check_events(events, "COMPLETE")
    fields = end["outputs"][0]["facets"]["columnLineage"]["fields"]
    named = {column: lineage["inputFields"][0]["field"] for column, lineage in fields.items()}
    assert named["name"] == "Full name"
    assert named["note"] == "note"
    assert "schema" not in end["inputs"][0]["facets"]


def test_what_was_measured_stands_at_the_file() -> None:
    _, end = check_events(describe(ingestion_of(), report_of()), "COMPLETE")
    measured = end["inputs"][0]["inputFacets"]
    assert measured["inputStatistics"]["rowCount"] == 100
    assert measured["inputStatistics"]["size"] == 2048
    metrics = measured["dataQualityMetrics"]
    assert (metrics["rowCount"], metrics["bytes"], metrics["fileCount"]) == (100, 2048, 1)
    assert metrics["columnMetrics"]["Id"] == {
        "nullCount": 2,
        "count": 98,
        "min": 1,
        "max": 2**60,
    }
    assert metrics["columnMetrics"]["height"]["max"] == 2.25
    assert "min" not in metrics["columnMetrics"]["joined"], "the facet has numbers only"
    assert "note" not in metrics["columnMetrics"], "the file has no such column"
    assert end["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 97


def test_rules_become_assertions() -> None:
    _, end = check_events(describe(ingestion_of(), report_of()), "COMPLETE")
    found = end["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert found == [
        {
            "assertion": "logicalType",
            "success": False,
            "column": "Id",
            "severity": "warn",
            "actual": "2 of 100 rows failed",
        },
        {
            "assertion": "required",
            "success": True,
            "column": "Full name",
            "severity": "warn",
            "actual": "0 of 100 rows failed",
        },
        {
            "assertion": "primaryKey",
            "success": False,
            "severity": "warn",
            "actual": "1 of 100 rows failed",
            "params": {"columns": ["Id", "Full name"]},
        },
        {
            "assertion": "malformed",
            "success": True,
            "severity": "warn",
            "actual": "0 of 100 rows failed",
        },
        {
            "assertion": "nullValues",
            "success": True,
            "column": "Full name",
            "severity": "warn",
            "name": "names are known",
            "expected": "at most 5 percent",
            "actual": "2.5 percent",
        },
        {
            "assertion": "rowCount",
            "success": False,
            "severity": "error",
            "name": "some rows",
            "expected": "at least 200 rows",
            "actual": "100 rows",
        },
    ]


def test_versions_pin_the_bytes() -> None:
    unhashed = ingestion_of(objects=(source_of(7, sha256=""),))
    for ingestion, wanted in (
        (ingestion_of(), f"7/sha256:{'a' * 64}"),
        (unhashed, "7"),
    ):
        start, end = check_events(describe(ingestion, report_of(), table_version="31"), "COMPLETE")
        for event in (start, end):
            assert event["inputs"][0]["facets"]["version"]["datasetVersion"] == wanted
        assert end["outputs"][0]["facets"]["version"]["datasetVersion"] == "31"


def test_values_of_masked_columns_never_appear() -> None:
    shown = json.dumps(describe(ingestion_of(), report_of()))
    for value in ("Anna", "Zoe", "1234.5", "98765.43", "x-secret-1"):
        assert value not in shown
    masked = [profile_of("salary", "decimal", minimum=MASK, maximum=MASK)]
    unclassified = Contract("people", "1", "", (Field("salary", type="number", precision=9),))
    events = describe(
        ingestion_of(), report_of(columns=masked), contract=unclassified, header=["salary"]
    )
    _, end = check_events(events, "COMPLETE")
    metrics = end["inputs"][0]["inputFacets"]["dataQualityMetrics"]["columnMetrics"]["salary"]
    assert metrics == {"nullCount": 2, "count": 98}


@pytest.mark.parametrize("extreme", [float("inf"), float("-inf"), float("nan")])
def test_a_bound_that_json_cannot_hold_is_left_out(extreme: float) -> None:
    report = report_of(columns=[profile_of("height", "number", minimum=extreme, maximum=1.0)])
    _, end = check_events(describe(ingestion_of(), report), "COMPLETE")
    metrics = end["inputs"][0]["inputFacets"]["dataQualityMetrics"]["columnMetrics"]["height"]
    assert metrics == {"nullCount": 2, "count": 98, "max": 1.0}


def test_a_rejected_file_is_a_failed_run_that_wrote_nothing() -> None:
    report = report_of(outcome="rejected", reason="quality", message="Too many rows are refused.")
    _, end = check_events(describe(ingestion_of(), report), "FAIL")
    assert end["run"]["facets"]["errorMessage"]["message"] == "Too many rows are refused."
    assert names_of(end["outputs"]) == [TABLE]
    assert end["outputs"][0]["facets"] == {}
    assert end["outputs"][0]["outputFacets"] == {}


def test_an_accepted_file_whose_load_failed_is_a_failed_run() -> None:
    _, end = check_events(describe(ingestion_of(), report_of(), error="The load failed."), "FAIL")
    assert end["run"]["facets"]["errorMessage"]["message"] == "The load failed."


def test_a_file_of_no_dataset_has_no_output() -> None:
    nothing = Balance(rows_read=0, rows_accepted=0, rows_quarantined=0, rows_duplicate=0)
    report = report_of(
        outcome="rejected",
        reason="no_contract",
        message="No contract takes this file.",
        balance=nothing,
        rules=[],
        dataset_rules=[],
        columns=[],
    )
    events = describe(ingestion_of(dataset=None), report, contract=None, table=None, header=())
    start, end = check_events(events, "FAIL")
    assert start["job"]["name"] == "ingest.unrouted"
    assert end["outputs"] == []
    assert "dataQualityAssertions" not in end["inputs"][0]["inputFacets"]


def test_a_replay_names_the_first_run_as_its_parent() -> None:
    first = ingestion_of()
    again = ingestion_of(id=derive_id("replay", first.id), replay_of=first.id)
    for event in check_events(describe(again, report_of()), "COMPLETE"):
        parent = event["run"]["facets"]["parent"]
        assert parent["run"]["runId"] == first.id
        assert parent["job"]["name"] == "ingest.people"


def test_a_bundle_names_each_object_and_measures_them_together() -> None:
    bundle = ingestion_of(objects=(source_of(7, size=10), source_of(8, size=32)))
    uris = ["gs://acme-raw/edge/a.gz", "gs://acme-raw/edge/b.gz"]
    _, end = check_events(describe(bundle, report_of(), source_uris=uris), "COMPLETE")
    first, second = end["inputs"]
    assert first["inputFacets"]["inputStatistics"]["size"] == 10
    assert "rowCount" not in first["inputFacets"]["inputStatistics"]
    assert first["inputFacets"]["dataQualityMetrics"]["bytes"] == 42
    assert first["inputFacets"]["dataQualityMetrics"]["fileCount"] == 2
    assert set(second["inputFacets"]) == {"inputStatistics"}
    sources = end["outputs"][0]["facets"]["columnLineage"]["fields"]["id"]["inputFields"]
    assert [each["name"] for each in sources] == ["edge/a.gz", "edge/b.gz"]


@pytest.mark.parametrize(
    ("uri", "namespace", "name"),
    [
        ("gs://acme-raw/a/b.csv", "gs://acme-raw", "a/b.csv"),
        ("gs://acme-raw//a%2F?x=1#y", "gs://acme-raw", "/a%2F?x=1#y"),
        ("file:///data/raw/a%20b%3F.csv", "file", "/data/raw/a b?.csv"),
        ("memory://raw/a.csv", "memory://raw", "a.csv"),
    ],
)
def test_objects_are_named_as_the_naming_specification_says(
    uri: str, namespace: str, name: str
) -> None:
    assert name_object(uri) == (namespace, name)


# --- Marts ---------------------------------------------------------------------------------------


DELAYS = """\
-- materialize: table
-- description: Delays by airport.
SELECT f.origin, a.name AS airport, COUNT(*) AS flights, AVG(f.dep_delay) AS mean_delay,
  f.dep_delay * 60 AS seconds, r.region
FROM curated.flights AS f
JOIN curated.airports AS a ON a.faa = f.origin
JOIN marts.regions AS r ON r.faa = f.origin
GROUP BY f.origin, a.name, f.dep_delay, r.region
"""
SOURCES = {
    "curated.flights": ("bigquery", "acme.curated.flights"),
    "curated.airports": ("bigquery", "acme.curated.airports"),
    "marts.regions": ("bigquery", "acme.marts.regions"),
}


def describe_build(mart: Mart, **changed: Any) -> list[Event]:
    arguments: dict[str, Any] = {
        "sources": SOURCES,
        "table": ("bigquery", "acme.marts.delays"),
        "versions": {"flights": 12, "airports": 1, "marts.regions": 3},
        "started": RECEIVED,
        "ended": ENDED,
        "rows": 41,
    }
    return describe_mart_build(mart, derive_id("build", 1), **{**arguments, **changed})


def test_a_build_is_a_run_with_its_sql_and_the_versions_that_it_read() -> None:
    mart = read_mart("delays", DELAYS)
    start, end = check_events(describe_build(mart), "COMPLETE")
    job = start["job"]
    assert (job["namespace"], job["name"]) == ("eventpulse", "mart.delays")
    assert job["facets"]["sql"]["query"] == mart.sql
    assert job["facets"]["sql"]["dialect"] == "bigquery"
    versions = {each["name"]: each["facets"]["version"]["datasetVersion"] for each in end["inputs"]}
    assert versions == {
        "acme.curated.flights": "12",
        "acme.curated.airports": "1",
        "acme.marts.regions": "3",
    }
    assert end["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 41


def test_a_marts_columns_come_from_its_sql() -> None:
    _, end = check_events(describe_build(read_mart("delays", DELAYS)), "COMPLETE")
    fields = end["outputs"][0]["facets"]["columnLineage"]["fields"]
    found = {
        column: [
            (each["name"], each["field"], each["transformations"][0]["subtype"])
            for each in lineage["inputFields"]
        ]
        for column, lineage in fields.items()
    }
    assert found == {
        "origin": [("acme.curated.flights", "origin", "IDENTITY")],
        "airport": [("acme.curated.airports", "name", "IDENTITY")],
        "flights": [],
        "mean_delay": [("acme.curated.flights", "dep_delay", "AGGREGATION")],
        "seconds": [("acme.curated.flights", "dep_delay", "TRANSFORMATION")],
        "region": [("acme.marts.regions", "region", "IDENTITY")],
    }


def test_a_failed_build_says_why_and_a_view_has_no_row_count() -> None:
    mart = read_mart("delays", DELAYS)
    _, failed = check_events(describe_build(mart, error="Division by zero."), "FAIL")
    assert failed["run"]["facets"]["errorMessage"]["message"] == "Division by zero."
    assert failed["outputs"][0]["facets"] == {}
    _, built = check_events(describe_build(mart, rows=None), "COMPLETE")
    assert built["outputs"][0]["outputFacets"] == {}


def test_importing_the_module_does_not_import_the_client() -> None:
    program = "import sys, eventpulse.lineage; print('openlineage' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"
