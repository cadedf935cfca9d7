"""A stack for the command line's tests: the real API and upload receiver behind a real port."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.adapters.uploads_file import UploadApp
from eventpulse.ports import ObjectRef
from eventpulse.settings import Settings
from tests.functions.harness import (
    Cloud,
    make_app,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

QUIET = Settings(log_level="CRITICAL")


@dataclass
class LocalStack:
    """The API and the upload receiver on one port; what is uploaded is announced and worked on in
    the background, as the local stack does."""

    folder: Path
    cloud: Cloud
    url: str = ""
    lost_answers: int = 0
    requests: list[WSGIEnvironment] = field(default_factory=list)
    _working: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    _seen: set[ObjectRef] = field(default_factory=set)

    def __call__(self, environ: WSGIEnvironment, respond: StartResponse) -> Iterable[bytes]:
        self.requests.append(environ)
        path = environ["PATH_INFO"]
        if path.startswith("/objects/"):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/objects", path[len("/objects") :]
            store = self.cloud.platform.objects
            assert isinstance(store, FileObjectStore)
            body = UploadApp(store)(environ, self._maybe_lose(respond))
        else:
            body = make_app("api")(environ, respond)
        if environ["REQUEST_METHOD"] != "GET" or self.cloud.tasks.pending():
            self._threads.append(threading.Thread(target=self._work))
            self._threads[-1].start()
        return body

    def _maybe_lose(self, respond: StartResponse) -> Any:
        if not self.lost_answers:
            return respond
        self.lost_answers -= 1
        return lambda _status, headers, *rest: respond("502 Bad Gateway", headers, *rest)

    def _work(self) -> None:
        with self._working:
            for stored in self.cloud.platform.objects.list("raw"):
                if stored.ref not in self._seen:
                    self._seen.add(stored.ref)
                    self.cloud.announce(stored)
            self.cloud.run()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is worked on meanwhile."""
        with self._working:
            yield

    def rest(self) -> None:
        """Until nothing is worked on."""
        for thread in self._threads:
            thread.join()

    def file(self, name: str, content: bytes) -> str:
        path = self.folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)


@dataclass
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


RunCommand = Callable[..., Ran]
