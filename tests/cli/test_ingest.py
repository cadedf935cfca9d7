"""`eventpulse ingest` against a real API and a real upload receiver."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.stack import LocalStack, RunCommand
from tests.functions.harness import order, orders_file

if TYPE_CHECKING:
    pass

README = (Path(__file__).parents[2] / "README.md").read_text()


def squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text)


# --- Ingest --------------------------------------------------------------------------------------


def test_ingest_uploads_waits_and_tells_what_became_of_the_file(
    stack: LocalStack, run: RunCommand
) -> None:
    file = stack.file("a.csv", orders_file(order(1), order(2), order(1)))

    ran = run("ingest", file, "--dataset", "orders")

    assert ran.status == 0
    assert "✓ orders/a.csv: loaded" in ran.out
    assert "3 read, 2 accepted, 0 quarantined, 1 duplicate, 2 current, 0 superseded" in ran.out


def test_ingest_prints_the_refused_rows_and_why(stack: LocalStack, run: RunCommand) -> None:
    rows = [order(1), order(2, amount="-4"), order(3, amount="ten"), order(4), order(5)]

    ran = run("ingest", stack.file("a.csv", orders_file(*rows)), "--dataset", "orders")

    assert ran.status == 0
    lines = [squeeze(line).strip() for line in ran.out.splitlines()]
    assert "record column value what is wrong" in lines
    assert "2 amount -4 amount='-4' is less than the minimum 0." in lines
    assert "3 amount ten amount='ten' is not a number (for example 21.5)." in lines


def test_ingest_prints_the_first_refused_rows_and_where_the_others_are(
    stack: LocalStack, run: RunCommand
) -> None:
    rows = [order(n, amount="-4") for n in range(4)] + [order(n) for n in range(10, 16)]

    ran = run(
        "ingest", stack.file("a.csv", orders_file(*rows)), "--dataset", "orders", "--rows", "3"
    )

    assert ran.out.count("is less than the minimum") == 3
    found = re.search(r"3 of 4 refused rows; all of them: eventpulse (.+)", ran.out)
    assert found
    exported = run(*found.group(1).split())
    assert exported.status == 0
    assert len(exported.out.splitlines()) == 5


def test_ingest_exits_1_and_says_why_a_file_was_rejected(
    stack: LocalStack, run: RunCommand
) -> None:
    file = stack.file("a.csv", b"order_id,amount\n1,2\n")

    ran = run("ingest", file, "--dataset", "orders")

    assert ran.status == 1
    assert "✗ orders/a.csv: rejected (drift)" in ran.out
    assert "the required column 'changed_at' is not in the file" in ran.out


def test_one_rejected_file_of_several_is_enough_to_exit_1(
    stack: LocalStack, run: RunCommand
) -> None:
    good = stack.file("good.csv", orders_file(order(1)))
    bad = stack.file("bad.csv", b"nothing\n1\n")

    ran = run("ingest", good, bad, "--dataset", "orders")

    assert ran.status == 1
    assert "✓ orders/good.csv: loaded" in ran.out
    assert "✗ orders/bad.csv: rejected" in ran.out


def test_the_same_file_again_is_a_duplicate_and_no_failure(
    stack: LocalStack, run: RunCommand
) -> None:
    file = stack.file("a.csv", orders_file(order(1)))
    run("ingest", file, "--dataset", "orders")

    again = run("ingest", file, "--dataset", "orders")

    assert again.status == 0
    assert "= orders/a.csv: duplicate" in again.out
    assert "nothing is loaded twice" in again.out


def test_a_corrected_file_of_the_same_name_is_loaded(stack: LocalStack, run: RunCommand) -> None:
    file = stack.file("a.csv", b"order_id\n1\n")
    assert run("ingest", file, "--dataset", "orders").status == 1
    stack.file("a.csv", orders_file(order(1)))

    corrected = run("ingest", file, "--dataset", "orders", "--json")

    assert corrected.status == 0
    [ingestion] = corrected.json["ingestions"]
    assert (ingestion["state"], ingestion["rows_current"]) == ("loaded", 1)


def test_of_a_name_that_is_used_again_and_again_the_last_file_stands(
    stack: LocalStack, run: RunCommand
) -> None:
    first, second = (orders_file(order(1, amount=amount)) for amount in ("1", "2"))
    for content in (first, second, first):
        file = stack.file("a.csv", content)
        assert run("ingest", file, "--dataset", "orders").status == 0

    [row] = stack.cloud.platform.warehouse.preview("curated", "orders", 5)
    assert row["amount"] == 1
    names = {each.ref.name for each in stack.cloud.platform.objects.list("raw", generations=True)}
    assert names == {"orders/a.csv"}


def test_an_answer_that_was_lost_does_not_make_the_file_before_the_one_that_was_sent(
    stack: LocalStack, run: RunCommand
) -> None:
    run("ingest", stack.file("a.csv", orders_file(order(1))), "--dataset", "orders")
    stack.lost_answers = 1

    again = run(
        "ingest", stack.file("a.csv", orders_file(order(2))), "--dataset", "orders", "--json"
    )

    assert again.status == 0
    [ingestion] = again.json["ingestions"]
    live = stack.cloud.platform.objects.stat("raw", "orders/a.csv")
    assert live is not None
    assert [each["generation"] for each in ingestion["objects"]] == [live.ref.generation]


def test_an_empty_file_is_uploaded_and_refused(stack: LocalStack, run: RunCommand) -> None:
    ran = run("ingest", stack.file("a.csv", b""), "--dataset", "orders")

    assert ran.status == 1
    assert "rejected (unreadable)" in ran.out


def test_the_folder_of_a_file_names_its_dataset(stack: LocalStack, run: RunCommand) -> None:
    ran = run("ingest", stack.file("orders/a.csv", orders_file(order(1))), "--json")

    assert ran.status == 0
    assert ran.json["ingestions"][0]["object"] == "orders/a.csv"


def test_a_file_that_no_contract_takes_is_not_uploaded(stack: LocalStack, run: RunCommand) -> None:
    ran = run("ingest", stack.file("somewhere/a.csv", b"x\n"))

    assert ran.status == 2
    assert "say which dataset it is for with --dataset (orders)" in ran.err
    assert list(stack.cloud.platform.objects.list("raw")) == []


def test_a_name_of_ones_own_is_taken_as_it_is(stack: LocalStack, run: RunCommand) -> None:
    file = stack.file("a.csv", orders_file(order(1)))

    first = run("ingest", file, "--as", "orders/2026/x.csv")
    again = run("ingest", file, "--as", "orders/2026/x.csv", "--no-replace")

    assert first.status == 0
    assert "✓ orders/2026/x.csv: loaded" in first.out
    assert again.status == 1
    assert "'orders/2026/x.csv' was uploaded before" in again.err
    assert re.search(r"request id: [0-9a-f]{16}", again.err)


def test_a_file_for_a_dataset_without_a_contract_is_rejected(
    stack: LocalStack, run: RunCommand
) -> None:
    ran = run("ingest", stack.file("a.csv", b"x\n1\n"), "--dataset", "mystery")

    assert ran.status == 1
    assert "rejected (no_contract)" in ran.out


def test_as_names_one_file(stack: LocalStack, run: RunCommand) -> None:
    files = [stack.file(name, b"x\n") for name in ("a.csv", "b.csv")]

    ran = run("ingest", *files, "--as", "orders/a.csv")

    assert (ran.status, ran.out) == (2, "")
    assert "--as names one object" in ran.err


def test_a_file_that_is_not_there_is_wrong_usage(run: RunCommand) -> None:
    with pytest.raises(SystemExit) as exit_:
        run("ingest", "nowhere.csv")

    assert exit_.value.code == 2


def test_an_upload_whose_answer_is_lost_is_found_all_the_same(
    stack: LocalStack, run: RunCommand
) -> None:
    stack.lost_answers = 1

    ran = run("ingest", stack.file("a.csv", orders_file(order(1))), "--dataset", "orders", "--json")

    assert ran.status == 0
    assert [each["state"] for each in ran.json["ingestions"]] == ["loaded"]
    assert len(list(stack.cloud.platform.objects.list("raw"))) == 1


def test_what_a_file_holds_cannot_command_the_terminal(stack: LocalStack, run: RunCommand) -> None:
    file = stack.file("a.csv", orders_file(order(1, amount="\x1b]0;owned\x07"), order(2)))

    ran = run("ingest", file, "--dataset", "orders")

    assert ran.status == 0
    assert "\\x1b]0;owned" in ran.out
    assert "\x1b]" not in ran.out
