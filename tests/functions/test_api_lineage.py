"""Lineage as one graph, and how a dataset came to be what it is."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.functions.answers import get, problem
from tests.functions.harness import Cloud, order, orders_contract, orders_file

SPEND = "SELECT customer, SUM(amount) AS spent FROM curated.orders GROUP BY customer\n"
TOP = "SELECT customer, spent FROM marts.spend WHERE spent > 10\n"


@pytest.fixture
def published(cloud: Cloud, api: FlaskClient) -> Cloud:
    cloud.publish(orders_contract())
    assert api.post("/api/marts/spend", json={"text": SPEND}).status_code == 201
    assert api.post("/api/marts/top", json={"text": TOP}).status_code == 201
    return cloud


def tables(graph: Any) -> list[str]:
    return sorted(node["id"] for node in graph["nodes"])


def columns(graph: Any) -> set[str]:
    return {
        f"{e['source']}.{e['source_column']} > {e['target']}.{e['target_column']}"
        for e in graph["edges"]
        if e["source_column"]
    }


def test_the_whole_graph_has_files_tables_and_marts(published: Cloud, api: FlaskClient) -> None:
    graph = get(api, "/api/lineage")
    assert tables(graph) == ["curated.orders", "marts.spend", "marts.top", "raw.orders"]
    assert "curated.orders.amount > marts.spend.spent" in columns(graph)
    [edge] = [
        e for e in graph["edges"] if e["target_column"] == "spent" and "curated" in e["source"]
    ]
    assert edge["transformation"] == "AGGREGATION"
    assert columns(get(api, "/api/lineage", columns="false")) == set()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (
            {"node": "marts.spend", "direction": "upstream"},
            ["curated.orders", "marts.spend", "raw.orders"],
        ),
        ({"node": "marts.spend", "direction": "downstream"}, ["marts.spend", "marts.top"]),
        ({"node": "raw.orders", "depth": "1"}, ["curated.orders", "raw.orders"]),
        (
            {"node": "marts.top", "column": "spent", "depth": "2", "direction": "upstream"},
            ["curated.orders", "marts.spend", "marts.top"],
        ),
    ],
    ids=str,
)
def test_the_graph_is_cut_around_a_place(
    published: Cloud, api: FlaskClient, query: dict[str, str], found: list[str]
) -> None:
    assert tables(get(api, "/api/lineage", **query)) == found


def test_a_column_is_followed_to_the_file_that_brings_it(
    published: Cloud, api: FlaskClient
) -> None:
    graph = get(api, "/api/lineage", node="marts.top", column="spent", direction="upstream")
    assert columns(graph) == {
        "raw.orders.amount > curated.orders.amount",
        "curated.orders.amount > marts.spend.spent",
        "marts.spend.spent > marts.top.spent",
    }


@pytest.mark.parametrize("query", ["node=curated.nope", "node=curated.orders&column=nope"])
def test_a_place_that_there_is_not_is_not_found(
    published: Cloud, api: FlaskClient, query: str
) -> None:
    problem(api.get(f"/api/lineage?{query}"), 404, "lineage_not_found")
    problem(api.get("/api/lineage?column=x"), 422, "invalid_request")


# --- History -------------------------------------------------------------------------------------


def test_two_versions_of_a_contract_are_compared(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    cloud.publish(orders_contract("2.0.0", minimum=5))

    diff = get(api, "/api/datasets/orders/contract/diff", of="1.0.0")

    assert (diff["of"], diff["to"], diff["equal"]) == ("1.0.0", "2.0.0", False)
    assert "-version: 1.0.0" in diff["lines"]
    assert "+          minimum: 5" in diff["lines"]
    same = get(api, "/api/datasets/orders/contract/diff", of="1.0.0", to="1.0.0")
    assert (same["equal"], same["lines"]) == (True, [])
    unknown = api.get("/api/datasets/orders/contract/diff?of=7")
    problem(unknown, 404, "contract_not_found")


def test_the_history_tells_which_schemas_were_seen_and_which_accepted(
    cloud: Cloud, api: FlaskClient
) -> None:
    cloud.publish(orders_contract(added="evolve"))
    cloud.ingest("orders/a.csv", orders_file(order(1)))
    header = "order_id,amount,customer,changed_at,note"
    cloud.ingest("orders/b.csv", orders_file(f"{order(2)},x", header=header))
    rejected = cloud.ingest("orders/c.csv", b"order_id,amount\n1,2\n")

    history = get(api, "/api/datasets/orders/schemas")

    assert history["accepted"][0]["evolved"] == ["note"]
    assert "note" not in history["accepted"][-1]["observed"]
    assert [each["outcome"] for each in history["observed"]] == ["rejected", "evolved", "accepted"]
    assert history["observed"][0]["ingestion"] == rejected
    problem(api.get("/api/datasets/nope/schemas"), 404, "contract_not_found")


def test_a_dataset_is_shown_with_its_runs_and_its_freshness(cloud: Cloud, api: FlaskClient) -> None:
    promise = """
slaProperties:
  - {property: frequency, value: 1, unit: d}
  - {property: latency, value: 2, unit: h}
"""
    cloud.publish(orders_contract() + promise)
    [before] = get(api, "/api/datasets")["datasets"]
    good = cloud.ingest("orders/a.csv", orders_file(order(1)))
    bad = cloud.ingest("orders/b.csv", b"order_id,amount\n1,2\n")

    [shown] = get(api, "/api/datasets")["datasets"]

    assert (before["freshness"]["state"], before["runs"]) == ("empty", [])
    assert shown["freshness"]["state"] == "fresh"
    assert shown["freshness"]["due_at"] > shown["loaded_at"]
    assert shown["freshness"]["frequency_seconds"] == 86400
    assert [(each["id"], each["state"]) for each in shown["runs"]] == [
        (bad, "rejected"),
        (good, "loaded"),
    ]
