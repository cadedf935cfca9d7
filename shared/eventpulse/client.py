"""A client of the operators' API, over requests: what the command line does, and notebooks may.

    client = Client("http://127.0.0.1:8080", token)
    uploaded = client.upload_file(Path("2013.csv"), "weather/2013.csv")
    ingestion = client.wait_until_finished(client.find_uploaded(uploaded)["id"])

Answers are the API's JSON as dictionaries. A refusal is raised as the RequestRefused that the API
raised itself, with the problem's members as fields; a stack that does not answer, or that says that
it cannot now, is BackendUnavailable. Every request here may be sent twice without being done twice,
so requests that met a fault are sent again a few times first.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import mimetypes
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from eventpulse.errors import BackendUnavailable, RequestRefused
from eventpulse.settings import Settings

Answer = dict[str, Any]
Asked: TypeAlias = "str | int | Sequence[str] | None"
"""A query parameter: None is left out, of many values each is sent."""

DEFAULT_URL = "http://127.0.0.1:8080"
FINISHED = frozenset({"loaded", "rejected", "failed", "duplicate", "retracted"})
PATIENCE_SECONDS = 30.0
"""How long a stack may be away while its work is waited for."""

_CONNECT_SECONDS, _READ_SECONDS = 5.0, 120.0
_BLOCK_BYTES = 1 << 20
_UPLOADS = 3
_SHORTEST_WAIT, _LONGEST_WAIT = 0.1, 2.0
_CONTENT_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
    ".gz": "application/gzip",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Which stack to talk to, and as whom."""

    url: str
    token: str


def find_stack(settings: Settings) -> Target:
    """EVENTPULSE_URL, else the stack that runs on EVENTPULSE_HOME, else the default.

    The token of a local stack is sent to that stack alone.
    """
    try:
        running = json.loads((Path(settings.home).expanduser() / "stack.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        running = {}
    url = (settings.url or running.get("url") or DEFAULT_URL).rstrip("/")
    token = running["token"] if running and url == running["url"].rstrip("/") else ""
    return Target(url, settings.api_token or token)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A raw object that was made: its generation where the store said it, and the one before it."""

    name: str
    generation: int | None
    replaced: int = 0

    def is_in(self, ingestion: Answer) -> bool:
        """Whether an ingestion read it. When the answer to the upload was lost, it is what came
        under the name after the generation that it replaced."""
        generations = [int(source["generation"]) for source in ingestion["objects"]]
        if self.generation is not None:
            return self.generation in generations
        return any(each > self.replaced for each in generations)


def make_session(token: str = "") -> requests.Session:
    """A session that asks again when the server is busy or closes an idle connection just as it is
    used; nothing that it sends may do more when it comes twice."""
    session = requests.Session()
    if token:
        session.headers["Authorization"] = f"Bearer {token}"
    retry = Retry(
        total=4,
        connect=0,  # nothing listens: say so at once
        status_forcelist=(429, 502, 503, 504),
        allowed_methods=None,
        backoff_factor=0.3,
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


class Client:
    """One stack's API. May be shared by threads as far as `requests.Session` may."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        self._session = make_session(token)

    # --- Ingestions ------------------------------------------------------------------------------

    def list_ingestions(self, **filters: Asked) -> Answer:
        """One page: `state`, `dataset`, `object`, `reason`, `not_state` and so on (each may be
        many), `since`, `until`, `search`, `sort`, `id_prefix`, `cursor`, `limit`."""
        return self._get("/api/ingestions", **filters)

    def get_ingestion(self, ingestion_id: str) -> Answer:
        return self._get(f"/api/ingestions/{_quote(ingestion_id)}")

    def get_timeline(self, ingestion_id: str) -> Answer:
        return self._get(f"/api/ingestions/{_quote(ingestion_id)}/timeline")

    def get_quarantine(
        self, ingestion_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Answer:
        path = f"/api/ingestions/{_quote(ingestion_id)}/quarantine"
        return self._get(path, limit=limit, cursor=cursor)

    def read_quarantine_csv(self, ingestion_id: str) -> Iterator[bytes]:
        """The whole quarantine as CSV, in blocks."""
        path = f"/api/ingestions/{_quote(ingestion_id)}/quarantine"
        with self._send("GET", path, params={"format": "csv"}, stream=True) as response:
            yield from response.iter_content(_BLOCK_BYTES)

    def replay(self, ingestion_id: str, key: str | None = None) -> Answer:
        """Ask for a replay and get it; the same `key` gives the same one."""
        path = f"/api/ingestions/{_quote(ingestion_id)}/replay"
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self._json(self._send("POST", path, headers=headers))

    def retract(self, ingestion_id: str) -> Answer:
        return self._json(self._send("POST", f"/api/ingestions/{_quote(ingestion_id)}/retract"))

    def resolve_id(self, text: str) -> str:
        """The id that begins with `text`. Raises RequestRefused when there is not just one."""
        prefix = text.strip().lower()
        if not re.fullmatch(r"[0-9a-f-]{1,36}", prefix):
            raise _refuse("ingestion_not_found", f"{text!r} is no ingestion's id.")
        if len(prefix) == 36:
            return prefix
        found = self.list_ingestions(id_prefix=prefix, limit=2)["ingestions"]
        if not found:
            raise _refuse("ingestion_not_found", f"No ingestion's id begins with {text!r}.")
        if len(found) > 1:
            raise _refuse("ambiguous_id", f"More than one id begins with {text!r}; add to it.")
        return str(found[0]["id"])

    # --- Uploading and waiting -------------------------------------------------------------------

    def sign_upload(
        self, path: Path, name: str, dataset: str | None = None, replaces: int | None = None
    ) -> Answer:
        """The signed request that uploads the file under `name`. Raises RequestRefused: 409 when
        the name's live generation is not `replaces`, 422 when it does not lead to `dataset`."""
        digest = hashlib.md5(usedforsecurity=False)
        length = 0
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                length += len(block)
        request = {
            "name": name,
            "length": length,
            "md5": base64.b64encode(digest.digest()).decode(),
            "content_type": _guess_content_type(path),
            "dataset": dataset,
            "replaces": replaces,
        }
        return self._json(self._send("POST", "/api/uploads", json=request))

    def upload_file(
        self,
        path: Path,
        name: str,
        dataset: str | None = None,
        on_progress: Callable[[int], object] = lambda _: None,
    ) -> Uploaded:
        """Upload a file; `on_progress` gets the bytes of each block that was sent."""
        return self.send_upload(path, self.sign_upload(path, name, dataset), on_progress)

    def send_upload(
        self,
        path: Path,
        signed: Mapping[str, Any],
        on_progress: Callable[[int], object] = lambda _: None,
    ) -> Uploaded:
        """Send a signed request with the file's bytes, without this client's own token."""
        ambiguous = False
        problem: object = ""
        for _ in range(_UPLOADS):
            try:
                with _ProgressFile(path, on_progress) as file:
                    response = requests.request(
                        signed["method"],
                        signed["url"],
                        headers=signed["headers"],
                        data=file if path.stat().st_size else b"",
                        timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                    )
            except requests.RequestException as error:
                ambiguous, problem = True, _describe(error)
                continue
            if response.ok or (ambiguous and response.status_code == 412):
                generation = response.headers.get("x-goog-generation") if response.ok else None
                replaced = int(signed["headers"].get("x-goog-if-generation-match", "0"))
                return Uploaded(signed["name"], int(generation) if generation else None, replaced)
            if response.status_code < 500:
                raise RequestRefused(
                    response.status_code,
                    "upload_refused",
                    "The object store refused the file",
                    f"{signed['name']!r} was refused ({response.status_code}): "
                    f"{re.sub('<[^>]+>', ' ', response.text).strip()}",
                )
            ambiguous, problem = True, response.status_code
        raise BackendUnavailable("the object store", f"take {signed['name']!r}", problem)

    def find_uploaded(self, uploaded: Uploaded, timeout: float | None = None) -> Answer:
        """The ingestion of an uploaded object, as soon as there is one. Raises TimeoutError."""

        def look() -> Answer | None:
            for each in self.list_ingestions(object=uploaded.name)["ingestions"]:
                if each["replay_of"] is None and uploaded.is_in(each):
                    return dict(each)
            return None

        return poll(look, timeout)

    def wait_until_finished(
        self,
        ingestion_id: str,
        timeout: float | None = None,
        on_state: Callable[[str], object] = lambda _: None,
    ) -> Answer:
        """The ingestion once it is in a state that it stays in. Raises TimeoutError."""

        def look() -> Answer | None:
            ingestion = self.get_ingestion(ingestion_id)
            on_state(ingestion["state"])
            finished = ingestion["state"] in FINISHED and not ingestion["retract_requested"]
            return ingestion if finished else None

        return poll(look, timeout)

    # --- Datasets, contracts, marts --------------------------------------------------------------

    def list_datasets(self) -> Answer:
        return self._get("/api/datasets")

    def verify(self, dataset: str) -> Answer:
        """Have a table rebuilt and compared; `wait_until_verified` says what came of it."""
        return self.post(f"/api/datasets/{_quote(dataset)}/verify")

    def wait_until_verified(
        self,
        verification_id: str,
        timeout: float | None = None,
        on_progress: Callable[[int, int | None], object] = lambda _done, _all: None,
    ) -> Answer:
        """The verification once it has ended. Raises TimeoutError."""

        def look() -> Answer | None:
            found = self._get(f"/api/verifications/{_quote(verification_id)}")
            on_progress(found["position"], found["ingestions"])
            return None if found["state"] == "running" else found

        return poll(look, timeout)

    # --- Devices ---------------------------------------------------------------------------------

    def list_devices(
        self, *, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Answer:
        return self._get("/api/devices", state=state, limit=limit, cursor=cursor)

    def create_device(self, device: str, **settings: str | int) -> Answer:
        """Provision a device; the answer's `claim_code` is shown this once."""
        return self._json(self._send("POST", "/api/devices", json={"id": device, **settings}))

    def ask_device(self, device: str, what: str = "", **query: str | int | None) -> Answer:
        """A device, or what is said of it: gaps, series, batches, keys, commands, timeline."""
        return self._get(f"/api/devices/{_quote(device)}{what and '/'}{what}", **query)

    def act_on_device(self, device: str, what: str, body: Answer | None = None) -> Answer:
        """claim-code, revoke, config, commands, commands/<id>/cancel or alerts/<rule>/close."""
        path = f"/api/devices/{_quote(device)}/{what}"
        return self._json(self._send("POST", path, json=body) if body else self._send("POST", path))

    def list_alerts(
        self,
        *,
        device: str | None = None,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Answer:
        return self._get("/api/alerts", device=device, state=state, limit=limit, cursor=cursor)

    def get_contract(self, dataset: str, version: str | None = None) -> Answer:
        return self._get(f"/api/datasets/{_quote(dataset)}/contract", version=version)

    def get_contract_text(self, dataset: str, version: str | None = None) -> str:
        response = self._send(
            "GET",
            f"/api/datasets/{_quote(dataset)}/contract",
            params={"version": version} if version else {},
            headers={"Accept": "application/yaml"},
        )
        return response.content.decode()

    def publish_contract(self, text: str, source: str) -> Answer:
        sent = {"text": text, "source": source}
        return self._json(self._send("POST", "/api/contracts", json=sent))

    def get_dataset(self, name: str) -> Answer:
        return self._get(f"/api/datasets/{_quote(name)}")

    def list_proposals(self, **filters: str | int | None) -> Answer:
        """One page: `state`, `dataset`, `cursor`, `limit`."""
        return self._get("/api/proposals", **filters)

    def get_proposal(self, proposal_id: str) -> Answer:
        return self._get(f"/api/proposals/{_quote(proposal_id)}")

    def resolve_proposal(self, beginning: str) -> str:
        """The proposal whose id begins so, among the newest. Raises RequestRefused (404, 409)."""
        wanted = beginning.strip().lower()
        known = [each["id"] for each in self.list_proposals(limit=200)["proposals"]]
        found = [each for each in known if wanted and each.startswith(wanted)]
        if len(found) == 1:
            return str(found[0])
        if not found:
            detail = f"No proposal's id begins with {beginning!r}; list them: eventpulse proposals."
            raise RequestRefused(404, "proposal_not_found", "No such proposal", detail)
        detail = f"More than one proposal's id begins with {beginning!r}; give more of it."
        raise RequestRefused(409, "ambiguous_id", "Not one proposal", detail)

    def accept_proposal(self, proposal_id: str, text: str | None = None) -> Answer:
        """Register the proposal's contract, or `text` in its place, and replay what waits."""
        path = f"/api/proposals/{_quote(proposal_id)}/accept"
        return self._json(self._send("POST", path, json={"text": text}))

    def reject_proposal(self, proposal_id: str) -> Answer:
        path = f"/api/proposals/{_quote(proposal_id)}/reject"
        return self._json(self._send("POST", path))

    def publish_mart(self, name: str, text: str, contract: str = "") -> Answer:
        body = {"text": text, "contract": contract}
        return self._json(self._send("POST", f"/api/marts/{_quote(name)}", json=body))

    # --- Anything --------------------------------------------------------------------------------

    def get(self, path: str, **query: Asked) -> Answer:
        """What an endpoint of the API answers, by its path."""
        return self._get(path, **query)

    def get_file(self, path: str, **query: str) -> bytes:
        return self._send("GET", path, params=query).content

    def post(self, path: str, body: Answer | None = None, key: str | None = None) -> Answer:
        """Have an endpoint do something, once for each `key`."""
        options: dict[str, Any] = {"headers": {"Idempotency-Key": key}} if key else {}
        if body is not None:
            options["json"] = body
        return self._json(self._send("POST", path, **options))

    def post_file(self, path: str, data: bytes, content_type: str) -> Answer:
        headers = {"Content-Type": content_type}
        return self._json(self._send("POST", path, data=data, headers=headers))

    # --- Requests --------------------------------------------------------------------------------

    def _get(self, path: str, **query: Asked) -> Answer:
        params = {name: value for name, value in query.items() if value is not None}
        return self._json(self._send("GET", path, params=params))

    def _json(self, response: requests.Response) -> Answer:
        answer: Answer = response.json()
        return answer

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        """A POST has an Idempotency-Key, so that it can be sent again: if its answer was lost while
        it was being done, the same request is asked about until it is answered."""
        options.setdefault("timeout", (_CONNECT_SECONDS, _READ_SECONDS))
        if method == "POST":
            key = {"Idempotency-Key": uuid.uuid4().hex}
            options["headers"] = {**key, **options.get("headers", {})}
        started, wait = time.monotonic(), _SHORTEST_WAIT
        while True:
            try:
                response = self._session.request(method, f"{self.url}{path}", **options)
            except requests.RequestException as error:
                raise self._away(_describe(error)) from error
            if response.ok:
                return response
            problem = self._read_problem(response)
            under_way = getattr(problem, "code", "") == "request_under_way"
            if not under_way or time.monotonic() - started > options["timeout"][1]:
                raise problem
            time.sleep(wait)
            wait = min(_LONGEST_WAIT, wait * 1.5)

    def _read_problem(self, response: requests.Response) -> RequestRefused | BackendUnavailable:
        if response.headers.get("Content-Type") != "application/problem+json":
            return self._away(f"what answers there is not EventPulse ({response.status_code})")
        problem: Answer = response.json()
        if problem["retryable"]:
            return self._away(problem["detail"])
        rest = {k: v for k, v in problem.items() if k not in ("status", "code", "title", "detail")}
        return RequestRefused(
            problem["status"], problem["code"], problem["title"], problem["detail"], **rest
        )

    def _away(self, problem: object) -> BackendUnavailable:
        return BackendUnavailable(f"EventPulse at {self.url}", "be used", problem)


class _ProgressFile(io.FileIO):
    """A file that tells how much of it was read."""

    def __init__(self, path: Path, on_progress: Callable[[int], object]) -> None:
        super().__init__(path, "rb")
        self._on_progress = on_progress

    def read(self, size: int | None = -1, /) -> bytes:
        block: bytes = super().read(-1 if size is None else size) or b""
        self._on_progress(len(block))
        return block


def poll(look: Callable[[], Answer | None], timeout: float | None) -> Answer:
    """What `look` finds, looking ever less often; a stack that is away is waited for a while.

    Raises TimeoutError after `timeout` seconds (None: never).
    """
    started = answered = time.monotonic()
    wait = _SHORTEST_WAIT
    while True:
        try:
            found = look()
            answered = time.monotonic()
        except BackendUnavailable:
            if time.monotonic() - answered > PATIENCE_SECONDS:
                raise
            found = None
        if found is not None:
            return found
        if timeout is not None and time.monotonic() - started > timeout:
            raise TimeoutError
        time.sleep(wait)
        wait = min(_LONGEST_WAIT, wait * 1.5)


def _quote(segment: str) -> str:
    return quote(segment, safe="")


def _guess_content_type(path: Path) -> str:
    known = _CONTENT_TYPES.get(path.suffix.lower())
    return known or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _describe(error: Exception) -> str:
    """The reason at the bottom of requests' and urllib3's wrappings."""
    text = str(error)
    found = re.search(r"\[Errno -?\d+\] ([^'\")]+)", text)
    return found.group(1) if found else type(error).__name__


def _refuse(code: str, detail: str) -> RequestRefused:
    return RequestRefused(404, code, "No such ingestion", detail)
