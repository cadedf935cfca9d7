"""The Cloud Tasks emulator, as google-cloud-tasks and a task's handler see it."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google.auth.transport.requests
import grpc
import pytest
import requests
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.oauth2 import id_token
from google.protobuf import duration_pb2

from emulators.credentials import Issuer
from emulators.process import Child, run_module
from emulators.stack import GoogleStack
from emulators.tasks.dispatcher import Rate
from emulators.tasks.protos import Task
from emulators.tasks.retries import is_exhausted, measure_backoff
from tests.adapters.task_receiver import Answer, Call, Receiver, answer_in_turn
from tests.waiting import wait_until

pytestmark = pytest.mark.google

LOCATION = "projects/emulated/locations/europe-west1"
ACCOUNT = "tasks@emulated.iam.gserviceaccount.com"


def seconds(value: float) -> duration_pb2.Duration:
    return duration_pb2.Duration(nanos=int(value % 1 * 1e9), seconds=int(value))


def connect(address: str) -> tasks_v2.CloudTasksClient:
    transport = CloudTasksGrpcTransport(channel=grpc.insecure_channel(address))
    return tasks_v2.CloudTasksClient(transport=transport)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One that takes short dispatch deadlines."""
    folder = tmp_path_factory.mktemp("tasks")
    options = ["--credentials", str(folder / "credentials"), "--least-deadline", "0.1"]
    child = Child("tasks", run_module("emulators.tasks", *options), log=folder / "log")
    yield child
    child.stop()


@pytest.fixture
def client(emulator: Child) -> tasks_v2.CloudTasksClient:
    return connect(emulator.facts["address"])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


MakeQueue = Callable[..., str]


@pytest.fixture
def make_queue(client: tasks_v2.CloudTasksClient, run: str) -> MakeQueue:
    """Makes the test's queue; retries come within hundredths of a second unless said otherwise."""

    def make(retries: dict[str, object] | None = None, **limits: object) -> str:
        name = f"{LOCATION}/queues/{run}"
        quick = {"min_backoff": seconds(0.01), "max_backoff": seconds(0.05), **(retries or {})}
        config = tasks_v2.RetryConfig(**quick)
        queue = tasks_v2.Queue(
            name=name, retry_config=config, rate_limits=tasks_v2.RateLimits(**limits)
        )
        client.create_queue(parent=LOCATION, queue=queue)
        return name

    return make


@pytest.fixture
def queue(make_queue: MakeQueue) -> str:
    return make_queue()


def make_task(queue: str, url: str, name: str | None = None, **fields: object) -> tasks_v2.Task:
    request = {"url": url, "body": b'{"x": 1}', "headers": {"Content-Type": "application/json"}}
    request |= fields.pop("request", {})
    named = {"name": f"{queue}/tasks/{name}"} if name else {}
    return tasks_v2.Task(http_request=tasks_v2.HttpRequest(**request), **named, **fields)


def list_ids(client: tasks_v2.CloudTasksClient, queue: str) -> list[str]:
    listed = client.list_tasks(request={"parent": queue, "page_size": 2})
    return [task.name.rpartition("/")[2] for task in listed]


# -- names ---------------------------------------------------------------------------------


def test_a_name_is_good_once_even_after_the_task_is_done(
    client: tasks_v2.CloudTasksClient, queue: str, receiver: Receiver
) -> None:
    client.create_task(parent=queue, task=make_task(queue, receiver.url, "one"))
    receiver.wait_for_calls(1)
    wait_until(lambda: list_ids(client, queue) == [], "the task is not done")

    with pytest.raises(exceptions.AlreadyExists):
        client.create_task(parent=queue, task=make_task(queue, receiver.url, "one"))


def test_of_32_concurrent_creates_of_one_name_exactly_one_wins(
    client: tasks_v2.CloudTasksClient, queue: str, receiver: Receiver
) -> None:
    def create(_: int) -> bool:
        try:
            client.create_task(parent=queue, task=make_task(queue, receiver.url, "one"))
        except exceptions.AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(create, range(32))).count(True) == 1

    wait_until(lambda: list_ids(client, queue) == [], "the task is not done")
    assert len(receiver.calls) == 1


def test_deleted_and_purged_names_are_not_good_again(
    client: tasks_v2.CloudTasksClient, queue: str, receiver: Receiver
) -> None:
    client.pause_queue(name=queue)
    for name in ("deleted", "purged", "also-purged"):
        client.create_task(parent=queue, task=make_task(queue, receiver.url, name))
    client.delete_task(name=f"{queue}/tasks/deleted")
    assert list_ids(client, queue) == ["also-purged", "purged"]
    client.purge_queue(name=queue)
    client.resume_queue(name=queue)

    for name in ("deleted", "purged"):
        with pytest.raises(exceptions.AlreadyExists):
            client.create_task(parent=queue, task=make_task(queue, receiver.url, name))
    with pytest.raises(exceptions.NotFound):
        client.get_task(name=f"{queue}/tasks/purged")
    assert receiver.calls == []


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "not good"},
        {"name": "x" * 501},
        {"request": {"url": "ftp://x"}},
        {"request": {"body": b"x" * (1 << 20)}},
        {"request": {"http_method": "GET"}},
        {"dispatch_deadline": seconds(1801)},
        {"schedule_time": datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=31)},
    ],
)
def test_what_can_never_run_is_refused(
    client: tasks_v2.CloudTasksClient, queue: str, fields: dict[str, object]
) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        client.create_task(parent=queue, task=make_task(queue, "http://127.0.0.1:1", **fields))


def test_the_service_s_own_deadlines_begin_at_15_seconds(google_stack: GoogleStack) -> None:
    client = connect(google_stack.environment["EVENTPULSE_EMULATOR_TASKS"])
    queue = f"{LOCATION}/queues/deadlines"
    client.update_queue(queue=tasks_v2.Queue(name=queue))
    task = make_task(queue, "http://127.0.0.1:1", dispatch_deadline=seconds(14))

    with pytest.raises(exceptions.InvalidArgument, match="15s"):
        client.create_task(parent=queue, task=task)


def test_a_missing_queue_is_not_found(client: tasks_v2.CloudTasksClient, run: str) -> None:
    queue = f"{LOCATION}/queues/{run}"

    with pytest.raises(exceptions.NotFound):
        client.get_queue(name=queue)
    with pytest.raises(exceptions.NotFound):
        client.create_task(parent=queue, task=make_task(queue, "http://127.0.0.1:1"))


def test_queues_are_created_once_listed_and_deleted(
    client: tasks_v2.CloudTasksClient, queue: str
) -> None:
    with pytest.raises(exceptions.AlreadyExists):
        client.create_queue(parent=LOCATION, queue=tasks_v2.Queue(name=queue))
    assert queue in [found.name for found in client.list_queues(parent=LOCATION)]

    client.delete_queue(name=queue)

    assert queue not in [found.name for found in client.list_queues(parent=LOCATION)]


# -- dispatch ------------------------------------------------------------------------------


def test_the_request_is_the_one_that_cloud_tasks_makes(
    client: tasks_v2.CloudTasksClient, queue: str, receiver: Receiver
) -> None:
    forged = {"X-CloudTasks-TaskName": "forged", "User-Agent": "me", "X-Own": "kept"}
    task = make_task(queue, f"{receiver.url}/do?a=b", "one", request={"headers": forged})
    client.create_task(parent=queue, task=task)
    (call,) = receiver.wait_for_calls(1)

    assert (call.method, call.path, call.body) == ("POST", "/do?a=b", b'{"x": 1}')
    assert call.headers["user-agent"] == "Google-Cloud-Tasks"
    assert call.headers["x-own"] == "kept"
    assert call.headers["x-cloudtasks-queuename"] == queue.rpartition("/")[2]
    assert call.headers["x-cloudtasks-taskname"] == "one"
    assert call.headers["x-cloudtasks-taskretrycount"] == "0"
    assert call.headers["x-cloudtasks-taskexecutioncount"] == "0"
    assert float(call.headers["x-cloudtasks-tasketa"]) <= call.at
    assert "x-cloudtasks-taskpreviousresponse" not in call.headers


def test_failures_are_retried_and_counted_in_the_headers(
    client: tasks_v2.CloudTasksClient, queue: str, receiver: Receiver
) -> None:
    receiver.answer = answer_in_turn(Answer(500), Answer(404), Answer(0), Answer(302))
    client.create_task(parent=queue, task=make_task(queue, receiver.url, "one"))
    calls = receiver.wait_for_calls(5)
    counts = ("taskretrycount", "taskexecutioncount", "taskpreviousresponse")
    seen = [tuple(call.headers.get(f"x-cloudtasks-{name}") for name in counts) for call in calls]

    assert seen == [
        ("0", "0", None),
        ("1", "0", "500"),
        ("2", "1", "404"),
        ("3", "1", None),
        ("4", "2", "302"),
    ]


def test_after_max_attempts_a_task_ends(
    client: tasks_v2.CloudTasksClient, make_queue: MakeQueue, receiver: Receiver
) -> None:
    queue = make_queue({"max_attempts": 3})
    receiver.answer = lambda _: Answer(500)
    client.create_task(parent=queue, task=make_task(queue, receiver.url))
    wait_until(lambda: list_ids(client, queue) == [], "the task is still tried")

    assert len(receiver.calls) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_puts_the_next_attempt_off(
    client: tasks_v2.CloudTasksClient, queue: str, receiver: Receiver, status: int
) -> None:
    receiver.answer = answer_in_turn(Answer(status, {"Retry-After": "600"}))
    created = client.create_task(parent=queue, task=make_task(queue, receiver.url))
    receiver.wait_for_calls(1)
    wait_until(lambda: client.get_task(name=created.name).response_count == 1, "no answer counted")

    task = client.get_task(name=created.name)

    assert (task.schedule_time - task.last_attempt.response_time).total_seconds() >= 600
    client.run_task(name=created.name)
    assert receiver.wait_for_calls(2)[1].retry_count == 1


def test_a_handler_that_is_too_slow_is_cut_off(
    client: tasks_v2.CloudTasksClient, queue: str, receiver: Receiver
) -> None:
    release = threading.Event()

    def hang_once(call: Call) -> Answer:
        if call.retry_count == 0:
            release.wait(60)
        return Answer()

    receiver.answer = hang_once
    task = make_task(queue, receiver.url, dispatch_deadline=seconds(0.2))
    client.create_task(parent=queue, task=task)
    calls = receiver.wait_for_calls(2)
    release.set()

    assert [call.retry_count for call in calls] == [0, 1]
    assert "x-cloudtasks-taskpreviousresponse" not in calls[1].headers


def test_a_task_waits_for_its_time(
    client: tasks_v2.CloudTasksClient, queue: str, receiver: Receiver
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    soon, late = (now + datetime.timedelta(seconds=after) for after in (0.5, 3600))
    for name, due in {"late": late, "soon": soon}.items():
        task = make_task(queue, receiver.url, name, schedule_time=due)
        client.create_task(parent=queue, task=task)
    (call,) = receiver.wait_for_calls(1)
    wait_until(lambda: list_ids(client, queue) == ["late"], "the task is not done")

    assert call.task == "soon"
    assert call.at >= soon.timestamp()


def test_a_paused_queue_holds_its_tasks_back(
    client: tasks_v2.CloudTasksClient, queue: str, receiver: Receiver
) -> None:
    client.pause_queue(name=queue)
    for name in ("held", "forced"):
        client.create_task(parent=queue, task=make_task(queue, receiver.url, name))
    client.run_task(name=f"{queue}/tasks/forced")
    receiver.wait_until(lambda: receiver.running == 0 and len(receiver.calls) == 1)
    wait_until(lambda: list_ids(client, queue) == ["held"], "the wrong task was run")

    assert client.resume_queue(name=queue).state == tasks_v2.Queue.State.RUNNING
    assert {call.task for call in receiver.wait_for_calls(2)} == {"held", "forced"}


def test_no_more_run_at_once_than_the_queue_allows(
    client: tasks_v2.CloudTasksClient, make_queue: MakeQueue, receiver: Receiver
) -> None:
    queue = make_queue(max_concurrent_dispatches=2)
    client.pause_queue(name=queue)
    for _ in range(8):
        client.create_task(parent=queue, task=make_task(queue, receiver.url))
    pairs = threading.Barrier(2, timeout=60)

    def meet(_: Call) -> Answer:
        pairs.wait()
        return Answer()

    receiver.answer = meet
    client.resume_queue(name=queue)
    receiver.wait_until(lambda: len(receiver.calls) == 8 and receiver.running == 0)

    assert receiver.most_running == 2


def test_a_queue_s_rate_grants_what_its_bucket_holds() -> None:
    limits = tasks_v2.RateLimits.pb(
        tasks_v2.RateLimits(max_dispatches_per_second=2, max_burst_size=3)
    )
    rate = Rate(tokens=3.0, filled_at=100.0)
    rate.tokens -= 3

    rate.refill(limits, 100.25)
    soon = (rate.tokens, rate.until_next(limits))
    rate.refill(limits, 200.0)
    late = (rate.tokens, rate.until_next(limits))

    assert (soon, late) == ((0.5, 0.25), (3.0, 0.0))


# -- backoff, as documented ----------------------------------------------------------------


def test_the_backoff_doubles_then_grows_then_stays() -> None:
    config = tasks_v2.RetryConfig.pb(
        tasks_v2.RetryConfig(min_backoff=seconds(10), max_backoff=seconds(300), max_doublings=3)
    )

    waits = [measure_backoff(config, retry) // 1_000_000 for retry in range(1, 10)]

    assert waits == [10, 20, 40, 80, 160, 240, 300, 300, 300]


@pytest.mark.parametrize(
    ("attempts", "duration", "age", "exhausted"),
    [(2, 0, 99, False), (3, 0, 0, True), (3, 60, 59, False), (3, 60, 60, True), (2, 60, 99, False)],
)
def test_a_task_ends_when_both_its_attempts_and_its_time_are_up(
    attempts: int, duration: int, age: int, exhausted: bool
) -> None:
    config = tasks_v2.RetryConfig.pb(
        tasks_v2.RetryConfig(max_attempts=3, max_retry_duration=seconds(duration))
    )
    task = Task(dispatch_count=attempts)
    task.first_attempt.dispatch_time.seconds = 1_000

    assert is_exhausted(config, task, (1_000 + age) * 1_000_000) is exhausted


# -- tokens --------------------------------------------------------------------------------


def verify(token: str, certs_url: str, audience: str) -> dict[str, object]:
    request = google.auth.transport.requests.Request()
    return dict(id_token.verify_token(token, request, audience, certs_url))


@pytest.mark.parametrize("audience", ["https://land.example", None])
def test_the_token_is_one_that_google_auth_verifies(
    emulator: Child,
    client: tasks_v2.CloudTasksClient,
    queue: str,
    receiver: Receiver,
    audience: str | None,
) -> None:
    oidc = tasks_v2.OidcToken(service_account_email=ACCOUNT, audience=audience)
    url = f"{receiver.url}/do"
    client.create_task(parent=queue, task=make_task(queue, url, request={"oidc_token": oidc}))
    (call,) = receiver.wait_for_calls(1)
    token = call.headers["authorization"].removeprefix("Bearer ")
    certs_url = f"{emulator.facts['issuer']}/certs"

    claims = verify(token, certs_url, audience or url)

    assert (claims["email"], claims["email_verified"]) == (ACCOUNT, True)
    assert claims["iss"] == emulator.facts["issuer"]
    with pytest.raises(ValueError, match="audience"):
        verify(token, certs_url, "https://other.example")


def test_a_token_of_another_issuer_is_no_good(emulator: Child, tmp_path: Path) -> None:
    url = emulator.facts["issuer"]
    forged = Issuer(tmp_path).mint_token(url, ACCOUNT, "https://land.example")

    with pytest.raises(ValueError, match="Certificate for key id"):
        verify(forged, f"{url}/certs", "https://land.example")


def test_the_issuer_describes_itself(google_stack: GoogleStack) -> None:
    issuer = google_stack.environment["EVENTPULSE_EMULATOR_OIDC_ISSUER"]
    described = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=30).json()
    (key,) = requests.get(described["jwks_uri"], timeout=30).json()["keys"]

    assert described["issuer"] == issuer
    assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")


# -- restarts ------------------------------------------------------------------------------


def test_tasks_and_used_names_survive_a_sigkill(tmp_path: Path, receiver: Receiver) -> None:
    with GoogleStack(tmp_path, services=["tasks"]) as stack:
        client = connect(stack.environment["EVENTPULSE_EMULATOR_TASKS"])
        queue = f"{LOCATION}/queues/survivor"
        client.create_queue(parent=LOCATION, queue=tasks_v2.Queue(name=queue))
        client.create_task(parent=queue, task=make_task(queue, receiver.url, "done"))
        receiver.wait_for_calls(1)
        wait_until(lambda: list_ids(client, queue) == [], "the task is not done")
        client.pause_queue(name=queue)
        client.create_task(parent=queue, task=make_task(queue, receiver.url, "held"))

        stack.stop_service("tasks", kill=True)
        stack.start_service("tasks")

        client = connect(stack.environment["EVENTPULSE_EMULATOR_TASKS"])
        with pytest.raises(exceptions.AlreadyExists):
            client.create_task(parent=queue, task=make_task(queue, receiver.url, "done"))
        client.resume_queue(name=queue)
        receiver.wait_for_calls(2)

    assert [call.task for call in receiver.calls] == ["done", "held"]
