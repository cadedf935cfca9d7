"""Every keyword that decides about more than a cell: a file that passes, and one that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventpulse.ingestions.ingestion import Document
from eventpulse.odcs.custom import FIELD_PROPERTIES, SCHEMA_PROPERTIES
from eventpulse.pipeline.registry import publish_contract
from eventpulse.pipeline.validate import read_refused
from tests.inline import InlineLane, inline_lane
from tests.keyword_cases import DATASET, FileCase, read_file_cases

CASES = {case.keyword: case for case in read_file_cases()}
TESTS = Path(__file__).parents[1]
ELSEWHERE = {
    "format": "unit/odcs/test_dialect_reference.py",
    "encoding": "unit/odcs/test_dialect_reference.py",
    "sheet": "unit/odcs/test_dialect_reference.py",
    "orderingColumn": "lanes/test_lane_cases.py",
    "bundling": "functions/test_bundles.py",
    "alerts": "functions/test_device_alerts.py",
    "alert": "functions/test_device_alerts.py",
}
"""Custom properties whose effect takes more than one file of text, and the tests that show it."""


def drop(lane: InlineLane, name: str, text: str) -> set[str]:
    """What is wrong with the file: why it was rejected, else the rules that refused rows."""
    ended = lane.drop(name, text.encode())
    if ended.reason is not None:
        return {ended.reason}
    assert ended.state == "loaded", ended.detail
    if not isinstance(ended.quarantine, Document):
        return set()
    refused = read_refused(lane.platform, ended.quarantine)
    return {failure["rule"] for row in refused for failure in row["failures"]}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_file_passes_and_a_file_fails(tmp_path: Path, postgres_url: str, case: FileCase) -> None:
    with inline_lane(tmp_path, postgres_url) as lane:
        publish_contract(lane.platform, case.contract, DATASET)
        assert drop(lane, *case.passes) == set()
        assert drop(lane, *case.fails) == {case.fails_as}


def test_every_custom_property_has_a_case() -> None:
    known = {*SCHEMA_PROPERTIES, *FIELD_PROPERTIES}
    assert known - set(CASES) == set(ELSEWHERE)
    assert set(CASES) - known == {"sql", "sql of a property"}
    assert all((TESTS / path).is_file() for path in ELSEWHERE.values())
