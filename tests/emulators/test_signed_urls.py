"""V4 signed URLs: what was signed is let in, all else is refused as Cloud Storage words it."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import requests
from google.cloud import storage
from google.cloud.storage._signing import generate_signed_url_v4
from google.oauth2 import service_account

from emulators.credentials import create_service_account
from emulators.stack import GoogleStack

pytestmark = pytest.mark.google

BODY = b'{"reading": 1}\n'
MD5 = base64.b64encode(hashlib.md5(BODY, usedforsecurity=False).digest()).decode()
HEADERS = {
    "Content-Type": "application/x-ndjson",
    "Content-MD5": MD5,
    "x-goog-if-generation-match": "0",
    "x-goog-content-length-range": f"{len(BODY)},{len(BODY)}",
    "x-goog-meta-sha256": hashlib.sha256(BODY).hexdigest(),
}
MINUTE = datetime.timedelta(minutes=1)

Sign = Callable[..., str]


@pytest.fixture
def credentials(google_stack: GoogleStack) -> service_account.Credentials:
    """Those of the stack's service account."""
    return service_account.Credentials.from_service_account_file(
        google_stack.environment["EVENTPULSE_EMULATOR_SERVICE_ACCOUNT_KEY"]
    )


@pytest.fixture
def sign(
    google_stack: GoogleStack, bucket: storage.Bucket, credentials: service_account.Credentials
) -> Sign:
    """Signs a URL on an object of the bucket."""

    def sign(
        method: str = "PUT",
        headers: Mapping[str, str] | None = HEADERS,
        name: str = "é/x y.ndjson",
        signer: service_account.Credentials = credentials,
    ) -> str:
        return str(
            bucket.blob(name).generate_signed_url(
                version="v4",
                method=method,
                headers=dict(headers or {}),
                credentials=signer,
                api_access_endpoint=google_stack.environment["STORAGE_EMULATOR_HOST"],
                expiration=MINUTE,
            )
        )

    return sign


def code_of(response: requests.Response) -> str:
    return response.text.partition("<Code>")[2].partition("</Code>")[0]


def put(url: str, headers: Mapping[str, str] = HEADERS, body: bytes = BODY) -> tuple[int, str]:
    """``(status, error code)`` of a PUT."""
    response = requests.put(url, data=body, headers=dict(headers), timeout=30)
    return response.status_code, code_of(response)


def test_what_was_signed_is_stored(bucket: storage.Bucket, sign: Sign) -> None:
    response = requests.put(sign(), data=BODY, headers=HEADERS, timeout=30)
    stored = bucket.get_blob("é/x y.ndjson")

    assert response.status_code == 200
    assert response.headers["x-goog-generation"] == str(stored.generation)
    assert stored.content_type == "application/x-ndjson"
    assert stored.metadata == {"sha256": HEADERS["x-goog-meta-sha256"]}
    assert requests.get(sign("GET", None), timeout=30).content == BODY


def test_a_second_write_is_refused_and_changes_nothing(bucket: storage.Bucket, sign: Sign) -> None:
    url = sign()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: put(url), range(16)))

    assert sorted(answers) == [(200, ""), *[(412, "PreconditionFailed")] * 15]
    assert bucket.get_blob("é/x y.ndjson").metageneration == 1


@pytest.mark.parametrize(
    ("signed", "expected"),
    [
        (datetime.timedelta(minutes=-2), (400, "ExpiredToken")),
        (datetime.timedelta(hours=1), (403, "RequestTimeTooSkewed")),
    ],
)
def test_a_url_is_good_from_its_date_to_its_expiry(
    google_stack: GoogleStack,
    bucket: storage.Bucket,
    credentials: service_account.Credentials,
    signed: datetime.timedelta,
    expected: tuple[int, str],
) -> None:
    at = datetime.datetime.now(datetime.UTC) + signed
    url = generate_signed_url_v4(
        credentials,
        resource=f"/{bucket.name}/x",
        expiration=MINUTE,
        api_access_endpoint=google_stack.environment["STORAGE_EMULATOR_HOST"],
        method="PUT",
        headers=dict(HEADERS),
        _request_timestamp=at.strftime("%Y%m%dT%H%M%SZ"),
    )

    assert put(url) == expected


def test_a_changed_url_is_refused(bucket: storage.Bucket, sign: Sign) -> None:
    url = sign()
    changed = [
        url[:-4] + "0000",
        url.replace(quote("é/x y"), "other"),
        url.replace("X-Goog-Expires=60", "X-Goog-Expires=604800"),
        url + "&generation=1",
    ]

    assert [put(one) for one in changed] == [(403, "SignatureDoesNotMatch")] * 4
    assert list(bucket.list_blobs()) == []


def test_a_url_serves_its_own_method_only(sign: Sign) -> None:
    url = sign()

    assert requests.get(url, headers=HEADERS, timeout=30).status_code == 403
    assert requests.delete(url, headers=HEADERS, timeout=30).status_code == 403


@pytest.mark.parametrize("name", HEADERS)
def test_every_signed_header_must_come_with_its_value(sign: Sign, name: str) -> None:
    url = sign()
    missing = {key: value for key, value in HEADERS.items() if key != name}
    wrong = {**HEADERS, name: "1,1000" if name.endswith("range") else "1"}

    assert put(url, missing) == (400, "MalformedSecurityHeader")
    assert put(url, wrong) == (403, "SignatureDoesNotMatch")


def test_an_unsigned_extension_header_is_refused(sign: Sign) -> None:
    headers = {**HEADERS, "x-goog-meta-device": "another"}

    assert put(sign(), headers) == (400, "MalformedSecurityHeader")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (BODY[:-1], (400, "EntityTooSmall")),
        (BODY + b"x", (400, "EntityTooLarge")),
        (b"x" * len(BODY), (400, "BadDigest")),
    ],
)
def test_other_bytes_are_refused(
    bucket: storage.Bucket, sign: Sign, body: bytes, expected: tuple[int, str]
) -> None:
    assert put(sign(), body=body) == expected
    assert list(bucket.list_blobs()) == []


def test_a_body_without_length_is_cut_at_the_limit(sign: Sign) -> None:
    chunks = (BODY for _ in range(3))
    response = requests.put(sign(), data=chunks, headers=HEADERS, timeout=30)

    assert (response.status_code, code_of(response)) == (400, "EntityTooLarge")


def test_another_key_is_refused(sign: Sign, tmp_path_factory: pytest.TempPathFactory) -> None:
    stranger = create_service_account(tmp_path_factory.mktemp("stranger"))
    same_name = service_account.Credentials.from_service_account_file(str(stranger.key_file))
    document = {**json.loads(stranger.key_file.read_text()), "client_email": "x@y.z"}
    unknown = service_account.Credentials.from_service_account_info(document)

    for signer in (same_name, unknown):
        assert put(sign(signer=signer)) == (403, "SignatureDoesNotMatch")


def test_without_a_signature_there_is_no_access(bucket: storage.Bucket, sign: Sign) -> None:
    put(sign())
    plain = sign("GET", None).partition("?")[0]

    assert code_of(requests.get(plain, timeout=30)) == "AccessDenied"
    assert put(plain) == (403, "AccessDenied")


def test_a_resumable_upload_is_started_by_a_signed_post(bucket: storage.Bucket, sign: Sign) -> None:
    headers = {"x-goog-resumable": "start", "Content-Type": "text/csv"}
    started = requests.post(sign("POST", headers), headers=headers, timeout=30)

    finished = requests.put(started.headers["location"], data=BODY, timeout=30)

    assert (started.status_code, finished.status_code) == (201, 200)
    assert bucket.get_blob("é/x y.ndjson").content_type == "text/csv"


def test_browsers_get_what_the_bucket_s_cors_grants(bucket: storage.Bucket, sign: Sign) -> None:
    bucket.cors = [
        {"origin": ["http://there"], "method": ["PUT"], "responseHeader": ["content-type"]}
    ]
    bucket.patch()
    asked = {"Access-Control-Request-Method": "PUT"}

    granted = requests.options(sign(), headers={"Origin": "http://there", **asked}, timeout=30)
    refused = requests.options(sign(), headers={"Origin": "http://else", **asked}, timeout=30)

    assert granted.headers["access-control-allow-origin"] == "http://there"
    assert granted.headers["access-control-allow-headers"] == "content-type"
    assert "access-control-allow-origin" not in refused.headers
