"""The keys of a stack: a service account that signs URLs, and the issuer of its ID tokens.

Both are made once per folder and found again after, so that what was signed before a restart
is still good after it.
"""

from __future__ import annotations

import base64
import datetime
import fcntl
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt

PROJECT = "eventpulse-local"
ACCOUNT = f"eventpulse@{PROJECT}.iam.gserviceaccount.com"
TOKEN_SECONDS = 3600


@dataclass(frozen=True)
class ServiceAccount:
    """A service account's files: its key as Google hands it out, and the public half."""

    email: str
    key_file: Path
    signers_file: Path


def create_service_account(folder: Path) -> ServiceAccount:
    """The stack's service account."""
    account = ServiceAccount(ACCOUNT, folder / "service-account.json", folder / "signers.json")
    with _only_one(folder):
        if not account.key_file.exists():
            key = _make_key()
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            document = {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": uuid.uuid4().hex,
                "private_key": _encode_key(key),
                "client_email": ACCOUNT,
                "client_id": "100000000000000000000",
                "token_uri": "https://oauth2.googleapis.com/token",
            }
            _write_private(account.signers_file, json.dumps({ACCOUNT: public.decode()}))
            _write_private(account.key_file, json.dumps(document, indent=1))
    return account


class Issuer:
    """Signs ID tokens as Google's issuer would, and says by which keys they can be verified."""

    def __init__(self, folder: Path) -> None:
        path = folder / "issuer.json"
        with _only_one(folder):
            if not path.exists():
                _write_private(path, json.dumps(_make_issuer()))
        document = json.loads(path.read_text())
        self._key_id: str = document["key_id"]
        self._certificate: str = document["certificate"]
        make_signer: Any = crypt.RSASigner.from_string
        self._signer = make_signer(document["private_key"], self._key_id)

    def mint_token(self, issuer: str, email: str, audience: str) -> str:
        """An ID token of ``issuer`` for the service account ``email``, good for an hour."""
        now = int(time.time())
        claims = {
            "iss": issuer,
            "aud": audience,
            "azp": email,
            "sub": email,
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        }
        encode: Any = jwt.encode
        return str(encode(self._signer, claims), "ascii")

    def list_certificates(self) -> dict[str, str]:
        """Key id -> X.509 certificate in PEM."""
        return {self._key_id: self._certificate}

    def list_jwks(self) -> dict[str, Any]:
        """The keys as a JWK set (RFC 7517)."""
        key = x509.load_pem_x509_certificate(self._certificate.encode()).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        numbers = key.public_numbers()
        jwk = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self._key_id}
        return {"keys": [{**jwk, "n": _encode_number(numbers.n), "e": _encode_number(numbers.e)}]}


def _make_issuer() -> dict[str, str]:
    key = _make_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "eventpulse emulator issuer")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return {
        "key_id": uuid.uuid4().hex,
        "private_key": _encode_key(key),
        "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
    }


def _make_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _encode_key(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _encode_number(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Several services share the folder and start at once: one of them makes the keys."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_private(path: Path, text: str) -> None:
    staged = path.with_suffix(".part")
    staged.touch(mode=0o600)
    staged.write_text(text)
    staged.replace(path)
