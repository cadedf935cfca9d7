"""Who may use the operators' API.

Invariants:
- deployed (K_SERVICE is set), only Google's tokens are a way in: an ID token for one of
  EVENTPULSE_AUDIENCES as a bearer, or the assertion of IAP for EVENTPULSE_IAP_AUDIENCE;
- the local token (EVENTPULSE_API_TOKEN), compared in constant time, or no token at all, is a way in
  from this machine only, and none where K_SERVICE is set or Google's tokens are asked for;
- nothing is done on the word of a browser alone. A bearer is nothing that a browser sends by
  itself; where it could be (IAP's cookie, a stack without a token), a page of another origin, or a
  name that was made to point here, is refused.

A caller is a `Principal`, however it was recognised.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

import flask

from eventpulse.api.roles import Identity, Role, find_role, parse_roles
from eventpulse.api.tokens import read_assertion, read_id_token, refuse_token
from eventpulse.errors import RequestRefused, SettingInvalid
from eventpulse.settings import Settings

IAP_ASSERTION = "X-Goog-IAP-JWT-Assertion"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts; `actor` stands in the log lines and events of what they do. `role` is an
    operator's: None for whoever has none."""

    actor: str
    role: Role | None = None


def authenticate(request: flask.Request, settings: Settings) -> Principal:
    """The caller. Raises RequestRefused (401, 403), and SettingInvalid where nobody can be."""
    _check_deployment(settings)
    local = not settings.deployed and _is_loopback(request.remote_addr)
    bearer = _read_bearer(request)
    if settings.iap_audience and IAP_ASSERTION in request.headers:
        _check_origin(request)
        audiences = split_list(settings.iap_audience)
        assertion = request.headers[IAP_ASSERTION]
        return _recognise(read_assertion(assertion, audiences, settings.oidc_certs), settings)
    if local and settings.api_token and _is_same(bearer, settings.api_token):
        return Principal("operator", "admin")
    if settings.audiences and bearer:
        audiences = split_list(settings.audiences)
        return _recognise(read_id_token(bearer, audiences, settings.oidc_certs), settings)
    if settings.audiences or settings.iap_audience:
        raise refuse_token("Send a Google ID token as `Authorization: Bearer …`.")
    if settings.deployed:
        raise _forbidden("No way to sign in is configured: set EVENTPULSE_AUDIENCES.")
    if not local:
        raise _forbidden("This API can only be called from the machine that it runs on.")
    if settings.api_token:
        raise refuse_token(
            "Send the operator's token as `Authorization: Bearer …`: EVENTPULSE_API_TOKEN, or what "
            "stack.json in the home of the running stack says."
        )
    _check_own_name(request)
    _check_origin(request)
    return Principal("local", "admin")


def split_list(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _recognise(identity: Identity, settings: Settings) -> Principal:
    return Principal(identity.email, find_role(parse_roles(settings.roles), identity))


def _check_deployment(settings: Settings) -> None:
    if settings.deployed and settings.api_token:
        expected = "no token where K_SERVICE is set: it is for a stack on one machine only"
        raise SettingInvalid("EVENTPULSE_API_TOKEN", "…", expected)


def _read_bearer(request: flask.Request) -> str:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _is_same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _check_own_name(request: flask.Request) -> None:
    own = request.host.lower()
    if not _is_loopback(urlsplit(f"//{own}").hostname):
        raise _forbidden(f"This API does not answer under the name {own!r}.")


def _check_origin(request: flask.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise _forbidden(f"This API does not answer pages of {origin!r}.")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in ("same-origin", "none") and request.method not in ("GET", "HEAD"):
        raise _forbidden("This API does not do what pages of other sites ask for.")


def _is_loopback(host: str | None) -> bool:
    """Whether a host is this machine; None is a Unix socket."""
    if host is None or host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _forbidden(detail: str) -> RequestRefused:
    return RequestRefused(403, "forbidden", "Not allowed", detail)
