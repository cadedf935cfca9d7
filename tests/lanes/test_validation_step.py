"""What one file's rows become, through the real steps: every row accounted for, rules that act,
and no personal value where only few may look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.pipeline.documents import read_json
from eventpulse.pipeline.registry import publish_contract
from eventpulse.pipeline.validate import read_refused
from eventpulse.ports import BUCKETS
from eventpulse.values import Document
from tests.inline import InlineLane, inline_lane

ROWS = 1_000_000


@pytest.fixture
def lane(tmp_path: Path, postgres_url: str) -> Iterator[InlineLane]:
    with inline_lane(tmp_path, postgres_url) as lane:
        yield lane


def contract(quality: str = "", *, invalid: str = "5", classified: str = "internal") -> str:
    return f"""
apiVersion: v3.1.0
kind: DataContract
id: test-people
version: 1.0.0
status: active
schema:
  - name: people
    logicalType: object
    customProperties:
      - property: maxInvalidPercent
        value: {invalid}
      - property: driftPolicy
        value: {{added: discard_row}}
    quality: [{quality}]
    properties:
      - name: id
        logicalType: integer
        primaryKey: true
        primaryKeyPosition: 1
      - name: name
        logicalType: string
        classification: {classified}
        unique: true
        logicalTypeOptions: {{pattern: "[a-z0-9 ]+", maxLength: 30}}
      - name: born
        logicalType: date
        classification: {classified}
"""


def report_of(lane: InlineLane, ingestion: Ingestion) -> dict[str, Any]:
    assert ingestion.quality is not None
    report: dict[str, Any] = read_json(lane.platform, "reports", ingestion.quality)
    return report


def write_people(rows: int) -> list[str]:
    return [f"{n},name {n},19{n % 90 + 10}-01-01" for n in range(1, rows + 1)]


def drop(lane: InlineLane, text: str, *lines: str, header: str = "id,name,born") -> Ingestion:
    publish_contract(lane.platform, text, "people")
    return lane.drop("people/file.csv", "\n".join([header, *lines, ""]).encode())


def test_one_bad_row_in_a_million_is_the_only_one_that_is_not_loaded(lane: InlineLane) -> None:
    lines = write_people(ROWS)
    lines[314_158] = "314159,name 314159,1999-02-30"
    found = drop(lane, contract(), *lines)
    assert found.state == "loaded"
    assert (found.rows_accepted, found.rows_quarantined, found.rows_current) == (
        ROWS - 1,
        1,
        ROWS - 1,
    )
    assert isinstance(found.quarantine, Document)
    (refused,) = read_refused(lane.platform, found.quarantine)
    assert (refused["record"], refused["row"]["id"]) == (314_159, "314159")
    assert lane.platform.warehouse.count_rows("curated", "people") == ROWS - 1


@pytest.mark.parametrize(("bad", "state"), [(5, "loaded"), (6, "rejected")])
def test_the_breaker_rejects_a_file_with_too_many_bad_rows(
    lane: InlineLane, bad: int, state: str
) -> None:
    lines = write_people(100)
    lines[:bad] = [f"{n},name {n},soon" for n in range(1, bad + 1)]
    found = drop(lane, contract(invalid="5"), *lines)
    assert found.state == state
    assert (found.reason == "quality") is (state == "rejected")
    assert lane.platform.warehouse.count_rows("curated", "people") == (0 if bad > 5 else 100 - bad)


# --- Rules over the whole file -------------------------------------------------------------------


def sql_rule(query: str, threshold: str = "mustBe: 0", **more: str) -> str:
    extra = "".join(f", {name}: {value}" for name, value in more.items())
    return f"{{name: asked, type: sql, query: {json.dumps(query)}, {threshold}{extra}}}"


@pytest.mark.parametrize(
    ("query", "threshold", "observed"),
    [
        ("SELECT COUNT(*) FROM ${object}", "mustBe: 3", 3),
        ("SELECT COUNTIF(born < DATE '1950-01-01') FROM ${object}", "mustBeGreaterThan: 0", 3),
        (
            "WITH by_name AS (SELECT name, COUNT(*) AS n FROM ${object} GROUP BY name) "
            "SELECT MAX(n) FROM by_name",
            "mustBe: 1",
            1,
        ),
        ("SELECT AVG(id) FROM ${table}", "mustBeBetween: [1.5, 2.5]", 2),
        ("SELECT MAX(id) > 2 FROM ${object}", "mustBe: 1", 1),
    ],
)
def test_sql_rules_are_asked_of_the_rows_that_pass(
    lane: InlineLane, query: str, threshold: str, observed: float
) -> None:
    lines = [*write_people(3), "4,name 4,soon"]
    found = drop(lane, contract(sql_rule(query, threshold), invalid="50"), *lines)
    (rule,) = report_of(lane, found)["dataset_rules"]
    assert found.state == "loaded"
    assert (rule["metric"], rule["observed"], rule["passed"]) == ("sql", observed, True)


@pytest.mark.parametrize(("severity", "state"), [("error", "rejected"), ("warning", "loaded")])
def test_a_broken_sql_rule_acts_by_its_severity(
    lane: InlineLane, severity: str, state: str
) -> None:
    rule = sql_rule("SELECT COUNT(*) FROM ${object}", "mustBe: 7", severity=severity)
    found = drop(lane, contract(rule), *write_people(3))
    (told,) = report_of(lane, found)["dataset_rules"]
    assert (found.state, told["observed"], told["passed"]) == (state, 3, False)
    if state == "rejected":
        assert "'asked' is broken: sql of the file is 3 rows, expected exactly 7" in str(
            found.detail
        )


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELECT CAST(name AS INT64) FROM ${object}", "it was refused"),
        ("SELECT nothing FROM ${object}", "it was refused"),
        ("SELECT id FROM ${object}", "it must return one number, in one row"),
        ("SELECT MAX(name) FROM ${object}", "it must return one number"),
        ("SELECT SUM(id) FROM ${object} WHERE FALSE", "it must return one number"),
    ],
)
def test_a_sql_rule_without_an_answer_is_a_finding(
    lane: InlineLane, query: str, problem: str
) -> None:
    found = drop(lane, contract(sql_rule(query)), *write_people(3))
    (rule,) = report_of(lane, found)["dataset_rules"]
    assert (found.state, found.reason) == ("rejected", "quality")
    assert "The rule 'asked' cannot be checked: it" in str(found.detail)
    assert (rule["observed"], rule["passed"]) == (None, False)
    assert problem in rule["problem"]


def test_a_sql_rule_over_another_table_never_decides(lane: InlineLane) -> None:
    """What stands there depends on which files came before."""
    query = "SELECT COUNT(*) FROM ${object} JOIN curated.other USING (id)"
    found = drop(lane, contract(sql_rule(query)), *write_people(3))
    (rule,) = report_of(lane, found)["dataset_rules"]
    assert (found.state, rule["severity"], rule["passed"]) == ("loaded", "warning", False)
    assert "curated.other" in rule["problem"]


def test_sql_rules_are_asked_when_no_row_passes(lane: InlineLane) -> None:
    rule = sql_rule("SELECT COUNT(*) FROM ${object}", "mustBe: 0")
    found = drop(lane, contract(rule, invalid="100"), "1,name 1,soon")
    (told,) = report_of(lane, found)["dataset_rules"]
    assert (told["observed"], told["passed"]) == (0, True)


# --- Personal values -----------------------------------------------------------------------------

PLANTED = "ada lovelace of ockham"


@pytest.mark.parametrize("classified", ["internal", "personal"])
def test_a_personal_value_stands_nowhere_but_in_raw_and_quarantine(
    lane: InlineLane, classified: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It stands where every kind of fault could repeat it; as staged rows it is data, not told."""
    lines = [
        f"1,{PLANTED},1815-12-10,",
        f"2,{PLANTED},1815-12-10,",
        f"3,{PLANTED.upper()},1815-12-10,",
        f"4,{PLANTED} and much much much longer,1815-12-10,",
        f"5,name 5,{PLANTED},",
        f"6,name 6,1900-01-01,{PLANTED}",
        f"7,{PLANTED}",
        *(f"{n},name {n},1900-01-01," for n in range(10, 30)),
    ]
    rule = sql_rule("SELECT MAX(CAST(name AS INT64)) FROM ${object}", severity="warning")
    text = contract(rule, invalid="90", classified=classified)
    found = drop(lane, text, *lines, header="id,name,born,remarks")
    assert found.state == "loaded"
    told = dict(documents_of(lane, found))
    told["log"] = capfd.readouterr().err
    leaks = [name for name, each in told.items() if "ockham" in each.lower()]
    assert "quarantine" not in "".join(told)
    assert len(told) >= 5
    if classified == "personal":
        assert leaks == []
    else:
        assert any("quality" in name for name in leaks), "what is not classified is shown"


def documents_of(lane: InlineLane, ingestion: Ingestion) -> Iterator[tuple[str, str]]:
    """Every JSON document and event of an ingestion, but for the quarantine."""
    platform = lane.platform
    for bucket in BUCKETS:
        if bucket in ("raw", "quarantine"):
            continue
        for stored in platform.objects.list(bucket):
            if stored.ref.name.endswith(".json"):
                with platform.objects.open(stored.ref) as stream:
                    yield f"{bucket}/{stored.ref.name}", stream.read().decode()
    for stream_name in (f"ingestion/{ingestion.id}", "dataset/people"):
        events = [each.data for each in platform.log.read(stream_name)]
        yield stream_name, json.dumps(events, default=str, ensure_ascii=False)
        head = platform.log.head(stream_name)
        yield (
            f"{stream_name} projection",
            json.dumps(head.projection, default=str, ensure_ascii=False),
        )
