"""What operators see at a glance: filters, search, counts, failure groups, trends, rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from eventpulse.api import listing
from eventpulse.operations.costs import estimate_dollars
from eventpulse.ports import JobStats
from eventpulse.values import format_time
from tests.functions.answers import TOTALS, get, problem
from tests.functions.harness import Cloud, order, orders_contract, orders_file
from tests.functions.ports import interrupt

WITHOUT_TIME = b"order_id,amount\n1,2\n"


def ingest_some(cloud: Cloud) -> dict[str, str]:
    """One loaded, one duplicate, two rejected for drift, one that no contract takes."""
    cloud.publish(orders_contract())
    loaded = orders_file(order(1), order(2, amount="-1"))
    return {
        "loaded": cloud.ingest("orders/good.csv", loaded),
        "duplicate": cloud.ingest("orders/copy.csv", loaded),
        "drift": cloud.ingest("orders/bad-1.csv", WITHOUT_TIME),
        "drift again": cloud.ingest("orders/bad-2.csv", WITHOUT_TIME + b"2,3\n"),
        "unknown": cloud.ingest("strange/x.csv", b"a\n1\n"),
    }


def ids(page: Any) -> list[str]:
    return [each["id"] for each in page["ingestions"]]


# --- Lists ---------------------------------------------------------------------------------------


def test_ingestions_are_filtered_by_reason_time_and_order(cloud: Cloud, api: FlaskClient) -> None:
    made = ingest_some(cloud)
    drift = get(api, "/api/ingestions", reason="drift")
    assert ids(drift) == [made["drift again"], made["drift"]]
    assert ids(get(api, "/api/ingestions", reason="drift", sort="received_at")) == [
        made["drift"],
        made["drift again"],
    ]
    assert ids(get(api, "/api/ingestions", reason="drift", state="loaded")) == []
    assert ids(get(api, "/api/ingestions", reason="no_contract")) == [made["unknown"]]
    since = drift["ingestions"][1]["received_at"]
    until = drift["ingestions"][0]["received_at"]
    assert ids(get(api, "/api/ingestions", since=since, until=until)) == [made["drift"]]
    assert ids(get(api, "/api/ingestions", until="2001-01-01")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("BAD-", ["drift again", "drift"]),
        ("changed_at", ["drift again", "drift"]),
        ("no_contract", ["unknown"]),
        ("good", ["duplicate", "loaded"]),  # the copy's detail names it
        ("nothing of that kind", []),
    ],
)
def test_a_text_finds_ingestions_wherever_it_stands(
    cloud: Cloud, api: FlaskClient, text: str, found: list[str]
) -> None:
    made = ingest_some(cloud)
    assert ids(get(api, "/api/ingestions", search=text)) == [made[each] for each in found]


def test_a_search_goes_on_where_it_stopped(
    cloud: Cloud, api: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_PAGE", 2)
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 2)
    made = ingest_some(cloud)

    pages, cursor = [], None
    while True:
        sent = {"cursor": cursor} if cursor else {}
        page = get(api, "/api/ingestions", search="bad-", limit=1, **sent)
        pages.append(ids(page))
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert [each for page in pages for each in page] == [made["drift again"], made["drift"]]
    assert [] in pages, "a page may be empty and not be the last"


def test_ingestions_are_counted_by_state(cloud: Cloud, api: FlaskClient) -> None:
    ingest_some(cloud)
    counts = get(api, "/api/ingestions/counts")
    assert counts["total"] == 5
    assert {state: n for state, n in counts["states"].items() if n} == {
        "loaded": 1,
        "duplicate": 1,
        "rejected": 3,
    }
    assert get(api, "/api/ingestions/counts", dataset="orders")["total"] == 4
    assert get(api, "/api/ingestions/counts", until="2001-01-01")["total"] == 0


def test_search_finds_datasets_marts_and_ingestions(cloud: Cloud, api: FlaskClient) -> None:
    made = ingest_some(cloud)
    api.post("/api/marts/order_totals", json={"text": TOTALS})

    found = get(api, "/api/search", q="order")["found"]
    kinds = [(each["kind"], each["id"]) for each in found]
    assert kinds[:2] == [("dataset", "orders"), ("mart", "order_totals")]
    assert len(kinds) == 6
    assert [e["id"] for e in get(api, "/api/search", q=made["loaded"][:8])["found"]] == [
        made["loaded"]
    ]
    assert get(api, "/api/search", q="order", limit=1)["found"] == [found[0], found[1], found[2]]


# --- Failures ------------------------------------------------------------------------------------


def test_failures_are_grouped_and_replayed_together(cloud: Cloud, api: FlaskClient) -> None:
    made = ingest_some(cloud)
    groups = get(api, "/api/ingestions/failures")["groups"]
    assert [(g["state"], g["reason"], g["dataset"], g["count"]) for g in groups] == [
        ("rejected", "no_contract", None, 1),
        ("rejected", "drift", "orders", 2),
    ]
    drift = groups[1]
    assert (drift["last_ingestion"], drift["last_object"]) == (
        made["drift again"],
        "orders/bad-2.csv",
    )
    assert drift["first_seen"] < drift["last_seen"]

    relaxed = orders_contract("2.0.0").replace("removed: freeze", "removed: evolve")
    optional = "logicalType: timestamp\n        required: true", "logicalType: timestamp"
    cloud.publish(relaxed.replace(*optional))
    body = {"reason": "drift", "dataset": "orders"}
    first = api.post("/api/ingestions/replay", json={**body, "limit": 1})
    second = api.post("/api/ingestions/replay", json=body)
    cloud.run()

    assert (first.status_code, first.json["more"]) == (202, True)  # type: ignore[index]
    assert [each["ingestion"] for each in first.json["replays"]] == [made["drift"]]  # type: ignore[index]
    assert [each["ingestion"] for each in second.json["replays"]] == [made["drift again"]]  # type: ignore[index]
    left = get(api, "/api/ingestions/failures")["groups"]
    assert [each["reason"] for each in left] == ["no_contract"]


def test_one_that_cannot_be_replayed_hinders_no_other(cloud: Cloud, api: FlaskClient) -> None:
    made = ingest_some(cloud)
    body = {"ids": [made["loaded"], "nope", made["duplicate"], made["drift"]]}
    headers = {"Idempotency-Key": "k"}

    answer = api.post("/api/ingestions/replay", json=body, headers=headers)
    again = api.post("/api/ingestions/replay", json=body, headers=headers)

    assert answer.json == again.json
    outcomes = answer.json["replays"]  # type: ignore[index]
    assert [each["code"] for each in outcomes] == [
        None,
        "ingestion_not_found",
        "not_replayable",
        None,
    ]
    assert outcomes[0]["replay"]
    too_many = {"ids": [str(n) for n in range(201)]}
    problem(api.post("/api/ingestions/replay", json=too_many), 422, "invalid_request")


# --- Trends --------------------------------------------------------------------------------------


def test_trends_add_up_what_ended_on_a_day(cloud: Cloud, api: FlaskClient) -> None:
    stats = JobStats(rows=7, bytes=1000, slot_ms=20)
    warehouse = cloud.platform.warehouse

    class Billed:
        def __getattr__(self, name: str) -> Any:
            return (
                (lambda *a, **k: getattr(warehouse, name)(*a, **k) and stats)
                if (name == "load_rows")
                else getattr(warehouse, name)
            )

    cloud.platform.__dict__["warehouse"] = Billed()
    made = ingest_some(cloud)
    api.post(f"/api/ingestions/{made['loaded']}/retract")
    cloud.run()

    trends = get(api, "/api/trends")
    [day] = trends["days"]
    assert (day["day"], day["dataset"]) == (trends["until"], None)
    assert day["ends"] == {"loaded": 2, "duplicate": 1, "rejected": 3, "retracted": 1}, (
        "what was retracted makes room for its copy"
    )
    assert day["rejected"] == {"drift": 2, "no_contract": 1}
    assert (day["rows_read"], day["rows_accepted"], day["rows_quarantined"]) == (4, 2, 2)
    assert day["invalid_percent"] == 50.0
    assert 0 < day["latency_p50"] <= day["latency_p95"] <= day["latency_max"]
    assert (day["load_jobs"], day["loaded_rows"], day["processed_bytes"]) == (2, 14, 2000)
    assert 0 < day["size"] < 2_000
    assert day["cost_usd"] == pytest.approx(estimate_dollars(7, day["size"]))
    assert trends["cost_basis"].startswith("An estimate")

    split = get(api, "/api/trends", by_dataset="true")["days"]
    assert [each["dataset"] for each in split] == ["_unknown", "orders"]
    assert get(api, "/api/trends", dataset="orders")["days"] == split[1:]
    assert get(api, "/api/trends", until="2001-01-31")["days"] == []
    problem(api.get("/api/trends?since=2001-01-01"), 422, "invalid_request")


# --- Rows and steps ------------------------------------------------------------------------------


def test_rows_of_an_ingestion_and_of_a_dataset_are_shown_masked(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    rows = [order(number, customer="ann") for number in range(5)]
    ingestion_id = cloud.ingest("orders/a.csv", orders_file(*rows))

    sample = get(api, f"/api/ingestions/{ingestion_id}/rows", limit=3)
    table = get(api, "/api/datasets/orders/rows", limit=3)

    assert [row["order_id"] for row in sample["rows"]] == [0, 1, 2]
    assert sample["rows"][0]["amount"] == 10.5
    assert sample["rows"][0]["changed_at"].startswith("2026-01-01")
    assert len(table["rows"]) == 3
    for each in (sample, table):
        assert each["masked"] == ["customer"]
        assert {row["customer"] for row in each["rows"]} == {"•••"}


def test_rows_that_were_removed_with_age_are_said_to_be(cloud: Cloud, api: FlaskClient) -> None:
    made = ingest_some(cloud)
    for stored in list(cloud.platform.objects.list("staged")):
        cloud.platform.objects.delete(stored.ref)

    problem(api.get(f"/api/ingestions/{made['loaded']}/rows"), 404, "rows_expired")
    assert get(api, f"/api/ingestions/{made['drift']}/rows")["rows"] == []


def test_the_timeline_tells_how_long_each_attempt_took(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    cloud.announce(stored)
    interrupt(cloud.platform, "objects", "write", ConnectionError("gone"), 1)
    cloud.run()
    ingestion_id = cloud.find(stored)

    steps = get(api, f"/api/ingestions/{ingestion_id}/timeline")["steps"]

    assert [(each["step"], each["attempt"], each["outcome"]) for each in steps] == [
        ("validate", 1, "step.faulted"),
        ("validate", 2, "validated"),
        ("drift", 1, "accepted"),
        ("load", 1, "loaded"),
    ]
    assert "gone" in steps[0]["problem"]
    assert all(each["seconds"] >= 0 for each in steps)


def test_failures_are_looked_for_since_a_month_if_nothing_is_said(
    cloud: Cloud, api: FlaskClient
) -> None:
    ingest_some(cloud)
    answer = get(api, "/api/ingestions/failures")
    month = cloud.platform.clock() - timedelta(days=31)
    assert answer["since"] > format_time(month)
    assert answer["complete"] is True
    assert get(api, "/api/ingestions/failures", since="2999-01-01")["groups"] == []
