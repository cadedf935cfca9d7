"""The TaskQueue in Cloud Tasks.

Every task is named, so creating it twice is creating it once: a fault that may pass is retried, and
ALREADY_EXISTS means that the name was used. Cloud Tasks remembers the name of a task that is done
for a limited time only (up to 24 hours); names that come from a stream's version are not used again
later than that. The queue itself (rate, concurrency, backoff, attempts) is declared with the
infrastructure.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from urllib.parse import parse_qsl, urlsplit

import grpc
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from eventpulse.adapters.google_faults import make_retry, name_faults
from eventpulse.adapters.task_values import check_task, encode_body
from eventpulse.errors import SettingInvalid
from eventpulse.ports import Task

BACKEND = "Cloud Tasks"
_OPTIONS = {"service_account", "audience", "endpoint", "deadline"}
_LONGEST_DEADLINE = 1800.0
_ATTEMPT_SECONDS = 10.0
_PAGE = 1000


class CloudTasksQueue:
    """The queue `cloudtasks://PROJECT/LOCATION/QUEUE`.

    `functions_url` is a function's address with `{function}` in it. Options of the URL:
    `service_account` (its OIDC token goes with each call), `audience` of that token (the function's
    address when it is not named), `deadline` of a call in seconds (1800, the longest there is),
    `endpoint` (`host:port` of an emulator, without TLS). `patience` is how long, in seconds, a
    fault that may pass is retried.
    """

    def __init__(self, url: str, functions_url: str, *, patience: float = 30.0) -> None:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        path = parts.path.strip("/").split("/")
        valid = parts.scheme == "cloudtasks" and parts.netloc and len(path) == 2 and all(path)
        deadline = options.get("deadline", str(_LONGEST_DEADLINE))
        if not valid or options.keys() - _OPTIONS or not _is_number(deadline):
            raise SettingInvalid(
                "EVENTPULSE_TASKS", url, "cloudtasks://PROJECT/LOCATION/QUEUE?service_account=…"
            )
        if "{function}" not in functions_url:
            raise SettingInvalid("functions_url", functions_url, "a URL with {function} in it")
        location, queue = path
        self._queue = f"projects/{parts.netloc}/locations/{location}/queues/{queue}"
        self._functions_url = functions_url
        self._service_account = options.get("service_account")
        self._audience = options.get("audience")
        self._endpoint = options.get("endpoint")
        self._deadline = timedelta(seconds=float(deadline))
        self._retry = make_retry(patience)

    @cached_property
    def _client(self) -> tasks_v2.CloudTasksClient:
        if self._endpoint is None:
            return tasks_v2.CloudTasksClient()
        channel = grpc.insecure_channel(self._endpoint)
        return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))

    def close(self) -> None:
        """Close the channel; the next call opens another."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.transport.close()

    def enqueue(self, task: Task) -> bool:
        check_task(task)
        request = tasks_v2.CreateTaskRequest(parent=self._queue, task=self._make_task(task))
        with name_faults(BACKEND, "enqueue a task"):
            try:
                self._client.create_task(request, retry=self._retry, timeout=_ATTEMPT_SECONDS)
            except exceptions.AlreadyExists:
                return False
        return True

    def pending(self) -> int:
        request = tasks_v2.ListTasksRequest(parent=self._queue, page_size=_PAGE)
        with name_faults(BACKEND, "count tasks"):
            tasks = self._client.list_tasks(request, retry=self._retry, timeout=_ATTEMPT_SECONDS)
            return sum(1 for _ in tasks)

    def _make_task(self, task: Task) -> tasks_v2.Task:
        url = self._functions_url.replace("{function}", task.function)
        call = tasks_v2.HttpRequest(
            url=url,
            http_method=tasks_v2.HttpMethod.POST,
            headers={**task.headers, "Content-Type": "application/json"},
            body=encode_body(task),
        )
        if self._service_account is not None:
            call.oidc_token = tasks_v2.OidcToken(
                service_account_email=self._service_account, audience=self._audience or url
            )
        return tasks_v2.Task(
            name=f"{self._queue}/tasks/{task.name}",
            http_request=call,
            schedule_time=task.not_before,
            dispatch_deadline=self._deadline,
        )


def _is_number(text: str) -> bool:
    try:
        return 15 <= float(text) <= _LONGEST_DEADLINE
    except ValueError:
        return False
