"""Who may use the operators' API, what it refuses, and what its OpenAPI document says."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from eventpulse.api.device_routes import DEVICE_ENDPOINTS
from eventpulse.api.openapi import openapi_document
from eventpulse.api.routes import ENDPOINTS
from eventpulse.platform import Platform
from eventpulse.settings import Settings
from eventpulse.wiring import WiredPlatform, use_platform
from tests.functions.answers import OUTAGE, TOTALS, TOTALS_CONTRACT, get, problem, upload_request
from tests.functions.harness import (
    Cloud,
    client_of,
    order,
    orders_contract,
    orders_file,
)
from tests.functions.ports import interrupt

OTHERS = [endpoint for endpoint in ENDPOINTS if endpoint not in DEVICE_ENDPOINTS]
"""Those about devices are asked in test_api_devices."""
BEARER = {"Authorization": "Bearer hush"}


# --- Requests that fit nothing -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api", "/api/nope", "/api/ingestions/a/b"])
def test_an_unknown_path_is_a_problem(api: FlaskClient, path: str) -> None:
    problem(api.get(path), 404, "not_found")


def test_a_wrong_method_says_which_are_right(api: FlaskClient) -> None:
    answer = api.delete("/api/marts/totals")

    problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("state=lost", "state"),
        ("id_prefix=%25", "id_prefix"),
        ("colour=blue", "colour"),
        ("id_prefix=a&state=loaded", "id_prefix"),
    ],
)
def test_a_wrong_query_parameter_is_named(api: FlaskClient, query: str, field: str) -> None:
    answer = api.get(f"/api/ingestions?{query}")

    [found] = problem(answer, 422, "invalid_request")["problems"]
    assert found.startswith(f"query.{field}: ")


def test_a_parameter_that_nothing_reads_is_refused_everywhere(api: FlaskClient) -> None:
    problem(api.get("/api/datasets?limit=3"), 422, "invalid_request")


def test_a_cursor_of_another_list_is_refused(cloud: Cloud, api: FlaskClient) -> None:
    for number in range(2):
        cloud.announce(cloud.put(f"x/{number}.csv", b"a\n"))
    cursor = get(api, "/api/ingestions", limit=1)["next_cursor"]

    answer = api.get("/api/ingestions", query_string={"cursor": cursor, "state": "loaded"})

    problem(answer, 400, "invalid_cursor")


def test_a_body_that_is_not_json_is_refused(api: FlaskClient) -> None:
    answer = api.post("/api/uploads", data="{", content_type="application/json")
    problem(answer, 400, "malformed_json")
    for number in ("NaN", "1e999"):
        answer = api.post(
            "/api/uploads", data=f'{{"length": {number}}}', content_type="application/json"
        )
        problem(answer, 400, "malformed_json")
    answer = api.post("/api/uploads", data="name=x", content_type="application/yaml")
    problem(answer, 415, "unsupported_media_type")
    answer = api.post("/api/contracts", data=b"\xff", content_type="application/yaml")
    problem(answer, 400, "malformed_text")


def test_a_body_beyond_all_measure_is_refused(api: FlaskClient) -> None:
    answer = api.post("/api/contracts", data=b" " * (5 << 20), content_type="application/yaml")

    problem(answer, 413, "too_large")


# --- Context -------------------------------------------------------------------------------------


def test_request_id_and_trace_are_echoed_or_made(api: FlaskClient) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Request-ID": "r-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}

    known = api.get("/api/health", headers=headers)
    made = api.get("/api/nope")

    assert known.headers["X-Request-ID"] == "r-1"
    assert known.headers["traceparent"].split("-")[1] == trace
    assert len(made.headers["X-Request-ID"]) == 16
    assert len(made.headers["traceparent"].split("-")[1]) == 32


def test_a_replay_carries_its_request_into_tasks_and_events(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    first = cloud.ingest("orders/a.csv", orders_file(order(1)))

    answer = api.post(f"/api/ingestions/{first}/replay", headers={"X-Request-ID": "again"})
    cloud.run()

    assert answer.json is not None
    events = get(api, f"/api/ingestions/{answer.json['id']}/timeline")["events"]
    assert {each["cause"]["request_id"] for each in events} == {"again"}
    assert {each["cause"].get("actor") for each in events} == {"local", None}


# --- Health --------------------------------------------------------------------------------------


def test_readiness_checks_every_port(api: FlaskClient) -> None:
    ready = get(api, "/api/ready")

    assert ready["ready"] is True
    assert set(ready["ports"]) == {"objects", "log", "tasks", "warehouse"}


def test_readiness_names_the_port_that_is_away(cloud: Cloud, api: FlaskClient) -> None:
    interrupt(cloud.platform, "warehouse", "count_rows", OUTAGE, 1)

    answer = api.get("/api/ready")

    found = problem(answer, 503, "transient")
    assert found["ports"]["warehouse"] == {"ready": False, "problem": "backend_unavailable"}
    assert found["ports"]["log"] == {"ready": True, "problem": None}
    assert "connection refused" not in answer.text


# --- Who may -------------------------------------------------------------------------------------

TOKEN = Settings(api_token="hush")
DEPLOYED = Settings(api_token="hush", deployed=True)


def bare(settings: Settings) -> Any:
    return use_platform(WiredPlatform(settings))


def test_with_a_token_only_its_bearer_is_let_in(platform: Platform) -> None:
    platform.settings = TOKEN
    api = client_of("api")

    refused = api.get("/api/marts")
    problem(refused, 401, "unauthenticated")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    wrong = api.get("/api/marts", headers={"Authorization": "Bearer hus"})
    problem(wrong, 401, "unauthenticated")
    basic = api.get("/api/marts", headers={"Authorization": "Basic hush"})
    problem(basic, 401, "unauthenticated")
    assert api.get("/api/marts", headers=BEARER).status_code == 200


def test_the_operator_stands_in_the_events(cloud: Cloud) -> None:
    cloud.platform.settings = TOKEN
    cloud.publish(orders_contract())
    first = cloud.ingest("orders/a.csv", orders_file(order(1)))

    client_of("api").post(f"/api/ingestions/{first}/retract", headers=BEARER)

    [*_, event] = cloud.platform.log.read(f"ingestion/{first}")
    assert (event.type, event.cause["actor"]) == ("retract.requested", "operator")


def test_a_token_is_no_way_in_where_the_api_is_deployed() -> None:
    with bare(DEPLOYED):
        answer = client_of("api").get("/api/marts", headers=BEARER)

    found = problem(answer, 500, "setting_invalid")
    assert "EVENTPULSE_API_TOKEN" in found["detail"]
    assert "K_SERVICE" in found["detail"]
    assert "hush" not in answer.text


def test_nobody_is_let_in_where_it_is_deployed_without_a_way_to_sign_in() -> None:
    with bare(Settings(deployed=True)):
        problem(client_of("api").get("/api/marts"), 403, "forbidden")


@pytest.mark.parametrize("settings", [Settings(), TOKEN], ids=["no token", "token"])
@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"])
def test_another_machine_is_not_let_in(settings: Settings, address: str) -> None:
    with bare(settings):
        answer = client_of("api").get(
            "/api/marts", headers=BEARER, environ_base={"REMOTE_ADDR": address}
        )

    problem(answer, 403, "forbidden")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_let_in_without_a_token(platform: Platform, address: str) -> None:
    api = client_of("api")
    answer = api.get("/api/marts", environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}]
)
def test_a_page_of_another_site_is_not_let_in_without_a_token(
    platform: Platform, headers: dict[str, str]
) -> None:
    problem(client_of("api").post("/api/marts/x", headers=headers), 403, "forbidden")


def test_health_and_readiness_need_no_token() -> None:
    with bare(DEPLOYED):
        assert client_of("api").get("/api/health").status_code == 200
        assert client_of("api").get("/api/ready").status_code == 503


# --- OpenAPI -------------------------------------------------------------------------------------


def test_the_openapi_document_is_valid(api: FlaskClient) -> None:
    document = get(api, "/api/openapi.json")

    assert document["openapi"] == "3.1.0"
    validate(document)
    names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(set(names)) == len(names) == len(ENDPOINTS)


def sent_to(ingestion_id: str) -> dict[str, Any]:
    """For each endpoint that needs more than its address, a request that it takes."""
    return {
        "/api/ingestions/replay": {"json": {"ids": [ingestion_id]}},
        "/api/datasets/{name}/contract/diff": {"query_string": {"of": "1.0.0"}},
        "/api/search": {"query_string": {"q": "orders"}},
        "/api/ingestions/{id}/recover": {"json": {"rows": [{"record": 2, "row": {"amount": "1"}}]}},
        "/api/backfills": {"json": {"dataset": "orders"}},
        "/api/contracts": {"json": {"text": orders_contract("9.0.0")}},
        "/api/marts/{name}": {"json": {"text": TOTALS}},
        "/api/proposals/{id}/accept": {"json": {}},
        "/api/uploads": {"json": upload_request(b"x", name="orders/new.csv")},
    }


def test_every_endpoint_answers_what_the_document_says(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    api.post("/api/marts/totals", json={"text": TOTALS, "contract": TOTALS_CONTRACT})
    content = orders_file(order(1), order(2, amount="-1"))
    ingestion_id = cloud.ingest("orders/a.csv", content)
    backfill = api.post("/api/backfills", json={"dataset": "orders", "check": False})
    verification = api.post("/api/datasets/orders/verify")
    assert backfill.json is not None
    assert verification.json is not None
    cloud.run()
    document = openapi_document()
    drafted = [cloud.ingest(f"{name}/a.csv", b"id,n\n1,5\n") for name in ("shops", "towns")]
    shops, towns = (get(api, f"/api/ingestions/{each}")["proposal"] for each in drafted)
    ids = {"/api/proposals/{id}/reject": towns}
    ids |= dict.fromkeys(("/api/proposals/{id}", "/api/proposals/{id}/accept"), shops)
    names = {"/api/datasets": "orders", "/api/marts": "totals"}
    ids |= {"/api/backfills": backfill.json["id"]}
    ids |= {"/api/verifications": verification.json["id"]}

    for endpoint in OTHERS:
        folder = "/".join(endpoint.path.split("/")[:3])
        subject = ids.get(endpoint.path, ids.get(folder, ingestion_id))
        path = endpoint.path.format(id=subject, name=names.get(folder, ""))
        sent = sent_to(ingestion_id).get(endpoint.path, {})
        answer = api.open(path, method=endpoint.method, **sent)
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        assert answer.status_code in (200, endpoint.status), (path, answer.text)
        check_schema(document, operation["responses"][str(answer.status_code)], answer.json)


def test_every_problem_is_what_the_document_says(api: FlaskClient) -> None:
    document = openapi_document()
    for endpoint in OTHERS:
        if "{" not in endpoint.path or endpoint.body is not None:
            continue
        path = endpoint.path.format(id="x", name="x")
        answer = api.open(path, method=endpoint.method, **sent_to("x").get(endpoint.path, {}))
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        problem(answer, 404, answer.json["code"])  # type: ignore[index]
        check_schema(document, operation["responses"]["404"], answer.json)


def check_schema(document: dict[str, Any], response: dict[str, Any], body: object) -> None:
    media = next(iter(response["content"].values()))
    resource = Resource.from_contents(document, default_specification=DRAFT202012)
    registry = Registry().with_resource("urn:openapi", resource)
    schema = {"$ref": f"urn:openapi{media['schema']['$ref']}"}
    assert list(OAS31Validator(schema, registry=registry).iter_errors(body)) == []
