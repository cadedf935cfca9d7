"""Every ODCS keyword that is enforced: a file that passes and files that fail, in v3.1 and v3.2."""

from __future__ import annotations

import pytest

from eventpulse.contracts.contract import Contract, Metric, Threshold
from eventpulse.ingestions.quality import evaluate_rules
from eventpulse.odcs import read_contract
from eventpulse.odcs.patterns import STRING_FORMATS
from eventpulse.odcs.vocabulary import LOGICAL_TYPES, TYPE_OPTIONS
from tests.keyword_cases import KeywordCase, Rows, read_cases
from tests.unit.rows.row_checks import check

CASES = list(read_cases())


def judge(contract: Contract, case: KeywordCase, rows: Rows) -> set[str]:
    """What the rows break: rules of rows, or `quality`."""
    found = check(contract, [[cell or None for cell in row] for row in rows], header=case.header)
    results = evaluate_rules(contract, found.balance, found.checker.count_metrics())
    broken = {rule for _, rule, _ in found.messages}
    return broken | ({"quality"} if any(not each.passed for each in results) else set())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_passes_and_files_fail(case: KeywordCase) -> None:
    contract = read_contract(case.contract(), case.name)
    assert judge(contract, case, case.passes) == set()
    for rows in case.fails:
        assert judge(contract, case, rows) == {case.rule}, rows


def test_every_keyword_has_a_case() -> None:
    keywords = " ".join(case.keyword for case in CASES).split()
    options = {option for known in TYPE_OPTIONS.values() for option in known}
    wanted = {
        *LOGICAL_TYPES,
        *options,
        *STRING_FORMATS,
        *Metric.__args__,  # type: ignore[attr-defined]
        *Threshold.__args__,  # type: ignore[attr-defined]
        *("required", "unique", "primaryKey", "primaryKeyPosition", "physicalName", "percent"),
    }
    wanted -= {"rowCount"}  # every threshold's case is one of it
    assert wanted <= set(keywords), wanted - set(keywords)
