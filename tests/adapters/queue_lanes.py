"""Each TaskQueue with what delivers its tasks to a receiver, quickly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from eventpulse.adapters.task_delivery import Attempt, Delivery, make_headers
from eventpulse.adapters.task_values import encode_body
from eventpulse.adapters.tasks_cloudtasks import CloudTasksQueue
from eventpulse.adapters.tasks_postgres import Backoff, Dispatcher, PostgresTaskQueue
from eventpulse.ports import Task, TaskQueue
from tests.adapters.task_receiver import Receiver
from tests.fakes import MemoryTaskQueue

SHORT = Backoff(shortest=0.02, longest=0.2)
PROJECT, LOCATION = "eventpulse-local", "europe-west1"
ACCOUNT = "tasks@eventpulse-local.iam.gserviceaccount.com"


@dataclass(frozen=True)
class Lane:
    """A queue whose tasks arrive at `receiver`; `name` is what X-CloudTasks-QueueName says."""

    queue: TaskQueue
    receiver: Receiver
    name: str


@contextmanager
def memory_lane(receiver: Receiver) -> Iterator[Lane]:
    queue = MemoryTaskQueue()
    stop = threading.Event()
    loop = threading.Thread(target=_deliver_from_memory, args=(queue, receiver, stop))
    loop.start()
    yield Lane(queue, receiver, "memory")
    stop.set()
    loop.join()


def _deliver_from_memory(queue: MemoryTaskQueue, receiver: Receiver, stop: threading.Event) -> None:
    statuses: dict[str, list[int | None]] = {}
    while not stop.is_set():
        due = queue.take_due(datetime.now(UTC))
        for task, attempts in due:
            past = statuses.setdefault(task.name, [])
            executions = sum(1 for status in past if status is not None and status < 500)
            attempt = Attempt(
                task.name,
                task.function,
                encode_body(task),
                task.headers,
                attempts + 1,
                executions,
                (task.not_before or datetime.now(UTC)).timestamp(),
                past[-1] if past else None,
            )
            url = f"{receiver.url}/{task.function}"
            answer = Delivery(attempt, url, make_headers(attempt, "memory", None)).run()
            past.append(answer.status)
            delay = timedelta(seconds=answer.retry_after or SHORT.delay(attempt.number))
            retry_at = None if answer.is_success else datetime.now(UTC) + delay
            queue.finish(task.name, retry_at=retry_at)
        if not due:
            queue.wait_for_change(0.02)


@contextmanager
def postgres_lane(receiver: Receiver, url: str, **options: Any) -> Iterator[Lane]:
    queue = PostgresTaskQueue(url)
    target = receiver.url + "/{function}"
    with Dispatcher(url, target, **{"queue": "local", "backoff": SHORT, **options}):
        yield Lane(queue, receiver, "local")
    queue.close()


@contextmanager
def cloudtasks_lane(
    receiver: Receiver, endpoint: str, name: str, options: str = ""
) -> Iterator[Lane]:
    with connect(endpoint) as client:
        make_queue(client, name)
    url = f"cloudtasks://{PROJECT}/{LOCATION}/{name}?endpoint={endpoint}{options}"
    queue = CloudTasksQueue(url, receiver.url + "/{function}")
    yield Lane(queue, receiver, name)
    queue.close()


@contextmanager
def connect(endpoint: str) -> Iterator[tasks_v2.CloudTasksClient]:
    """The client library's own client."""
    channel = grpc.insecure_channel(endpoint)
    yield tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    channel.close()


def make_queue(client: tasks_v2.CloudTasksClient, name: str) -> str:
    """A queue that retries quickly; answers its full name."""
    parent = f"projects/{PROJECT}/locations/{LOCATION}"
    retries = tasks_v2.RetryConfig(
        min_backoff=timedelta(seconds=SHORT.shortest),
        max_backoff=timedelta(seconds=SHORT.longest),
        max_attempts=-1,
    )
    queue = tasks_v2.Queue(name=f"{parent}/queues/{name}", retry_config=retries)
    client.create_queue(parent=parent, queue=queue)
    return queue.name


def make_task(name: str, **values: Any) -> Task:
    return Task(name, values.pop("function", "validate"), values.pop("body", {"n": name}), **values)
