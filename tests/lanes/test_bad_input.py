"""Bad input gets a clear answer and loses nothing, on every lane.

A case is tests/cases/bad_input/<case>.json: what is sent under which name (`text`, or `made` by the
function of that name in bad_files), with which dialect, and what must come of it: the state, the
reason, what the supplier is told, the counts, and what the quarantine says of refused rows. All
files are sent together, as suppliers do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from emulators.user import StackUser
from tests.lanes.bad_files import MAKERS, write_rows
from tests.lanes.sales import sales_contract, write_sales

FOLDER = Path(__file__).parents[1] / "cases" / "bad_input"
CASES = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
COUNTS = ("read", "accepted", "quarantined", "duplicate")
REFUSED_SHOWN = 5
ALL_SECONDS = 400.0
"""How long the whole bundle of files may take on a busy machine."""


def publish(user: StackUser, text: str) -> None:
    user.post("contracts", {"text": text, "source": "a test"})


def contract_text(dataset: str, dialect: dict[str, Any]) -> str:
    """The contract of the cases for another dataset, with more custom properties."""
    contract = yaml.safe_load((FOLDER / "contract.odcs.yaml").read_text("utf-8"))
    [schema] = contract["schema"]
    schema["name"] = dataset
    schema["customProperties"] += [{"property": k, "value": v} for k, v in dialect.items()]
    return yaml.safe_dump(contract)


def dataset_of(name: str) -> str:
    return f"bad_input_{name}" if "dialect" in CASES[name] else "bad_input"


@pytest.fixture(scope="module")
def ingestions(user: StackUser) -> dict[str, str]:
    """The ingestion of each case's file, at its end."""
    publish(user, (FOLDER / "contract.odcs.yaml").read_text("utf-8"))
    files: list[tuple[str, bytes]] = []
    for name, case in CASES.items():
        if "dialect" in case:
            publish(user, contract_text(dataset_of(name), case["dialect"]))
        content = MAKERS[case["made"]]() if "made" in case else case["text"].encode()
        files.append((f"{dataset_of(name)}/{case['file']}", content))
    ids = [user.upload(*file) for file in files]
    user.await_ends(ids, ALL_SECONDS)
    return dict(zip(CASES, ids, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_told_what_to_do(
    user: StackUser, ingestions: dict[str, str], name: str
) -> None:
    case = CASES[name]
    answer = user.ingestion(ingestions[name])
    assert answer["object"] == f"{dataset_of(name)}/{case['file']}"
    found = {
        "state": answer["state"],
        "reason": answer["reason"],
        "detail": answer["detail"],
        **{each: answer[f"rows_{each}"] for each in COUNTS},
        "refused": refused_rows(user, ingestions[name]),
    }
    assert found == case["expected"], json.dumps(found, ensure_ascii=False, indent=1)
    assert found["read"] == found["accepted"] + found["quarantined"] + found["duplicate"]


def refused_rows(user: StackUser, ingestion: str) -> list[list[Any]]:
    """The first refused rows: record, and each failure's column, rule and message."""
    rows = user.get(f"ingestions/{ingestion}/quarantine", limit=REFUSED_SHOWN)["rows"]
    return [
        [row["record"], *([f["column"], f["rule"], f["message"]] for f in row["failures"])]
        for row in rows
    ]


def test_every_maker_has_its_case() -> None:
    assert sorted(case["made"] for case in CASES.values() if "made" in case) == sorted(MAKERS)


def test_a_contract_that_does_not_parse_is_refused_with_its_faults(user: StackUser) -> None:
    text = sales_contract("unparsed").replace("logicalType: date", "logicalType: dat")
    with pytest.raises(requests.HTTPError) as caught:
        publish(user, text)
    problem = caught.value.response.json()
    assert caught.value.response.status_code == 422
    assert "logicalType: is the text 'dat'; say " in json.dumps(problem, ensure_ascii=False)
    with pytest.raises(requests.HTTPError) as caught:
        publish(user, "schema: [\n  - name: x\n")
    assert caught.value.response.status_code == 422
    assert "line " in caught.value.response.text
    rejected = user.upload("unparsed/file.csv", write_sales([(1, "a", 1, "2026-01-01")]))
    [ended] = user.await_ends([rejected])
    assert (ended.state, ended.reason) == ("rejected", "no_contract")


def test_a_contract_that_changes_in_flight_changes_nothing_for_files_that_landed(
    user: StackUser,
) -> None:
    rows = write_sales([(n, f"n{n}", n, "2026-01-01") for n in range(1, 101)])
    publish(user, sales_contract("in_flight"))
    first = user.upload("in_flight/file.csv", rows)
    while user.look([first])[first] is None:
        user.stack.platform.log.head(f"ingestion/{first}")
    publish(user, sales_contract("in_flight", version="2.0.0", maximum="50"))
    user.await_ends([first])
    answer = user.ingestion(first)
    assert (answer["contract_version"], answer["rows_accepted"]) == ("1.0.0", 100)
    replay = user.replay(first)
    user.await_ends([replay])
    answer = user.ingestion(replay)
    assert (answer["contract_version"], answer["rows_accepted"]) == ("2.0.0", 50)
    assert answer["rows_quarantined"] == 50


def test_a_good_file_is_loaded_among_all_that(user: StackUser, ingestions: dict[str, str]) -> None:
    good = user.upload("bad_input/good.csv", write_rows(9001, 9050))
    [ended] = user.await_ends([good])
    assert (ended.state, ended.rows_accepted) == ("loaded", 50)


def test_refused_rows_of_a_workbook_name_their_sheet(
    user: StackUser, ingestions: dict[str, str]
) -> None:
    ingestion = ingestions["workbook_with_errors"]
    rows = user.get(f"ingestions/{ingestion}/quarantine")["rows"]
    assert {row["sheet"] for row in rows} == {"Data"}
    dialect = user.get(f"ingestions/{ingestion}/quality")["dialect"]
    assert (dialect["format"], dialect["sheet"], dialect["sniffed"]) == ("xlsx", "Data", [])


def test_the_report_says_what_was_sniffed_and_which_readings_fit(
    user: StackUser, ingestions: dict[str, str]
) -> None:
    report = user.get(f"ingestions/{ingestions['decimal_commas_undeclared']}/quality")
    assert report["dialect"]["delimiter"] == ";"
    assert report["dialect"]["sniffed"] == ["delimiter"]
    readings = {each["name"]: each["other_readings"] for each in report["columns"]}
    assert readings["price"][0] == "decimal comma"
    assert readings["sold"] == []


def test_the_report_says_what_to_do_about_malformed_rows(
    user: StackUser, ingestions: dict[str, str]
) -> None:
    report = user.get(f"ingestions/{ingestions['backslash_escapes']}/quality")
    [malformed] = [each for each in report["rules"] if each["rule"] == "malformed"]
    [remedy] = malformed["remedies"]
    assert remedy.startswith("It looks as if backslash was the escape character: declare `escape`")
