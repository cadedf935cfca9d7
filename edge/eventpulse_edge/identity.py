"""Who the device is: an ES256 key that never leaves it, and the tokens that it signs.

In the state folder: `identity.json` names the device, its server and the key in use;
`key-<kid>.pem` are keys, readable by the agent alone. A key is on disk before the server hears of
it, so that an answer that got lost costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from eventpulse_edge.files import OsFiles, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping

LIFETIME = 120
"""Seconds for which a token is good."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`kid` is the key in use, `next_kid` one that the server may know already, `retired_kid` one
    that it is still to forget."""

    device: str
    server: str
    audience: str
    kid: str
    next_kid: str | None = None
    retired_kid: str | None = None


class NotEnrolled(Exception):
    """No identity yet; the message says what to do."""


def encode_base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def find_thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638, of an EC key."""
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True)
    return encode_base64url(hashlib.sha256(canonical.encode()).digest())


class Key:
    """A P-256 private key."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        numbers = private.public_key().public_numbers()
        self.jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": encode_base64url(numbers.x.to_bytes(32)),
            "y": encode_base64url(numbers.y.to_bytes(32)),
        }
        self.kid = find_thumbprint(self.jwk)

    @classmethod
    def make(cls) -> Key:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> Key:
        private = serialization.load_pem_private_key(pem, None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError("the key file holds no EC key")
        return cls(private)

    def to_pem(self) -> bytes:
        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, claims: Mapping[str, Any], now: float) -> str:
        """A JWT with these claims, `iat`, `exp` and a `jti`; `now` in seconds since 1970."""
        moment = int(now)
        payload = {
            **claims,
            "iat": moment,
            "exp": moment + LIFETIME,
            "jti": encode_base64url(secrets.token_bytes(16)),
        }
        return jwt.encode(payload, self._private, algorithm="ES256", headers={"kid": self.kid})


def hash_body(body: bytes) -> str:
    return encode_base64url(hashlib.sha256(body).digest())


class IdentityStore:
    """The files of an identity."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = OsFiles()

    def exists(self) -> bool:
        return (self._folder / "identity.json").exists()

    def load(self) -> Identity:
        """Raises NotEnrolled, also when the file is damaged."""
        path = self._folder / "identity.json"
        try:
            return Identity(**json.loads(path.read_text()))
        except FileNotFoundError as error:
            problem = f"{path} does not exist"
            cause: Exception = error
        except (ValueError, TypeError) as error:
            problem = f"{path} is damaged ({error})"
            cause = error
        raise NotEnrolled(f"{problem}: enroll this device with `eventpulse-edge enroll`") from cause

    def save(self, identity: Identity) -> None:
        self._files.make_folder(self._folder)
        content = json.dumps(asdict(identity), indent=2).encode() + b"\n"
        write_atomically(self._files, self._folder / "identity.json", content)

    def load_key(self, kid: str) -> Key:
        """Raises NotEnrolled when the file is missing or damaged."""
        path = self._key_path(kid)
        try:
            return Key.from_pem(path.read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise NotEnrolled(
                f"{path} cannot be used ({error}): enroll this device anew"
            ) from error

    def make_key(self) -> Key:
        """A new key, on disk."""
        key = Key.make()
        self._files.make_folder(self._folder)
        write_atomically(self._files, self._key_path(key.kid), key.to_pem())
        return key

    def make_or_find_key(self) -> Key:
        """The key of an enrolment that was begun, or a new one."""
        found = sorted(self._folder.glob("key-*.pem"))
        return Key.from_pem(found[0].read_bytes()) if found else self.make_key()

    def remove_other_keys(self, identity: Identity) -> None:
        kept = {identity.kid, identity.next_kid}
        for path in self._folder.glob("key-*.pem"):
            if path.stem.removeprefix("key-") not in kept:
                path.unlink()

    def _key_path(self, kid: str) -> Path:
        return self._folder / f"key-{kid}.pem"
