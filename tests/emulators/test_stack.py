"""The stack: what it starts it stops, whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from emulators.process import Child, StartError
from emulators.stack import GoogleStack, Service
from tests.waiting import wait_until

pytestmark = pytest.mark.google

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL: tuple[Service, ...] = ("firestore", "storage", "tasks")
HOLD = """
import sys, time
from pathlib import Path
from emulators.stack import GoogleStack
services = sys.argv[2:]
stack = GoogleStack(Path(sys.argv[1]), services=services)
stack.start()
print(*(stack.get_pid(service) for service in services), flush=True)
sys.stdin.read()
"""


@contextmanager
def holding_process(home: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A process that holds a stack, and the stack's own processes."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home), *SMALL],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    try:
        yield holder, [psutil.Process(int(pid)) for pid in holder.stdout.readline().split()]
    finally:
        holder.kill()
        holder.communicate()


def test_no_service_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    with holding_process(tmp_path) as (holder, services):
        assert len(services) == 3
        os.kill(holder.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(services, timeout=60)

    assert alive == []


def test_stop_ends_every_service(tmp_path: Path) -> None:
    stack = GoogleStack(tmp_path, services=SMALL)
    stack.start()
    services = [psutil.Process(stack.get_pid(service)) for service in SMALL]
    stack.stop()
    stack.stop()

    assert [service for service in services if service.is_running()] == []


def test_a_home_has_one_stack_at_a_time_and_homes_do_not_meet(tmp_path: Path) -> None:
    first = GoogleStack(tmp_path / "1", services=["storage"])
    second = GoogleStack(tmp_path / "2", services=["storage"])
    with first, second, pytest.MonkeyPatch.context() as env:
        for stack, name in ((first, "only-in-first"), (second, "only-in-second")):
            env.setenv("STORAGE_EMULATOR_HOST", stack.environment["STORAGE_EMULATOR_HOST"])
            client = storage.Client(project="emulated", credentials=AnonymousCredentials())
            client.create_bucket(name)
            assert [bucket.name for bucket in client.list_buckets()] == [name]
        with pytest.raises(RuntimeError, match="another stack runs"):
            GoogleStack(tmp_path / "1", services=["storage"]).start()

    with first:
        assert first.environment["STORAGE_EMULATOR_HOST"]


def test_a_service_that_does_not_start_leaves_none_running(tmp_path: Path) -> None:
    (tmp_path / "firestore").mkdir()
    (tmp_path / "firestore" / "firestore.db").write_bytes(b"this is no database" * 100)
    stack = GoogleStack(tmp_path, services=["storage", "firestore"])

    with pytest.raises(StartError, match="file is not a database") as failed:
        stack.start()

    assert failed.value.name == "firestore"
    assert set(stack.environment) == {
        "GOOGLE_CLOUD_PROJECT",
        "EVENTPULSE_EMULATOR_SERVICE_ACCOUNT_KEY",
    }


def test_what_a_child_prints_is_neither_its_ready_line_nor_stops_it(tmp_path: Path) -> None:
    code = (
        "from emulators.process import ReadyLine, make_stop_event\n"
        "ready = ReadyLine()\n"
        "print('noise' * 100_000, flush=True)\n"
        "ready.announce(said=1)\n"
        "print('noise' * 100_000, flush=True)\n"
        "make_stop_event(supervised=True).wait()\n"
    )
    child = Child("noisy", [sys.executable, "-c", code], log=tmp_path / "log")
    log = tmp_path / "log"
    try:
        assert child.facts == {"said": 1}
        wait_until(lambda: log.stat().st_size >= 1_000_000, "the child is stuck in its output")
        assert child.is_running()
    finally:
        child.stop()
    assert not child.is_running()


def test_the_environment_names_every_service(google_stack: GoogleStack) -> None:
    environment = google_stack.environment

    assert set(environment) == {
        "GOOGLE_CLOUD_PROJECT",
        "EVENTPULSE_EMULATOR_SERVICE_ACCOUNT_KEY",
        "STORAGE_EMULATOR_HOST",
        "FIRESTORE_EMULATOR_HOST",
        "EVENTPULSE_EMULATOR_TASKS",
        "EVENTPULSE_EMULATOR_OIDC_ISSUER",
        "EVENTPULSE_EMULATOR_OIDC_CERTS_URL",
        "BIGQUERY_EMULATOR_HOST",
        "EVENTPULSE_EMULATOR_BIGQUERY_STORAGE",
    }
    key = Path(environment["EVENTPULSE_EMULATOR_SERVICE_ACCOUNT_KEY"])
    assert key.stat().st_mode & 0o077 == 0
