"""What a stack makes good by itself: killed processes, lost tasks, events that never came."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from emulators.samples import read_sample
from emulators.samples.generate import generate_parcels
from emulators.user import StackUser
from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.local.stack import ROOT, Stack
from tests.waiting import wait_until

VARIABLES = {"EVENTPULSE_SWEEP_AFTER_SECONDS": "1"}
ROWS = 50_000

LOSE_TASKS = """
CREATE FUNCTION eventpulse.lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER lose BEFORE INSERT ON eventpulse.tasks
    FOR EACH ROW EXECUTE FUNCTION eventpulse.lose();
"""
KEEP_TASKS = "DROP FUNCTION eventpulse.lose() CASCADE"


@contextmanager
def running(home: Path) -> Iterator[Stack]:
    contracts = ROOT / "contracts"
    with Stack(home, contracts=contracts, variables=VARIABLES, sweep_seconds=1.0) as stack:
        yield stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("recovery")) as stack:
        yield stack


def await_step(user: StackUser, ingestion: str) -> None:
    """Wait until a step of the ingestion is under way."""

    def has_lease() -> bool:
        found = user.look([ingestion])[ingestion]
        return found is not None and found.lease is not None

    wait_until(has_lease, "no step ever began")


def check_table(user: StackUser, ingestion: str, rows: int) -> None:
    """The ingestion is loaded, its books balance, and its table is the one rebuilt from raw."""
    (ended,) = user.await_ends([ingestion])
    assert (ended.state, ended.rows_read) == ("loaded", rows), ended.detail
    answer = user.ingestion(ingestion)
    assert answer["rows_accepted"] == answer["rows_current"] + answer["rows_superseded"]
    assert user.verify(ended.dataset)["equal"]


@pytest.mark.parametrize("who", ["worker", "arbiter"])
def test_a_killed_server_of_functions_is_started_again(stack: Stack, who: str) -> None:
    user = StackUser(stack)
    arbiter = psutil.Process(stack.find_process("functions"))
    victims = arbiter.children() if who == "worker" else [arbiter]
    assert victims
    for victim in victims:
        victim.kill()
    wait_until(lambda: not any(map(psutil.Process.is_running, victims)), "they live on")
    assert user.get("health")["status"] == "ok"


@pytest.mark.parametrize("name", ["functions", "postgres"])
def test_a_kill_in_the_middle_of_a_step_loses_nothing(stack: Stack, name: str) -> None:
    user = StackUser(stack)
    content = b"".join(generate_parcels(ROWS, seed=len(name)))
    ingestion = user.upload(f"parcels/{name}.csv", content)
    await_step(user, ingestion)
    os.kill(stack.find_process(name), signal.SIGKILL)
    check_table(user, ingestion, ROWS)


def test_postgres_restarted_in_the_middle_of_a_step_loses_nothing(stack: Stack) -> None:
    user = StackUser(stack)
    ingestion = user.upload("parcels/restart.csv", b"".join(generate_parcels(ROWS, seed=12)))
    await_step(user, ingestion)
    os.kill(stack.find_process("postgres"), signal.SIGINT)
    check_table(user, ingestion, ROWS)


def test_tasks_that_are_lost_are_asked_for_again(stack: Stack) -> None:
    user = StackUser(stack)
    postgres = stack.environment["EVENTPULSE_TASKS"]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(LOSE_TASKS)
        try:
            ingestion = user.upload("airports/lost.csv", read_sample("airports"))
            wait_until(lambda: user.look([ingestion])[ingestion] is not None, "it did not land")
            query = "SELECT count(*) FROM eventpulse.tasks WHERE strpos(name, %s) > 0"
            assert connection.execute(query, [ingestion]).fetchone() == (0,)
        finally:
            connection.execute(KEEP_TASKS)
    check_table(user, ingestion, 1_458)


def test_an_event_that_never_comes_is_found_in_the_bucket(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    store = FileObjectStore((tmp_path / "objects").as_uri(), b"", "http://127.0.0.1")
    with store.write("raw", "airports/silent.csv") as out:
        out.write(read_sample("airports"))
    for entry in Path(store.layout.outbox).iterdir():
        entry.unlink()
    with running(tmp_path) as stack:
        user = StackUser(stack)
        wait_until(lambda: len(user.list_ingestions()) == 1, "it was never found")
        (found,) = user.list_ingestions()
        check_table(user, found["id"], 1_458)
