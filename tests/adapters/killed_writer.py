"""A program: does one thing to an object again and again, killed at each of its steps in turn.

    python -m tests.adapters.killed_writer FOLDER ACTION BUCKET

Run n has the store FOLDER/n of its own, and is killed by SIGKILL before its nth call that changes
the file system, until a run ends by itself. Prints how many runs were killed.
"""

from __future__ import annotations

import builtins
import fcntl
import itertools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, get_args

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.ports import Bucket, ObjectRef

NAME = "folder/a.csv"
OLD, NEW = b"old" * 1_000, b"new" * 10_000
_CALLS = [
    *((os, name) for name in ("open", "close", "fsync", "link", "symlink", "rename", "unlink")),
    *((os, name) for name in ("mkdir", "fchmod")),
    (fcntl, "flock"),
    (builtins, "open"),
]


def main(folder: str, action: str, bucket: Bucket) -> None:
    """Sweep the kill over all steps."""
    for number in itertools.count():
        pid = os.fork()
        if pid == 0:
            run(f"{folder}/{number}", action, bucket, number)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == 0:
            print(number)
            return
        if code != -signal.SIGKILL:
            raise SystemExit(f"run {number} ended with {code}")


def run(root: str, action: str, bucket: Bucket, number: int) -> None:
    """One run: what is there before is written undisturbed."""
    store = FileObjectStore(f"file://{root}", b"", "")
    old = None if action == "create" else write(store, bucket, OLD, replace=False)
    store = FileObjectStore(f"file://{root}", b"", "")
    kill_before(number)
    if action == "delete":
        assert old is not None
        assert store.delete(old)
    else:
        write(store, bucket, NEW, replace=action == "replace")


def write(store: FileObjectStore, bucket: Bucket, content: bytes, *, replace: bool) -> ObjectRef:
    """Write the object, in two parts."""
    with store.write(bucket, NAME, replace=replace) as sink:
        sink.write(content[:1000])
        sink.write(content[1000:])
    return sink.stored.ref


def kill_before(number: int) -> None:
    """From now on, the call of that number does not happen: the process ends before it."""
    counter = itertools.count()

    def fail(call: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: Any, **options: Any) -> Any:
            if next(counter) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return failing

    for module, name in _CALLS:
        setattr(module, name, fail(getattr(module, name)))


if __name__ == "__main__":
    assert sys.argv[3] in get_args(Bucket)
    main(sys.argv[1], sys.argv[2], sys.argv[3])  # type: ignore[arg-type]
