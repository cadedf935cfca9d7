"""The gRPC servicer: what a request may ask, and what it is answered."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from emulators.refusal import Refusal, answer_unary, invalid_argument, not_found, unimplemented
from emulators.tasks.dispatcher import Dispatcher
from emulators.tasks.protos import (
    BASIC,
    CALLS,
    FULL,
    Empty,
    HttpMethod,
    ListQueuesResponse,
    ListTasksResponse,
    Message,
    Queue,
    Task,
)
from emulators.tasks.queues import Queues, strip_body

SERVICE = "google.cloud.tasks.v2.CloudTasks"
_LOCATION = re.compile(r"projects/[^/]+/locations/[^/]+")
_QUEUE = re.compile(_LOCATION.pattern + r"/queues/[A-Za-z0-9-]{1,100}")
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")
_MAX_TASK_BYTES = 1 << 20
_MAX_URL = 2083
_MAX_AHEAD_MICROSECONDS = 30 * 24 * 3600 * 1_000_000
_DEFAULT_DEADLINE_SECONDS = 600
_MAX_DEADLINE_SECONDS = 1800
_PAGE = 1000
_BODY_METHODS = ("POST", "PUT", "PATCH")


@dataclass(frozen=True)
class Limits:
    """What the service fixes, and a test may want shorter; ``least_deadline`` in seconds."""

    least_deadline: float = 15


class CloudTasks:
    """The calls; each takes a request message and answers a message or raises Refusal."""

    def __init__(self, queues: Queues, dispatcher: Dispatcher, now: Any, limits: Limits) -> None:
        self._queues = queues
        self._dispatcher = dispatcher
        self._now = now
        self._limits = limits

    # -- queues --------------------------------------------------------------------------

    def create_queue(self, request: Message) -> Message:
        """A new queue, with the defaults for what is not set."""
        if not request.queue.name.startswith(f"{request.parent}/queues/"):
            raise invalid_argument("Queue.name must be in the location that parent names")
        queue = _complete_queue(request.queue)
        self._queues.create_queue(queue)
        return self._queues.get_queue(queue.name)

    def get_queue(self, request: Message) -> Message:
        """A queue."""
        return self._queues.get_queue(request.name)

    def list_queues(self, request: Message) -> Message:
        """A page of a location's queues."""
        if request.filter:
            raise unimplemented("ListQueues with a filter")
        queues = self._queues.list_queues(f"{request.parent}/queues/")
        page, token = _cut_page(queues, request.page_token, request.page_size)
        return ListQueuesResponse(queues=page, next_page_token=token)

    def update_queue(self, request: Message) -> Message:
        """Change a queue, or create it."""
        name = request.queue.name
        try:
            queue = self._queues.get_queue(name)
        except Refusal:
            self._queues.create_queue(_complete_queue(request.queue))
        else:
            paths = request.update_mask.paths or ["rate_limits", "retry_config"]
            _merge(queue, request.queue, paths)
            self._queues.update_queue(_complete_queue(queue))
        self._dispatcher.wake()
        return self._queues.get_queue(name)

    def delete_queue(self, request: Message) -> Message:
        """Delete a queue and its tasks."""
        self._queues.get_queue(request.name)
        self._queues.delete_queue(request.name)
        return Empty()

    def pause_queue(self, request: Message) -> Message:
        """Hold a queue's tasks back."""
        return self._set_running(request.name, False)

    def resume_queue(self, request: Message) -> Message:
        """Let a queue's tasks go."""
        return self._set_running(request.name, True)

    def purge_queue(self, request: Message) -> Message:
        """Delete a queue's tasks."""
        queue = self._queues.get_queue(request.name)
        self._queues.purge_queue(request.name)
        queue.purge_time.FromMicroseconds(self._now())
        self._queues.update_queue(queue)
        return self._queues.get_queue(request.name)

    def _set_running(self, name: str, running: bool) -> Message:
        self._queues.get_queue(name)
        self._queues.set_running(name, running)
        self._dispatcher.wake()
        return self._queues.get_queue(name)

    # -- tasks ---------------------------------------------------------------------------

    def create_task(self, request: Message) -> Message:
        """Add a task, named or not."""
        if not _QUEUE.fullmatch(request.parent):
            raise invalid_argument(f"Queue name {request.parent!r} is malformed")
        task = Task()
        task.CopyFrom(request.task)
        self._complete_task(task, request.parent)
        self._queues.create_task(request.parent, task)
        self._dispatcher.wake()
        return _view(task, request.response_view)

    def get_task(self, request: Message) -> Message:
        """A task."""
        _check_task_name(request.name)
        return _view(self._queues.get_task(request.name), request.response_view)

    def list_tasks(self, request: Message) -> Message:
        """A page of a queue's tasks, by name."""
        size = min(request.page_size or _PAGE, _PAGE)
        after = _decode_token(request.page_token)
        tasks = self._queues.list_tasks(request.parent, after, size + 1)
        token = _encode_token(tasks[size - 1].name) if len(tasks) > size else ""
        page = [_view(task, request.response_view) for task in tasks[:size]]
        return ListTasksResponse(tasks=page, next_page_token=token)

    def delete_task(self, request: Message) -> Message:
        """Delete a task; an attempt under way is not recalled."""
        _check_task_name(request.name)
        if not self._queues.delete_task(request.name):
            raise not_found("The task does not exist, or was executed or deleted.")
        return Empty()

    def run_task(self, request: Message) -> Message:
        """Dispatch a task now, a paused queue's too."""
        _check_task_name(request.name)
        task = self._queues.force_task(request.name)
        self._dispatcher.wake()
        return _view(task, request.response_view)

    def _complete_task(self, task: Message, parent: str) -> None:
        """Check a task and set what its creator left out."""
        if not task.name:
            task.name = f"{parent}/tasks/{uuid.uuid4().int % 10**20:020d}"
        if not task.name.startswith(f"{parent}/tasks/"):
            raise invalid_argument(f"Task.name must begin with {parent}/tasks/")
        _check_task_name(task.name)
        _check_http_request(task)
        if task.ByteSize() > _MAX_TASK_BYTES:
            raise invalid_argument("Task size too large")
        now = self._now()
        if task.schedule_time.ToMicroseconds() > now + _MAX_AHEAD_MICROSECONDS:
            raise invalid_argument("The schedule_time is too far in the future")
        if task.schedule_time.ToMicroseconds() < now:
            task.schedule_time.FromMicroseconds(now)
        if not task.HasField("dispatch_deadline"):
            task.dispatch_deadline.seconds = _DEFAULT_DEADLINE_SECONDS
        seconds = task.dispatch_deadline.ToMicroseconds() / 1e6
        if not self._limits.least_deadline <= seconds <= _MAX_DEADLINE_SECONDS:
            raise invalid_argument(
                f"Task.dispatch_deadline must be between [{self._limits.least_deadline:g}s, 30m]."
            )
        if task.HasField("retry_config"):
            task.retry_config.CopyFrom(_complete_retries(task.retry_config))
        task.create_time.seconds = now // 1_000_000
        for output in ("dispatch_count", "response_count", "first_attempt", "last_attempt"):
            task.ClearField(output)


def serve(service: CloudTasks, host: str, port: int) -> tuple[grpc.Server, int]:
    """Start a server; answers it and the port it listens on."""
    handlers = {}
    for name, (request_class, response_class) in CALLS.items():
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        handlers[name] = grpc.unary_unary_rpc_method_handler(
            answer_unary(getattr(service, method)),
            request_deserializer=request_class.FromString,
            response_serializer=response_class.SerializeToString,
        )
    server = grpc.server(futures.ThreadPoolExecutor(32), options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    bound = server.add_insecure_port(f"{host}:{port}")
    server.start()
    return server, bound


def _complete_queue(given: Message) -> Message:
    """A queue with the service's defaults, its output fields cleared."""
    if not _QUEUE.fullmatch(given.name):
        raise invalid_argument(f"Queue name {given.name!r} is malformed")
    for field in ("app_engine_routing_override", "http_target"):
        if field in given.DESCRIPTOR.fields_by_name and given.HasField(field):
            raise unimplemented(f"queues with {field}")
    queue = Queue()
    queue.CopyFrom(given)
    queue.ClearField("state")
    limits = queue.rate_limits
    limits.max_dispatches_per_second = limits.max_dispatches_per_second or 500
    limits.max_concurrent_dispatches = limits.max_concurrent_dispatches or 1000
    limits.max_burst_size = max(1, int(limits.max_dispatches_per_second / 5))
    queue.retry_config.CopyFrom(_complete_retries(queue.retry_config))
    return queue


def _complete_retries(given: Message) -> Message:
    config = type(given)()
    config.CopyFrom(given)
    config.max_attempts = config.max_attempts or 100
    config.max_doublings = config.max_doublings or 16
    if not config.HasField("min_backoff"):
        config.min_backoff.FromMilliseconds(100)
    if not config.HasField("max_backoff"):
        config.max_backoff.seconds = 3600
    if config.min_backoff.ToMicroseconds() > config.max_backoff.ToMicroseconds():
        raise invalid_argument("min_backoff must not be greater than max_backoff")
    return config


def _merge(queue: Message, changes: Message, paths: Sequence[str]) -> None:
    for path in paths:
        # A field that is named but not set goes back to its default.
        FieldMask(paths=[path]).MergeMessage(
            changes, queue, replace_message_field=True, replace_repeated_field=True
        )


def _check_task_name(name: str) -> None:
    queue, _, task_id = name.partition("/tasks/")
    if not _QUEUE.fullmatch(queue) or not _TASK_ID.fullmatch(task_id):
        raise invalid_argument(
            f"Task name {name!r} is malformed: its id is 1 to 500 of [A-Za-z0-9_-]"
        )


def _check_http_request(task: Message) -> None:
    if task.HasField("app_engine_http_request"):
        raise unimplemented("App Engine tasks")
    if not task.HasField("http_request"):
        raise invalid_argument("One of Task.http_request or app_engine_http_request is required")
    request = task.http_request
    if request.HasField("oauth_token"):
        raise unimplemented("OAuth tokens")
    split = urlsplit(request.url)
    if split.scheme not in ("http", "https") or not split.hostname:
        raise invalid_argument("HttpRequest.url must start with 'http://' or 'https://'")
    if len(request.url) > _MAX_URL:
        raise invalid_argument(f"HttpRequest.url must be at most {_MAX_URL} characters")
    request.http_method = request.http_method or int(HttpMethod.POST)
    if request.body and HttpMethod(request.http_method).name not in _BODY_METHODS:
        raise invalid_argument("HttpRequest.body is allowed with POST, PUT and PATCH only")


def _view(task: Message, wanted: int) -> Message:
    shown = Task()
    shown.CopyFrom(task)
    shown.view = FULL if wanted == FULL else BASIC
    return shown if wanted == FULL else strip_body([shown])[0]


def _cut_page(items: Sequence[Message], token: str, size: int) -> tuple[list[Message], str]:
    after = _decode_token(token)
    rest = [item for item in items if item.name > after]
    size = size or _PAGE
    page = rest[:size]
    return page, _encode_token(page[-1].name) if len(rest) > size else ""


def _encode_token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _decode_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError as error:
        raise invalid_argument("the page token is not one of this service") from error
