"""What a POST does is known before it is done, and done once per Idempotency-Key."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from eventpulse.errors import BackendUnavailable
from tests.functions.answers import TOTALS, get, problem, upload_request
from tests.functions.harness import Cloud, client_of, order, orders_contract, orders_file
from tests.functions.ports import interrupt

CONTRACT = {"text": orders_contract()}
KEY = {"Idempotency-Key": "k-1"}


def publish(api: FlaskClient, body: Any = CONTRACT, **headers: str) -> TestResponse:
    return api.post("/api/contracts", json=body, headers={**KEY, **headers})


# --- Keys ----------------------------------------------------------------------------------------


def test_the_same_key_gets_the_same_answer_and_nothing_is_done_again(api: FlaskClient) -> None:
    first, again = publish(api), publish(api)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json == again.json
    assert first.headers["Location"] == again.headers["Location"]
    assert publish(api, **{"Idempotency-Key": "k-2"}).status_code == 200, "it was published before"
    assert len(get(api, "/api/audit")["actions"]) == 2


def test_the_same_key_with_another_body_is_refused(api: FlaskClient) -> None:
    publish(api)

    other = publish(api, {"text": orders_contract("2.0.0")})

    assert "publish" not in problem(other, 422, "key_reused")["title"]
    assert get(api, "/api/datasets/orders")["contract_versions"] == ["1.0.0"]


def test_the_same_key_at_another_address_is_refused(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    one, two = (cloud.ingest(f"orders/{n}.csv", orders_file(order(n))) for n in range(2))
    assert api.post(f"/api/ingestions/{one}/replay", headers=KEY).status_code == 202

    problem(api.post(f"/api/ingestions/{two}/replay", headers=KEY), 422, "key_reused")


def test_of_two_requests_with_one_key_at_once_one_is_told_to_wait(
    cloud: Cloud, api: FlaskClient
) -> None:
    """The second comes while the first is held up where it would publish."""
    inside, leave = Barrier(2), Barrier(2)
    store = cloud.platform.objects

    class Waiting:
        def __getattr__(self, name: str) -> Any:
            if name == "write":
                inside.wait(30)
                leave.wait(30)
            return getattr(store, name)

    cloud.platform.__dict__["objects"] = Waiting()
    answers: list[TestResponse] = []
    first = Thread(target=lambda: answers.append(publish(client_of("api"))))
    first.start()
    inside.wait(30)
    held = publish(api)
    leave.wait(30)
    first.join(30)

    problem(held, 409, "request_under_way")
    assert answers[0].status_code == 201
    assert publish(api).json == answers[0].json


def test_what_faulted_may_be_tried_again_under_its_key(cloud: Cloud, api: FlaskClient) -> None:
    fault = BackendUnavailable("The store", "write", "away")
    interrupt(cloud.platform, "objects", "write", fault, 1)

    problem(publish(api), 503, "backend_unavailable")
    assert publish(api).status_code == 201

    [action] = get(api, "/api/audit")["actions"]
    assert (action["state"], action["status"]) == ("done", 201)


def test_what_was_refused_may_be_tried_again_under_its_key(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    cloud.announce(stored)
    path = f"/api/ingestions/{cloud.find(stored)}/replay"

    problem(api.post(path, headers=KEY), 409, "not_replayable")
    cloud.run()

    assert api.post(path, headers=KEY).status_code == 202


def test_keys_of_others_are_no_ones_business(cloud: Cloud, api: FlaskClient) -> None:
    publish(api)
    cloud.platform.settings = type(cloud.platform.settings)(api_token="hush")

    other = publish(api, {"text": orders_contract("2.0.0")}, Authorization="Bearer hush")

    assert other.status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there", "\u00e9"])
def test_what_is_no_key_is_refused(api: FlaskClient, key: str) -> None:
    problem(publish(api, **{"Idempotency-Key": key}), 422, "invalid_request")


def test_a_signed_request_is_made_anew_and_kept_nowhere(cloud: Cloud, api: FlaskClient) -> None:
    body = upload_request(b"x")
    first, again = (api.post("/api/uploads", json=body, headers=KEY) for _ in range(2))

    assert (first.status_code, again.status_code) == (200, 200)
    [head] = cloud.platform.log.query(audit(), limit=9).heads
    kept = "".join(str(event.data) for event in cloud.platform.log.read(head.stream))
    assert str(first.json["url"]) not in kept  # type: ignore[index]


def audit() -> Any:
    from eventpulse.operations.actions import query_actions

    return query_actions()


# --- Audit ---------------------------------------------------------------------------------------


def test_the_audit_says_who_what_about_what_when_and_in_which_request(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    ingestion_id = cloud.ingest("orders/a.csv", orders_file(order(1)))
    api.post(f"/api/ingestions/{ingestion_id}/replay", headers={"X-Request-ID": "r-1"})
    api.post("/api/contracts", json={"text": orders_contract("2.0.0")})
    api.post("/api/marts/totals", json={"text": TOTALS})
    api.post("/api/ingestions/nope/replay")

    actions = get(api, "/api/audit")["actions"]

    assert [(each["action"], each["subject"], each["state"]) for each in actions] == [
        ("post_replay", "ingestion/nope", "refused"),
        ("post_mart", "mart/totals", "done"),
        ("post_contract", "contract/orders", "done"),
        ("post_replay", f"ingestion/{ingestion_id}", "done"),
    ]
    assert (actions[0]["status"], actions[0]["code"]) == (404, "ingestion_not_found")
    assert (actions[3]["actor"], actions[3]["role"]) == ("local", "admin")
    assert actions[3]["request_id"] == "r-1"
    assert actions[3]["at"] <= actions[3]["finished_at"]


def test_the_audit_is_filtered_and_paged(cloud: Cloud, api: FlaskClient) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        api.post("/api/contracts", json={"text": orders_contract(version)})
    api.post("/api/marts/totals", json={"text": TOTALS})

    first = get(api, "/api/audit", subject="contract/orders", limit=2)
    rest = get(api, "/api/audit", subject="contract/orders", cursor=first["next_cursor"])
    everything = get(api, "/api/audit")["actions"]

    assert (len(first["actions"]), len(rest["actions"]), rest["next_cursor"]) == (2, 1, None)
    assert get(api, "/api/audit", action="post_mart")["actions"] == everything[:1]
    assert get(api, "/api/audit", actor="nobody")["actions"] == []
    oldest, newest = everything[-1]["at"], everything[0]["at"]
    assert len(get(api, "/api/audit", since=oldest, until=newest)["actions"]) == 3
    assert get(api, "/api/audit", since="2999-01-01")["actions"] == []
    problem(api.get("/api/audit?since=yesterday"), 422, "invalid_request")


# --- Conditional requests and headers ------------------------------------------------------------


def test_what_the_caller_has_is_not_sent_again(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    for path in ("/api/ingestions", "/api/datasets/orders", "/api/openapi.json"):
        first = api.get(path)
        again = api.get(path, headers={"If-None-Match": f'W/"x", {first.headers["ETag"]}'})

        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
        assert again.headers["Cache-Control"] == "private, no-cache"

    etag = api.get("/api/ingestions").headers["ETag"]
    cloud.ingest("orders/a.csv", orders_file(order(1)))
    assert api.get("/api/ingestions", headers={"If-None-Match": etag}).status_code == 200


def test_every_answer_tells_browsers_to_run_nothing(api: FlaskClient) -> None:
    for answer in (api.get("/api/ingestions"), api.get("/api/nope"), publish(api)):
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Set-Cookie" not in answer.headers
    assert publish(api).headers["Cache-Control"] == "no-store"
