"""A server of the edge protocol (edge/PROTOCOL.md), over real HTTP, with faults at every point.

It keeps everything in memory and checks what the real one must: signatures, claims, write-once
objects. Faults are armed by point: `server.arm("put", After("cut"))`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import secrets
import threading
import time
from base64 import b64encode
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from eventpulse_edge.batches import Batch
from eventpulse_edge.clock import format_time
from eventpulse_edge.identity import find_thumbprint, hash_body
from tests.edge.accounts import Cloud

What = Literal["cut", "html", "redirect", "garbage", "half"] | int


@dataclass(frozen=True)
class Before:
    """The fault strikes before the request has an effect."""

    what: What
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class After:
    """The request has its effect, and the answer is lost or wrong."""

    what: What
    headers: dict[str, str] = field(default_factory=dict)


Fault = Before | After
Json = dict[str, Any]

CONTRACT: Json = {
    "dataset": "edge_telemetry",
    "version": "1.1.0",
    "properties": [
        {
            "name": "temperature",
            "logicalType": "number",
            "required": False,
            "logicalTypeOptions": {"minimum": -60, "maximum": 85},
        },
        {"name": "humidity", "logicalType": "number", "required": False},
        {"name": "counter", "logicalType": "integer", "required": False},
    ],
}


class Problem(Exception):
    def __init__(self, status: int, code: str, *, retryable: bool = False, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.document = {"status": status, "code": code, "retryable": retryable, **more}


@dataclass
class Claim:
    batch: Json
    object: str
    receipt: Json | None = None


class FakeServer:
    """Start with `with FakeServer() as server`; `url` is its base."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.cloud = Cloud()
        self.objects: dict[str, bytes] = {}
        self.claims: dict[tuple[str, int], Claim] = {}
        self.claim_codes: dict[str, str] = {}
        self.keys: dict[str, Json] = {}
        self.device: str | None = None
        self.revoked = False
        self.refuse_row: Callable[[Json], bool] = lambda row: False
        self.heartbeats: list[Json] = []
        self.commands: dict[str, Json] = {}
        self.config: Json = {"version": 1, "heartbeat_seconds": 60, "seal_seconds": 300}
        self.contract: Json | None = CONTRACT
        self.requests: list[str] = []
        self.puts: dict[str, int] = defaultdict(int)
        self.enrolments = 0
        self.jtis: set[str] = set()
        self.conflicts = 0
        self.url_seconds = 600.0
        self._faults: dict[str, deque[Fault | None]] = defaultdict(deque)
        self._urls: dict[str, tuple[str, float, Json]] = {}
        self._lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.audience = self.url
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def arm(self, point: str, *faults: Fault | None) -> None:
        """The next requests at a point meet these faults, one each; None: that one works."""
        self._faults[point].extend(faults)

    def take_fault(self, point: str) -> Fault | None:
        with self._lock:
            waiting = self._faults[point] or self._faults["any"]
            return waiting.popleft() if waiting else None

    def armed(self) -> int:
        return sum(map(len, self._faults.values()))

    def queue(self, kind: str, arguments: Json | None = None, **more: Any) -> str:
        name = secrets.token_hex(4)
        self.commands[name] = {
            "id": name,
            "type": kind,
            "arguments": arguments or {},
            "status": "queued",
            "version": 1,
            "expires": None,
            "history": [],
            **more,
        }
        return name

    # --- The protocol ----------------------------------------------------------------------------

    def handle(
        self, method: str, path: str, headers: Any, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            self.requests.append(f"{method} {path}")
            try:
                if path.startswith("/store/"):
                    return self._store(method, path, headers, body), {}, b""
                status, answer_headers, document = self._answer(method, path, headers, body)
            except Problem as problem:
                content = json.dumps(problem.document).encode()
                kind = {"Content-Type": "application/problem+json"}
                return problem.status, kind, content
            content = b"" if status in (204, 304) else json.dumps(document).encode()
            return status, {"Content-Type": "application/json", **answer_headers}, content

    def _answer(
        self, method: str, path: str, headers: Any, body: bytes
    ) -> tuple[int, dict[str, str], Json]:
        route = (method, path.removeprefix("/api/edge"))
        document = json.loads(body) if body else {}
        if route == ("GET", "/time"):
            return 200, {}, {"now": format_time(self.now())}
        if route == ("POST", "/enroll"):
            return 200, {}, self._enroll(document)
        kid = self._authenticate(method, path, headers, body)
        match route[1].strip("/").split("/"):
            case ["batches"] if method == "POST":
                return 200, {}, self._claim(document)
            case ["batches", epoch, numbers, "commit"] if method == "POST":
                return 200, {}, self._commit(epoch, int(numbers.split("-")[0]), document)
            case ["heartbeat"] if method == "POST":
                return 200, {}, self._heartbeat(document)
            case ["commands"] if method == "GET":
                return 200, {}, self._list_commands()
            case ["commands", name] if method == "POST":
                return 200, {}, self._move_command(name, document)
            case ["keys"] if method == "POST":
                return 200, {}, self._add_key(document, kid)
            case ["keys", other] if method == "DELETE":
                return 200, {}, self._remove_key(other, kid)
            case ["contract"] if method == "GET" and self.contract is not None:
                etag = f'"{self.contract["version"]}"'
                if headers.get("If-None-Match") == etag:
                    return 304, {"ETag": etag}, {}
                return 200, {"ETag": etag}, self.contract
        raise Problem(404, "not_found", retryable=True)

    def _enroll(self, document: Json) -> Json:
        jwk = document["public_key"]
        kid = find_thumbprint(jwk)
        claims = self._verify(document["proof"], jwk, self.url)
        code = document["claim_code"]
        assert claims["cch"] == hash_body(code.encode())
        if self.claim_codes.get(code) != document["device"] or (self.keys and kid not in self.keys):
            raise Problem(403, "claim_refused")
        self.keys[kid] = jwk
        self.device = document["device"]
        self.enrolments += 1
        return {
            "device": self.device,
            "kid": kid,
            "audience": self.audience,
            "now": format_time(self.now()),
            "config": self.config,
            "contract": self.contract,
        }

    def _authenticate(self, method: str, path: str, headers: Any, body: bytes) -> str:
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        now = {"now": format_time(self.now())}
        try:
            head = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise Problem(401, "token_invalid", retryable=True, **now) from error
        jwk = self.keys.get(head["kid"])
        if jwk is None:
            raise Problem(403, "key_unknown")
        try:
            claims = self._verify(token, jwk, self.audience)
        except jwt.ExpiredSignatureError as error:
            raise Problem(401, "token_expired", retryable=True, **now) from error
        except jwt.InvalidTokenError as error:
            raise Problem(401, "token_invalid", retryable=True, **now) from error
        expected = (method, path, hash_body(body), self.device, self.device)
        if tuple(claims[each] for each in ("htm", "htu", "bh", "iss", "sub")) != expected:
            raise Problem(401, "token_invalid", retryable=True, **now)
        assert claims["exp"] - claims["iat"] <= 300
        assert claims["jti"] not in self.jtis, "a token was used twice"
        self.jtis.add(claims["jti"])
        if self.revoked:
            raise Problem(403, "device_revoked")
        return str(head["kid"])

    def _verify(self, token: str, jwk: Json, audience: str) -> Json:
        key = jwt.PyJWK(jwk).key
        assert isinstance(key, ec.EllipticCurvePublicKey)
        options: Any = {"verify_exp": False, "verify_iat": False}
        claims: Json = jwt.decode(
            token, key, algorithms=["ES256"], audience=audience, options=options
        )
        if claims["exp"] < self.now() - 30:
            raise jwt.ExpiredSignatureError("expired")
        if claims["iat"] > self.now() + 30:
            raise jwt.ImmatureSignatureError("not yet")
        return claims

    def _claim(self, claim: Json) -> Json:
        key = claim["epoch"], claim["first"]
        known = self.claims.get(key)
        if known is not None and known.batch["sha256"] != claim["sha256"]:
            self.conflicts += 1
            raise Problem(409, "batch_conflict")
        name = (
            f"edge_telemetry/{self.device}/{claim['epoch']}"
            f"/{claim['first']:012d}-{claim['last']:012d}-{claim['sha256']}.ndjson.gz"
        )
        if known is not None and known.receipt is not None:
            return {"state": "committed", "receipt": known.receipt}
        self.claims[key] = Claim(claim, name)
        token = secrets.token_hex(8)
        headers = {"content-type": claim["content_type"], "content-md5": claim["md5"]}
        self._urls[token] = (
            name,
            self.now() + self.url_seconds,
            {**headers, "bytes": claim["bytes"]},
        )
        return {
            "state": "upload",
            "object": name,
            "method": "PUT",
            "url": f"{self.url}/store/{token}",
            "headers": headers,
            "expires": format_time(self.now() + 600),
        }

    def _store(self, method: str, path: str, headers: Any, body: bytes) -> int:
        name, expires, signed = self._urls[path.rsplit("/", 1)[1]]
        if self.now() > expires:
            return 400
        if name in self.objects:
            return 412
        md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        good = (
            method == "PUT"
            and headers["content-type"] == signed["content-type"]
            and headers["content-md5"] == signed["content-md5"] == md5
            and len(body) == signed["bytes"]
        )
        if not good:
            return 403
        self.objects[name] = body
        self.puts[name] += 1
        return 200

    def _commit(self, epoch: str, first: int, document: Json) -> Json:
        claim = self.claims.get((epoch, first))
        if claim is None or claim.object not in self.objects:
            raise Problem(409, "not_uploaded")
        content = self.objects[claim.object]
        batch = claim.batch
        if not hashlib.sha256(content).hexdigest() == document["sha256"] == batch["sha256"]:
            raise Problem(422, "content_differs")
        before = batch["epoch_predecessor"]
        rows = _read(content)
        if any(self.refuse_row(row) for row in rows):
            del self.claims[epoch, first]
            raise Problem(422, "request_invalid", detail="a row is refused")
        assert len(rows) == batch["count"]
        assert batch["prev_last"] == (first - 1 or None)
        if claim.receipt is None:
            self.cloud.receive(
                Batch(
                    0,
                    epoch,
                    first,
                    batch["last"],
                    batch["count"],
                    batch["alarm"],
                    before and (before["epoch"], before["last"]),
                    batch["sha256"],
                ),
                content,
            )
        claim.receipt = {
            "object": claim.object,
            "sha256": batch["sha256"],
            "bytes": len(content),
            "committed_at": format_time(self.now()),
        }
        return {"state": "committed", "receipt": claim.receipt}

    def _heartbeat(self, document: Json) -> Json:
        self.heartbeats.append(document)
        answer: Json = {
            "now": format_time(self.now()),
            "config_version": self.config["version"],
            "contract_version": self.contract and self.contract["version"],
            "commands_pending": sum(1 for each in self.commands.values() if not _ended(each)),
        }
        if document["config_version"] != self.config["version"]:
            answer["config"] = self.config
        return answer

    def _list_commands(self) -> Json:
        for each in self.commands.values():
            if each["status"] == "queued":
                each.update(status="delivered", version=each["version"] + 1)
        return {"commands": [each for each in self.commands.values() if not _ended(each)]}

    def _move_command(self, name: str, document: Json) -> Json:
        command = self.commands[name]
        same = command["status"] == document["status"]
        if not same and document["expected_version"] != command["version"]:
            raise Problem(409, "version_conflict", command=command)
        if not same and _ended(command):
            raise Problem(409, "version_conflict", command=command)
        if not same:
            command.update(
                status=document["status"],
                version=command["version"] + 1,
                result=document.get("result"),
            )
            command["history"].append(document["status"])
        return {"id": name, "status": command["status"], "version": command["version"]}

    def _add_key(self, document: Json, by: str) -> Json:
        jwk = document["public_key"]
        claims = self._verify(document["proof"], jwk, self.audience)
        if claims["sub"] != self.device or claims["by"] != by:
            raise Problem(400, "request_invalid")
        kid = find_thumbprint(jwk)
        if len(self.keys) >= 3 and kid not in self.keys:
            raise Problem(409, "too_many_keys")
        self.keys[kid] = jwk
        return {"kid": kid, "keys": [{"kid": each} for each in self.keys]}

    def _remove_key(self, kid: str, by: str) -> Json:
        if kid == by:
            raise Problem(409, "key_in_use")
        self.keys.pop(kid, None)
        return {"keys": [{"kid": each} for each in self.keys]}


def _ended(command: Json) -> bool:
    return command["status"] in ("succeeded", "failed", "cancelled", "expired")


def _read(content: bytes) -> list[Json]:
    return [json.loads(line) for line in gzip.decompress(content).splitlines()]


def _point(method: str, path: str) -> str:
    if path.startswith("/store/"):
        return "put"
    parts = path.removeprefix("/api/edge/").split("/")
    return "commit" if parts[-1] == "commit" else parts[0]


def _make_handler(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = server.take_fault(_point(self.command, self.path))
            if isinstance(fault, Before):
                self._fail(fault)
                return
            status, headers, content = server.handle(self.command, self.path, self.headers, body)
            if isinstance(fault, After):
                self._fail(fault)
                return
            self._send(status, headers, content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _fail(self, fault: Fault) -> None:
            html = {"Content-Type": "text/html"}
            match fault.what:
                case "cut":
                    self.close_connection = True
                case "half":
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"state": "comm')
                    self.close_connection = True
                case "html":
                    self._send(200, html, b"<html>Welcome! Please accept our terms.</html>")
                case "redirect":
                    self._send(302, {"Location": "http://portal.invalid/", **html}, b"")
                case "garbage":
                    self._send(200, {"Content-Type": "application/json"}, b"[1, 2")
                case int() as status:
                    headers = {"Content-Type": "application/problem+json", **fault.headers}
                    document = {"status": status, "code": "unavailable", "retryable": True}
                    self._send(status, headers, json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    return Handler
