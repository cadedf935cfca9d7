"""Proposals and comparisons on the command line, against a real API."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.stack import LocalStack, RunCommand
from tests.functions.harness import HEADER, order, orders_contract, orders_file


@pytest.fixture
def proposal(stack: LocalStack, run: RunCommand) -> str:
    """A file of no contract, which waits for the draft that it left."""
    run("ingest", stack.file("a.csv", b"id,town\n1,Kiel\n2,Bonn\n"), "--as", "shops/a.csv")
    stack.rest()
    [found] = run("proposals", "--json").json["proposals"]
    return str(found["id"])


def test_a_draft_is_seen_accepted_and_written_for_the_repository(
    stack: LocalStack, run: RunCommand, proposal: str, tmp_path: Path
) -> None:
    listed = run("proposals")
    assert proposal[:8] in listed.out
    assert "a contract for 'shops': 2 columns from 2 rows" in listed.out
    shown = run("proposals", proposal[:8])
    assert "accepting it registers 1.0.0:" in shown.out
    assert "+- name: shops" in shown.out
    accepted = run("accept", proposal[:8], "--wait", "--into", str(tmp_path))
    assert accepted.status == 0, accepted.err
    assert "✓ shops 1.0.0 is registered" in accepted.out
    assert "✓ shops/a.csv: loaded" in accepted.out
    written = tmp_path / "shops.odcs.yaml"
    assert run("contract", "lint", str(written)).status == 0
    assert run("contract", "publish", str(written)).status == 0
    assert "No proposals." in run("proposals").out
    assert proposal[:8] in run("proposals", "--all").out


def test_accepting_replays_more_than_one_call_does(
    stack: LocalStack, run: RunCommand, proposal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventpulse.drift.proposals.MOST_WAITING", 1)
    monkeypatch.setattr("eventpulse.pipeline.proposals.MOST_REPLAYS", 1)
    for name in ("b", "c"):
        text = f"id,town\n{ord(name)},Ulm\n{ord(name)}1,Jena\n".encode()
        run("ingest", stack.file(f"{name}.csv", text), "--as", f"shops/{name}.csv")
    stack.rest()
    assert "3 wait for it" in run("proposals", proposal[:8]).out
    accepted = run("accept", proposal[:8], "--json").json
    assert (len(accepted["replays"]), accepted["remaining"]) == (3, 0)


def test_a_rejected_proposal_is_closed(run: RunCommand, proposal: str) -> None:
    assert run("reject", proposal[:8]).out.strip() == f"{proposal}: rejected"
    refused = run("accept", proposal[:8])
    assert refused.status == 1
    assert "The proposal was rejected" in refused.err
    unknown = run("accept", "0000")
    assert (unknown.status, "No proposal's id begins with" in unknown.err) == (1, True)


def test_an_edited_contract_is_accepted_in_the_proposals_place(
    stack: LocalStack, run: RunCommand
) -> None:
    stack.cloud.publish(orders_contract("1.1.0", added="freeze"))
    grown = orders_file(f"{order(1)},blue", header=f"{HEADER},Colour")
    run("ingest", stack.file("g.csv", grown), "--dataset", "orders")
    stack.rest()
    [found] = run("proposals", "--json").json["proposals"]
    text = run("contract", "show", "orders").out.replace("1.1.0", "2.0.0")
    text += "      - name: paint\n        physicalName: Colour\n        logicalType: string\n"
    edited = stack.file("edited.odcs.yaml", text.encode())
    ran = run("accept", found["id"], "--contract", edited, "--wait", "--json")
    assert ran.status == 0, ran.err
    assert ran.json["version"] == "2.0.0"
    assert [each["state"] for each in ran.json["ingestions"]] == ["loaded"]


def test_two_files_are_compared_without_a_stack(
    run: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTPULSE_URL", "http://127.0.0.1:1")
    old, new = tmp_path / "old.odcs.yaml", tmp_path / "new.odcs.yaml"
    old.write_text(orders_contract())
    new.write_text(orders_contract("1.0.1", minimum=-5))
    ran = run("contract", "diff", str(old), str(new))
    assert ran.status == 1
    assert "Compatibility: BACKWARD" in ran.out
    assert "A minor change needs 1.1.0 or higher." in ran.out
    new.write_text(orders_contract("1.1.0", minimum=-5))
    ran = run("contract", "diff", str(old), str(new))
    assert (ran.status, "1.1.0 is step enough for a minor change." in ran.out) == (0, True)
    assert "Nothing differs." in run("contract", "diff", str(old), str(old)).out
    missing = run("contract", "diff", "no/such.yaml", str(new))
    assert (missing.status, "there is no file no/such.yaml" in missing.err) == (2, True)


def test_a_published_version_is_compared_with_all_before(
    stack: LocalStack, run: RunCommand, tmp_path: Path
) -> None:
    stack.cloud.publish(orders_contract("2.0.0", minimum=5))
    new = tmp_path / "new.odcs.yaml"
    new.write_text(orders_contract("2.1.0", minimum=3))
    ran = run("contract", "diff", "orders", str(new), "--json")
    assert (ran.json["mode"], ran.json["transitive"]) == ("BACKWARD", "NONE")
    between = run("contract", "diff", "orders@1.0.0", "orders@2.0.0", "--json")
    assert (between.json["mode"], between.json["bump"]) == ("FORWARD", "major")
