"""What operators do, on every lane: each of the API's queries meets the lane's own log."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import pandas as pd
import pytest
from openpyxl import load_workbook

from emulators.user import StackUser
from eventpulse.api.endpoints import XLSX
from eventpulse.client import Client
from eventpulse.notebook import Notebook
from tests.functions.harness import orders_contract
from tests.waiting import wait_until

FRAME = pd.DataFrame(
    {
        "order_id": [1, 2, 3],
        "amount": [1.5, -2.0, 7.0],
        "customer": ["ann", "ben", "cleo"],
        "changed_at": ["2026-01-01T00:00:00Z"] * 3,
    }
)


@pytest.fixture
def client(user: StackUser) -> Client:
    client = Client(user.stack.url, user.stack.token)
    client.publish_contract(orders_contract(), "orders")
    return client


def await_state(client: Client, backfill_id: str, *left: str) -> Any:
    path = f"/api/backfills/{backfill_id}"
    wait_until(lambda: client.get(path)["state"] not in left, "the backfill does not move", 180)
    return client.get(path)


def list_ids(client: Client, **query: str) -> list[str]:
    return [each["id"] for each in client.list_ingestions(dataset="orders", **query)["ingestions"]]


def test_operators_see_what_came_run_a_backfill_and_mend_a_row(
    user: StackUser, client: Client
) -> None:
    book = Notebook(client)
    good = book.ingest(FRAME, dataset="orders")
    bad = book.ingest(FRAME.drop(columns="changed_at"), dataset="orders")
    assert (good["state"], bad["state"], bad["reason"]) == ("loaded", "rejected", "drift")

    # Every shape of list, search and count.
    assert list_ids(client) == [bad["id"], good["id"]]
    assert list_ids(client, sort="received_at") == [good["id"], bad["id"]]
    assert list_ids(client, state="loaded", since="2026-01-01") == [good["id"]]
    assert list_ids(client, reason="drift", until="2999-01-01") == [bad["id"]]
    assert list_ids(client, object=bad["object"], reason="drift") == [bad["id"]]
    assert list_ids(client, search=bad["object"][-12:].upper()) == [bad["id"]]
    assert client.get("/api/ingestions/counts", dataset="orders")["total"] == 2
    [group] = client.get("/api/ingestions/failures", dataset="orders")["groups"]
    assert group["last_ingestion"] == bad["id"]
    found = client.get("/api/search", q="orders")["found"]
    assert [each["kind"] for each in found] == ["dataset", "ingestion", "ingestion"]
    days = client.get("/api/trends", dataset="orders")["days"]  # two around midnight
    ends = sum((Counter(day["ends"]) for day in days), Counter())
    assert ends == {"loaded": 1, "rejected": 1}
    audit = client.get("/api/audit", actor="operator", action="post_upload", since="2026-01-01")
    assert {each["subject"] for each in audit["actions"]} >= {f"object/{bad['object']}"}
    subject = client.get("/api/audit", subject=f"object/{bad['object']}")["actions"]
    assert [each["state"] for each in subject] == ["done"]

    # A backfill of both, and what it leaves.
    asked = client.post("/api/backfills", {"dataset": "orders", "force": True})
    planned = await_state(client, asked["id"], "planning")
    assert (planned["state"], planned["items"], planned["foreseen"]["changed"]) == ("planned", 2, 0)
    client.post(f"/api/backfills/{asked['id']}/start")
    done = await_state(client, asked["id"], "running")
    assert (done["state"], done["outcomes"]) == ("done", {"loaded": 1, "rejected": 1})
    listed = client.get("/api/backfills", dataset="orders", state="done")["backfills"]
    assert [each["id"] for each in listed] == [asked["id"]]

    # The refused row comes back mended.
    standing = client.get_ingestion(good["id"])["replaced_by"]
    path = f"/api/ingestions/{standing}"
    workbook = load_workbook(io.BytesIO(client.get_file(f"{path}/quarantine", format="xlsx")))
    workbook["refused rows"]["E2"] = 2
    data = io.BytesIO()
    workbook.save(data)
    sent = client.post_file(f"{path}/recover", data.getvalue(), XLSX)
    recovered = client.wait_until_finished(sent["ingestion"], 180)
    assert (recovered["state"], recovered["recovers"]) == ("loaded", standing)
    assert sorted(book.dataset("orders")["order_id"]) == [1, 2, 3]
