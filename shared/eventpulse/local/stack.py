"""A whole EventPulse on one machine, as a context manager.

    with Stack(Path(".eventpulse"), contracts=Path("contracts")) as stack:
        print(stack.url)

Invariants:
- everything that it keeps, and its sockets, are below `home`; stacks with different homes do not
  know of each other, and one home has one stack at a time;
- entering returns when the API says that it is ready, or raises and leaves nothing running;
- whatever ends this process ends all that it started; the data stay, and the next start goes on
  from there;
- the functions see the variables of `settings.py` and the client libraries' own, nothing else
  tells them where they run.
"""

from __future__ import annotations

import errno
import http.client
import logging
import os
import socket
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from eventpulse.local.children import Children, Program
from eventpulse.local.gateway import THREADS, WORKERS
from eventpulse.local.home import Home
from eventpulse.local.lanes import Ground, Lane, LaneName, open_lane
from eventpulse.local.publication import publish_contracts, publish_marts
from eventpulse.local.schedule import Schedule
from eventpulse.local.watcher import Watcher
from eventpulse.platform import Platform
from eventpulse.settings import VARIABLES, read_settings
from eventpulse.wiring import WiredPlatform

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parents[3]
SWEEP_SECONDS = 60.0
READY_SECONDS = 120.0
_BACKLOG = 256

LOCAL_DEFAULTS: Mapping[str, str] = {
    "EVENTPULSE_LOAD_WINDOW_SECONDS": "0",
    "EVENTPULSE_BUNDLE_MOST_SECONDS": "1",
    "EVENTPULSE_SWEEP_AFTER_SECONDS": "5",
}
"""How the functions of one machine differ from those in a cloud: nothing costs money, so nothing
waits to be collected, and little time passes before something counts as forgotten."""


class Stack:
    """One stack; see the head of the module.

    `contracts` holds `<dataset>.odcs.yaml`, and `marts/<name>.sql` unless `marts` is another
    folder; both are published at the start. `port` 0 takes the one of the last start or any,
    `any_port` any when the port is taken. `watch` is a folder whose files are ingested.
    `variables` are for the functions, over LOCAL_DEFAULTS. Sweep is called at the start and every
    `sweep_seconds`.
    """

    def __init__(
        self,
        home: Path,
        *,
        contracts: Path | None = None,
        marts: Path | None = None,
        port: int = 0,
        any_port: bool = False,
        lane: LaneName = "local",
        watch: Path | None = None,
        variables: Mapping[str, str] | None = None,
        sweep_seconds: float = SWEEP_SECONDS,
        workers: int = WORKERS,
        threads: int = THREADS,
        root: Path = ROOT,
    ) -> None:
        self.home = Home(home)
        self.lane: LaneName = lane
        self.watch = watch.expanduser().resolve() if watch else None
        self.site = root / "web" / "dist"
        self.url = ""
        self.token = ""
        self.environment: dict[str, str] = {}
        if contracts is not None and not contracts.is_dir():
            raise FileNotFoundError(f"There is no folder of contracts at {contracts}.")
        if not (root / "functions").is_dir():
            raise FileNotFoundError(
                f"There are no functions at {root / 'functions'}: a stack runs those of a checkout "
                "of the repository, into which the package is installed."
            )
        self._contracts = contracts
        self._marts = marts or (contracts / "marts" if contracts else None)
        self._port = port
        self._any_port = any_port
        self._variables = {**LOCAL_DEFAULTS, **(variables or {})}
        self._sweep_seconds = sweep_seconds
        self._workers = workers
        self._threads = threads
        self._root = root
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._start(starting)
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _start(self, running: ExitStack) -> None:
        running.enter_context(self.home.held())
        secrets = self.home.load_secrets()
        listener = running.enter_context(self._listen())
        self.home.keep_port(listener.getsockname()[1])
        self.url = f"http://{HOST}:{listener.getsockname()[1]}"
        self.token = secrets.api_token
        self._children = Children()
        running.callback(self._children.close)
        ground = Ground(self.home, secrets, self._children, self.url, self._variables)
        lane = running.enter_context(open_lane(self.lane, ground))
        self.environment = {
            **self._variables,
            **lane.variables,
            "EVENTPULSE_FUNCTIONS": ground.functions,
            "EVENTPULSE_EDGE_URL": self.url,
            "EVENTPULSE_SIGN_KEY": secrets.sign_key,
            "EVENTPULSE_API_TOKEN": secrets.api_token,
            "TASK_TOKEN": secrets.task_token,
        }
        running.enter_context(_client_variables(self.environment))
        running.callback(self._close_platform)
        with ThreadPoolExecutor(1) as pool:  # publishes while the functions' processes start
            publishing = pool.submit(self._publish)
            self._serve(running, listener)
            publishing.result()
        self._deliver(running, lane, ground)
        running.enter_context(self.home.announced(self.describe()))

    def _listen(self) -> socket.socket:
        """On the port asked for, or on any: then rather on the last one."""
        if self._port:
            return listen(self._port, self._any_port)
        return listen(self.home.load_port(), any_port=True)

    def _serve(self, running: ExitStack, listener: socket.socket) -> None:
        command = [sys.executable, "-m", "eventpulse.local.gateway"]
        command += [f"--fd={listener.fileno()}", f"--functions={self._root / 'functions'}"]
        command += [f"--site={self.site}"]
        command += [f"--workers={self._workers}", f"--threads={self._threads}"]
        functions = Program(
            "functions",
            command,
            log=self.home.logs / "functions.log",
            environment={**_inherited(), **self.environment},
            pass_fds=[listener.fileno()],
        )
        running.callback(self._children.stop, functions.name)
        self._children.start(functions, self._is_ready, READY_SECONDS)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/ready", timeout=10) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            return False

    def _publish(self) -> None:
        if self._contracts is not None:
            publish_contracts(self.platform, self._contracts)
        if self._marts is not None and self._marts.is_dir():
            publish_marts(self.platform, self._marts)

    def _deliver(self, running: ExitStack, lane: Lane, ground: Ground) -> None:
        running.enter_context(lane.deliver())
        after = float(self.environment["EVENTPULSE_SWEEP_AFTER_SECONDS"])
        waits = [0.0, after + 1, self._sweep_seconds]
        running.enter_context(Schedule(f"{self.url}/sweep", ground.authorization, waits))
        if self.watch is not None:
            running.enter_context(Watcher(self.watch, self.platform.objects))

    def describe(self) -> dict[str, object]:
        """What `stack.json` says while the stack runs."""
        return {
            "url": self.url,
            "token": self.token,
            "pid": os.getpid(),
            "lane": self.lane,
            "environment": self.environment,
        }

    @cached_property
    def platform(self) -> Platform:
        """The stack's ports, for use in this process."""
        return WiredPlatform(read_settings({**self.environment, "EVENTPULSE_FAILPOINTS": ""}))

    def _close_platform(self) -> None:
        """Let go of the ports that this process used."""
        platform = self.__dict__.pop("platform", None)
        for port in vars(platform).values() if platform else ():
            if hasattr(port, "close"):
                port.close()

    def find_process(self, name: Literal["functions", "postgres"]) -> int:
        """The id of a child; those of "functions" are the workers that serve them."""
        return self._children.pid(name)


def listen(port: int, any_port: bool) -> socket.socket:
    """A listening socket on this machine's own address only. Raises PortTaken."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        if any_port:
            return listen(0, any_port=False)
        raise PortTaken(port) from None
    listener.listen(_BACKLOG)
    return listener


class PortTaken(RuntimeError):
    """Something else listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} is taken. Choose another with --port, or 0 for a free one.")
        self.port = port


@contextmanager
def _client_variables(environment: Mapping[str, str]) -> Iterator[None]:
    """The client libraries' own variables, for the clients in this very process."""
    added = {name: value for name, value in environment.items() if name not in VARIABLES}
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_NOT_INHERITED = frozenset(
    {
        *VARIABLES,
        "K_SERVICE",
        # Workers import much, and start again when they are killed: they keep what they compile.
        "PYTHONDONTWRITEBYTECODE",
    }
)


def _inherited() -> dict[str, str]:
    """This process's environment without anything that says where EventPulse runs."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _NOT_INHERITED and not name.endswith("_EMULATOR_HOST")
    }
