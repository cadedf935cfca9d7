"""Tokens as Google's issuer and IAP sign them, and where their certificates are served."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.auth import crypt, jwt

from emulators.credentials import Issuer
from tests.web_server import serve

AUDIENCE = "https://eventpulse.test"
IAP_AUDIENCE = "/projects/7/global/backendServices/8"


@dataclass(frozen=True)
class Signers:
    """Google's issuer (RS256) and IAP (ES256), behind one address of certificates."""

    folder: Path
    certs_url: str

    @cached_property
    def _iap(self) -> Any:
        make: Any = crypt.ES256Signer.from_string
        return make((self.folder / "iap.pem").read_text(), "iap-key")

    def id_token(self, email: str = "ann@acme.org", **claims: Any) -> str:
        """An ID token; a claim given as None is left out, times are in seconds from now."""
        return _sign(
            Issuer(self.folder)._signer, "https://accounts.google.com", AUDIENCE, email, claims
        )

    def assertion(self, email: str = "ann@acme.org", **claims: Any) -> str:
        return _sign(self._iap, "https://cloud.google.com/iap", IAP_AUDIENCE, email, claims)


def _sign(signer: Any, issuer: str, audience: str, email: str, claims: dict[str, Any]) -> str:
    now = int(time.time())
    whole = {
        "iss": issuer,
        "aud": audience,
        "sub": email,
        "email": email,
        "email_verified": True,
        **claims,
        "iat": now + claims.get("iat", 0),
        "exp": now + claims.get("exp", 600),
    }
    encode: Any = jwt.encode
    return str(encode(signer, {k: v for k, v in whole.items() if v is not None}), "ascii")


@contextmanager
def open_signers(folder: Path) -> Iterator[Signers]:
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "iap.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    document = {**Issuer(folder).list_certificates(), "iap-key": public.decode()}

    def application(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(document).encode()]

    with serve(application) as url:
        yield Signers(folder, f"{url}/certs")
