"""Child processes: none outlives its parent, one that dies is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from eventpulse.local.children import Children, Program, StartFailed
from tests.waiting import wait_until

SLEEP = "import sys, time; open(sys.argv[1], 'a').write('started\\n'); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEP


@pytest.fixture
def children() -> Iterator[Children]:
    children = Children()
    yield children
    children.close()


def sleeper(folder: Path, code: str = SLEEP, stop_seconds: float = 10.0) -> Program:
    return Program(
        "sleeper",
        [sys.executable, "-c", code, str(folder / "starts")],
        log=folder / "sleeper.log",
        environment=dict(os.environ),
        stop_seconds=stop_seconds,
    )


def count_starts(folder: Path) -> int:
    starts = folder / "starts"
    return starts.read_text().count("started") if starts.exists() else 0


def test_a_child_that_dies_is_started_again(tmp_path: Path, children: Children) -> None:
    children.start(sleeper(tmp_path), lambda: count_starts(tmp_path) == 1)
    first = children.pid("sleeper")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: count_starts(tmp_path) == 2, "it was not started again")
    assert children.pid("sleeper") != first


def test_a_stopped_child_is_gone_and_stays_gone(tmp_path: Path, children: Children) -> None:
    children.start(sleeper(tmp_path), lambda: count_starts(tmp_path) == 1)
    pid = children.pid("sleeper")
    children.stop("sleeper")
    assert not psutil.pid_exists(pid)
    children.stop("sleeper")
    children.close()
    assert count_starts(tmp_path) == 1


def test_a_child_that_does_not_stop_is_killed(tmp_path: Path, children: Children) -> None:
    program = sleeper(tmp_path, STUBBORN, stop_seconds=0.2)
    children.start(program, lambda: count_starts(tmp_path) == 1)
    pid = children.pid("sleeper")
    children.stop("sleeper")
    assert not psutil.pid_exists(pid)


def test_a_child_that_ends_before_it_is_ready_fails_with_its_log(
    tmp_path: Path, children: Children
) -> None:
    program = sleeper(tmp_path, "raise SystemExit('the port is on fire')")
    with pytest.raises(StartFailed, match="status 1\nthe port is on fire"):
        children.start(program, lambda: False)


def test_a_child_that_is_never_ready_is_stopped(tmp_path: Path, children: Children) -> None:
    with pytest.raises(StartFailed, match="not ready in time"):
        children.start(sleeper(tmp_path), lambda: False, seconds=0.5)
    with pytest.raises(KeyError):
        children.pid("sleeper")


def test_a_log_is_for_the_owner_only(tmp_path: Path, children: Children) -> None:
    children.start(sleeper(tmp_path), lambda: count_starts(tmp_path) == 1)
    assert (tmp_path / "sleeper.log").stat().st_mode & 0o077 == 0


PARENT = """
import os, sys, threading
from pathlib import Path
from eventpulse.local.children import Children
from tests.local.test_children import count_starts, sleeper
folder = Path(sys.argv[1])
children = Children()
children.start(sleeper(folder), lambda: count_starts(folder) == 1)
print(children.pid("sleeper"), flush=True)
threading.Event().wait()
"""


def test_no_child_outlives_a_killed_parent(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        parent.kill()
        wait_until(lambda: not is_running(child), "the child lives on")


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
