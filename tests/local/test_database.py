"""The embedded Postgres: kept from start to start, after any end, at any path."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from eventpulse.local.children import Children
from eventpulse.local.database import EmbeddedPostgres, choose_socket_folder
from eventpulse.local.leash import MASKED
from tests.waiting import wait_until


def make(home: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(home / "postgres", home / "postgres.log", dict(os.environ))


@contextmanager
def running(postgres: EmbeddedPostgres) -> Iterator[Children]:
    postgres.prepare()
    children = Children()
    try:
        children.start(postgres.program, postgres.is_ready)
        yield children
    finally:
        children.close()
        postgres.remove_socket_folder()


def ask(postgres: EmbeddedPostgres, query: str) -> object:
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def test_what_was_committed_survives_a_kill_and_a_stale_pid_file(tmp_path: Path) -> None:
    postgres = make(tmp_path)
    with running(postgres) as children:
        with psycopg.connect(postgres.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        before = children.pid("postgres")
        os.kill(before, signal.SIGKILL)
        wait_until(postgres.is_ready, "it was not started again")
        assert children.pid("postgres") != before
    # As a power cut leaves it: a pid that is somebody else's by now.
    (tmp_path / "postgres" / "cluster" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    with running(postgres):
        assert ask(postgres, "SELECT number FROM kept") == 7


def test_a_server_that_lost_its_stack_is_ended_first(tmp_path: Path) -> None:
    postgres = make(tmp_path)
    with running(postgres) as children:
        left = children.pid("postgres")
        postgres.prepare()
        wait_until(lambda: not psutil.pid_exists(left), "it runs on")
        wait_until(postgres.is_ready, "it was not started again")
        assert children.pid("postgres") != left


def test_text_order_and_time_zone_do_not_depend_on_the_machine(tmp_path: Path) -> None:
    postgres = make(tmp_path)
    with running(postgres):
        ordered = "SELECT string_agg(x, '' ORDER BY x) FROM unnest(ARRAY['b','a','B','é']) AS t(x)"
        assert ask(postgres, ordered) == "Babé"
        assert ask(postgres, "SELECT upper('é')") == "É"
        assert ask(postgres, "SHOW timezone") == "UTC"
        assert ask(postgres, "SHOW listen_addresses") == ""


def test_a_home_whose_path_is_long_keeps_its_socket_elsewhere(tmp_path: Path) -> None:
    long = tmp_path / ("long" * 25)
    sockets = choose_socket_folder(long / "postgres")
    assert sockets.parent == Path(tempfile.gettempdir())
    assert sockets != choose_socket_folder(long / "other")
    postgres = make(long)
    with running(postgres):
        assert sockets.stat().st_mode & 0o077 == 0
        assert ask(postgres, "SELECT 1") == 1
    assert not sockets.exists()


def test_a_short_home_keeps_its_socket(tmp_path: Path) -> None:
    assert choose_socket_folder(Path("/srv/eventpulse")) == Path("/srv/eventpulse")


def test_a_half_made_cluster_is_made_again(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    postgres = make(tmp_path)
    with running(postgres):
        assert ask(postgres, "SELECT 1") == 1
    assert not half.exists()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody")


@needs_root
def test_root_needs_no_user_and_opens_no_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    postgres = make(closed / "home")
    if postgres.program.user != MASKED:
        pytest.skip("no user namespace can be made here")
    with running(postgres):
        assert ask(postgres, "SELECT 1") == 1
        assert ask(postgres, "SELECT pg_read_file('postmaster.pid') <> ''") is True
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@needs_root
def test_root_without_namespaces_becomes_a_system_user_and_back(
    tmp_path: Path,
) -> None:
    # Apart from where other test sessions close folders again.
    with tempfile.TemporaryDirectory() as home:
        plain = make(Path(home))
        plain.__dict__["_user"] = "embedded_postgres"
        with running(plain) as children:
            assert psutil.Process(children.pid("postgres")).username() == "embedded_postgres"
            with psycopg.connect(plain.url) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        own = make(Path(home))
        with running(own):
            assert ask(own, "SELECT number FROM kept") == 7
