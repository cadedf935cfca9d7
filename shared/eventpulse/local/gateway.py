"""All functions of one machine behind one port, as gunicorn serves them.

    /land /validate /drift /load /marts …         the function of that name, its prefix taken off
    /api/edge/…                                   the devices function, with the whole path
    /api/…                                        the api function, with the whole path
    /objects/…                                    signed uploads into a file store
    everything else                               the dashboard's files, or a page that says hello

Functions are called with POST alone, so that a GET of /marts is the dashboard's page of that name.

The functions are the very main.py files that are deployed, each through functions-framework. They
are made before the workers are forked: these share what was imported, and one that takes the place
of a killed one serves at once.

`python -m eventpulse.local.gateway --fd N --functions DIR` serves on a listening socket that the
parent holds: while workers are restarted, and when this very process is, callers wait and are not
refused. Workers are processes of their own: one that is killed takes only its own calls along.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from werkzeug.exceptions import NotFound

from eventpulse.local.leash import die_with_parent
from eventpulse.settings import Settings, read_settings
from eventpulse.site import Site
from eventpulse.wiring import WiredPlatform

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FUNCTIONS = ("land", "validate", "drift", "load", "marts", "lineage", "sweep", "bundle", "backfill")
API = "api"
DEVICES = "devices"
DEVICES_PATH = "/api/edge"
OBJECTS = "objects"

WORKERS = 2
THREADS = 8
KEEPALIVE_SECONDS = 1  # a worker that stops waits so long for its idle connections
GRACEFUL_SECONDS = 5
FROZEN_SECONDS = 120
"""A worker whose main loop does not turn for so long is killed; its requests are not bounded."""


class Gateway:
    """The WSGI application: picks by the first part of the path."""

    def __init__(self, functions: Path, site: Path | None, settings: Settings) -> None:
        self._settings = settings
        self._stripped = {name: Lazy(partial(make_function, functions, name)) for name in FUNCTIONS}
        if settings.objects.startswith("file:"):
            self._stripped[OBJECTS] = Lazy(partial(make_receiver, settings))
        self._api = Lazy(partial(make_function, functions, API))
        self._devices = Lazy(partial(make_function, functions, DEVICES))
        self._site: WSGIApplication = Site(site)

    def load(self) -> None:
        """Make every function, and import the adapters; nothing connects. Raises SettingInvalid."""
        for function in (self._api, self._devices, *map(self._stripped.__getitem__, FUNCTIONS)):
            function.load()
        platform = WiredPlatform(self._settings)
        for port in ("objects", "log", "tasks", "warehouse"):
            getattr(platform, port)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        first, slash, rest = path.removeprefix("/").partition("/")
        if path == DEVICES_PATH or path.startswith(f"{DEVICES_PATH}/"):
            return self._devices(environ, start_response)
        if first == API:
            return self._api(environ, start_response)
        page = first in FUNCTIONS and environ.get("REQUEST_METHOD") in ("GET", "HEAD")
        if first in self._stripped and not page:
            environ["SCRIPT_NAME"] = f"{environ.get('SCRIPT_NAME', '')}/{first}"
            environ["PATH_INFO"] = slash + rest or "/"
            return self._stripped[first](environ, start_response)
        if first == OBJECTS:
            return NotFound()(environ, start_response)
        return self._site(environ, start_response)


class Lazy:
    """A WSGI application that is made once: by `load`, or when its first request comes."""

    def __init__(self, make: Callable[[], WSGIApplication]) -> None:
        self._make = make
        self._making = threading.Lock()

    @cached_property
    def _made(self) -> WSGIApplication:
        return self._make()

    def load(self) -> WSGIApplication:
        with self._making:
            return self._made

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.load()(environ, start_response)


_create = threading.Lock()


def make_function(functions: Path, name: str) -> WSGIApplication:
    """The function's main.py, unchanged, as functions-framework serves it when deployed."""
    import functions_framework

    create_app: Any = functions_framework.create_app
    with _create:  # it leaves the module as sys.modules["main"] on the way
        application: WSGIApplication = create_app(name, str(functions / name / "main.py"))
    return application


def make_receiver(settings: Settings) -> WSGIApplication:
    """What signed uploads into the file store are sent to."""
    from eventpulse.adapters.objects_file import FileObjectStore
    from eventpulse.adapters.uploads_file import UploadApp

    store = WiredPlatform(settings).objects
    if not isinstance(store, FileObjectStore):
        raise TypeError(f"{settings.objects} is not a file store")
    return UploadApp(store)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with its options given by name."""

    def __init__(self, application: WSGIApplication, options: Mapping[str, Any]) -> None:
        self._application = application
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        return self._application


def serve(application: WSGIApplication, fd: int, workers: int, threads: int) -> None:
    """Serve on a listening socket until SIGTERM."""
    arbiter = os.getpid()
    Server(
        application,
        {
            "bind": f"fd://{fd}",
            "workers": workers,
            "worker_class": "gthread",
            "threads": threads,
            "timeout": FROZEN_SECONDS,
            "graceful_timeout": GRACEFUL_SECONDS,
            "keepalive": KEEPALIVE_SECONDS,
            "control_socket_disable": True,
            "limit_request_line": 0,
            "loglevel": "warning",
            # Workers must not outlive a killed arbiter: nobody would restart or stop them.
            "post_fork": lambda _arbiter, _worker: die_with_parent(signal.SIGKILL, arbiter),
        },
    ).run()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eventpulse.local.gateway")
    parser.add_argument("--fd", type=int, required=True, help="a listening socket")
    parser.add_argument("--functions", type=Path, required=True, help="the functions' folder")
    parser.add_argument("--site", type=Path, help="the dashboard's files")
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--threads", type=int, default=THREADS)
    given = parser.parse_args()
    gateway = Gateway(given.functions, given.site, read_settings())
    gateway.load()
    serve(gateway, given.fd, given.workers, given.threads)


if __name__ == "__main__":
    main()
