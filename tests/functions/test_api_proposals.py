"""Proposals and the comparison of versions in the operators' API, through its real main.py."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.functions.answers import get, problem
from tests.functions.harness import HEADER, Cloud, order, orders_contract, orders_file


def grow(cloud: Cloud, name: str = "orders/a.csv", *ids: int) -> str:
    """A file with a column that the contract does not know, which its policy freezes."""
    rows = [f"{order(each)},blue" for each in ids or (1,)]
    return cloud.ingest(name, orders_file(*rows, header=f"{HEADER},Colour"))


@pytest.fixture
def proposed(cloud: Cloud, api: FlaskClient) -> dict[str, Any]:
    cloud.publish(orders_contract(added="freeze"))
    ingestion = grow(cloud)
    shown = get(api, f"/api/ingestions/{ingestion}")
    assert (shown["state"], shown["reason"]) == ("rejected", "drift")
    [proposal] = get(api, "/api/proposals")["proposals"]
    assert shown["proposal"] == proposal["id"]
    assert get(api, f"/api/ingestions/{ingestion}/drift")["proposal"] == proposal["id"]
    found: dict[str, Any] = proposal
    return found


def test_a_proposal_is_listed_and_seen_with_its_contract(
    api: FlaskClient, proposed: dict[str, Any]
) -> None:
    assert (proposed["kind"], proposed["state"], proposed["dataset"]) == ("drift", "open", "orders")
    assert (proposed["base"], proposed["seen"], len(proposed["waiting"])) == ("1.0.0", 1, 1)
    shown = get(api, f"/api/proposals/{proposed['id']}")
    assert shown["suggested_version"] == "2.0.0"
    assert shown["patch"] == [
        {
            "op": "add",
            "property": {"name": "colour", "physicalName": "Colour", "logicalType": "string"},
        }
    ]
    assert shown["evidence"][0]["seen"].startswith("the file has a column 'Colour'")
    assert "+      - name: colour" in shown["diff"]
    assert shown["problem"] is None
    assert get(api, "/api/proposals", state="accepted")["proposals"] == []
    assert get(api, "/api/proposals", dataset="returns")["proposals"] == []


def test_an_accepted_proposal_registers_a_version_and_replays(
    cloud: Cloud, api: FlaskClient, proposed: dict[str, Any]
) -> None:
    answer = api.post(f"/api/proposals/{proposed['id']}/accept", json={})
    assert answer.status_code == 200, answer.json
    assert answer.json is not None
    assert answer.json["version"] == "2.0.0"
    assert answer.headers["Location"] == "/api/datasets/orders/contract?version=2.0.0"
    cloud.run()
    [replay] = answer.json["replays"].values()
    assert get(api, f"/api/ingestions/{replay}")["state"] == "loaded"
    again = api.post(f"/api/proposals/{proposed['id']}/accept", json={})
    assert again.json == answer.json
    shown = get(api, f"/api/proposals/{proposed['id']}")
    assert (shown["state"], shown["version"]) == ("accepted", "2.0.0")
    assert get(api, "/api/datasets/orders")["contract_versions"] == ["1.0.0", "2.0.0"]


def test_a_rejected_proposal_cannot_be_accepted(api: FlaskClient, proposed: dict[str, Any]) -> None:
    path = f"/api/proposals/{proposed['id']}"
    for _ in range(2):
        assert api.post(f"{path}/reject").status_code == 200
    problem(api.post(f"{path}/accept", json={}), 409, "proposal_decided")
    problem(api.get("/api/proposals/unknown"), 404, "proposal_not_found")


def test_a_contract_that_is_none_is_refused_with_every_problem(
    api: FlaskClient, proposed: dict[str, Any]
) -> None:
    wrong = orders_contract("2.0.0").replace("logicalType: integer", "logicalType: whole")
    answer = api.post(f"/api/proposals/{proposed['id']}/accept", json={"text": wrong})
    found = problem(answer, 422, "contract_invalid")
    assert any("logicalType" in each for each in found["problems"])
    assert get(api, f"/api/proposals/{proposed['id']}")["state"] == "open"


def test_publishing_over_an_accepted_proposal_is_a_conflict_with_its_patch(
    api: FlaskClient, proposed: dict[str, Any]
) -> None:
    api.post(f"/api/proposals/{proposed['id']}/accept", json={})
    answer = api.post("/api/contracts", json={"text": orders_contract(added="freeze")})
    found = problem(answer, 409, "contract_unseen")
    assert "+      - name: colour" in found["patch"]
    assert found["version"] == "2.0.0"


def test_versions_are_compared(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract(added="freeze"))
    cloud.publish(orders_contract("2.0.0", minimum=5))
    path = "/api/datasets/orders/contract/compatibility"
    found = get(api, path, old="1.0.0")
    assert (found["old"], found["new"], found["mode"]) == ("1.0.0", "2.0.0", "FORWARD")
    assert (found["bump"], found["needed_version"], found["enough"]) == ("major", "2.0.0", True)
    assert any(each["path"] == "amount.minimum" for each in found["differences"])
    same = get(api, path, old="2.0.0", new="2.0.0")
    assert (same["mode"], same["bump"], same["differences"]) == ("FULL", "none", [])
    problem(api.get(f"{path}?old=9.9.9"), 404, "contract_not_found")
    assert get(api, path) == found, "the current one and the one before, unless they are named"
