"""A device as the protocol has it, for tests: a key of its own, tokens, batches. Not the agent."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from eventpulse.fleet.devices import PublicKey, thumbprint

EPOCH = "5f0c1d2e3a4b5c6d"


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def digest(data: bytes) -> str:
    return encode(hashlib.sha256(data).digest())


@dataclass
class KeyPair:
    """An ES256 key that was made on the device."""

    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def public(self) -> PublicKey:
        numbers = self.private.public_key().public_numbers()
        x, y = (encode(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
        return PublicKey(x=x, y=y)

    @property
    def kid(self) -> str:
        return thumbprint(self.public)

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        headers = {"kid": self.kid, **header}
        return jwt.encode(dict(claims), self.private, algorithm="ES256", headers=headers)


@dataclass
class Signer:
    """Makes a device's requests; `changes` of claims make false ones."""

    device: str
    audience: str
    key: KeyPair = field(default_factory=KeyPair)

    def claims(self, method: str, path: str, body: bytes, **changes: Any) -> dict[str, Any]:
        now = datetime.now(UTC).timestamp()
        return {
            "iss": self.device,
            "sub": self.device,
            "aud": self.audience,
            "iat": now,
            "exp": now + 120,
            "jti": encode(secrets.token_bytes(16)),
            "htm": method,
            "htu": path,
            "bh": digest(body),
            **changes,
        }

    def headers(self, method: str, path: str, body: bytes, **changes: Any) -> dict[str, str]:
        token = self.key.sign(self.claims(method, path, body, **changes))
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def enrolment(self, code: str, key: KeyPair | None = None, **changes: Any) -> dict[str, Any]:
        key = key or self.key
        now = datetime.now(UTC).timestamp()
        claims = {
            "sub": self.device,
            "aud": self.audience,
            "iat": now,
            "exp": now + 120,
            "jti": encode(secrets.token_bytes(16)),
            "cch": digest(code.encode()),
            **changes,
        }
        return {
            "device": self.device,
            "claim_code": code,
            "public_key": key.public.model_dump(),
            "firmware": "test",
            "proof": key.sign(claims),
        }

    def rotation(self, key: KeyPair, **changes: Any) -> dict[str, Any]:
        now = datetime.now(UTC).timestamp()
        claims = {
            "sub": self.device,
            "aud": self.audience,
            "iat": now,
            "exp": now + 120,
            "jti": encode(secrets.token_bytes(16)),
            "by": self.key.kid,
            **changes,
        }
        return {"public_key": key.public.model_dump(), "proof": key.sign(claims)}


def reading(device: str, seq: int, epoch: str = EPOCH, **values: Any) -> dict[str, Any]:
    """One event as an agent writes it."""
    return {
        "event_id": f"{device}/{epoch}/{seq}",
        "device_id": device,
        "epoch": epoch,
        "seq": seq,
        "recorded_at": f"2026-03-01T08:{seq // 60 % 60:02}:{seq % 60:02}.000000Z",
        "firmware": "test",
        "kind": "reading",
        "sensor": "room",
        "clock": "synchronised",
        "clock_bound": 0.1,
        "temperature": 20.5,
        "humidity": 50.0,
        "alarm": False,
        **values,
    }


@dataclass(frozen=True)
class BatchFile:
    """A sealed segment: its claim and its bytes."""

    claim: dict[str, Any]
    content: bytes

    @property
    def commit_path(self) -> str:
        span = f"{self.claim['first']}-{self.claim['last']}"
        return f"/api/edge/batches/{self.claim['epoch']}/{span}/commit"

    @property
    def commit(self) -> dict[str, str]:
        return {"sha256": self.claim["sha256"]}


def seal(
    events: Sequence[Mapping[str, Any]] | Iterable[bytes],
    *,
    first: int,
    last: int,
    epoch: str = EPOCH,
    **changes: Any,
) -> BatchFile:
    """A batch of events (or of raw lines) under the numbers first to last."""
    lines = [e if isinstance(e, bytes) else json.dumps(e).encode() + b"\n" for e in events]
    return seal_bytes(
        gzip.compress(b"".join(lines), mtime=0), first=first, last=last, epoch=epoch, **changes
    )


def seal_bytes(
    content: bytes, *, first: int, last: int, epoch: str = EPOCH, **changes: Any
) -> BatchFile:
    claim = {
        "epoch": epoch,
        "first": first,
        "last": last,
        "count": last - first + 1,
        "prev_last": first - 1 or None,
        "epoch_predecessor": None,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "md5": base64.b64encode(hashlib.md5(content).digest()).decode(),
        "alarm": False,
        "content_type": "application/gzip",
        **changes,
    }
    return BatchFile(claim, content)
