"""The raw protobuf classes behind google-cloud-tasks' wrappers."""

from __future__ import annotations

from typing import Any

from google.cloud import tasks_v2
from google.protobuf import empty_pb2

# Messages are typed as Any: the generated classes carry no annotations.
Message = Any

Queue: Any = tasks_v2.Queue.pb()
Task: Any = tasks_v2.Task.pb()
HttpMethod: Any = tasks_v2.HttpMethod
RUNNING = int(tasks_v2.Queue.State.RUNNING)
PAUSED = int(tasks_v2.Queue.State.PAUSED)
BASIC = int(tasks_v2.Task.View.BASIC)
FULL = int(tasks_v2.Task.View.FULL)
Empty: Any = empty_pb2.Empty

ListQueuesResponse: Any = tasks_v2.ListQueuesResponse.pb()
ListTasksResponse: Any = tasks_v2.ListTasksResponse.pb()

# Call -> (request class, answer class).
CALLS: dict[str, tuple[Any, Any]] = {
    "CreateQueue": (tasks_v2.CreateQueueRequest.pb(), Queue),
    "GetQueue": (tasks_v2.GetQueueRequest.pb(), Queue),
    "UpdateQueue": (tasks_v2.UpdateQueueRequest.pb(), Queue),
    "ListQueues": (tasks_v2.ListQueuesRequest.pb(), ListQueuesResponse),
    "DeleteQueue": (tasks_v2.DeleteQueueRequest.pb(), Empty),
    "PauseQueue": (tasks_v2.PauseQueueRequest.pb(), Queue),
    "ResumeQueue": (tasks_v2.ResumeQueueRequest.pb(), Queue),
    "PurgeQueue": (tasks_v2.PurgeQueueRequest.pb(), Queue),
    "CreateTask": (tasks_v2.CreateTaskRequest.pb(), Task),
    "GetTask": (tasks_v2.GetTaskRequest.pb(), Task),
    "ListTasks": (tasks_v2.ListTasksRequest.pb(), ListTasksResponse),
    "DeleteTask": (tasks_v2.DeleteTaskRequest.pb(), Empty),
    "RunTask": (tasks_v2.RunTaskRequest.pb(), Task),
}
