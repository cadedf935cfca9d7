"""Queues and dispatchers when processes are killed, servers restart and answers are lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import google.auth.transport.requests
import psycopg
import pytest
from google.api_core.exceptions import NotFound
from google.oauth2 import id_token

from emulators.stack import GoogleStack
from eventpulse.adapters.task_delivery import parse_retry_after
from eventpulse.adapters.tasks_cloudtasks import CloudTasksQueue
from eventpulse.adapters.tasks_postgres import Backoff, Dispatcher, PostgresTaskQueue
from eventpulse.errors import BackendUnavailable, SettingInvalid
from tests.adapters.queue_lanes import (
    ACCOUNT,
    LOCATION,
    PROJECT,
    SHORT,
    Lane,
    cloudtasks_lane,
    connect,
    make_task,
    postgres_lane,
)
from tests.adapters.task_receiver import Answer, Call, Receiver, wait_until
from tests.postgres_server import PostgresServer
from tests.proxies import GrpcProxy, PostgresProxy


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def queue(postgres_url: str) -> Iterator[PostgresTaskQueue]:
    queue = PostgresTaskQueue(postgres_url)
    yield queue
    queue.close()


class Hold:
    """An answer that is held back until `release`."""

    def __init__(self, *tasks: str) -> None:
        self._tasks = tasks
        self._released = threading.Event()

    def __call__(self, call: Call) -> Answer:
        if call.task in self._tasks and call.retry_count == 0:
            assert self._released.wait(60)
        return Answer()

    def release(self) -> None:
        self._released.set()


# --- Dispatchers ---------------------------------------------------------------------------------

DISPATCHER = """
import sys, threading
from eventpulse.adapters.tasks_postgres import Dispatcher

with Dispatcher(sys.argv[1], sys.argv[2], lease=0.5):
    threading.Event().wait()
"""


def test_a_dispatcher_killed_before_the_answer_leaves_its_task_to_another(
    queue: PostgresTaskQueue, postgres_url: str, receiver: Receiver
) -> None:
    receiver.answer = hold = Hold("a")
    target = receiver.url + "/{function}"
    victim = subprocess.Popen([sys.executable, "-c", DISPATCHER, postgres_url, target])
    try:
        queue.enqueue(make_task("a"))
        receiver.wait_for_calls(1)
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    with Dispatcher(postgres_url, target, lease=0.5):
        calls = receiver.wait_for_calls(2)
        wait_until(lambda: queue.pending() == 0)
    hold.release()
    assert [(call.task, call.retry_count) for call in calls] == [("a", 0), ("a", 1)]


def test_a_long_call_keeps_its_lease(
    queue: PostgresTaskQueue, postgres_url: str, receiver: Receiver
) -> None:
    receiver.answer = hold = Hold("long")
    target = receiver.url + "/{function}"
    with Dispatcher(postgres_url, target, lease=1.5), Dispatcher(postgres_url, target, lease=1.5):
        queue.enqueue(make_task("long"))
        receiver.wait_for_calls(1)
        first_end = _read_lease(postgres_url)
        wait_until(lambda: _is_past(postgres_url, first_end))
        # Whoever is free would have taken it by now, before what came later.
        queue.enqueue(make_task("later"))
        receiver.wait_until(lambda: bool(receiver.calls_of("later")))
        wait_until(lambda: queue.pending() == 1)
        hold.release()
        wait_until(lambda: queue.pending() == 0)
    assert len(receiver.calls_of("long")) == 1


def _read_lease(url: str) -> datetime:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT max(visible_at) FROM eventpulse.tasks WHERE leased"
        ).fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def _is_past(url: str, moment: datetime) -> bool:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT clock_timestamp() > %s", (moment,)).fetchone()
    return row == (True,)


def test_several_dispatchers_share_the_work(
    queue: PostgresTaskQueue, postgres_url: str, receiver: Receiver
) -> None:
    target = receiver.url + "/{function}"
    for number in range(100):
        queue.enqueue(make_task(f"task-{number}"))
    with (
        Dispatcher(postgres_url, target, concurrency=4),
        Dispatcher(postgres_url, target, concurrency=4),
        Dispatcher(postgres_url, target, concurrency=4),
    ):
        wait_until(lambda: queue.pending() == 0)
    assert len(receiver.calls) == 100
    assert len({call.task for call in receiver.calls}) == 100


def test_no_more_calls_run_than_allowed(
    queue: PostgresTaskQueue, postgres_url: str, receiver: Receiver
) -> None:
    names = [f"task-{number}" for number in range(12)]
    receiver.answer = hold = Hold(*names)
    for name in names[:6]:
        queue.enqueue(make_task(name))
    with Dispatcher(postgres_url, receiver.url + "/{function}", concurrency=3, lease=1.5):
        receiver.wait_until(lambda: receiver.running == 3)
        for name in names[6:]:
            queue.enqueue(make_task(name))
        # Two renewals: the dispatcher has looked at the table since.
        for _ in range(2):
            end = _read_lease(postgres_url)
            wait_until(lambda: _read_lease(postgres_url) > end)  # noqa: B023
        hold.release()
        wait_until(lambda: queue.pending() == 0)
    assert receiver.most_running == 3
    assert sorted(call.task for call in receiver.calls) == sorted(names)


def test_stopping_gives_running_calls_back_at_once(
    queue: PostgresTaskQueue, postgres_url: str, receiver: Receiver
) -> None:
    receiver.answer = hold = Hold("a")
    target = receiver.url + "/{function}"
    first = Dispatcher(postgres_url, target, lease=3600, backoff=Backoff(3600, 3600))
    first.start()
    queue.enqueue(make_task("a"))
    receiver.wait_for_calls(1)
    first.stop(grace=0)
    with Dispatcher(postgres_url, target):
        receiver.wait_for_calls(2)
        wait_until(lambda: queue.pending() == 0)
    hold.release()


def test_stopping_waits_for_running_calls(
    queue: PostgresTaskQueue, postgres_url: str, receiver: Receiver
) -> None:
    receiver.answer = hold = Hold("a")
    dispatcher = Dispatcher(postgres_url, receiver.url + "/{function}")
    dispatcher.start()
    queue.enqueue(make_task("a"))
    receiver.wait_for_calls(1)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(dispatcher.stop, 60)
        hold.release()
        stopping.result(60)
    assert queue.pending() == 0
    assert len(receiver.calls) == 1
    queue.enqueue(make_task("b"))
    assert queue.pending() == 1


def test_a_call_without_an_answer_by_its_deadline_has_failed(
    queue: PostgresTaskQueue, postgres_url: str, receiver: Receiver
) -> None:
    receiver.answer = hold = Hold("a")
    with postgres_lane(receiver, postgres_url, deadline=0.3):
        before = time.time()
        queue.enqueue(make_task("a"))
        second = receiver.wait_for_calls(2)[1]
        wait_until(lambda: queue.pending() == 0)
    hold.release()
    assert second.at - before >= 0.3
    assert second.headers["x-cloudtasks-taskexecutioncount"] == "0"


def test_a_task_is_given_up_after_so_many_attempts(
    queue: PostgresTaskQueue, postgres_url: str, receiver: Receiver
) -> None:
    receiver.answer = lambda _: Answer(500)
    with postgres_lane(receiver, postgres_url, backoff=Backoff(0.01, 0.02, max_attempts=3)):
        queue.enqueue(make_task("a"))
        wait_until(lambda: queue.pending() == 0)
    assert [call.retry_count for call in receiver.calls] == [0, 1, 2]
    assert queue.enqueue(make_task("a")) is False


def test_a_function_that_is_away_is_called_until_it_is_back(
    queue: PostgresTaskQueue, postgres_url: str
) -> None:
    with Receiver() as gone:
        port = gone.port
    queue.enqueue(make_task("a"))
    with Dispatcher(postgres_url, lambda name: f"http://127.0.0.1:{port}/{name}", backoff=SHORT):
        wait_until(lambda: _count_attempts(postgres_url) >= 3)  # the third is on its way
        with Receiver(port) as back:
            (call,) = back.wait_for_calls(1)
            wait_until(lambda: queue.pending() == 0)
    assert call.retry_count >= 2
    assert call.path == "/validate"


def _count_attempts(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT max(attempts) FROM eventpulse.tasks").fetchone()
    assert row is not None
    return int(row[0])


def test_a_configured_token_goes_with_each_call(
    queue: PostgresTaskQueue, postgres_url: str, receiver: Receiver
) -> None:
    with postgres_lane(receiver, postgres_url, token="t0ken"):
        queue.enqueue(make_task("a", headers={"Authorization": "Bearer forged"}))
        (call,) = receiver.wait_for_calls(1)
    assert call.headers["authorization"] == "Bearer t0ken"


def test_postgres_restarted_in_the_middle_loses_no_task(
    postgres_server: PostgresServer, postgres_url: str, receiver: Receiver
) -> None:
    names = [f"task-{number}" for number in range(90)]
    with postgres_lane(receiver, postgres_url, lease=2) as lane:
        with ThreadPoolExecutor(3) as pool:
            added = [pool.submit(lane.queue.enqueue, make_task(name)) for name in names]
            for number in (10, 40):
                receiver.wait_for_calls(number)
                postgres_server.restart()
            for future in added:
                future.result(60)
        wait_until(lambda: lane.queue.pending() == 0)
    assert {call.task for call in receiver.calls} == set(names)


def test_an_idle_dispatcher_outlives_a_restart(
    postgres_server: PostgresServer, postgres_url: str, receiver: Receiver
) -> None:
    with postgres_lane(receiver, postgres_url) as lane:
        lane.queue.enqueue(make_task("before"))
        receiver.wait_for_calls(1)
        postgres_server.restart(mode="fast")
        lane.queue.enqueue(make_task("after"))
        assert receiver.wait_for_calls(2)[1].task == "after"


def test_a_dispatcher_stops_while_its_database_is_away() -> None:
    dispatcher = Dispatcher("postgresql://127.0.0.1:1/none", "http://127.0.0.1:1/{function}")
    dispatcher.start()
    dispatcher.stop()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_task_whose_commit_is_lost_is_added_once(
    postgres_server: PostgresServer, postgres_url: str, when: Any
) -> None:
    proxy = PostgresProxy(postgres_server.socket)
    queue = PostgresTaskQueue(proxy.url(urlsplit(postgres_url).path.strip("/")))
    assert queue.pending() == 0
    proxy.cut("COMMIT", when)
    assert queue.enqueue(make_task("a")) is (when == "before")
    assert queue.pending() == 1
    assert proxy.pending == 0
    queue.close()
    proxy.close()


# --- Arithmetic ----------------------------------------------------------------------------------


def test_the_backoff_is_cloud_tasks_own_example() -> None:
    backoff = Backoff(shortest=10, longest=300, doublings=3)
    assert [backoff.delay(n) for n in range(1, 9)] == [10, 20, 40, 80, 160, 240, 300, 300]
    assert Backoff().delay(100_000) == 60.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=10.0) == seconds


# --- Cloud Tasks ---------------------------------------------------------------------------------


@pytest.fixture
def tasks_address(google_stack: GoogleStack) -> str:
    return google_stack.environment["EVENTPULSE_EMULATOR_TASKS"]


@pytest.fixture
def proxy(tasks_address: str) -> Iterator[GrpcProxy]:
    proxy = GrpcProxy(tasks_address)
    yield proxy
    proxy.close()


@pytest.fixture
def proxied(proxy: GrpcProxy, receiver: Receiver) -> Iterator[Lane]:
    with cloudtasks_lane(receiver, proxy.address, f"proxied-{uuid.uuid4().hex}") as lane:
        yield lane


@pytest.mark.google
@pytest.mark.parametrize("audience", [None, "https://internal.example/functions"])
def test_a_call_carries_an_oidc_token_for_its_audience(
    google_stack: GoogleStack, tasks_address: str, receiver: Receiver, audience: str | None
) -> None:
    options = f"&service_account={ACCOUNT}" + (f"&audience={audience}" if audience else "")
    name = f"oidc-{uuid.uuid4().hex}"
    with cloudtasks_lane(receiver, tasks_address, name, options) as lane:
        lane.queue.enqueue(make_task("a"))
        (call,) = receiver.wait_for_calls(1)
    scheme, _, token = call.headers["authorization"].partition(" ")
    claims = id_token.verify_token(
        token,
        google.auth.transport.requests.Request(),
        audience=audience or f"{receiver.url}/validate",
        certs_url=google_stack.environment["EVENTPULSE_EMULATOR_OIDC_CERTS_URL"],
    )
    assert scheme == "Bearer"
    assert claims["email"] == ACCOUNT
    assert claims["email_verified"] is True
    assert claims["iss"] == google_stack.environment["EVENTPULSE_EMULATOR_OIDC_ISSUER"]


@pytest.mark.google
def test_a_task_has_the_deadline_that_the_url_names(tasks_address: str, receiver: Receiver) -> None:
    name = f"deadline-{uuid.uuid4().hex}"
    later = datetime.now(UTC) + timedelta(hours=1)
    with cloudtasks_lane(receiver, tasks_address, name, "&deadline=90") as lane:
        lane.queue.enqueue(make_task("a", not_before=later))
        with connect(tasks_address) as client:
            path = client.task_path(PROJECT, LOCATION, name, "a")
            stored = client.get_task(name=path)
    assert stored.dispatch_deadline == timedelta(seconds=90)
    assert abs(stored.schedule_time - later) < timedelta(milliseconds=1)


@pytest.mark.google
def test_pending_counts_over_pages(tasks_address: str, receiver: Receiver) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    with cloudtasks_lane(receiver, tasks_address, f"pages-{uuid.uuid4().hex}") as lane:
        with ThreadPoolExecutor(4) as pool:
            names = [f"task-{number}" for number in range(1_005)]
            assert all(
                pool.map(lambda n: lane.queue.enqueue(make_task(n, not_before=later)), names)
            )
        assert lane.queue.pending() == 1_005


@pytest.mark.google
@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "ABORTED"])
def test_a_task_whose_answer_is_lost_is_created_once(
    proxied: Lane, proxy: GrpcProxy, code: str
) -> None:
    proxy.fail("CreateTask", code, when="before")
    assert proxied.queue.enqueue(make_task("a")) is True
    proxy.fail("CreateTask", code, when="after")
    assert proxied.queue.enqueue(make_task("b")) is False
    wait_until(lambda: proxied.queue.pending() == 0)
    assert sorted(call.task for call in proxied.receiver.calls) == ["a", "b"]
    assert proxy.calls.count("CreateTask") == 4


@pytest.mark.google
def test_cloud_tasks_that_stays_away_is_named_with_the_delay_it_asked_for(
    proxied: Lane, proxy: GrpcProxy, receiver: Receiver
) -> None:
    url = f"cloudtasks://{PROJECT}/{LOCATION}/{proxied.name}?endpoint={proxy.address}"
    queue = CloudTasksQueue(url, receiver.url + "/{function}", patience=0.3)
    for method in ("CreateTask", "ListTasks"):
        proxy.fail(method, "RESOURCE_EXHAUSTED", times=1000, retry_delay=3.0)
    for operation in (lambda: queue.enqueue(make_task("a")), queue.pending):
        with pytest.raises(BackendUnavailable) as raised:
            operation()
        assert raised.value.retry_after == 3.0
        assert raised.value.fields["backend"] == "Cloud Tasks"
    queue.close()


@pytest.mark.google
def test_a_queue_that_does_not_exist_is_the_clients_own_error(tasks_address: str) -> None:
    url = f"cloudtasks://{PROJECT}/{LOCATION}/none?endpoint={tasks_address}"
    queue = CloudTasksQueue(url, "http://127.0.0.1:1/{function}")
    with pytest.raises(NotFound):
        queue.enqueue(make_task("a"))
    queue.close()


@pytest.mark.parametrize(
    "url",
    [
        "cloudtasks://p/l",
        "cloudtasks://p/l/q/x",
        "cloudtasks:///l/q",
        "http://p/l/q",
        "cloudtasks://p/l/q?servce_account=x",
        "cloudtasks://p/l/q?deadline=1801",
        "cloudtasks://p/l/q?deadline=soon",
    ],
)
def test_a_cloud_tasks_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingInvalid, match="cloudtasks://PROJECT/LOCATION/QUEUE"):
        CloudTasksQueue(url, "https://x/{function}")


def test_a_functions_url_needs_a_place_for_the_function() -> None:
    with pytest.raises(SettingInvalid, match=r"\{function\}"):
        CloudTasksQueue("cloudtasks://p/l/q", "https://x/")
