"""What every TaskQueue adapter agrees on: names, sizes, bodies."""

from __future__ import annotations

import json
import re

from eventpulse.ports import Task

MAX_BODY_BYTES = 900_000
"""Below the 1 MB that Cloud Tasks takes, with room for headers."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,500}")
_FUNCTION = re.compile(r"[a-z][a-z0-9-]*")


def check_task(task: Task) -> None:
    """Raise ValueError for a task that no adapter takes."""
    if not _NAME.fullmatch(task.name):
        raise ValueError(f"{task.name!r} is no task's name: [A-Za-z0-9_-]{{1,500}}")
    if not _FUNCTION.fullmatch(task.function):
        raise ValueError(f"{task.function!r} is no function's name: [a-z][a-z0-9-]*")
    if task.not_before is not None and task.not_before.utcoffset() is None:
        raise ValueError(f"not_before of {task.name} needs a time zone")
    for name, value in task.headers.items():
        if not f"{name}{value}".isascii() or not f"{name}{value}".isprintable():
            raise ValueError(f"the header {name!r} of {task.name} is not printable ASCII")


def encode_body(task: Task) -> bytes:
    """The JSON body of the call, in UTF-8; ValueError above 900,000 bytes."""
    body = json.dumps(task.body, allow_nan=False, separators=(",", ":")).encode()
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"the body of {task.name} has {len(body):,} bytes, above the limit")
    return body
