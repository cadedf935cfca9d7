"""A mart is held against its own contract after each build, and what is wrong is told."""

from __future__ import annotations

import json

from flask.testing import FlaskClient

from tests.functions.harness import Cloud, order, orders_contract, orders_file

SQL = """-- materialize: table
SELECT customer, COUNT(*) AS orders, SUM(amount) AS total FROM curated.orders GROUP BY customer
"""
CONTRACT = """
apiVersion: v3.2.0
kind: DataContract
id: spending
version: {version}
status: active
schema:
  - name: spending
    quality:
      - name: customers
        type: library
        metric: rowCount
        mustBeGreaterThan: 0
      - name: big_spenders
        type: sql
        query: SELECT COUNT(*) FROM ${{object}} WHERE total > 1000
        mustBe: 0
        severity: warning
    properties:
      - {{name: customer, logicalType: string, primaryKey: true, required: true}}
      - {{name: orders, logicalType: integer, logicalTypeOptions: {{maximum: {most}}}}}
      - {{name: total, logicalType: number, required: true}}
"""


def publish(api: FlaskClient, most: int, version: str = "1.0.0") -> int:
    body = {"text": SQL, "contract": CONTRACT.format(most=most, version=version)}
    return api.post("/api/marts/spending", json=body).status_code


def test_a_mart_that_breaks_its_contract_says_so_and_stays(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    assert publish(api, most=1) == 201
    cloud.ingest("orders/a.csv", orders_file(order(1), order(2), order(3, customer="bob")))

    mart = api.get("/api/marts/spending").json
    report = api.get("/api/marts/spending/quality").json

    assert mart is not None
    assert report is not None
    assert (mart["state"], mart["rows"]) == ("built", 2)
    assert mart["finding"] == report["message"] == "1 rows break maximum of orders"
    assert report["outcome"] == "failed"
    assert [each["passed"] for each in report["dataset_rules"]] == [True, True]


def test_a_new_contract_is_checked_at_once(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    publish(api, most=1)
    cloud.ingest("orders/a.csv", orders_file(order(1), order(2)))
    assert publish(api, most=2, version="1.1.0") == 201
    assert publish(api, most=2, version="1.1.0") == 200
    cloud.run()

    answer = api.get("/api/marts/spending/quality").json

    assert answer is not None
    assert (answer["outcome"], answer["contract_version"]) == ("passed", "1.1.0")
    assert api.get("/api/marts/spending").json["finding"] is None  # type: ignore[index]


def test_a_mart_without_a_contract_has_no_report(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    api.post("/api/marts/spending", json={"text": SQL})
    cloud.ingest("orders/a.csv", orders_file(order(1)))
    answer = api.get("/api/marts/spending/quality")
    assert (answer.status_code, answer.json["code"]) == (404, "no_quality_report")  # type: ignore[index]


def test_a_contract_of_other_columns_is_refused(api: FlaskClient) -> None:
    contract = CONTRACT.format(most=1, version="1.0.0").replace("name: total", "name: sum")
    answer = api.post("/api/marts/spending", json={"text": SQL, "contract": contract})
    assert answer.status_code == 422
    assert "the SELECT has no column 'sum'" in json.dumps(answer.json)
