"""Crash tests: kill this very process before or after one chosen effect.

In the folder that EVENTPULSE_FAILPOINTS names, each effect appends its name to `trace`. If a file
`armed` holds `before NAME` or `after NAME` and a number n, the n-th effect of that name since the
file was laid removes it and sends SIGKILL to the process, so that a restart is not killed again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

Port = TypeVar("Port")

EFFECTS: dict[str, tuple[str, ...]] = {
    "objects": ("write", "delete"),
    "log": ("commit",),
    "tasks": ("enqueue",),
    "warehouse": (
        "ensure_tables",
        "load_rows",
        "publish",
        "discard_rows",
        "replace_view",
        "replace_table",
        "drop_dataset",
    ),
}
"""The methods of each port that change something."""


def guard_effects(port: Port, name: str, folder: str) -> Port:
    """The port, with each of its effects a failpoint."""
    return cast(Port, _Guarded(port, name, Path(folder)))


class _Guarded:
    def __init__(self, port: object, name: str, folder: Path) -> None:
        self._port, self._name, self._folder = port, name, folder

    def __getattr__(self, attribute: str) -> Any:
        method = getattr(self._port, attribute)
        if attribute not in EFFECTS[self._name]:
            return method
        effect = f"{self._name}.{attribute}"
        if effect == "objects.write":
            return lambda *a, **k: _GuardedWrite(method(*a, **k), self._folder)
        return self._wrap(method, effect)

    def _wrap(self, method: Callable[..., Any], effect: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            reach(self._folder, "before", effect)
            answer = method(*args, **kwargs)
            reach(self._folder, "after", effect)
            return answer

        return call


class _GuardedWrite:
    """The effect of a write is that the object appears: when its context is left."""

    def __init__(self, inner: Any, folder: Path) -> None:
        self._inner, self._folder = inner, folder

    def __enter__(self) -> Any:
        return self._inner.__enter__()

    def __exit__(self, *error: Any) -> Any:
        reach(self._folder, "before", "objects.write")
        answer = self._inner.__exit__(*error)
        reach(self._folder, "after", "objects.write")
        return answer


def reach(folder: Path, moment: str, effect: str) -> None:
    """Trace the effect, and die if this moment is the armed one."""
    point = f"{moment} {effect}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "trace").open("a") as trace:
        trace.write(point + "\n")
    armed = folder / "armed"
    try:
        wanted, _, number = armed.read_text().rpartition(" ")
    except FileNotFoundError:
        return
    if wanted != point:
        return
    with (folder / "trace").open() as lines:
        if sum(line.rstrip("\n") == point for line in lines) >= int(number):
            armed.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
