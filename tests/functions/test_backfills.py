"""Backfills: planned first, run slice by slice in order, paused, cancelled, resumed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from eventpulse.pipeline import backfill, backfill_requests
from eventpulse.pipeline.sweep import sweep
from tests.functions.answers import get, problem
from tests.functions.harness import Cloud, order, orders_contract, orders_file


def request(api: FlaskClient, **body: Any) -> str:
    answer = api.post("/api/backfills", json={"dataset": "orders", **body})
    assert answer.status_code == 202, answer.text
    assert answer.json is not None
    assert answer.headers["Location"] == f"/api/backfills/{answer.json['id']}"
    return str(answer.json["id"])


def decide(api: FlaskClient, backfill_id: str, decision: str) -> Any:
    answer = api.post(f"/api/backfills/{backfill_id}/{decision}")
    assert answer.status_code == 200, answer.text
    return answer.json


def rows(cloud: Cloud) -> dict[Any, Any]:
    found = cloud.platform.warehouse.preview("curated", "orders", 100)
    return {row["order_id"]: row["amount"] for row in found}


@pytest.fixture
def ingested(cloud: Cloud) -> list[str]:
    """Three files of orders 1 to 3, of which the second has an amount below 5."""
    cloud.publish(orders_contract())
    amounts = ("10", "3", "7")
    return [
        cloud.ingest(f"orders/{n}.csv", orders_file(order(n, amount=amount), order(n + 10)))
        for n, amount in enumerate(amounts, start=1)
    ]


def test_a_backfill_is_planned_says_what_it_would_change_and_changes_nothing_yet(
    cloud: Cloud, api: FlaskClient, ingested: list[str]
) -> None:
    cloud.publish(orders_contract("2.0.0", minimum=5))
    before = rows(cloud)

    backfill_id = request(api)
    cloud.run_later()

    planned = get(api, f"/api/backfills/{backfill_id}")
    assert (planned["state"], planned["items"], planned["checked"]) == ("planned", 3, 3)
    foreseen = planned["foreseen"]
    assert (foreseen["files"], foreseen["changed"]) == (3, 1)
    assert (foreseen["rows_accepted_before"], foreseen["rows_accepted_after"]) == (6, 5)
    assert (foreseen["rows_refused_before"], foreseen["rows_refused_after"]) == (0, 1)
    [example] = foreseen["examples"]
    assert (example["object"], example["ingestion"]) == ("orders/2.csv", ingested[1])
    assert example["after"] == "loaded: 1 rows accepted, 1 refused"
    assert rows(cloud) == before
    assert get(api, "/api/ingestions/counts")["total"] == 3
    assert [s.ref.name for s in cloud.platform.objects.list("staged", "orders__check/")] == []
    items = get(api, f"/api/backfills/{backfill_id}/items", limit=2)
    assert [each["object"] for each in items["items"]] == ["orders/1.csv", "orders/2.csv"]
    rest = get(api, f"/api/backfills/{backfill_id}/items", cursor=items["next_cursor"])
    assert [each["object"] for each in rest["items"]] == ["orders/3.csv"]
    assert rest["next_cursor"] is None


def test_a_started_backfill_replays_everything_under_the_current_contract(
    cloud: Cloud, api: FlaskClient, ingested: list[str]
) -> None:
    cloud.publish(orders_contract("2.0.0", minimum=5))
    backfill_id = request(api, check=False)
    cloud.run_later()
    assert 2 in rows(cloud)

    decide(api, backfill_id, "start")
    cloud.run_later()

    done = get(api, f"/api/backfills/{backfill_id}")
    assert (done["state"], done["position"], done["ended"]) == ("done", 3, 3)
    assert done["outcomes"] == {"loaded": 3}
    assert done["finished_at"]
    assert 2 not in rows(cloud)
    assert {1, 3, 11, 12, 13} == set(rows(cloud))
    shown = get(api, f"/api/ingestions/{ingested[1]}")
    replay = get(api, f"/api/ingestions/{shown['replaced_by']}")
    assert (replay["state"], replay["contract_version"]) == ("loaded", "2.0.0")


def test_a_deleted_table_is_rebuilt_from_raw(
    cloud: Cloud, api: FlaskClient, ingested: list[str]
) -> None:
    before = rows(cloud)
    assert len(before) == 6
    cloud.platform.warehouse.drop_dataset("orders")
    backfill_id = request(api, check=False, force=True)
    cloud.run_later()
    decide(api, backfill_id, "start")
    cloud.run_later()
    assert get(api, f"/api/backfills/{backfill_id}")["outcomes"] == {"loaded": 3}
    assert rows(cloud) == before


def test_what_the_current_contract_has_judged_is_left_alone_unless_forced(
    cloud: Cloud, api: FlaskClient, ingested: list[str]
) -> None:
    api.post(f"/api/ingestions/{ingested[0]}/retract")
    cloud.ingest("orders/copy.csv", orders_file(order(3, amount="7"), order(13)))
    cloud.run()
    lazy, forced = request(api, check=False), request(api, check=False, force=True)
    cloud.run_later()

    plan = get(api, f"/api/backfills/{lazy}")
    assert (plan["items"], plan["skipped"]) == (0, {"unchanged": 2, "retracted": 1, "duplicate": 1})
    assert get(api, f"/api/backfills/{forced}")["items"] == 2
    decide(api, lazy, "start")
    cloud.run_later()
    assert get(api, f"/api/backfills/{lazy}")["state"] == "done"


def test_a_backfill_takes_a_time_and_lands_what_was_never_announced(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    unknown = cloud.put("orders/lost.csv", orders_file(order(1)))
    since = unknown.created.isoformat()
    later = (unknown.created + timedelta(seconds=1)).isoformat()

    backfill_id, empty = request(api, since=since), request(api, since=later)
    cloud.run_later()
    assert get(api, f"/api/backfills/{empty}")["items"] == 0
    [item] = get(api, f"/api/backfills/{backfill_id}/items")["items"]
    assert (item["action"], item["state"]) == ("land", None)
    decide(api, backfill_id, "start")
    cloud.run_later()

    assert get(api, f"/api/backfills/{backfill_id}")["outcomes"] == {"loaded": 1}
    assert rows(cloud) == {1: 10.5}


def test_slices_run_one_after_the_other_in_the_order_of_creation(
    cloud: Cloud, api: FlaskClient, ingested: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "SLICE", 1)
    monkeypatch.setattr(backfill, "CHUNK", 2)
    monkeypatch.setattr(backfill_requests, "CHUNK", 2)
    backfill_id = request(api, check=False, force=True)
    cloud.run_later()
    decide(api, backfill_id, "start")
    cloud.run_later()

    replays = [get(api, f"/api/ingestions/{each}")["replaced_by"] for each in ingested]
    shown = [get(api, f"/api/ingestions/{each}") for each in replays]
    received = [each["received_at"] for each in shown]
    finished = [each["finished_at"] for each in shown]
    assert received == sorted(received)
    assert all(ended < begun for ended, begun in zip(finished, received[1:], strict=False))


def test_a_paused_backfill_goes_on_where_it_stopped_and_a_cancelled_one_never(
    cloud: Cloud, api: FlaskClient, ingested: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "SLICE", 1)
    backfill_id = request(api, check=False, force=True)
    cloud.run_later()
    decide(api, backfill_id, "start")
    cloud.run_later(1)

    assert decide(api, backfill_id, "pause")["state"] == "paused"
    cloud.run_later()
    paused = get(api, f"/api/backfills/{backfill_id}")
    assert (paused["state"], paused["position"], len(paused["in_flight"])) == ("paused", 1, 1)

    decide(api, backfill_id, "resume")
    cloud.run_later(1)
    assert get(api, f"/api/backfills/{backfill_id}")["position"] == 2
    decide(api, backfill_id, "cancel")
    cloud.run_later()

    ended = get(api, f"/api/backfills/{backfill_id}")
    assert (ended["state"], ended["position"]) == ("cancelled", 2)
    problem(api.post(f"/api/backfills/{backfill_id}/resume"), 409, "not_possible_now")
    assert get(api, f"/api/ingestions/{ingested[2]}")["replaced_by"] is None


def test_a_backfill_whose_task_was_lost_is_woken_by_sweep(
    cloud: Cloud, api: FlaskClient, ingested: list[str]
) -> None:
    backfill_id = request(api, check=False, force=True)
    for task in cloud.tasks.waiting():
        cloud.tasks.finish(task.name)  # lost
    cloud.platform.settings = type(cloud.platform.settings)(sweep_after_seconds=0)

    assert sweep(cloud.platform).backfills == 1
    cloud.run_later()

    assert get(api, f"/api/backfills/{backfill_id}")["state"] == "planned"


def test_doing_a_task_again_does_nothing_twice(
    cloud: Cloud, api: FlaskClient, ingested: list[str]
) -> None:
    backfill_id = request(api, check=True, force=True)
    cloud.run_later()
    decide(api, backfill_id, "start")
    cloud.run_later()
    total = get(api, "/api/ingestions/counts")["total"]

    for delivered in list(cloud.deliveries):
        if delivered.task.function == "backfill":
            cloud.deliver(delivered.task)
    cloud.run_later()

    assert get(api, "/api/ingestions/counts")["total"] == total == 6
    assert get(api, f"/api/backfills/{backfill_id}")["outcomes"] == {"loaded": 3}


def test_backfills_are_listed_and_what_there_is_not_is_not_found(
    cloud: Cloud, api: FlaskClient, ingested: list[str]
) -> None:
    one, two = request(api), request(api)
    listed = get(api, "/api/backfills")["backfills"]
    assert [each["id"] for each in listed] == [two, one]
    assert get(api, "/api/backfills", state="done")["backfills"] == []
    assert listed[0]["requested_by"] == "local"
    problem(api.get("/api/backfills/nope"), 404, "backfill_not_found")
    problem(api.post("/api/backfills", json={"dataset": "nope"}), 404, "contract_not_found")


def test_the_same_key_asks_for_the_same_backfill(
    cloud: Cloud, api: FlaskClient, ingested: list[str]
) -> None:
    headers = {"Idempotency-Key": "b"}
    answers = [
        api.post("/api/backfills", json={"dataset": "orders"}, headers=headers) for _ in range(2)
    ]
    assert answers[0].json == answers[1].json
    assert len(get(api, "/api/backfills")["backfills"]) == 1
