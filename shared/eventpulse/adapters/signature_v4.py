"""Signed URLs as Cloud Storage makes and checks them: V4, with an HMAC key.

The algorithm is Google's own GOOG4-HMAC-SHA256: the canonical request (method, path, query, signed
headers) is hashed into a string to sign, which is signed with a key derived from the secret and the
day. So whoever holds the URL can change nothing that was signed and learns nothing of the key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from eventpulse.errors import RequestRefused

_ALGORITHM = "GOOG4-HMAC-SHA256"
_SCOPE = "auto/storage/goog4_request"
_TIME = "%Y%m%dT%H%M%SZ"
_LONGEST_SECONDS = 7 * 24 * 60 * 60
_PARAMETERS = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")


def upload_headers(
    *,
    length: int,
    md5: str,
    content_type: str,
    metadata: Mapping[str, str] | None,
    replaces: int | None,
) -> dict[str, str]:
    """The headers of a signed upload, in Cloud Storage's own words; all of them are signed.

    Raises ValueError for metadata that no HTTP header can carry, and a generation that is none.
    """
    if replaces is not None and replaces < 1:
        raise ValueError(f"There is no generation {replaces} that an upload could replace.")
    carried = {f"x-goog-meta-{name.lower()}": value for name, value in (metadata or {}).items()}
    for header, value in carried.items():
        if not (header + value).isascii() or not (header + value).isprintable():
            raise ValueError(f"The metadata {header}: {value!r} cannot be an HTTP header.")
    return {
        "content-type": content_type,
        "content-md5": md5,
        "x-goog-if-generation-match": str(replaces or 0),
        "x-goog-content-length-range": f"{length},{length}",
        **carried,
    }


def lifetime_seconds(expires: datetime, now: datetime) -> int:
    """Whole seconds that a URL may live. Raises ValueError: less than 1, or more than 7 days."""
    seconds = int((expires - now).total_seconds())
    if not 1 <= seconds <= _LONGEST_SECONDS:
        raise ValueError(f"A signed URL lives for 1 second to 7 days, not until {expires}.")
    return seconds


def expiry_of(url: str) -> datetime:
    """When a V4 signed URL expires."""
    query = dict(parse_qsl(urlsplit(url).query))
    return _parse_time(query["X-Goog-Date"]) + timedelta(seconds=int(query["X-Goog-Expires"]))


class UrlSigner:
    """Signs and checks with one secret; `access_id` names it in the URL."""

    def __init__(self, key: bytes, access_id: str = "eventpulse") -> None:
        self._key = key
        self._access_id = access_id

    def sign(self, method: str, url: str, headers: Mapping[str, str], expires: datetime) -> str:
        """`url` (percent-encoded, no query) with its signature over method, path and headers."""
        now = datetime.now(UTC)
        parts = urlsplit(url)
        signed = _canonical_headers({**headers, "host": parts.netloc})
        query = {
            "X-Goog-Algorithm": _ALGORITHM,
            "X-Goog-Credential": f"{self._access_id}/{now:%Y%m%d}/{_SCOPE}",
            "X-Goog-Date": now.strftime(_TIME),
            "X-Goog-Expires": str(lifetime_seconds(expires, now)),
            "X-Goog-SignedHeaders": ";".join(signed),
        }
        text = _string_to_sign(now, _canonical_request(method, parts.path, query, signed))
        return f"{url}?{_canonical_query(query)}&X-Goog-Signature={self._signature(now, text)}"

    def check(
        self, method: str, path: str, query: str, headers: Mapping[str, str], now: datetime
    ) -> None:
        """Raise RequestRefused, with Cloud Storage's status and code, unless the URL allows it.

        `path` is decoded; `headers` have lower-case names.
        """
        given = dict(parse_qsl(query, keep_blank_values=True))
        missing = [name for name in _PARAMETERS if f"X-Goog-{name}" not in given]
        if missing:
            raise _malformed(f"X-Goog-{missing[0]}", "Parameter is missing.")
        since = _check_scope(given, self._access_id)
        _check_lifetime(given, since, now)
        signed = _check_headers(given["X-Goog-SignedHeaders"].split(";"), headers)
        signature = given.pop("X-Goog-Signature")
        canonical = _canonical_request(method, quote(path, safe="/~"), given, signed)
        text = _string_to_sign(since, canonical)
        if not hmac.compare_digest(self._signature(since, text).encode(), signature.encode()):
            raise RequestRefused(
                403,
                "SignatureDoesNotMatch",
                "Access denied.",
                "The request signature we calculated does not match the signature you provided. "
                "Check your Google secret key and signing method.",
                StringToSign=text,
                CanonicalRequest=canonical,
            )

    def _signature(self, at: datetime, text: str) -> str:
        key = b"GOOG4" + self._key
        for part in (f"{at:%Y%m%d}", *_SCOPE.split("/")):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()


def _check_scope(given: Mapping[str, str], access_id: str) -> datetime:
    if given["X-Goog-Algorithm"] != _ALGORITHM:
        raise _malformed("X-Goog-Algorithm", f"Only {_ALGORITHM} is supported.")
    try:
        since = _parse_time(given["X-Goog-Date"])
    except ValueError:
        raise _malformed("X-Goog-Date", "The date is not YYYYMMDDTHHMMSSZ.") from None
    if given["X-Goog-Credential"] != f"{access_id}/{since:%Y%m%d}/{_SCOPE}":
        raise _malformed("X-Goog-Credential", "The credential is not known, or of another day.")
    return since


def _check_lifetime(given: Mapping[str, str], since: datetime, now: datetime) -> None:
    seconds = given["X-Goog-Expires"]
    if not (re.fullmatch("[0-9]{1,6}", seconds) and 1 <= int(seconds) <= _LONGEST_SECONDS):
        raise _malformed("X-Goog-Expires", "X-Goog-Expires must be 1 to 604800 seconds.")
    expired = since + timedelta(seconds=int(seconds))
    if now >= expired:
        raise RequestRefused(
            400,
            "ExpiredToken",
            "The provided token has expired.",
            f"Request signature expired at: {expired.isoformat()}",
        )


def _check_headers(signed: list[str], headers: Mapping[str, str]) -> dict[str, str]:
    for name in signed:
        if name not in headers:
            raise _malformed(name, "Header was included in signedheaders, but not in the request.")
    for name in headers:
        if name.startswith("x-goog-") and name not in signed:
            raise _malformed(name, "Header was included in the request, but not in signedheaders.")
    if "host" not in signed:
        raise _malformed("host", "Header was not included in signedheaders.")
    return _canonical_headers({name: headers[name] for name in signed})


def _malformed(parameter: str, detail: str) -> RequestRefused:
    return RequestRefused(
        400,
        "MalformedSecurityHeader",
        "Your request has a malformed header.",
        detail,
        ParameterName=parameter,
    )


def _canonical_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name.lower(): " ".join(value.split())
        for name, value in sorted(headers.items(), key=lambda header: header[0].lower())
    }


def _canonical_query(query: Mapping[str, str]) -> str:
    pairs = (f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query.items())
    return "&".join(sorted(pairs))


def _canonical_request(
    method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> str:
    return "\n".join(
        [
            method,
            quote(unquote(path), safe="/~"),
            _canonical_query(query),
            *(f"{name}:{value}" for name, value in headers.items()),
            "",
            ";".join(headers),
            "UNSIGNED-PAYLOAD",
        ]
    )


def _string_to_sign(at: datetime, canonical: str) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return "\n".join([_ALGORITHM, at.strftime(_TIME), f"{at:%Y%m%d}/{_SCOPE}", digest])


def _parse_time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
