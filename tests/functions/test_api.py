"""Ingestions in the operators' API, through its real main.py."""

from __future__ import annotations

import csv
import hashlib
import io
import json

import pytest
from flask.testing import FlaskClient

from tests.functions.answers import OUTAGE, get, problem
from tests.functions.harness import (
    Cloud,
    order,
    orders_contract,
    orders_file,
)
from tests.functions.ports import interrupt

# --- Ingestions ----------------------------------------------------------------------------------


def test_a_loaded_ingestion_has_balanced_books_and_documents(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    content = orders_file(order(1), order(2, amount="-3"), order(1), order(3))
    ingestion_id = cloud.ingest("orders/a.csv", content)

    shown = get(api, f"/api/ingestions/{ingestion_id}")

    assert (shown["id"], shown["state"], shown["reason"]) == (ingestion_id, "loaded", None)
    assert (shown["dataset"], shown["object"]) == ("orders", "orders/a.csv")
    assert (shown["rows_read"], shown["rows_accepted"]) == (4, 2)
    assert (shown["rows_quarantined"], shown["rows_duplicate"]) == (1, 1)
    assert (shown["rows_current"], shown["rows_superseded"], shown["rows_live"]) == (2, 0, True)
    assert shown["seconds"] >= 0
    for name in ("quality", "drift", "lineage", "quarantine"):
        assert shown[f"{name}_uri"].startswith("file://")


def test_rows_are_counted_now_and_not_as_of_the_load(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    old = cloud.ingest("orders/a.csv", orders_file(order(1), order(2)))
    cloud.ingest("orders/b.csv", orders_file(order(1, minute=5)))

    shown = get(api, f"/api/ingestions/{old}")

    assert (shown["rows_accepted"], shown["rows_current"], shown["rows_superseded"]) == (2, 1, 1)


def test_what_the_log_knows_is_shown_while_the_warehouse_is_away(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    ingestion_id = cloud.ingest("orders/a.csv", orders_file(order(1), order(2)))
    interrupt(cloud.platform, "warehouse", "row_counts", OUTAGE, 1)

    shown = get(api, f"/api/ingestions/{ingestion_id}")

    assert (shown["state"], shown["rows_current"], shown["rows_live"]) == ("loaded", 2, False)


def test_a_duplicate_read_nothing_and_shows_the_documents_of_the_first(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    content = orders_file(order(1), order(2, amount="no"))
    first = cloud.ingest("orders/a.csv", content)
    again = cloud.ingest("orders/copy.csv", content)

    shown = get(api, f"/api/ingestions/{again}")

    assert (shown["state"], shown["duplicate_of"]) == ("duplicate", first)
    assert {shown[name] for name in shown if name.startswith("rows_") and name != "rows_live"} == {
        0
    }
    for name in ("quality", "drift", "lineage", "quarantine"):
        uri = f"{name}_uri"
        assert shown[uri] == get(api, f"/api/ingestions/{first}")[uri]
        answers = [api.get(f"/api/ingestions/{each}/{name}") for each in (first, again)]
        assert [each.status_code for each in answers] == [200, 200]
    assert len(get(api, f"/api/ingestions/{again}/quarantine")["rows"]) == 1


def test_a_rejected_file_says_why(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    ingestion_id = cloud.ingest("orders/a.csv", b"order_id,amount\n1,2\n")

    shown = get(api, f"/api/ingestions/{ingestion_id}")

    assert (shown["state"], shown["reason"]) == ("rejected", "drift")
    assert "changed_at" in shown["detail"]
    report = get(api, f"/api/ingestions/{ingestion_id}/quality")
    assert (report["outcome"], report["reason"]) == ("rejected", "drift")


def test_ingestions_are_listed_newest_first_page_by_page(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    ids = [cloud.ingest(f"orders/{n}.csv", orders_file(order(n))) for n in range(5)]

    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = get(api, "/api/ingestions", limit=2, **cursor)
        seen += [each["id"] for each in page["ingestions"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert seen == list(reversed(ids))


def test_ingestions_are_filtered(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    loaded = cloud.ingest("orders/a.csv", orders_file(order(1)))
    unknown = cloud.ingest("mystery/b.csv", b"x\n1\n")

    def found(**query: str) -> list[str]:
        return [each["id"] for each in get(api, "/api/ingestions", **query)["ingestions"]]

    assert found(state="rejected") == [unknown]
    assert found(dataset="orders") == [loaded]
    assert found(object="mystery/b.csv") == [unknown]
    assert found(state="loaded", dataset="orders", object="orders/a.csv") == [loaded]
    assert found(state="failed") == []
    assert found(id_prefix=unknown[:12]) == [unknown]
    assert found(id_prefix=loaded) == [loaded]


def test_a_list_asks_the_warehouse_once_per_dataset(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    for number in range(4):
        cloud.ingest(f"orders/{number}.csv", orders_file(order(number)))
    counter = interrupt(cloud.platform, "warehouse", "row_counts", OUTAGE, 0)

    assert len(get(api, "/api/ingestions")["ingestions"]) == 4

    assert counter.calls == 1


def test_the_timeline_tells_everything_in_order(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    ingestion_id = cloud.ingest("orders/a.csv", orders_file(order(1)))

    timeline = get(api, f"/api/ingestions/{ingestion_id}/timeline")

    assert timeline["ingestion"] == ingestion_id
    types = [each["type"] for each in timeline["events"]]
    assert (types[0], types[-1]) == ("received", "loaded")
    assert [each["version"] for each in timeline["events"]] == list(range(1, len(types) + 1))
    assert {each["cause"]["function"] for each in timeline["events"]} >= {"land", "load"}


def test_documents_are_the_bytes_that_were_written(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    ingestion_id = cloud.ingest("orders/a.csv", orders_file(order(1)))

    for name in ("quality", "drift", "lineage"):
        answer = api.get(f"/api/ingestions/{ingestion_id}/{name}")
        etag, _ = answer.get_etag()
        assert etag == hashlib.sha256(answer.data).hexdigest()
        again = api.get(
            f"/api/ingestions/{ingestion_id}/{name}", headers={"If-None-Match": f'"{etag}"'}
        )
        assert again.status_code == 304


def test_a_document_that_is_not_written_yet_is_not_found(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    cloud.announce(stored)

    answer = api.get(f"/api/ingestions/{cloud.find(stored)}/quality")

    assert problem(answer, 404, "no_document")["state"] == "received"


# --- Quarantine ----------------------------------------------------------------------------------

CRAFTED = "=HYPERLINK(1)"


def quarantined(cloud: Cloud, *bad: str) -> str:
    cloud.publish(orders_contract())
    good = [order(1000 + n) for n in range(2 * len(bad))]
    return cloud.ingest("orders/a.csv", orders_file(*bad, *good))


def test_the_quarantine_is_paged_by_record(cloud: Cloud, api: FlaskClient) -> None:
    ingestion_id = quarantined(cloud, *(order(n, amount="-1") for n in range(5)))
    path = f"/api/ingestions/{ingestion_id}/quarantine"

    first = get(api, path, limit=3)
    second = get(api, path, limit=3, cursor=first["next_cursor"])

    assert [each["record"] for each in first["rows"]] == [1, 2, 3]
    assert [each["record"] for each in second["rows"]] == [4, 5]
    assert second["next_cursor"] is None
    [failure] = first["rows"][0]["failures"]
    assert (failure["column"], failure["rule"], failure["value"]) == ("amount", "minimum", "-1")
    assert first["rows"][0]["row"]["order_id"] == "0"


def test_an_ingestion_without_refused_rows_has_an_empty_quarantine(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    ingestion_id = cloud.ingest("orders/a.csv", orders_file(order(1)))

    page = get(api, f"/api/ingestions/{ingestion_id}/quarantine")

    assert (page["rows"], page["next_cursor"], page["quarantine_uri"]) == ([], None, None)
    exported = api.get(f"/api/ingestions/{ingestion_id}/quarantine?format=csv").text
    assert exported.splitlines() == ["object,sheet,record,column,rule,value,message,row"]


def test_personal_values_are_masked_wherever_they_stand(cloud: Cloud, api: FlaskClient) -> None:
    name = "a name of more than twenty characters"
    ingestion_id = quarantined(cloud, order(1, customer=name), f"{order(2)},{name}")

    answers = [
        api.get(f"/api/ingestions/{ingestion_id}/quarantine"),
        api.get(f"/api/ingestions/{ingestion_id}/quarantine?format=csv"),
        api.get(f"/api/ingestions/{ingestion_id}/quality"),
    ]

    assert all(answer.status_code == 200 for answer in answers)
    assert not [answer.text for answer in answers if name in answer.text]
    [row, _] = answers[0].json["rows"]  # type: ignore[index]
    assert row["row"] == {
        "order_id": "1",
        "amount": "10.5",
        "customer": "•••",
        "changed_at": "2026-01-01T00:00:00Z",
    }


def test_the_csv_export_disarms_formulas(cloud: Cloud, api: FlaskClient) -> None:
    ingestion_id = quarantined(
        cloud,
        order(1, amount=CRAFTED),
        order(2, amount="-5"),
        order(3, amount="@SUM(A1)"),
        order(4, amount="+1+1"),
    )

    answer = api.get(f"/api/ingestions/{ingestion_id}/quarantine?format=csv")

    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["value"] for row in rows] == [f"'{CRAFTED}", "-5", "'@SUM(A1)", "'+1+1"]
    assert [row["record"] for row in rows] == ["1", "2", "3", "4"]
    assert json.loads(rows[0]["row"])["amount"] == CRAFTED


def test_the_csv_export_has_every_row(cloud: Cloud, api: FlaskClient) -> None:
    ingestion_id = quarantined(cloud, *(order(n, amount="-1") for n in range(1200)))

    answer = api.get(f"/api/ingestions/{ingestion_id}/quarantine?format=csv")

    records = [row["record"] for row in csv.DictReader(io.StringIO(answer.text))]
    assert records == [str(n) for n in range(1, 1201)]


# --- Replay and retract --------------------------------------------------------------------------


def test_a_replay_reads_the_file_again_under_the_current_contract(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    first = cloud.ingest("orders/a.csv", orders_file(order(1), order(2, amount="3")))
    cloud.publish(orders_contract("2.0.0", minimum=5))

    answer = api.post(f"/api/ingestions/{first}/replay")
    cloud.run()

    assert answer.status_code == 202
    replay = answer.json
    assert replay is not None
    assert replay["replay_of"] == first
    assert answer.headers["Location"] == f"/api/ingestions/{replay['id']}"
    loaded = get(api, answer.headers["Location"])
    assert (loaded["state"], loaded["contract_version"]) == ("loaded", "2.0.0")
    assert (loaded["rows_current"], loaded["rows_quarantined"]) == (1, 1)
    replaced = get(api, f"/api/ingestions/{first}")
    assert (replaced["replaced_by"], replaced["rows_current"]) == (replay["id"], 0)


def test_the_same_idempotency_key_gives_the_same_replay(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    first = cloud.ingest("orders/a.csv", orders_file(order(1)))

    def replay(key: str) -> str:
        path = f"/api/ingestions/{first}/replay"
        answer = api.post(path, headers={"Idempotency-Key": key})
        assert answer.status_code == 202
        assert answer.json is not None
        return str(answer.json["id"])

    assert replay("one") == replay("one")
    assert replay("one") != replay("two")
    assert replay("v5") != replay("v4")


def test_a_key_never_names_the_replay_that_was_made_without_one(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    first = cloud.ingest("orders/a.csv", orders_file(order(1)))
    version = cloud.platform.log.head(f"ingestion/{first}").version
    path = f"/api/ingestions/{first}/replay"

    without = api.post(path)
    keyed = api.post(path, headers={"Idempotency-Key": f"v{version}"})

    assert without.json is not None
    assert keyed.json is not None
    assert without.json["id"] != keyed.json["id"]


@pytest.mark.parametrize("key", ["x" * 201, "a\tb"])
def test_an_idempotency_key_that_is_none_is_refused(
    cloud: Cloud, api: FlaskClient, key: str
) -> None:
    answer = api.post("/api/ingestions/x/replay", headers={"Idempotency-Key": key})

    [found] = problem(answer, 422, "invalid_request")["problems"]
    assert found.startswith("header.Idempotency-Key: ")


def test_what_is_on_its_way_cannot_be_replayed_or_retracted(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    cloud.announce(stored)
    path = f"/api/ingestions/{cloud.find(stored)}"

    problem(api.post(f"{path}/replay"), 409, "not_replayable")
    problem(api.post(f"{path}/retract"), 409, "not_retractable")


def test_a_retracted_file_leaves_no_row_behind(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    kept = cloud.ingest("orders/a.csv", orders_file(order(1), order(2)))
    before = get(api, "/api/datasets/orders/digest")
    gone = cloud.ingest("orders/b.csv", orders_file(order(1, amount="9", minute=9), order(3)))
    assert get(api, "/api/datasets/orders/digest")["digest"] != before["digest"]

    answer = api.post(f"/api/ingestions/{gone}/retract", headers={"X-Request-ID": "regret"})
    again = api.post(f"/api/ingestions/{gone}/retract")
    cloud.run()

    assert (answer.status_code, again.status_code) == (202, 202)
    assert answer.json is not None
    assert answer.json["retract_requested"] is True
    shown = get(api, f"/api/ingestions/{gone}")
    assert (shown["state"], shown["rows_current"]) == ("retracted", 0)
    assert get(api, f"/api/ingestions/{kept}")["rows_current"] == 2
    assert get(api, "/api/datasets/orders/digest") == before
    asked = [
        each["cause"]
        for each in get(api, f"/api/ingestions/{gone}/timeline")["events"]
        if each["type"] == "retract.requested"
    ]
    assert [(each["request_id"], each["actor"]) for each in asked] == [("regret", "local")]
