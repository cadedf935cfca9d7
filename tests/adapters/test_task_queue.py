"""One suite for the TaskQueue, over every adapter and the fake."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from emulators.stack import GoogleStack
from eventpulse.ports import Task
from tests.adapters.queue_lanes import (
    Lane,
    cloudtasks_lane,
    make_task,
    memory_lane,
    postgres_lane,
)
from tests.adapters.task_receiver import Answer, Call, Receiver, answer_in_turn, wait_until

FAR = datetime(2026, 1, 1, tzinfo=UTC).replace(year=datetime.now(UTC).year) + timedelta(days=400)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(params=["memory", "postgres", pytest.param("cloudtasks", marks=pytest.mark.google)])
def lane(request: pytest.FixtureRequest, receiver: Receiver) -> Iterator[Lane]:
    """An empty queue of each kind, whose tasks are delivered to the receiver."""
    match request.param:
        case "memory":
            context = memory_lane(receiver)
        case "postgres":
            context = postgres_lane(receiver, request.getfixturevalue("postgres_url"))
        case _:
            stack: GoogleStack = request.getfixturevalue("google_stack")
            endpoint = stack.environment["EVENTPULSE_EMULATOR_TASKS"]
            context = cloudtasks_lane(receiver, endpoint, f"suite-{uuid.uuid4().hex}")
    with context as lane:
        yield lane


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def wait_until_done(lane: Lane) -> None:
    wait_until(lambda: lane.queue.pending() == 0)


# --- Delivery ------------------------------------------------------------------------------------


def test_a_task_is_delivered_as_cloud_tasks_does(lane: Lane) -> None:
    before = datetime.now(UTC).timestamp()
    task = Task(
        "drift-01_A",
        "drift",
        {"ingestion": "i-1", "text": "é漢😀\x00", "n": [1, None, True, 0.5]},
        headers={"X-Request-ID": "r-1", "traceparent": "00-0af7-b7ad-01"},
    )
    assert lane.queue.enqueue(task) is True
    (call,) = lane.receiver.wait_for_calls(1)
    assert (call.method, call.path) == ("POST", "/drift")
    assert call.json() == task.body
    headers = {
        "content-type": "application/json",
        "user-agent": "Google-Cloud-Tasks",
        "x-cloudtasks-queuename": lane.name,
        "x-cloudtasks-taskname": "drift-01_A",
        "x-cloudtasks-taskretrycount": "0",
        "x-cloudtasks-taskexecutioncount": "0",
        "x-request-id": "r-1",
        "traceparent": "00-0af7-b7ad-01",
    }
    assert {name: call.headers[name] for name in headers} == headers
    assert "authorization" not in call.headers
    assert before - 1 <= float(call.headers["x-cloudtasks-tasketa"]) <= call.at + 1
    wait_until_done(lane)
    assert len(lane.receiver.calls) == 1


def test_a_task_cannot_set_what_the_queue_says(lane: Lane) -> None:
    forged = {
        "X-CloudTasks-TaskName": "other",
        "x-cloudtasks-taskretrycount": "7",
        "User-Agent": "me",
        "X-AppEngine-QueueName": "other",
        "Content-Type": "text/plain",
    }
    lane.queue.enqueue(make_task("a", headers=forged))
    (call,) = lane.receiver.wait_for_calls(1)
    assert (call.task, call.retry_count) == ("a", 0)
    assert call.headers["user-agent"] == "Google-Cloud-Tasks"
    assert call.headers["content-type"] == "application/json"
    assert "x-appengine-queuename" not in call.headers


def test_every_task_of_many_is_delivered(lane: Lane) -> None:
    names = [f"task-{number}" for number in range(60)]
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda name: lane.queue.enqueue(make_task(name)), names))
    lane.receiver.wait_for_calls(60)
    wait_until_done(lane)
    assert sorted(call.task for call in lane.receiver.calls) == sorted(names)


# --- Names ---------------------------------------------------------------------------------------


def test_a_name_is_used_once_while_the_task_waits(lane: Lane) -> None:
    later = in_seconds(3600)
    assert lane.queue.enqueue(make_task("a", not_before=later)) is True
    assert lane.queue.enqueue(make_task("a", not_before=later)) is False
    assert lane.queue.enqueue(make_task("a", function="load", body={})) is False
    assert lane.queue.pending() == 1


def test_a_name_is_used_once_also_after_the_task_is_done(lane: Lane) -> None:
    lane.queue.enqueue(make_task("a"))
    lane.receiver.wait_for_calls(1)
    wait_until_done(lane)
    assert lane.queue.enqueue(make_task("a")) is False
    assert lane.queue.enqueue(make_task("b")) is True
    lane.receiver.wait_until(lambda: any(call.task == "b" for call in lane.receiver.calls))
    assert len(lane.receiver.calls_of("a")) == 1


def test_of_concurrent_tasks_of_one_name_one_is_added(lane: Lane) -> None:
    barrier = threading.Barrier(12)

    def enqueue(number: int) -> bool:
        barrier.wait(30)
        return lane.queue.enqueue(make_task("a", body={"n": number}))

    with ThreadPoolExecutor(12) as pool:
        added = list(pool.map(enqueue, range(12)))
    assert added.count(True) == 1
    (call,) = lane.receiver.wait_for_calls(1)
    assert call.json() == {"n": added.index(True)}
    wait_until_done(lane)
    assert len(lane.receiver.calls) == 1


@pytest.mark.parametrize("name", ["a", "A" * 500, "-", "_", "0-_Z"])
def test_names_that_are_allowed(lane: Lane, name: str) -> None:
    assert lane.queue.enqueue(make_task(name)) is True
    assert lane.receiver.wait_for_calls(1)[0].task == name


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"name": ""}, "no task's name"),
        ({"name": "a/b"}, "no task's name"),
        ({"name": "é"}, "no task's name"),
        ({"name": "a\n"}, "no task's name"),
        ({"name": "A" * 501}, "no task's name"),
        ({"name": "a", "function": "../x"}, "no function's name"),
        ({"name": "a", "not_before": datetime(2030, 1, 1)}, "time zone"),
        ({"name": "a", "headers": {"X": "a\r\nY: b"}}, "printable ASCII"),
        ({"name": "a", "headers": {"X": "é"}}, "printable ASCII"),
        ({"name": "a", "body": {"x": "y" * 900_000}}, "above the limit"),
        ({"name": "a", "body": {"x": float("nan")}}, "not JSON compliant"),
    ],
)
def test_what_no_queue_takes_is_refused(lane: Lane, values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        lane.queue.enqueue(make_task(**values))
    assert lane.queue.pending() == 0


# --- Schedule ------------------------------------------------------------------------------------


def test_a_task_waits_until_its_time(lane: Lane) -> None:
    soon, late = in_seconds(0.6), in_seconds(3600)
    lane.queue.enqueue(make_task("late", not_before=late))
    lane.queue.enqueue(make_task("soon", not_before=soon.astimezone(timezone.max)))
    (call,) = lane.receiver.wait_for_calls(1)
    assert call.task == "soon"
    # The header tells milliseconds or less of the time asked for, which may pass while it is asked.
    eta = float(call.headers["x-cloudtasks-tasketa"])
    assert soon.timestamp() - 0.001 < eta < call.at + 0.001
    wait_until(lambda: lane.queue.pending() == 1)


def test_a_time_in_the_past_is_now(lane: Lane) -> None:
    lane.queue.enqueue(make_task("a", not_before=in_seconds(-3600)))
    assert lane.receiver.wait_for_calls(1)[0].task == "a"


def test_tasks_that_wait_or_run_are_pending(lane: Lane) -> None:
    finish = threading.Event()

    def answer(_: Call) -> Answer:
        assert finish.wait(30)
        return Answer()

    lane.receiver.answer = answer
    assert lane.queue.pending() == 0
    lane.queue.enqueue(make_task("runs"))
    lane.queue.enqueue(make_task("waits", not_before=in_seconds(3600)))
    lane.receiver.wait_for_calls(1)
    assert lane.queue.pending() == 2
    finish.set()
    wait_until(lambda: lane.queue.pending() == 1)


# --- Retries -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 404, 429, 302, 0])
def test_whatever_is_not_2xx_is_delivered_again(lane: Lane, status: int) -> None:
    moved = {"Location": lane.receiver.url + "/elsewhere"}
    lane.receiver.answer = answer_in_turn(Answer(status, moved), Answer(status, moved))
    lane.queue.enqueue(make_task("a", headers={"X-Request-ID": "r"}))
    calls = lane.receiver.wait_for_calls(3)
    wait_until_done(lane)
    assert [call.retry_count for call in calls] == [0, 1, 2]
    assert {call.path for call in calls} == {"/validate"}
    assert {call.headers["x-request-id"] for call in calls} == {"r"}
    assert {call.body for call in calls} == {calls[0].body}
    counted = 0 < status < 500
    executions = [int(call.headers["x-cloudtasks-taskexecutioncount"]) for call in calls]
    assert executions == ([0, 1, 2] if counted else [0, 0, 0])
    previous = [call.headers.get("x-cloudtasks-taskpreviousresponse") for call in calls]
    assert previous == [None, *[str(status) if status else None] * 2]


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_ends_a_task(lane: Lane, status: int) -> None:
    lane.receiver.answer = lambda _: Answer(status)
    lane.queue.enqueue(make_task("a"))
    wait_until_done(lane)
    assert len(lane.receiver.calls) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(lane: Lane, status: int) -> None:
    lane.receiver.answer = answer_in_turn(Answer(status, {"Retry-After": "1"}))
    lane.queue.enqueue(make_task("a"))
    first, second = lane.receiver.wait_for_calls(2)
    assert second.at - first.at >= 1.0


def test_one_failing_task_does_not_hold_up_others(lane: Lane) -> None:
    lane.receiver.answer = lambda call: Answer(500 if call.task == "bad" else 200)
    lane.queue.enqueue(make_task("bad"))
    lane.receiver.wait_for_calls(1)
    for number in range(10):
        lane.queue.enqueue(make_task(f"good-{number}"))
    wait_until(lambda: lane.queue.pending() == 1)
    assert len({call.task for call in lane.receiver.calls}) == 11
    lane.receiver.wait_until(lambda: len(lane.receiver.calls_of("bad")) >= 4)
    lane.receiver.answer = lambda _: Answer()
    wait_until_done(lane)
