"""A stack in a notebook: DataFrames out, and a DataFrame in."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pandas as pd
import pytest

import eventpulse
from eventpulse.errors import RequestRefused
from tests.cli.stack import LocalStack, RunCommand
from tests.functions.harness import orders_contract

SPEND = "-- materialize: table\nSELECT customer, amount, 2 * amount AS twice FROM curated.orders\n"

FRAME = pd.DataFrame(
    {
        "order_id": [1, 2, 3],
        "amount": [1.5, -2.0, 1234.25],
        "customer": ["ann, or so", 'the "other"', None],
        "changed_at": pd.to_datetime(["2026-01-01T00:00:00Z"] * 3),
    }
)


def table(stack: LocalStack) -> dict[Any, Any]:
    rows = stack.cloud.platform.warehouse.preview("curated", "orders", 20)
    return {row["order_id"]: (row["amount"], row["customer"]) for row in rows}


def test_a_frame_is_ingested_and_what_was_refused_comes_back(stack: LocalStack) -> None:
    ep = eventpulse.connect()

    ended = ep.ingest(FRAME, dataset="orders")

    assert (ended["state"], ended["rows_accepted"], ended["rows_quarantined"]) == ("loaded", 2, 1)
    assert table(stack) == {1: (1.5, "ann, or so"), 3: (1234.25, None)}
    refused = ep.quarantine(ended)
    assert list(refused["record"]) == [2]
    assert refused["customer"][0] == "•••"
    assert "-2.0" in refused["why"][0]
    again = ep.ingest(FRAME, dataset="orders")
    assert again["state"] == "duplicate"


@pytest.mark.parametrize("name", ["ndjson", "parquet", "xlsx", "semicolons"])
def test_a_frame_is_written_in_the_datasets_own_dialect(stack: LocalStack, name: str) -> None:
    format_ = "csv" if name == "semicolons" else name
    text = orders_contract("2.0.0").replace("value: csv", f"value: {format_}")
    extra = (
        '      - {property: delimiter, value: ";"}\n      - {property: decimalMark, value: ","}\n'
        if name == "semicolons"
        else ""
    )
    before = "      - property: driftPolicy"
    stack.cloud.publish(text.replace(before, f"{extra}{before}"))

    ended = eventpulse.connect().ingest(FRAME, dataset="orders")

    assert (ended["state"], ended["rows_accepted"]) == ("loaded", 2), ended["detail"]
    assert table(stack) == {1: (1.5, "ann, or so"), 3: (1234.25, None)}


def test_what_the_stack_knows_comes_as_frames(
    stack: LocalStack, run: RunCommand, loaded: dict[str, Any]
) -> None:
    run("mart", "publish", stack.file("spend.sql", SPEND.encode()))
    stack.rest()
    ep = eventpulse.connect(stack.url)

    ingestions = ep.ingestions(dataset="orders")
    quality = ep.quality(loaded["id"][:8])
    orders, spend = ep.dataset("orders"), ep.mart("spend")

    assert list(ingestions["id"]) == [loaded["id"]]
    assert list(ep.ingestions(sort="-seconds", not_state=["failed"])["id"]) == [loaded["id"]]
    assert ep.ingestions(not_dataset="orders").empty
    assert isinstance(ingestions["received_at"].dtype, pd.DatetimeTZDtype)
    assert quality.set_index(["column", "rule"]).loc[("amount", "minimum"), "failed"] == 1
    assert set(ep.profile(loaded)["name"]) >= {"order_id", "amount"}
    assert sorted(orders["order_id"]) == [1, 3, 4]
    assert orders.attrs["masked"] == ["customer"]
    assert list(spend.columns) == ["customer", "amount", "twice"]
    assert set(spend["customer"]) == {"•••"}, "what a mart shows of a classified column is masked"
    assert list(ep.marts()["name"]) == ["spend"]
    assert list(ep.datasets()["name"]) == ["orders"]
    assert ep.trends()["rows_read"].sum() == 4
    assert ep.failures().empty
    assert ep.replay(loaded)["state"] == "loaded"


def test_what_there_is_not_is_refused(stack: LocalStack) -> None:
    with pytest.raises(RequestRefused, match="There is no contract"):
        eventpulse.connect().ingest(FRAME, dataset="nope")


def test_neither_pandas_nor_requests_is_imported_with_the_package() -> None:
    code = "import sys, eventpulse; print([m for m in ('pandas', 'requests') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
    code = "import sys, eventpulse; eventpulse.connect('http://x'); print('pandas' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
