"""Datasets, contracts, marts and uploads in the operators' API, through its real main.py."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.adapters.uploads_file import UploadApp
from eventpulse.platform import Platform
from tests.functions.answers import OUTAGE, TOTALS, get, problem, upload_request
from tests.functions.harness import (
    HEADER,
    SIGN_KEY,
    Cloud,
    client_of,
    order,
    orders_contract,
    orders_file,
)
from tests.functions.ports import interrupt
from tests.web_server import serve

# --- Datasets and contracts ----------------------------------------------------------------------


def test_datasets_are_listed_with_contract_and_rows(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    cloud.publish(orders_contract().replace("orders", "returns"))
    cloud.ingest("orders/a.csv", orders_file(order(1), order(2)))

    orders, returns = get(api, "/api/datasets")["datasets"]

    assert (orders["name"], orders["contract_version"], orders["loads"]) == ("orders", "1.0.0", 1)
    assert (orders["rows"], orders["loading"]) == (2, False)
    assert (returns["name"], returns["loads"], returns["rows"]) == ("returns", 0, 0)


def test_datasets_are_listed_while_the_warehouse_is_away(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    cloud.ingest("orders/a.csv", orders_file(order(1)))
    interrupt(cloud.platform, "warehouse", "count_rows", OUTAGE, 1)

    [orders] = get(api, "/api/datasets")["datasets"]

    assert (orders["loads"], orders["rows"]) == (1, None)


def test_a_dataset_tells_its_versions_and_what_drift_added(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract(added="evolve"))
    cloud.ingest("orders/a.csv", orders_file(f"{order(1)},blue", header=f"{HEADER},Colour"))
    cloud.publish(orders_contract("1.1.0", added="evolve"))

    shown = get(api, "/api/datasets/orders")

    assert (shown["contract_version"], shown["contract_versions"]) == ("1.1.0", ["1.0.0", "1.1.0"])
    assert shown["path_patterns"] == ["orders/*"]
    assert (shown["evolved"], shown["rows"]) == (["colour"], 1)
    assert shown["verification"] is None


@pytest.mark.parametrize("path", ["", "/contract", "/digest"])
def test_an_unknown_dataset_is_not_found(api: FlaskClient, path: str) -> None:
    code = "contract_not_found" if path else "dataset_not_found"
    problem(api.get(f"/api/datasets/nope{path}"), 404, code)


def test_a_contract_is_published_as_yaml_and_read_both_ways(cloud: Cloud, api: FlaskClient) -> None:
    text = orders_contract()
    first = api.post("/api/contracts", data=text, content_type="application/yaml")
    again = api.post("/api/contracts", json={"text": text, "source": "orders.odcs.yaml"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json is not None
    assert again.json == {**first.json, "changed": False}
    parsed = api.get(first.headers["Location"])
    assert parsed.json is not None
    assert parsed.json["current"] is True
    assert [each["name"] for each in parsed.json["contract"]["fields"]] == HEADER.split(",")
    yaml = api.get("/api/datasets/orders/contract", headers={"Accept": "application/yaml"})
    assert (yaml.text, yaml.mimetype) == (text, "application/yaml")


def test_older_versions_of_a_contract_stay_readable(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    cloud.publish(orders_contract("2.0.0"))

    old = get(api, "/api/datasets/orders/contract", version="1.0.0")

    assert (old["version"], old["current"]) == ("1.0.0", False)
    assert get(api, "/api/datasets/orders/contract")["version"] == "2.0.0"
    answer = api.get("/api/datasets/orders/contract?version=3.0.0")
    assert "3.0.0" in problem(answer, 404, "contract_not_found")["detail"]


def test_every_problem_of_a_contract_is_named(api: FlaskClient) -> None:
    text = orders_contract().replace("logicalType: integer", "logicalType: intger")
    text = text.replace("maxInvalidPercent", "maxInvalidPrecent")

    answer = api.post("/api/contracts", json={"text": text, "source": "orders.odcs.yaml"})

    found = problem(answer, 422, "contract_invalid")
    assert found["source"] == "orders.odcs.yaml"
    assert len(found["problems"]) == 2


def test_a_published_version_never_changes(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())

    answer = api.post("/api/contracts", json={"text": orders_contract(minimum=1)})

    assert "raise the version" in problem(answer, 422, "contract_invalid")["detail"]


# --- Marts ---------------------------------------------------------------------------------------


def test_a_mart_is_published_built_and_shown(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    cloud.ingest("orders/a.csv", orders_file(order(1), order(2)))
    first = api.post("/api/marts/totals", data=TOTALS, content_type="application/sql")
    again = api.post("/api/marts/totals", json={"text": TOTALS})
    waiting = get(api, "/api/marts/totals")
    cloud.run()

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == {"name": "totals", "changed": False}
    assert (waiting["state"], waiting["preview"]) == ("waiting", [])
    shown = get(api, "/api/marts/totals", limit=5)
    assert (shown["state"], shown["rows"], shown["builds"]) == ("built", 1, 1)
    assert shown["preview"] == [{"total": 21.0}]
    assert shown["sources"] == ["curated.orders"]
    assert shown["lineage_uri"].startswith("file://")
    [listed] = get(api, "/api/marts")["marts"]
    assert (listed["name"], listed["rows"], listed["error"]) == ("totals", 1, None)


def test_a_mart_that_reads_what_is_not_there_waits_and_hinders_no_other(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())
    early = "SELECT total FROM marts.totals"
    assert api.post("/api/marts/early", json={"text": early}).status_code == 201
    assert api.post("/api/marts/totals", json={"text": TOTALS}).status_code == 201
    orphan = "SELECT n.x FROM marts.nowhere AS n JOIN curated.orders AS o ON n.x = o.order_id"
    assert api.post("/api/marts/orphan", json={"text": orphan}).status_code == 201

    cloud.ingest("orders/a.csv", orders_file(order(1)))

    states = {each["name"]: each["state"] for each in get(api, "/api/marts")["marts"]}
    assert states == {"early": "built", "totals": "built", "orphan": "waiting"}


def test_marts_that_read_each_other_in_a_circle_are_refused(api: FlaskClient) -> None:
    first = api.post("/api/marts/a", json={"text": "SELECT x FROM marts.b"})
    second = api.post("/api/marts/b", json={"text": "SELECT x FROM marts.a"})

    assert first.status_code == 201
    assert "circle" in problem(second, 422, "contract_invalid")["detail"]
    assert [each["name"] for each in get(api, "/api/marts")["marts"]] == ["a"]


def test_a_mart_that_is_no_select_is_refused(api: FlaskClient) -> None:
    answer = api.post("/api/marts/totals", json={"text": "DROP TABLE curated.orders"})

    problem(answer, 422, "contract_invalid")
    problem(api.get("/api/marts/totals"), 404, "mart_not_found")


# --- Uploads -------------------------------------------------------------------------------------


def test_an_upload_is_signed_and_makes_the_object(
    cloud: Cloud, platform: Platform, tmp_path: Any
) -> None:
    content = orders_file(order(1))
    store = platform.objects
    assert isinstance(store, FileObjectStore)
    with serve(UploadApp(store)) as url:
        platform.__dict__["objects"] = FileObjectStore(
            f"file://{tmp_path / 'objects'}", SIGN_KEY, url
        )
        answer = client_of("api").post("/api/uploads", json=upload_request(content))
        signed = answer.json
        assert signed is not None
        sent = requests.request(
            signed["method"], signed["url"], headers=signed["headers"], data=content, timeout=30
        )

    assert sent.status_code == 200
    stored = platform.objects.stat("raw", "orders/a.csv")
    assert stored is not None
    assert (stored.size, stored.content_type) == (len(content), "text/csv")


def test_an_upload_tells_which_dataset_its_name_leads_to(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())

    known = api.post("/api/uploads", json=upload_request(b"x")).json
    unknown = api.post("/api/uploads", json=upload_request(b"x", name="b.csv")).json
    wrong = api.post("/api/uploads", json=upload_request(b"x", name="b.csv", dataset="orders"))

    assert known is not None
    assert unknown is not None
    assert (known["datasets"], unknown["datasets"]) == (["orders"], [])
    assert problem(wrong, 422, "name_not_routed")["patterns"] == ["orders/*"]


def test_a_name_that_is_taken_is_not_signed_again(cloud: Cloud, api: FlaskClient) -> None:
    cloud.put("orders/a.csv", b"x")

    answer = api.post("/api/uploads", json=upload_request(b"y"))

    found = problem(answer, 409, "object_exists")
    live = cloud.platform.objects.stat("raw", "orders/a.csv")
    assert live is not None
    assert (found["object"], found["generation"]) == ("orders/a.csv", live.ref.generation)


def test_a_name_is_replaced_knowingly(cloud: Cloud, api: FlaskClient) -> None:
    stored = cloud.put("orders/a.csv", b"x")

    right = upload_request(b"y", replaces=stored.ref.generation)
    signed = api.post("/api/uploads", json=right)
    wrong = api.post("/api/uploads", json=upload_request(b"y", replaces=7))
    gone = api.post("/api/uploads", json=upload_request(b"y", name="orders/b.csv", replaces=7))

    assert signed.status_code == 200
    assert signed.json is not None
    expected = str(stored.ref.generation)
    assert signed.json["headers"]["x-goog-if-generation-match"] == expected
    problem(wrong, 409, "object_exists")
    problem(gone, 409, "object_missing")


def test_an_upload_is_told_how_the_datasets_files_are_written(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract())

    answer = api.post("/api/uploads", json=upload_request(b"y"))

    assert answer.json is not None
    dialect = answer.json["dialect"]
    assert (dialect["format"], dialect["quote"], dialect["decimal_mark"]) == ("csv", '"', ".")
    assert dialect["columns"] == ["order_id", "amount", "customer", "changed_at"]
    assert dialect["required"] == ["order_id", "amount", "changed_at"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "a/../b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"length": -1}, "length"),
        ({"length": "many"}, "length"),
        ({"md5": "abc"}, "md5"),
        ({"content_type": "text/csv\r\nx-evil: 1"}, "content_type"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_upload_that_is_not_valid_is_refused_by_field(
    api: FlaskClient, changes: dict[str, object], field: str
) -> None:
    answer = api.post("/api/uploads", json=upload_request(b"x", **changes))

    [found] = problem(answer, 422, "invalid_request")["problems"]
    assert found.startswith(f"body.{field}: ")


def test_every_fault_of_a_request_is_named_at_once(api: FlaskClient) -> None:
    answer = api.post("/api/uploads", json={"name": 3, "length": "x"})

    problems = problem(answer, 422, "invalid_request")["problems"]
    assert [each.partition(":")[0] for each in problems] == ["body.name", "body.length", "body.md5"]
