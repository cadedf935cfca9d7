"""The tokens of devices: ES256 JWTs for one request each, and proofs that a key is one's own.

Only ES256 with the very key that the device registered is accepted; the algorithm and the key are
never taken from the token. A token is bound to its method, path and body, and lives for five
minutes. That it can be sent again within them is harmless: every request of the protocol changes
nothing when it comes twice.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from eventpulse.errors import RequestRefused
from eventpulse.fleet.devices import PublicKey, thumbprint
from eventpulse.values import format_time

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

ALGORITHM = "ES256"
LONGEST_SECONDS = 300
SKEW_SECONDS = 30
MOST_CHARACTERS = 4_096

REQUEST_CLAIMS = ("iss", "sub", "aud", "iat", "exp", "jti", "htm", "htu", "bh")
ENROLMENT_CLAIMS = ("sub", "aud", "iat", "exp", "jti", "cch")
ROTATION_CLAIMS = ("sub", "aud", "iat", "exp", "jti", "by")


@dataclass(frozen=True, slots=True)
class Unverified:
    """Whom a token claims to be from, before anything of it is believed."""

    device: str
    kid: str


def peek(token: str, now: datetime) -> Unverified:
    """Raises RequestRefused (401) for what is no token of a device."""
    if not token or len(token) > MOST_CHARACTERS:
        raise invalid_token("The request carries no token.", now)
    try:
        header, claims = (_read_segment(each) for each in token.split(".")[:2])
    except (ValueError, RecursionError) as error:
        raise invalid_token(f"It is no JWT: {error}.", now) from error
    if header.get("alg") != ALGORITHM:
        raise invalid_token(f"Only {ALGORITHM} is accepted.", now)
    device, kid = claims.get("sub"), header.get("kid")
    if not isinstance(device, str) or not isinstance(kid, str):
        raise invalid_token("It names no device (`sub`) or no key (`kid`).", now)
    return Unverified(device, kid)


def _read_segment(text: str) -> dict[str, Any]:
    found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    if not isinstance(found, dict):
        raise ValueError("a part of it is no JSON object")
    return found


def verify(
    token: str, key: PublicKey, claims: tuple[str, ...], *, audience: str, now: datetime
) -> dict[str, Any]:
    """The token's claims, signed with this key and valid now. Raises RequestRefused (401)."""
    import jwt  # with cryptography it would double the start of the process

    options: Any = {"require": list(claims), "verify_exp": False, "verify_iat": False}
    try:
        token_parts = jwt.decode_complete(
            token, _load(key), algorithms=[ALGORITHM], audience=audience, options=options
        )
    except jwt.InvalidAudienceError as error:
        raise invalid_token(f"Its `aud` is not {audience!r}.", now) from error
    except (jwt.PyJWTError, ValueError) as error:
        raise invalid_token(f"{error}.", now) from error
    if token_parts["header"].get("kid") != thumbprint(key):
        raise invalid_token("Its `kid` is not the key's thumbprint.", now)
    found: dict[str, Any] = token_parts["payload"]
    _check_time(found, now)
    return found


def check_request(
    claims: dict[str, Any], method: str, path: str, *, body: bytes, now: datetime
) -> None:
    """Raises RequestRefused (401) when the token was made for another request."""
    made_for = {"htm": method, "htu": path, "bh": digest(body)}
    for name, value in made_for.items():
        if claims[name] != value:
            raise invalid_token(f"Its `{name}` is not that of this request.", now)
    if claims["iss"] != claims["sub"]:
        raise invalid_token("Its `iss` and `sub` differ.", now)


def digest(data: bytes) -> str:
    """SHA-256 in base64url without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def _check_time(claims: dict[str, Any], now: datetime) -> None:
    issued, expires = claims["iat"], claims["exp"]
    if not (_is_number(issued) and _is_number(expires)):
        raise invalid_token("Its `iat` and `exp` are no numbers of seconds.", now)
    if not issued <= expires <= issued + LONGEST_SECONDS:
        raise invalid_token(f"It does not end within {LONGEST_SECONDS} s of its beginning.", now)
    moment = now.timestamp()
    if issued > moment + SKEW_SECONDS or expires < moment - SKEW_SECONDS:
        raise RequestRefused(
            401,
            "token_expired",
            "The token is not valid now",
            "Its time is over or has not come. Ask GET /api/edge/time, and sign anew.",
            now=format_time(now),
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@lru_cache(maxsize=10_000)
def _load(key: PublicKey) -> EllipticCurvePublicKey:
    """Raises ValueError for coordinates that are no point of the curve."""
    from cryptography.hazmat.primitives.asymmetric import ec

    x, y = (int.from_bytes(base64.urlsafe_b64decode(f"{each}="), "big") for each in (key.x, key.y))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def signed_at(claims: dict[str, Any]) -> str:
    return format_time(datetime.fromtimestamp(claims["iat"], UTC))


def invalid_token(detail: str, now: datetime) -> RequestRefused:
    title = "The token is not accepted"
    return RequestRefused(401, "token_invalid", title, detail, now=format_time(now))
