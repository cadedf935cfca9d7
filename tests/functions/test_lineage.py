"""Lineage is forwarded to an OpenLineage endpoint; one that is away holds up nothing."""

from __future__ import annotations

import dataclasses

import pytest

from eventpulse.pipeline.marts import publish_mart
from tests.adapters.task_receiver import Answer, Receiver, answer_in_turn
from tests.functions.harness import Cloud, client_of, order, orders_contract, orders_file
from tests.unit.lineage.openlineage_events import check_events


def forward_to(cloud: Cloud, url: str) -> None:
    """Configure the endpoint, as a deployment does."""
    cloud.platform.settings = dataclasses.replace(
        cloud.platform.settings, openlineage_url=url, openlineage_api_key="key"
    )


def states_of(receiver: Receiver) -> list[tuple[str, str]]:
    events = [call.json() for call in receiver.calls]
    return [(each["job"]["name"], each["eventType"]) for each in events]


def test_an_ingestion_and_its_mart_are_forwarded_once(cloud: Cloud) -> None:
    cloud.publish(orders_contract())
    publish_mart(cloud.platform, "total", "SELECT SUM(amount) AS total FROM curated.orders")
    with Receiver() as endpoint:
        forward_to(cloud, f"{endpoint.url}/")
        stored = cloud.put("orders/a.csv", orders_file(order(1)))
        for _ in range(2):
            cloud.announce(stored)
            cloud.run()
    assert states_of(endpoint) == [
        ("ingest.orders", "START"),
        ("ingest.orders", "COMPLETE"),
        ("mart.total", "START"),
        ("mart.total", "COMPLETE"),
    ]
    check_events([call.json() for call in endpoint.calls[:2]], "COMPLETE")
    assert {call.path for call in endpoint.calls} == {"/api/v1/lineage"}
    assert {call.headers["authorization"] for call in endpoint.calls} == {"Bearer key"}


def test_a_rejected_file_and_a_broken_mart_are_forwarded_as_failed(cloud: Cloud) -> None:
    cloud.publish(orders_contract())
    publish_mart(cloud.platform, "wrong", "SELECT nothing AS n FROM curated.orders")
    with Receiver() as endpoint:
        forward_to(cloud, endpoint.url)
        cloud.ingest("orders/a.csv", orders_file(order(1)))
        cloud.ingest("orders/b.csv", b"order_id\n1\n")
    assert states_of(endpoint) == [
        ("ingest.orders", "START"),
        ("ingest.orders", "COMPLETE"),
        ("mart.wrong", "START"),
        ("mart.wrong", "FAIL"),
        ("ingest.orders", "START"),
        ("ingest.orders", "FAIL"),
    ]


def test_an_endpoint_that_is_away_is_tried_again_and_holds_up_nothing(cloud: Cloud) -> None:
    cloud.publish(orders_contract())
    with Receiver() as endpoint:
        forward_to(cloud, endpoint.url)
        endpoint.answer = answer_in_turn(Answer(503), Answer(0))
        ingested = cloud.ingest("orders/a.csv", orders_file(order(1)))
    assert cloud.platform.log.head(f"ingestion/{ingested}").projection["state"] == "loaded"
    assert [each.status for each in cloud.deliveries if each.task.function == "lineage"] == [
        503,
        503,
        200,
    ]
    assert states_of(endpoint)[-2:] == [("ingest.orders", "START"), ("ingest.orders", "COMPLETE")]


def test_an_event_that_is_refused_for_good_is_logged(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.publish(orders_contract())
    with Receiver() as endpoint:
        forward_to(cloud, endpoint.url)
        endpoint.answer = answer_in_turn(Answer(422))
        cloud.ingest("orders/a.csv", orders_file(order(1)))
    assert len(endpoint.calls) == 2
    assert "refuses an event" in capsys.readouterr().err


def test_after_many_retries_the_endpoint_does_without(cloud: Cloud) -> None:
    cloud.publish(orders_contract())
    with Receiver() as endpoint:
        forward_to(cloud, endpoint.url)
    cloud.announce(cloud.put("orders/a.csv", orders_file(order(1))))
    forwarding = None
    while forwarding is None:
        for task in cloud.tasks.waiting():
            if task.function == "lineage":
                forwarding = task
            else:
                cloud.deliver(task)
                cloud.tasks.finish(task.name)
    assert cloud.deliver(forwarding, retries=89).status_code == 503
    assert cloud.deliver(forwarding, retries=90).status_code == 200


def test_what_is_no_document_is_refused(cloud: Cloud) -> None:
    assert client_of("lineage").post("/", json={"name": "x"}).status_code == 400
