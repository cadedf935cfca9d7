"""The event- and task-driven functions, through their real main.py."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from eventpulse.errors import BackendUnavailable
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.logs import JsonFormatter
from eventpulse.pipeline.streams import Changes
from eventpulse.ports import Json, NewEvent, Task
from eventpulse.settings import Settings
from eventpulse.values import format_time
from eventpulse.wiring import WiredPlatform, use_platform
from tests.functions.harness import (
    HEADER,
    Cloud,
    client_of,
    event_headers,
    finalize_event,
    order,
    orders_contract,
    orders_file,
    structured_event,
)
from tests.functions.ports import interrupt

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def ingestion_of(cloud: Cloud, ingestion_id: str) -> Ingestion:
    return Changes(cloud.platform).ingestion(ingestion_id)


def events_of(cloud: Cloud, ingestion_id: str) -> list[str]:
    return [each.type for each in cloud.platform.log.read(f"ingestion/{ingestion_id}")]


OUTAGE = BackendUnavailable("Cloud Storage", "open an object", "503", retry_after=7)


# --- Land ----------------------------------------------------------------------------------------


def test_land_registers_an_object_announced_in_binary_mode(cloud: Cloud) -> None:
    cloud.publish(orders_contract())
    stored = cloud.put("orders/a.csv", orders_file(order(1)))

    answer = cloud.announce(stored)

    assert answer.status_code == 200
    ingestion = ingestion_of(cloud, cloud.find(stored))
    assert (ingestion.state, ingestion.dataset) == ("received", "orders")
    assert ingestion.source.size == stored.size
    assert ingestion.source.generation == stored.ref.generation
    assert [task.function for task in cloud.tasks.waiting()] == ["validate"]


def test_land_registers_an_object_announced_in_structured_mode(cloud: Cloud) -> None:
    stored = cloud.put("orders/a.csv", orders_file(order(1)))

    answer = client_of("land").post(
        "/",
        data=structured_event(finalize_event(cloud.platform, stored)),
        content_type="application/cloudevents+json",
    )

    assert answer.status_code == 200
    assert ingestion_of(cloud, cloud.find(stored)).object == "orders/a.csv"


def test_the_same_event_a_hundred_times_at_once_makes_one_ingestion(cloud: Cloud) -> None:
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    client_of("land")  # made before the threads ask for it
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: cloud.announce(stored).status_code, range(100)))

    assert answers == [200] * 100
    assert events_of(cloud, cloud.find(stored)) == ["received"]
    assert len(cloud.tasks.waiting()) == 1


def test_land_ignores_an_object_of_another_bucket(cloud: Cloud) -> None:
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    data = finalize_event(cloud.platform, stored, bucket="someone-elses")

    answer = client_of("land").post("/", json=data, headers=event_headers())

    assert answer.status_code == 200
    assert events_of(cloud, cloud.find(stored)) == []


def test_land_does_not_ask_again_for_an_object_that_is_gone(cloud: Cloud) -> None:
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    data = finalize_event(cloud.platform, stored, generation="1")

    answer = client_of("land").post("/", json=data, headers=event_headers())

    assert answer.status_code == 200
    assert cloud.tasks.waiting() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"generation": "newest"}, "invalid_event"),
        ({"name": None}, "invalid_event"),
        ({"timeCreated": "yesterday"}, "invalid_event"),
        ({"timeCreated": "2026-01-01T00:00:00"}, "invalid_event"),
    ],
)
def test_land_refuses_what_is_not_an_object(
    cloud: Cloud, changes: dict[str, object], code: str
) -> None:
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    data = finalize_event(cloud.platform, stored, **changes)

    answer = client_of("land").post("/", json=data, headers=event_headers())

    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["code"] == code
    assert answer.content_type == "application/problem+json"


def test_land_refuses_event_data_that_is_not_json(cloud: Cloud) -> None:
    headers = {**event_headers(), "content-type": "text/plain"}
    answer = client_of("land").post("/", data=b"hello", headers=headers)

    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["code"] == "invalid_event"


def test_land_refuses_an_event_that_it_does_not_know(cloud: Cloud) -> None:
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    answer = client_of("land").post(
        "/",
        json=finalize_event(cloud.platform, stored),
        headers=event_headers("google.cloud.storage.object.v1.deleted"),
    )

    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["code"] == "unknown_event"


def test_land_asks_to_be_called_again_when_the_store_is_away(cloud: Cloud) -> None:
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    interrupt(cloud.platform, "objects", "open", OUTAGE, 1)

    first, second = cloud.announce(stored), cloud.announce(stored)

    assert (first.status_code, first.headers["Retry-After"]) == (503, "7")
    assert second.status_code == 200
    assert ingestion_of(cloud, cloud.find(stored)).state == "received"


# --- Tasks: what is refused ----------------------------------------------------------------------

TASK_FUNCTIONS = {
    "validate": {"ingestion": "x"},
    "drift": {"ingestion": "x"},
    "load": {"dataset": "orders"},
    "marts": {"dataset": "orders"},
    "sweep": {},
}


@pytest.mark.parametrize("function", ["validate", "drift", "load", "marts"])
@pytest.mark.parametrize("body", ["[]", "{", "{}", '{"ingestion": 1, "dataset": null}'])
def test_a_body_that_is_no_task_is_refused(cloud: Cloud, function: str, body: str) -> None:
    answer = client_of(function).post("/", data=body, content_type="application/json")

    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["code"] == "invalid_task"


@pytest.mark.parametrize("function", TASK_FUNCTIONS)
def test_a_task_is_posted(cloud: Cloud, function: str) -> None:
    assert client_of(function).get("/").status_code == 400


@pytest.mark.parametrize("function", TASK_FUNCTIONS)
def test_only_calls_from_this_machine_are_let_in_without_a_secret(
    cloud: Cloud, function: str
) -> None:
    answer = client_of(function).post(
        "/", json=TASK_FUNCTIONS[function], environ_base={"REMOTE_ADDR": "10.0.0.7"}
    )

    assert answer.status_code == 401


@pytest.mark.parametrize("settings", [Settings(task_token="hush")], ids=["TASK_TOKEN"])
@pytest.mark.parametrize("function", TASK_FUNCTIONS)
def test_with_a_task_token_only_its_bearer_is_let_in(cloud: Cloud, function: str) -> None:
    def call(**headers: str) -> int:
        client = client_of(function)
        return client.post("/", json=TASK_FUNCTIONS[function], headers=headers).status_code

    assert call() == 401
    assert call(Authorization="Bearer wrong") == 401
    assert call(Authorization="Bearer hush") == 200


@pytest.mark.parametrize("settings", [Settings(task_token="hush")], ids=["TASK_TOKEN"])
def test_land_wants_the_task_token_too(cloud: Cloud) -> None:
    stored = cloud.put("orders/a.csv", orders_file(order(1)))

    assert cloud.announce(stored).status_code == 401
    assert cloud.announce(stored, Authorization="Bearer hush").status_code == 200


def test_a_task_for_an_unknown_ingestion_is_not_tried_again(cloud: Cloud) -> None:
    answer = cloud.deliver(Task("t", "validate", {"ingestion": "x"}))

    assert answer.status_code == 200
    assert answer.json == {
        "code": "ingestion_not_found",
        "detail": "There is no ingestion 'x'. List them with GET /api/ingestions.",
    }


def test_a_wrong_setting_is_answered_so_that_the_task_comes_again() -> None:
    with use_platform(WiredPlatform(Settings(state="mysql://user:secret@host/db"))):
        answer = client_of("validate").post("/", json={"ingestion": "x"})

    assert answer.status_code == 500
    assert answer.json is not None
    assert answer.json["code"] == "setting_invalid"
    assert "EVENTPULSE_STATE" in answer.json["detail"]
    assert "secret" not in answer.text


def test_a_fault_of_the_code_is_answered_500_and_told_to_the_log_alone(
    cloud: Cloud, log_lines: list[dict[str, Any]]
) -> None:
    interrupt(cloud.platform, "log", "heads", RuntimeError("the secret of the house"), 1)

    task = Task("t", "validate", {"ingestion": "x"}, headers={"X-Request-ID": "r-1"})
    answer = cloud.deliver(task)

    assert answer.status_code == 500
    assert answer.json is not None
    assert (answer.json["code"], answer.json["request_id"]) == ("internal_fault", "r-1")
    assert "secret" not in answer.text
    [line] = [each for each in log_lines if "exception" in each]
    assert line["request_id"] == "r-1"
    assert "the secret of the house" in line["exception"]


# --- Tasks: attempts, leases, ends ---------------------------------------------------------------


def received(cloud: Cloud, content: bytes | None = None) -> tuple[str, Task]:
    """An ingestion that waits for `validate`, and the task that will call it."""
    cloud.publish(orders_contract())
    stored = cloud.put("orders/a.csv", content or orders_file(order(1)))
    cloud.announce(stored)
    [task] = cloud.tasks.waiting()
    return cloud.find(stored), task


def take_lease(
    cloud: Cloud, ingestion_id: str, until: datetime, task: str, attempt: int = 1
) -> None:
    """As a delivery does that began and was not heard of since."""
    changes = Changes(cloud.platform)
    lease: dict[str, Json] = {
        "step": "validate",
        "attempt": attempt,
        "until": format_time(until),
        "task": task,
    }
    changes.add(f"ingestion/{ingestion_id}", NewEvent("step.started", lease))
    assert changes.commit()


def test_a_transient_fault_is_answered_503_and_the_next_delivery_works(cloud: Cloud) -> None:
    ingestion_id, task = received(cloud)
    interrupt(cloud.platform, "objects", "open", OUTAGE, 1)

    first = cloud.deliver(task)
    second = cloud.deliver(task, retries=1)

    assert (first.status_code, first.headers["Retry-After"]) == (503, "7")
    assert first.json is not None
    assert (first.json["code"], first.json["retryable"]) == ("backend_unavailable", True)
    assert second.status_code == 200
    assert events_of(cloud, ingestion_id) == [
        "received",
        "step.started",
        "step.faulted",
        "step.started",
        "validated",
    ]


def test_the_last_attempt_ends_as_failed_and_is_not_tried_again(cloud: Cloud) -> None:
    ingestion_id, task = received(cloud)
    interrupt(cloud.platform, "objects", "open", OUTAGE, 99)

    statuses = [cloud.deliver(task, retries=n).status_code for n in range(3)]

    assert statuses == [503, 503, 200]
    ingestion = ingestion_of(cloud, ingestion_id)
    assert (ingestion.state, ingestion.failed_step) == ("failed", "validate")
    assert ingestion.detail is not None
    assert "replay it" in ingestion.detail


def test_an_attempt_that_was_killed_counts(cloud: Cloud) -> None:
    ingestion_id, task = received(cloud)
    past = cloud.platform.clock() - timedelta(seconds=1)
    for attempt in range(1, 4):  # each began, and its lease ran out
        take_lease(cloud, ingestion_id, past, "killed", attempt)

    assert cloud.deliver(task, retries=3).status_code == 200

    ingestion = ingestion_of(cloud, ingestion_id)
    assert (ingestion.state, ingestion.failed_step) == ("failed", "validate")


def test_a_terminal_fault_is_recorded_and_answered_2xx(cloud: Cloud) -> None:
    ingestion_id, task = received(cloud, b"\x1f\x8b broken gzip")

    assert cloud.deliver(task).status_code == 200

    ingestion = ingestion_of(cloud, ingestion_id)
    assert (ingestion.state, ingestion.reason) == ("rejected", "unreadable")


def test_a_lease_that_another_holds_is_looked_at_when_it_ends(cloud: Cloud) -> None:
    ingestion_id, task = received(cloud)
    until = cloud.platform.clock() + timedelta(minutes=9)
    take_lease(cloud, ingestion_id, until, "another")

    assert cloud.deliver(task).status_code == 200

    cloud.tasks.finish(task.name)
    [later] = cloud.tasks.waiting()
    assert (later.function, later.not_before) == ("validate", until)
    assert events_of(cloud, ingestion_id) == ["received", "step.started"]


def test_a_later_delivery_of_the_task_that_holds_the_lease_takes_over(cloud: Cloud) -> None:
    ingestion_id, task = received(cloud)
    until = cloud.platform.clock() + timedelta(minutes=9)
    take_lease(cloud, ingestion_id, until, task.name)

    assert cloud.deliver(task, retries=1).status_code == 200

    assert ingestion_of(cloud, ingestion_id).state == "validated"


def test_a_task_delivered_again_after_its_step_only_wakes_the_next(cloud: Cloud) -> None:
    ingestion_id, task = received(cloud)
    cloud.deliver(task)
    before = events_of(cloud, ingestion_id)

    assert cloud.deliver(task, retries=1).status_code == 200

    assert events_of(cloud, ingestion_id) == before
    assert [each.function for each in cloud.tasks.waiting()] == ["validate", "drift"]


def test_load_that_faults_is_tried_again_and_loads_once(cloud: Cloud) -> None:
    cloud.publish(orders_contract())
    interrupt(cloud.platform, "warehouse", "publish", OUTAGE, 1)

    ingestion_id = cloud.ingest("orders/a.csv", orders_file(order(1), order(2)))

    assert [d.status for d in cloud.deliveries if d.task.function == "load"][:2] == [503, 200]
    assert ingestion_of(cloud, ingestion_id).state == "loaded"
    assert cloud.platform.warehouse.count_rows("curated", "orders") == 2


# --- A whole ingestion ---------------------------------------------------------------------------


def test_a_file_goes_through_all_functions_into_its_table_and_mart(cloud: Cloud) -> None:
    cloud.publish(orders_contract())
    api = client_of("api")
    sql = "-- materialize: table\nSELECT SUM(amount) AS total FROM curated.orders"
    assert api.post("/api/marts/totals", json={"text": sql}).status_code == 201

    content = orders_file(order(1), order(2, amount="-3"), order(1), "broken")
    ingestion_id = cloud.ingest("orders/a.csv", content)

    ingestion = ingestion_of(cloud, ingestion_id)
    assert ingestion.state == "loaded", ingestion.detail
    assert (ingestion.rows_read, ingestion.rows_accepted) == (4, 1)
    assert (ingestion.rows_quarantined, ingestion.rows_duplicate) == (2, 1)
    assert (ingestion.rows_current, ingestion.rows_superseded) == (1, 0)
    assert cloud.platform.warehouse.preview("marts", "totals", 5) == [{"total": 10.5}]
    assert {d.task.function for d in cloud.deliveries} == {"validate", "drift", "load", "marts"}
    assert {d.status for d in cloud.deliveries} == {200}


def test_a_request_can_be_followed_through_every_function(
    cloud: Cloud, log_lines: list[dict[str, Any]]
) -> None:
    cloud.publish(orders_contract())

    headers = {"X-Request-ID": "upload-7", "traceparent": TRACEPARENT}
    ingestion_id = cloud.ingest("orders/a.csv", orders_file(order(1)), **headers)

    causes = [e.cause for e in cloud.platform.log.read(f"ingestion/{ingestion_id}")]
    assert len(causes) > 5
    assert {cause["request_id"] for cause in causes} == {"upload-7"}
    assert {cause["traceparent"].split("-")[1] for cause in causes} == {TRACE}
    assert [cause["function"] for cause in causes[:2]] == ["land", "validate"]
    assert {d.task.headers["X-Request-ID"] for d in cloud.deliveries} == {"upload-7"}
    assert {d.task.headers["traceparent"].split("-")[1] for d in cloud.deliveries} == {TRACE}
    spans = {cause["traceparent"].split("-")[2] for cause in causes}
    calls = {d.task.name for d in cloud.deliveries if d.task.function != "marts"}
    assert len(spans) == len(calls) + 1
    assert all(line["request_id"] == "upload-7" for line in log_lines)


def test_a_malformed_request_id_and_trace_are_replaced(cloud: Cloud) -> None:
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    headers = {"X-Request-ID": "a b", "traceparent": "00-nonsense"}
    cloud.announce(stored, **headers)

    [event] = cloud.platform.log.read(f"ingestion/{cloud.find(stored)}")
    assert event.cause["request_id"] not in ("", "a b")
    assert len(event.cause["traceparent"].split("-")[1]) == 32


def test_drift_sends_a_file_with_a_new_column_back_once(cloud: Cloud) -> None:
    cloud.publish(orders_contract(added="evolve"))
    content = orders_file(f"{order(1)},blue", header=f"{HEADER},colour")

    ingestion_id = cloud.ingest("orders/a.csv", content)

    assert ingestion_of(cloud, ingestion_id).state == "loaded"
    assert events_of(cloud, ingestion_id).count("returned") == 1
    [row] = cloud.platform.warehouse.preview("curated", "orders", 5)
    assert row["colour"] == "blue"


# --- Sweep ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [Settings(sweep_after_seconds=0)], ids=["at once"])
def test_sweep_finds_an_object_that_was_never_announced(cloud: Cloud) -> None:
    cloud.publish(orders_contract())
    stored = cloud.put("orders/a.csv", orders_file(order(1)))

    answer = client_of("sweep").post("/", json={})
    cloud.run()

    assert answer.json is not None
    assert answer.json["result"]["objects"] == 1
    assert ingestion_of(cloud, cloud.find(stored)).state == "loaded"


@pytest.mark.parametrize("settings", [Settings(sweep_after_seconds=0)], ids=["at once"])
def test_sweep_wakes_what_an_emptied_queue_has_forgotten(cloud: Cloud) -> None:
    ingestion_id, task = received(cloud)
    cloud.tasks.finish(task.name)

    assert client_of("sweep").post("/", json={}).status_code == 200
    cloud.run()

    assert ingestion_of(cloud, ingestion_id).state == "loaded"


class _Lines(logging.Handler):
    """Log lines as they would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def log_lines() -> Iterator[list[dict[str, Any]]]:
    handler = _Lines()
    logger = logging.getLogger("eventpulse")
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)
