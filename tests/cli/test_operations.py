"""What operators do from a shell: backfills, recovery, failures, trends, audit, lineage."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

import eventpulse
from eventpulse.api.endpoints import Endpoint
from eventpulse.api.routes import ENDPOINTS
from eventpulse.pipeline import tasks
from tests.cli.stack import LocalStack, RunCommand
from tests.functions.answers import TOTALS
from tests.functions.harness import orders_contract

PACKAGE = Path(eventpulse.__file__).parent
MODULES = (
    "client.py",
    "cli/plain.py",
    "cli/backfills.py",
    "cli/contracts.py",
    "cli/devices.py",
)


# --- Backfills -----------------------------------------------------------------------------------


def test_a_backfill_is_planned_looked_at_and_run(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "WAIT_SECONDS", 1)
    stack.cloud.publish(orders_contract("2.0.0", minimum=-5))

    planned = run("backfill", "plan", "orders", "--wait", "--json")
    told = run("backfill", "show", planned.json["id"][:8])
    done = run("backfill", "start", planned.json["id"][:8], "--wait", "--json")

    assert (planned.status, planned.json["state"], planned.json["items"]) == (0, "planned", 1)
    assert "1 of 1 files would end otherwise: rows accepted 3 → 4, refused 1 → 0" in told.out
    assert f"run it: eventpulse backfill start {planned.json['id'][:8]} --wait" in told.out
    assert (done.status, done.json["state"]) == (0, "done")
    assert done.json["outcomes"] == {"loaded": 1}
    listed = run("backfill", "list")
    assert "orders" in listed.out
    items = run("backfill", "items", planned.json["id"], "--json")
    assert items.json["items"][0]["ingestion"] == loaded["id"]
    again = run("backfill", "cancel", planned.json["id"])
    assert again.status == 1
    assert "cannot cancel now" in again.err


def test_a_backfill_that_there_is_not_is_wrong_usage(stack: LocalStack, run: RunCommand) -> None:
    ran = run("backfill", "start", "5b1e")
    assert ran.status == 2
    assert "No backfill's id begins with '5b1e'" in ran.err


# --- Recovery ------------------------------------------------------------------------------------


def test_refused_rows_go_out_as_a_workbook_and_come_back_mended(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "refused.xlsx"
    exported = run("quarantine", loaded["id"][:8], "--xlsx", str(file))
    book = load_workbook(file)
    book["refused rows"]["E2"] = "1"
    book.save(file)

    recovered = run("recover", loaded["id"][:8], str(file))

    assert exported.status == 0
    assert f"eventpulse recover {loaded['id'][:8]}" in exported.out
    assert recovered.status == 0, recovered.err
    assert "loaded" in recovered.out
    assert run("recover", loaded["id"][:8], str(file)).status == 0, "twice changes nothing"


def test_mended_rows_may_be_json(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    good = stack.file("rows.json", b'[{"record": 2, "row": {"amount": "3"}}]')
    bad = stack.file("bad.json", b"{")

    assert run("recover", loaded["id"], good, "--json").json["outcome"]["state"] == "loaded"
    assert run("recover", loaded["id"], bad).status == 2


# --- Failures and overviews ----------------------------------------------------------------------


def test_what_failed_for_one_cause_is_replayed_at_once(stack: LocalStack, run: RunCommand) -> None:
    for name in ("a", "b"):
        file = stack.file(f"{name}.csv", f"order_id,amount\n{name},1\n".encode())
        assert run("ingest", file, "--dataset", "orders").status == 1

    failures = run("failures")
    replayed = run("replay-failures", "--reason", "drift", "--json")

    assert re.search(r"2 +rejected +drift +orders", failures.out)
    assert (replayed.status, len(replayed.json["replays"])) == (0, 2)
    assert run("counts", "--json").json["states"]["rejected"] >= 2


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["trends"], r"day .*rows_read"),
        (["trends", "--by-dataset", "--dataset", "orders"], "orders"),
        (["audit"], r"post_upload +object/orders/a\.csv +done"),
        (["search", "orders"], r"dataset +orders"),
        (["lineage", "--node", "curated.orders"], r"raw\.orders +curated\.orders"),
        (["dataset", "show", "orders"], "contract_version: 1.0.0"),
        (["dataset", "rows", "orders", "--limit", "1"], "•••"),
        (["dataset", "schemas", "orders"], r"orders/a\.csv +accepted"),
        (["dataset", "digest", "orders"], "rows: 3"),
        (["ready"], "ready: yes"),
        (["mart", "list"], r"totals +table +built"),
        (["mart", "show", "totals"], "SUM"),
        (["contract", "changes", "orders", "1.0.0"], r"\+version: 2\.0\.0"),
        (["ingestions", "--search", "A.CSV", "--reverse"], "orders/a.csv"),
        (["ingestions", "--sort", "seconds", "--not-state", "failed"], r"a\.csv.* \d+\.\d s"),
        (["counts", "--not-dataset", "weather", "--not-reason", "drift"], "loaded: 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_every_overview_is_told(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any], command: list[str], told: str
) -> None:
    mart = stack.file("totals.sql", TOTALS.encode())
    assert run("mart", "publish", mart).status == 0
    stack.rest()
    if command[:2] == ["contract", "changes"]:
        stack.cloud.publish(orders_contract("2.0.0"))

    shown, raw = run(*command), run(*command, "--json")

    assert shown.status == 0, shown.err
    assert re.search(told, shown.out), shown.out
    assert raw.status == 0
    assert raw.json


def test_what_is_left_out_is_not_listed(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    refused = stack.file("b.csv", b"order_id,amount\n1,1\n")
    assert run("ingest", refused, "--dataset", "orders").status == 1

    def listed(*options: str) -> list[str]:
        ran = run("ingestions", *options, "--json")
        return [each["object"] for each in ran.json["ingestions"]]

    everything = ["orders/a.csv", "orders/b.csv"]
    assert listed("--reverse") == everything
    assert listed("--sort", "rows_read") == everything
    assert listed("--not-state", "loaded", "--not-state", "duplicate") == ["orders/b.csv"]
    assert listed("--not-reason", "drift") == ["orders/a.csv"]
    assert listed("--not-object", "orders/b.csv", "--not-object", "c") == ["orders/a.csv"]
    assert listed("--not-dataset", "orders") == []
    assert run("failures", "--not-reason", "drift", "--json").json["groups"] == []


def test_the_documents_of_an_ingestion_are_printed(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    quality = run("report", "quality", loaded["id"][:8])
    assert quality.out.startswith("✓ accepted: ")
    assert re.search(r"amount +minimum +1 +25% +'-1' \(record \d\)", quality.out)
    assert "✓ accepted: " in run("report", "drift", loaded["id"]).out
    assert re.search(r"COMPLETE +ingest.orders", run("report", "lineage", loaded["id"]).out)
    assert run("report", "drift", loaded["id"], "--json").json["outcome"] == "accepted"
    assert run("report", "lineage", loaded["id"], "--json").json[-1]["eventType"] == "COMPLETE"
    assert run("rows", loaded["id"], "--json").json["masked"] == ["customer"]


def test_an_answer_that_was_lost_is_asked_for_again(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    keys = [each.get("HTTP_IDEMPOTENCY_KEY") for each in stack.requests if "POST" in each.values()]
    assert keys
    assert all(keys), "every POST of the command line has a key"
    assert len(set(keys)) == len(keys)


# --- Completion ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(run: RunCommand, shell: str) -> None:
    ran = run("completion", shell)
    assert ran.status == 0
    assert "eventpulse" in ran.out
    assert "_ARGCOMPLETE" in ran.out


# --- Everything ----------------------------------------------------------------------------------

NOT_FOR_PEOPLE = {"get_health", "get_openapi"}
"""What says that the process lives, and what programs read."""


def literals() -> Iterator[str]:
    """The paths that the command line's modules ask for; what is filled in stands as {}."""
    for module in MODULES:
        for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "{}" for part in node.values
                ]
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"\{\w+\}", "{}", node.value)


PATHS = sorted({each for each in literals() if each.startswith("/api/")})


@pytest.mark.parametrize(
    "endpoint", [e for e in ENDPOINTS if e.name not in NOT_FOR_PEOPLE], ids=lambda each: each.name
)
def test_everything_that_the_api_does_the_command_line_can_ask_for(endpoint: Endpoint) -> None:
    wanted = re.sub(r"\{\w+\}", "x", endpoint.path)
    fitting = [
        path for path in PATHS if re.fullmatch(re.escape(path).replace(r"\{\}", "[^ ]*"), wanted)
    ]
    assert fitting, f"no command asks for {endpoint.path}"
