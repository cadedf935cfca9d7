"""The command line against a real API: looking, deciding, and which stack it talks to."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eventpulse.cli.parser import main, make_parser
from eventpulse.client import Client
from eventpulse.errors import BackendUnavailable, LoadRejected
from eventpulse.platform import Platform
from eventpulse.ports import DatasetTable
from tests.cli.stack import QUIET, LocalStack, RunCommand
from tests.functions.harness import order, orders_contract, orders_file
from tests.web_server import serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

README = (Path(__file__).parents[2] / "README.md").read_text()


def squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text)


# --- Looking -------------------------------------------------------------------------------------


def test_ingestions_are_listed(stack: LocalStack, run: RunCommand, loaded: dict[str, Any]) -> None:
    ran = run("ingestions")

    assert ran.status == 0
    assert re.search(rf"{loaded['id'][:8]} +orders/a.csv +orders +loaded +4 +3 +1 +3", ran.out), (
        ran.out
    )
    assert "No ingestions." in run("ingestions", "--state", "failed").out


def test_json_is_what_the_api_says_and_nothing_else(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    client = Client(stack.url)
    ingestion_id = loaded["id"]

    assert run("ingestions", "--dataset", "orders", "--json").json == client.list_ingestions()
    assert run("show", ingestion_id, "--json").json == client.get_ingestion(ingestion_id)
    assert run("quarantine", ingestion_id, "--json").json == client.get_quarantine(ingestion_id)
    assert run("datasets", "--json").json == client.list_datasets()
    assert run("contract", "show", "orders", "--json").json == client.get_contract("orders")
    verified = run("verify", "orders", "--json").json
    assert verified == client.get(f"/api/verifications/{verified['id']}")


def test_the_list_goes_on_where_it_ended(stack: LocalStack, run: RunCommand) -> None:
    files = [stack.file(f"{n}.csv", orders_file(order(n))) for n in range(3)]
    run("ingest", *files, "--dataset", "orders")

    first = run("ingestions", "--limit", "2")
    cursor = first.out.split("--cursor ")[1].strip()
    second = run("ingestions", "--limit", "2", "--cursor", cursor)

    assert first.out.count("orders/") == 2
    assert second.out.count("orders/") == 1


def test_show_tells_the_whole_story(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    ran = run("show", loaded["id"][:10])

    assert ran.status == 0
    told = squeeze(ran.out)
    assert "✓ orders/a.csv: loaded" in told
    assert f"quality_uri {loaded['quality_uri']}" in told
    assert "validated 4 read, 3 accepted, 1 quarantined, 0 duplicate" in told
    assert "step.started load" not in told
    assert "2 amount -1 amount='-1' is less than the minimum 0." in told


def test_an_id_is_found_by_its_beginning(stack: LocalStack, run: RunCommand) -> None:
    files = [stack.file(f"{n}.csv", orders_file(order(n))) for n in range(17)]
    ran = run("ingest", *files, "--dataset", "orders", "--json")
    ids = [each["id"] for each in ran.json["ingestions"]]
    first_letters = [each[0] for each in ids]
    shared = next(letter for letter in first_letters if first_letters.count(letter) > 1)

    assert run("show", ids[0][:20].upper(), "--json").json["id"] == ids[0]
    ambiguous, unknown, wrong = run("show", shared), run("show", "f" * 20), run("show", "what?")

    assert {ambiguous.status, unknown.status, wrong.status} == {1}
    assert f"More than one id begins with '{shared}'" in ambiguous.err
    assert "No ingestion's id begins with" in unknown.err
    assert "'what?' is no ingestion's id" in wrong.err


def test_the_quarantine_is_printed_and_exported(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    printed = run("quarantine", loaded["id"][:8])
    exported = run("quarantine", loaded["id"][:8], "--csv")

    assert "amount='-1' is less than the minimum 0." in printed.out
    header, line = exported.out.splitlines()
    assert header == "object,sheet,record,column,rule,value,message,row"
    assert line.startswith("orders/a.csv,,2,amount,minimum,-1,")


def test_an_empty_quarantine_says_so(stack: LocalStack, run: RunCommand) -> None:
    ran = run("ingest", stack.file("a.csv", orders_file(order(1))), "--dataset", "orders", "--json")

    assert "No rows were refused." in run("quarantine", ran.json["ingestions"][0]["id"]).out


def test_datasets_are_listed(stack: LocalStack, run: RunCommand, loaded: dict[str, Any]) -> None:
    assert re.search(r"orders +1\.0\.0 +3 +1 +20", run("datasets").out)


# --- Deciding ------------------------------------------------------------------------------------


def test_a_replay_is_waited_for(stack: LocalStack, run: RunCommand, loaded: dict[str, Any]) -> None:
    stack.cloud.publish(orders_contract("2.0.0", minimum=-1))

    ran = run("replay", loaded["id"][:8], "--wait", "--json")

    assert ran.status == 0
    assert (ran.json["replay_of"], ran.json["state"]) == (loaded["id"], "loaded")
    assert ran.json["rows_current"] == 4


def test_a_replay_that_is_rejected_exits_1(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    stack.cloud.publish(orders_contract("2.0.0", minimum=1000))

    ran = run("replay", loaded["id"], "--wait")

    assert ran.status == 1
    assert "rejected (quality)" in ran.out


def test_the_same_key_names_the_same_replay(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    first, again = (run("replay", loaded["id"], "--key", "k", "--json") for _ in range(2))

    assert first.json["id"] == again.json["id"]


def test_a_retracted_ingestion_leaves_no_rows(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    ran = run("retract", loaded["id"], "--wait", "--json")

    assert ran.status == 0
    assert (ran.json["state"], ran.json["rows_current"]) == ("retracted", 0)


def test_what_cannot_be_done_says_why_and_names_the_request(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    run("retract", loaded["id"], "--wait")

    ran = run("replay", loaded["id"])

    assert ran.status == 1
    assert "✗ This ingestion cannot be replayed now" in ran.err
    assert "It is retracted" in ran.err
    assert "request id: " in ran.err
    as_json = run("replay", loaded["id"], "--json")
    assert (as_json.json["code"], as_json.json["status"]) == ("not_replayable", 409)
    assert as_json.err == ""


def test_verify_tells_a_table_that_differs(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    from eventpulse.odcs import read_contract

    assert (
        "✓ orders: the table is what its raw objects make it (3 rows)"
        in run("verify", "orders").out
    )
    table = read_contract(orders_contract(), "orders").table()
    stack.cloud.platform.warehouse.publish(table, [], [loaded["id"]], fence=1_000)

    ran = run("verify", "orders")

    assert ran.status == 1
    assert "the table is NOT what its raw objects make it" in ran.out
    assert squeeze(f"{loaded['id']} 0 3") in squeeze(ran.out)


def test_a_verification_that_is_not_done_in_time_goes_on_and_is_looked_at_later(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    with stack.held():
        late = run("verify", "orders", "--timeout", "0")
    assert late.status == 1
    [asked] = run("dataset", "verifications", "--json").json["verifications"]
    assert f"follow it: eventpulse dataset verification {asked['id']}" in late.out
    stack.rest()
    assert "equal: yes" in run("dataset", "verification", asked["id"]).out
    listed = run("dataset", "verifications", "--state", "done")
    assert re.search(r"orders +done +yes +3 +3", listed.out)


def test_a_verification_that_failed_says_why(
    stack: LocalStack,
    run: RunCommand,
    loaded: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(table: DatasetTable, _sources: object, job_id: str) -> None:
        raise LoadRejected(table.dataset, job_id, "no room")

    monkeypatch.setattr(stack.cloud.platform.warehouse, "load_rows", refuse)
    ran = run("verify", "orders")
    assert ran.status == 1
    assert "✗ orders: the verification failed" in ran.out
    assert "no room" in ran.out


# --- Contracts and marts -------------------------------------------------------------------------


def test_lint_names_every_problem_and_needs_no_stack(
    tmp_path: Path, run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTPULSE_URL", "http://127.0.0.1:1")
    (tmp_path / "good.odcs.yaml").write_text(orders_contract())
    bad = orders_contract().replace("integer", "intger").replace("orderingColumn", "ordring")
    (tmp_path / "bad.odcs.yaml").write_text(bad)

    both = run("contract", "lint", str(tmp_path))
    good = run("contract", "lint", str(tmp_path / "good.odcs.yaml"), "--json")

    assert both.status == 1
    assert f"✗ {tmp_path / 'bad.odcs.yaml'}" in both.out
    assert f"✓ {tmp_path / 'good.odcs.yaml'}" in both.out
    assert both.out.count("  - ") == 2
    assert (good.status, good.json[0]["problems"]) == (0, [])


def test_contracts_are_published_and_shown(
    stack: LocalStack, run: RunCommand, tmp_path: Path
) -> None:
    folder = tmp_path / "contracts"
    folder.mkdir()
    (folder / "orders.odcs.yaml").write_text(orders_contract("1.1.0"))
    (folder / "bad.odcs.yaml").write_text("kind: Nonsense")

    first = run("contract", "publish", str(folder))
    again = run("contract", "publish", str(folder / "orders.odcs.yaml"))

    assert first.status == 1
    assert "✓ orders 1.1.0 published" in first.out
    assert "✗ bad.odcs.yaml" in first.out
    assert again.status == 0
    assert "was published before" in again.out
    assert run("contract", "show", "orders").out == orders_contract("1.1.0")
    assert run("contract", "show", "orders", "--version", "1.0.0").out == orders_contract()


def test_marts_are_published(stack: LocalStack, run: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "totals.sql").write_text("SELECT SUM(amount) AS total FROM curated.orders\n")
    (tmp_path / "bad.sql").write_text("DROP TABLE x")

    ran = run("mart", "publish", str(tmp_path / "totals.sql"), str(tmp_path / "bad.sql"))

    assert ran.status == 1
    assert "✓ the mart totals published" in ran.out
    assert "✗ marts/bad.sql" in ran.out
    assert run("mart", "publish", str(tmp_path / "totals.sql"), "--json").json == [
        {"name": "totals", "changed": False}
    ]


def test_a_folder_without_contracts_is_wrong_usage(run: RunCommand, tmp_path: Path) -> None:
    assert run("contract", "lint", str(tmp_path)).status == 2
    assert run("contract", "lint", str(tmp_path / "nowhere")).status == 2


# --- Which stack ---------------------------------------------------------------------------------


def test_a_stack_that_is_not_there_exits_3(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTPULSE_URL", "http://127.0.0.1:1")

    ran = run("ingestions")

    assert ran.status == 3
    assert "EventPulse cannot be reached" in ran.err
    assert "Connection refused" in ran.err
    assert "eventpulse up" in ran.err
    assert run("datasets", "--json").json["code"] == "backend_unavailable"


def test_something_else_on_the_port_exits_3(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hello(_: object, respond: StartResponse) -> list[bytes]:
        respond("404 Not Found", [("Content-Type", "text/html")])
        return [b"<h1>Hello</h1>"]

    with serve(hello) as url:
        monkeypatch.setenv("EVENTPULSE_URL", url)
        ran = run("ingestions")

    assert ran.status == 3
    assert "is not EventPulse" in ran.err


def announce(home: Path, url: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "stack.json").write_text(json.dumps({"url": url, "token": "hush"}))


def authorizations(stack: LocalStack) -> set[str]:
    return {each.get("HTTP_AUTHORIZATION", "") for each in stack.requests}


def test_the_stack_of_this_home_is_found_with_its_token(
    stack: LocalStack, run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVENTPULSE_URL")
    stack.cloud.platform.settings = replace(QUIET, api_token="hush")
    announce(stack.folder / ".eventpulse", stack.url)

    assert run("datasets").status == 0

    assert authorizations(stack) == {"Bearer hush"}


def test_the_home_may_be_elsewhere(
    stack: LocalStack, run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVENTPULSE_URL")
    monkeypatch.setenv("EVENTPULSE_HOME", str(stack.folder / "elsewhere"))
    announce(stack.folder / "elsewhere", stack.url)

    assert run("datasets").status == 0


def test_the_token_of_a_home_goes_to_no_other_stack(stack: LocalStack, run: RunCommand) -> None:
    announce(stack.folder / ".eventpulse", "http://127.0.0.1:1")

    assert run("datasets").status == 0

    assert authorizations(stack) == {""}


def test_the_token_does_not_go_to_the_object_store(
    stack: LocalStack, run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTPULSE_API_TOKEN", "hush")

    run("ingest", stack.file("a.csv", orders_file(order(1))), "--dataset", "orders")

    sent = [each for each in stack.requests if each["REQUEST_METHOD"] == "PUT"]
    assert [each.get("HTTP_AUTHORIZATION", "") for each in sent] == [""]


def test_a_missing_token_says_where_to_find_it(stack: LocalStack, run: RunCommand) -> None:
    stack.cloud.platform.settings = replace(QUIET, api_token="hush")

    ran = run("datasets")

    assert ran.status == 3
    assert "✗ Not authenticated" in ran.err
    assert "EVENTPULSE_API_TOKEN" in ran.err


def test_a_client_tells_an_outage_from_a_refusal(stack: LocalStack, platform_away: None) -> None:
    with pytest.raises(BackendUnavailable, match="connection lost"):
        Client(stack.url).list_datasets()


@pytest.fixture
def platform_away(stack: LocalStack) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            raise BackendUnavailable("Postgres", "read", "connection lost", retry_after=0.1)

    platform: Platform = stack.cloud.platform
    platform.__dict__["log"] = Away()


# --- Help ----------------------------------------------------------------------------------------


def list_commands(parser: argparse.ArgumentParser, *words: str) -> Iterator[list[str]]:
    """Every command that the parser knows, from the parser itself."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield list(words)
    for group in groups:
        for name, sub in group.choices.items():
            yield from list_commands(sub, *words, name)


COMMANDS = list(list_commands(make_parser()))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*command, "--help"])

    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: eventpulse {' '.join(command)}")
    assert "--json" in text or command == ["up"]


def test_the_readme_names_every_command() -> None:
    table = re.findall(r"^\| (`eventpulse .+?) \|", README, re.MULTILINE)
    named = {word for row in table for word in re.findall(r"`(?:eventpulse )?([a-z -]+)", row)}

    for command in COMMANDS:
        words = " ".join(command)
        assert any(n.strip() in (words, command[-1]) for n in named), words


def test_no_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([])

    assert exit_.value.code == 2
