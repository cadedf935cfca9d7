"""The same cases on every lane: equal states, equal counts, equal digests.

What must come out stands in tests/cases/lanes/<test>.json, the same for all lanes: outcomes in the
order of the uploads, then the digests of the datasets by their endings. A digest is one of rows, so
it depends on no lane, no name and no time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from emulators.samples import read_sample
from emulators.samples.generate import generate_edge_telemetry, generate_parcels
from emulators.user import StackUser
from tests.lanes.sales import HEADER, sales_contract, write_sales

CASES = Path(__file__).parents[1] / "cases" / "lanes"
COUNTS = ("read", "accepted", "quarantined", "duplicate", "current", "superseded")

GOOD = write_sales([(i, f"n{i}", i * 7, "2026-01-01") for i in range(50)])
OLDER = write_sales([(i, f"older {i}", i, "2026-01-01") for i in range(30)])
NEWER = write_sales([(i, f"newer {i}", i * 10, "2026-02-01") for i in range(15, 45)])
UNDATED_A = write_sales([(1, "a", 1, ""), (2, "b", 2, "")])
UNDATED_B = write_sales([(1, "a", 100, ""), (2, "b", 200, "")])


class Case:
    """One test's datasets on a lane, and what came of the files put into them."""

    def __init__(self, user: StackUser, name: str) -> None:
        self.user = user
        self.name = name
        self.ids: list[str] = []

    def dataset(self, ending: str = "sales") -> str:
        return f"{self.name}__{ending}"

    def open(self, ending: str = "sales", **changes: str) -> None:
        """Publish a contract for a dataset of this test."""
        dataset = self.dataset(ending)
        text = sales_contract(dataset, **changes)
        self.user.post("contracts", {"text": text, "source": dataset})

    def drop(self, file: str, content: bytes, ending: str = "sales") -> str:
        """Upload a file and wait until its ingestion has ended; its id."""
        ingestion = self.user.upload(f"{self.dataset(ending)}/{file}", content)
        self.ids.append(ingestion)
        self.user.await_ends([ingestion])
        return ingestion

    def replay(self, ingestion: str) -> str:
        replay = self.user.replay(ingestion)
        self.ids.append(replay)
        self.user.await_ends([replay])
        return replay

    def retract(self, ingestion: str) -> None:
        self.user.retract(ingestion)
        self.user.await_ends([ingestion])

    def check(self, digests: Sequence[str] = ("sales",), in_order: bool = True) -> None:
        """Compare with the test's file."""
        outcomes = [self._outcome(each) for each in self.ids]
        found = {
            "outcomes": outcomes if in_order else sorted(outcomes, key=json.dumps),
            "digests": {each: self.digest(each) for each in digests},
        }
        assert found == json.loads((CASES / f"{self.name}.json").read_text()), json.dumps(found)

    def digest(self, ending: str = "sales") -> str:
        return self.user.digest(self.dataset(ending))

    def _outcome(self, ingestion: str) -> dict[str, Any]:
        answer = self.user.ingestion(ingestion)
        rows = {name: answer[f"rows_{name}"] for name in COUNTS}
        assert rows["read"] == rows["accepted"] + rows["quarantined"] + rows["duplicate"]
        if answer["state"] == "loaded":
            assert rows["accepted"] == rows["current"] + rows["superseded"]
        return {"state": answer["state"], "reason": answer["reason"], **rows}


@pytest.fixture
def case(user: StackUser, request: pytest.FixtureRequest) -> Case:
    return Case(user, request.function.__name__.removeprefix("test_"))


def test_good_file(case: Case) -> None:
    case.open()
    case.drop("good.csv", GOOD)
    case.check()


def test_same_file_again(case: Case) -> None:
    case.open()
    first = case.drop("good.csv", GOOD)
    case.drop("good.csv", GOOD)
    copy = case.drop("copy.csv", GOOD)
    assert case.user.ingestion(copy)["duplicate_of"] == first
    case.check()


def test_same_file_twice_at_once(case: Case) -> None:
    case.open()
    files = [(f"{case.dataset()}/{number}.csv", GOOD) for number in range(2)]
    case.ids = case.user.upload_together(files)
    case.user.await_ends(case.ids)
    case.check(in_order=False)


def test_one_percent_bad(case: Case) -> None:
    case.open()
    rows = [(i, f"n{i}", i, "2026-01-01") for i in range(198)]
    bad = b"1000,x,many,2026-01-01\n1001,,5,2026-02-30\n"
    ingestion = case.drop("bad.csv", write_sales(rows) + bad)
    refused = case.user.get(f"ingestions/{ingestion}/quarantine")["rows"]
    failures = [[(f["column"], f["rule"]) for f in row["failures"]] for row in refused]
    assert [row["record"] for row in refused] == [199, 200]
    assert failures[0] == [("amount", "logicalType")]
    assert sorted(failures[1]) == [("changed", "logicalType"), ("name", "required")]
    case.check()


def test_a_key_that_is_too_long_is_refused_alone(case: Case) -> None:
    """2,048 bytes that no index can pack are held by every warehouse, one more by none."""
    text = sales_contract(case.dataset())
    name = "      - name: name\n        logicalType: string\n        required: true\n"
    assert name in text
    keyed = f"{name}        primaryKey: true\n        primaryKeyPosition: 2\n"
    contract = {"text": text.replace(name, keyed), "source": "a test"}
    case.user.post("contracts", contract)
    longest = random.Random(1).randbytes(1_024).hex()
    rows = [(1, longest, 1, ""), (2, f"{longest}x", 2, ""), (3, "short", 3, "")]
    ingestion = case.drop("keys.csv", write_sales(rows))
    [refused] = case.user.get(f"ingestions/{ingestion}/quarantine")["rows"]
    [failure] = refused["failures"]
    assert (refused["record"], failure["rule"]) == (2, "primaryKey")
    assert "has 2,049 bytes of text, more than the 2,048" in failure["message"]
    case.check()


def test_missing_required_column(case: Case) -> None:
    case.open()
    case.drop("good.csv", GOOD)
    rejected = case.drop("no_name.csv", b"id,amount,changed\n100,1,2026-01-01\n")
    assert "'name'" in case.user.ingestion(rejected)["detail"]
    case.check()


def test_added_column(case: Case) -> None:
    grown = HEADER.replace(b"\n", b",region\n") + b"1,a,1,2026-01-01,north\n2,b,2,2026-01-01,\n"
    for mode in ("discard_value", "evolve"):
        case.open(mode, added=mode)
        case.drop("before.csv", UNDATED_B, mode)
        case.drop("grown.csv", grown, mode)
    evolved = case.user.get(f"datasets/{case.dataset('evolve')}")["evolved"]
    assert evolved == ["region"]
    assert case.user.get(f"datasets/{case.dataset('discard_value')}")["evolved"] == []
    case.check(["discard_value", "evolve"])


def test_a_column_that_grows(case: Case) -> None:
    case.open(retyped="evolve")
    case.drop("before.csv", UNDATED_B)
    case.drop("decimals.csv", HEADER + b"3,c,1.5,2026-01-01\n4,d,2.25,2026-01-02\n")
    case.drop("words.csv", HEADER + b"5,e,many,2026-01-03\n")
    found = case.user.verify(case.dataset())
    assert found["equal"]
    case.check()


def test_a_drafted_contract_is_accepted(case: Case) -> None:
    waiting = case.drop("file.csv", GOOD)
    proposal = case.user.ingestion(waiting)["proposal"]
    accepted = case.user.post(f"proposals/{proposal}/accept", {})
    replay = accepted["replays"][waiting]
    case.ids.append(replay)
    case.user.await_ends([replay])
    again = case.user.post(f"proposals/{proposal}/accept", {})
    assert again["replays"] == accepted["replays"]
    case.check()


def test_newer_and_older_in_both_orders(case: Case) -> None:
    for ending, files in (("up", (OLDER, NEWER)), ("down", (NEWER, OLDER))):
        case.open(ending)
        for number, content in enumerate(files):
            case.drop(f"{number}.csv", content, ending)
    assert case.digest("up") == case.digest("down")
    case.check(["up", "down"])


def test_sql_rules_judge_the_rows_that_pass(case: Case) -> None:
    """In BigQuery's SQL, whatever the warehouse: of the file alone, refused rows left out."""
    no_larger_sum = "SELECT SUM(amount) FROM ${object}"
    one_name_a_day = (
        "SELECT MAX(n) FROM (SELECT COUNT(DISTINCT name) AS n FROM ${object} "
        "WHERE changed >= DATE '2026-01-01' GROUP BY DATE_TRUNC(changed, MONTH))"
    )
    case.open(
        quality=f'{{type: sql, query: "{no_larger_sum}", mustBeLessOrEqualTo: 10}}, '
        f'{{type: sql, query: "{one_name_a_day}", mustBe: 2, severity: warning}}'
    )
    case.drop("passes.csv", write_sales([(1, "a", 4, "2026-01-01"), (2, "b", 6, "2026-01-31")]))
    case.drop("fails.csv", write_sales([(3, "a", 4, "2026-01-01"), (4, "b", 7, "2026-01-31")]))
    refused = HEADER + b"5,a,4,2026-01-01\n6,,900,2026-01-01\n"
    case.drop("passes_with_a_refused_row.csv", refused)
    observed = [
        [
            (rule["observed"], rule["passed"], rule["severity"])
            for rule in case.user.get(f"ingestions/{each}/quality")["dataset_rules"]
        ]
        for each in case.ids
    ]
    assert observed == [
        [(10, True, "error"), (2, True, "warning")],
        [(11, False, "error"), (2, True, "warning")],
        [(4, True, "error"), (1, False, "warning")],
    ]
    case.check()


def test_unknown_dataset(case: Case) -> None:
    rejected = case.drop("file.csv", GOOD)
    assert case.user.ingestion(rejected)["dataset"] is None
    case.check(digests=[])


def test_unreadable(case: Case) -> None:
    case.open()
    case.drop("archive.csv", b"PK\x03\x04\x00\xff\xfe" + bytes(range(256)) * 8)
    case.drop("empty.csv", b"")
    case.drop("good.csv", GOOD)
    case.check()


def test_replay(case: Case) -> None:
    case.open()
    first = case.drop("good.csv", GOOD)
    before = case.digest()
    replay = case.replay(first)
    assert case.digest() == before
    assert case.user.ingestion(first)["replaced_by"] == replay
    assert case.user.ingestion(replay)["replay_of"] == first
    case.check()


def test_a_then_b_then_a_ends_as_a(case: Case) -> None:
    case.open()
    for content in (UNDATED_A, UNDATED_B, UNDATED_A):
        case.drop("same.csv", content)
    case.open("only")
    case.drop("same.csv", UNDATED_A, "only")
    assert case.digest() == case.digest("only")
    case.check(["sales", "only"])


def test_retract(case: Case) -> None:
    case.open()
    case.open("never")
    case.drop("older.csv", OLDER)
    unwanted = case.drop("newer.csv", NEWER)
    case.retract(unwanted)
    case.drop("older.csv", OLDER, "never")
    assert case.digest() == case.digest("never")
    case.check(["sales", "never"])


def test_replay_under_a_changed_contract(case: Case) -> None:
    case.open()
    dropped = [case.drop(f"{i}.csv", content) for i, content in enumerate((OLDER, NEWER))]
    case.open(version="2.0.0", maximum="350")
    for ingestion in dropped:
        case.replay(ingestion)
    case.open("strict", version="2.0.0", maximum="350")
    for i, content in enumerate((OLDER, NEWER)):
        case.drop(f"{i}.csv", content, "strict")
    assert case.digest() == case.digest("strict")
    case.check(["sales", "strict"])


def test_verify_finds_the_table_that_it_rebuilds(case: Case) -> None:
    case.open()
    case.drop("older.csv", OLDER)
    case.drop("newer.csv", NEWER)
    case.replay(case.ids[0])
    found = case.user.verify(case.dataset())
    assert found["equal"]
    assert found["rows"] == found["rebuilt_rows"] == 45
    case.check()


SAMPLES = {
    "planes": read_sample("planes"),
    "airports": read_sample("airports"),
    "weather": read_sample("weather"),
    "parcels": b"".join(generate_parcels(500, seed=7)),
    "edge_telemetry": b"".join(generate_edge_telemetry(1_000, seed=7)),
}


def test_samples_and_their_marts(user: StackUser) -> None:
    """Every type that a contract knows, through the repository's own contracts."""
    ids = [user.upload(f"{name}/sample.csv", content) for name, content in SAMPLES.items()]
    assert {each.state for each in user.await_ends(ids)} == {"loaded"}
    user.await_marts()
    listed = user.get("marts")["marts"]
    marts = [each["name"] for each in listed]
    built = [each for each in listed if each["state"] == "built"]
    assert [each["finding"] for each in built] == [None] * len(built)
    assert all(each["quality_uri"] for each in built), "each has a contract of its own"
    found = {
        "digests": {name: user.digest(name) for name in SAMPLES},
        "marts": {name: user.get(f"marts/{name}")["rows"] for name in marts},
    }
    expected = json.loads((CASES / "samples_and_their_marts.json").read_text())
    assert found == expected, json.dumps(found)
