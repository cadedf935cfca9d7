"""V4 signed URLs: who signed what, until when.

https://cloud.google.com/storage/docs/authentication/canonical-requests

A request is as signed when its method, path, query and signed headers, host included, hash to
what the service account's key signed. Beyond that, as the service does: every signed header
must be in the request, every ``x-goog-`` header of the request must be signed, and the URL must
not have expired.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from emulators.storage.errors import Refusal

ALGORITHM = "GOOG4-RSA-SHA256"
_MAX_EXPIRES_SECONDS = 7 * 24 * 3600
_CLOCK_SKEW = datetime.timedelta(minutes=15)
_SPACES = re.compile(" +")


class Signers:
    """The public keys of the service accounts whose signatures count."""

    def __init__(self, pems: Mapping[str, str]) -> None:
        """``pems`` maps a service account's address to its public key in PEM."""
        self._keys: dict[str, rsa.RSAPublicKey] = {}
        for account, pem in pems.items():
            key = serialization.load_pem_public_key(pem.encode())
            if not isinstance(key, rsa.RSAPublicKey):
                raise ValueError(f"the key of {account} is not an RSA key")
            self._keys[account] = key

    def verify(
        self, method: str, raw_path: str, raw_query: str, headers: Mapping[str, str]
    ) -> None:
        """Refuse a request that its signed URL does not cover.

        ``raw_path`` and ``raw_query`` are as sent; ``headers`` has lower-case names.
        """
        query = parse_qsl(raw_query, keep_blank_values=True)
        given = {key.lower(): value for key, value in query}
        account, scope = _parse_credential(given)
        _check_time(given)
        names = [name for name in given.get("x-goog-signedheaders", "").split(";") if name]
        _check_headers(names, headers)
        canonical = "\n".join(
            (
                method,
                quote(unquote(raw_path), safe="/~"),
                _canonical_query(query),
                *(f"{name}:{_SPACES.sub(' ', headers[name].strip())}" for name in names),
                "",
                ";".join(names),
                headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD"),
            )
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signed = "\n".join((ALGORITHM, given["x-goog-date"], scope, digest))
        self._check_signature(account, given.get("x-goog-signature", ""), signed, canonical)

    def _check_signature(self, account: str, signature: str, signed: str, canonical: str) -> None:
        key = self._keys.get(account)
        try:
            if key is None:
                raise InvalidSignature
            key.verify(
                bytes.fromhex(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (InvalidSignature, ValueError) as error:
            raise Refusal(
                403,
                "forbidden",
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your Google secret key and signing method.",
                f"StringToSign: {signed}\nCanonicalRequest: {canonical}",
            ) from error


def is_signed(raw_query: str) -> bool:
    """Whether the query is that of a V4 signed URL."""
    return "x-goog-algorithm=" in raw_query.lower()


def _malformed(message: str) -> Refusal:
    return Refusal(400, "invalid", "AuthorizationQueryParametersError", message)


def _parse_credential(given: Mapping[str, str]) -> tuple[str, str]:
    """``(service account, credential scope)``."""
    if given.get("x-goog-algorithm") != ALGORITHM:
        raise _malformed(f"X-Goog-Algorithm must be {ALGORITHM}")
    account, _, scope = given.get("x-goog-credential", "").partition("/")
    date = given.get("x-goog-date", "")
    if not re.fullmatch(r"\d{8}/[^/]+/storage/goog4_request", scope) or scope[:8] != date[:8]:
        raise _malformed("X-Goog-Credential must be ACCOUNT/DATE/LOCATION/storage/goog4_request")
    return account, scope


def _check_time(given: Mapping[str, str]) -> None:
    try:
        signed_at = datetime.datetime.strptime(given["x-goog-date"], "%Y%m%dT%H%M%SZ").replace(
            tzinfo=datetime.UTC
        )
        seconds = int(given["x-goog-expires"])
    except (KeyError, ValueError) as error:
        raise _malformed("X-Goog-Date or X-Goog-Expires is missing or malformed") from error
    if not 1 <= seconds <= _MAX_EXPIRES_SECONDS:
        raise _malformed("X-Goog-Expires must be between 1 and 604800 seconds")
    now = datetime.datetime.now(datetime.UTC)
    if signed_at > now + _CLOCK_SKEW:
        message = "The difference between the request time and the server's time is too large."
        raise Refusal(403, "forbidden", "RequestTimeTooSkewed", message)
    expires_at = signed_at + datetime.timedelta(seconds=seconds)
    if now > expires_at:
        message = "The provided token has expired."
        details = f"Request signature expired at: {expires_at.isoformat()}"
        raise Refusal(400, "invalid", "ExpiredToken", message, details)


def _check_headers(names: list[str], headers: Mapping[str, str]) -> None:
    message = "Your request has a malformed header."
    if "host" not in names:
        details = "host must be a signed header."
        raise Refusal(400, "invalid", "MalformedSecurityHeader", message, details)
    for name in names:
        if name not in headers:
            details = f"Header was included in signedheaders, but not in the request: {name}"
            raise Refusal(400, "invalid", "MalformedSecurityHeader", message, details)
    for name in headers:
        if name.startswith("x-goog-") and name not in names:
            details = f"Header was in the request, but not included in signedheaders: {name}"
            raise Refusal(400, "invalid", "MalformedSecurityHeader", message, details)


def _canonical_query(query: list[tuple[str, str]]) -> str:
    pairs = sorted(
        (quote(key, safe="-_.~"), quote(value, safe="-_.~"))
        for key, value in query
        if key.lower() != "x-goog-signature"
    )
    return "&".join(f"{key}={value}" for key, value in pairs)
