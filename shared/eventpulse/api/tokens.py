"""Google's tokens, verified: signature, issuer, exact audience, times, and that the e-mail is real.

An ID token comes as a bearer; IAP sends an assertion with every request that it lets through. What
else such a request says about its sender (X-Goog-Authenticated-User-Email …) anyone can write, and
nothing reads it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from eventpulse.api.roles import Identity
from eventpulse.errors import BackendUnavailable, RequestRefused
from eventpulse.http import CLOCK_SKEW_SECONDS

logger = logging.getLogger(__name__)

GOOGLE_ISSUERS = ("https://accounts.google.com", "accounts.google.com")
GOOGLE_CERTS = "https://www.googleapis.com/oauth2/v1/certs"
IAP_ISSUERS = ("https://cloud.google.com/iap",)
IAP_CERTS = "https://www.gstatic.com/iap/verify/public_key"


def read_id_token(token: str, audiences: Sequence[str], certs: str) -> Identity:
    """Whom a Google ID token is about. Raises RequestRefused (401), BackendUnavailable."""
    claims = _verify(token, audiences, certs or GOOGLE_CERTS, GOOGLE_ISSUERS)
    if claims.get("email_verified") is not True:
        raise refuse_token("The token's e-mail address is not verified.")
    return Identity(
        email=_read_email(claims), domain=str(claims.get("hd", "")), groups=_read_groups(claims)
    )


def read_assertion(assertion: str, audiences: Sequence[str], certs: str) -> Identity:
    """Whom IAP's assertion is about. Raises RequestRefused (401), BackendUnavailable."""
    claims = _verify(assertion, audiences, certs or IAP_CERTS, IAP_ISSUERS)
    return Identity(
        email=_read_email(claims).rpartition(":")[2],
        domain=str(claims.get("hd", "")),
        groups=_read_groups(claims),
        admitted=True,
    )


def _verify(
    token: str, audiences: Sequence[str], certs: str, issuers: Sequence[str]
) -> Mapping[str, Any]:
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.oauth2 import id_token

    try:
        claims: Mapping[str, Any] = id_token.verify_token(
            token,
            _transport(),
            audience=list(audiences),
            certs_url=certs,
            clock_skew_in_seconds=CLOCK_SKEW_SECONDS,
        )
    except TransportError as error:
        raise BackendUnavailable("The issuer of tokens", "give its certificates", error) from error
    except (ValueError, GoogleAuthError) as error:
        logger.warning("refused a token: %s", error)
        raise refuse_token("The token is not valid here: it may be out of date.") from error
    if claims.get("iss") not in issuers:
        raise refuse_token("The token is of another issuer.")
    return claims


def _read_email(claims: Mapping[str, Any]) -> str:
    email = claims.get("email")
    if not isinstance(email, str) or "@" not in email:
        raise refuse_token("The token names no e-mail address.")
    return email


def _read_groups(claims: Mapping[str, Any]) -> frozenset[str]:
    groups = claims.get("groups")
    return frozenset(filter(None, map(str, groups))) if isinstance(groups, list) else frozenset()


def refuse_token(detail: str) -> RequestRefused:
    return RequestRefused(401, "unauthenticated", "Not authenticated", detail)


@cache
def _transport() -> Any:
    """Certificates are kept as long as their Cache-Control says."""
    import requests
    from cachecontrol import CacheControl
    from google.auth.transport.requests import Request

    return Request(session=CacheControl(requests.Session()))
