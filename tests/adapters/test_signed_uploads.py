"""One suite for signed uploads, over every ObjectStore: what the store itself refuses."""

from __future__ import annotations

import hashlib
import http.client
import threading
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
import requests

from eventpulse.ports import ObjectStore, SignedRequest
from tests.adapters.objects_fixtures import SIGNING_STORES

pytest_plugins = ["tests.adapters.objects_fixtures"]

CONTENT = b"ts,value\n1,2\n"
NAME = "edge_telemetry/dev 1/é+%2F/1-2.ndjson.gz"


@pytest.fixture(params=SIGNING_STORES)
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """An empty store, of each kind that checks signatures."""
    store: ObjectStore = request.getfixturevalue(f"{request.param}_store")
    return store


def md5_of(content: bytes) -> str:
    return b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def sign(
    store: ObjectStore, name: str = NAME, *, seconds: float = 600, replaces: int | None = None
) -> SignedRequest:
    return store.sign_upload(
        name,
        length=len(CONTENT),
        md5=md5_of(CONTENT),
        content_type="application/gzip",
        expires=datetime.now(UTC) + timedelta(seconds=seconds),
        metadata={"sha256": hashlib.sha256(CONTENT).hexdigest(), "device": "dev 1"},
        replaces=replaces,
    )


def send(
    signed: SignedRequest,
    content: bytes = CONTENT,
    *,
    url: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> requests.Response:
    headers = signed.headers if headers is None else headers
    return requests.request(
        signed.method, url or signed.url, data=content, headers=dict(headers), timeout=30
    )


def code_of(response: requests.Response) -> tuple[int, str | None]:
    """The status and the code of an error."""
    assert response.headers["content-type"].startswith("application/xml")
    return response.status_code, ElementTree.fromstring(response.content).findtext("Code")


def test_the_upload_creates_the_object(store: ObjectStore) -> None:
    signed = sign(store)
    response = send(signed)
    assert (response.status_code, response.content) == (200, b"")
    stored = store.stat("raw", NAME)
    assert stored is not None
    assert response.headers["x-goog-generation"] == str(stored.ref.generation)
    assert f"md5={md5_of(CONTENT)}" in response.headers["x-goog-hash"]
    assert response.headers["etag"]
    assert (stored.size, stored.md5) == (len(CONTENT), md5_of(CONTENT))
    assert stored.content_type == "application/gzip"
    assert stored.metadata == {
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "device": "dev 1",
    }
    with store.open(stored.ref) as file:
        assert file.read() == CONTENT


def test_a_name_may_be_any_path_that_clients_can_send(store: ObjectStore) -> None:
    for name in ["a", "a//b", "/a", "%2F", "a?b#c", "a b~c", "日本語", "a@1", "a&b=c;d+e"]:
        assert send(sign(store, name)).status_code == 200
        assert store.stat("raw", name) is not None


@pytest.mark.parametrize("name", ["../a", "a/./b", "a/..", ".", ""])
def test_a_name_that_clients_would_resolve_is_refused(store: ObjectStore, name: str) -> None:
    with pytest.raises(ValueError, match="object"):
        sign(store, name)


def test_the_request_says_when_it_expires(store: ObjectStore) -> None:
    before = datetime.now(UTC)
    signed = sign(store, seconds=600)
    after = datetime.now(UTC)
    assert signed.method == "PUT"
    # Signatures count whole seconds: never later than what was asked for, and not much earlier.
    assert before + timedelta(seconds=597) < signed.expires <= after + timedelta(seconds=600)
    assert signed.expires.tzinfo is not None


@pytest.mark.parametrize("seconds", [-1, 0.5, 8 * 24 * 3600])
def test_a_lifetime_that_cannot_be_signed_is_refused(store: ObjectStore, seconds: float) -> None:
    with pytest.raises(ValueError, match="lives"):
        sign(store, seconds=seconds)


def test_metadata_that_is_no_header_is_refused(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="metadata"):
        store.sign_upload(
            "a",
            length=1,
            md5=md5_of(b"a"),
            content_type="text/plain",
            expires=datetime.now(UTC) + timedelta(minutes=1),
            metadata={"k": "a\nx-goog-evil: 1"},
        )


def test_the_upload_is_accepted_once(store: ObjectStore) -> None:
    signed = sign(store)
    assert send(signed).status_code == 200
    stored = store.stat("raw", NAME)
    assert code_of(send(signed)) == (412, "PreconditionFailed")
    assert store.stat("raw", NAME) == stored


def generation_of(store: ObjectStore) -> int:
    stored = store.stat("raw", NAME)
    assert stored is not None
    return stored.ref.generation


def test_an_upload_replaces_just_the_generation_that_it_names(store: ObjectStore) -> None:
    assert send(sign(store)).status_code == 200
    first = generation_of(store)
    signed = sign(store, replaces=first)

    assert send(signed).status_code == 200

    second = generation_of(store)
    assert second > first
    assert code_of(send(signed)) == (412, "PreconditionFailed"), "the first is live no more"
    assert code_of(send(sign(store))) == (412, "PreconditionFailed")
    assert generation_of(store) == second
    assert store.stat("raw", NAME, first) is not None, "what was replaced stays"


def test_what_is_not_there_cannot_be_replaced(store: ObjectStore) -> None:
    assert code_of(send(sign(store, replaces=17))) == (412, "PreconditionFailed")
    assert store.stat("raw", NAME) is None
    with pytest.raises(ValueError, match="generation"):
        sign(store, replaces=0)


def test_of_concurrent_replacements_one_is_accepted(store: ObjectStore) -> None:
    assert send(sign(store)).status_code == 200
    signed = sign(store, replaces=generation_of(store))
    barrier = threading.Barrier(4)
    statuses: list[int] = []

    def upload() -> None:
        barrier.wait(30)
        statuses.append(send(signed).status_code)

    threads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(statuses) == [200, 412, 412, 412]


def test_of_concurrent_uploads_one_is_accepted(store: ObjectStore) -> None:
    signed = sign(store)
    barrier = threading.Barrier(8)
    statuses: list[int] = []

    def upload() -> None:
        barrier.wait(30)
        statuses.append(send(signed).status_code)

    threads = [threading.Thread(target=upload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [412] * 7


def test_an_expired_upload_is_refused(store: ObjectStore) -> None:
    signed = sign(store, seconds=2.5)
    expired = threading.Event()
    timer = threading.Timer(
        (signed.expires - datetime.now(UTC)).total_seconds() + 0.05, expired.set
    )
    timer.start()
    assert expired.wait(10)
    assert code_of(send(signed)) == (400, "ExpiredToken")
    assert store.stat("raw", NAME) is None


def test_another_name_is_refused(store: ObjectStore) -> None:
    signed = sign(store, "edge/a")
    assert code_of(send(signed, url=signed.url.replace("edge/a", "edge/b"))) == (
        403,
        "SignatureDoesNotMatch",
    )
    assert store.stat("raw", "edge/b") is None


def test_another_method_is_refused(store: ObjectStore) -> None:
    signed = sign(store)
    response = requests.get(signed.url, headers=dict(signed.headers), timeout=30)
    assert response.status_code in (403, 405)


def test_another_signature_is_refused(store: ObjectStore) -> None:
    signed = sign(store)
    last = "0" if signed.url[-1] != "0" else "1"
    assert code_of(send(signed, url=signed.url[:-1] + last)) == (403, "SignatureDoesNotMatch")


def test_a_longer_life_is_refused(store: ObjectStore) -> None:
    signed = sign(store)
    query = dict(pair.split("=") for pair in urlsplit(signed.url).query.split("&"))
    seconds = f"X-Goog-Expires={query['X-Goog-Expires']}"
    url = signed.url.replace(seconds, "X-Goog-Expires=9999")
    assert code_of(send(signed, url=url)) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("content-type", "text/html"),
        ("content-md5", md5_of(b"other")),
        ("x-goog-content-length-range", "0,999999"),
        ("x-goog-if-generation-match", "1"),
        ("x-goog-meta-device", "dev 2"),
    ],
)
def test_another_value_of_a_signed_header_is_refused(
    store: ObjectStore, header: str, value: str
) -> None:
    signed = sign(store)
    assert code_of(send(signed, headers={**signed.headers, header: value})) == (
        403,
        "SignatureDoesNotMatch",
    )
    assert store.stat("raw", NAME) is None


@pytest.mark.parametrize(
    "header",
    [
        "content-type",
        "content-md5",
        "x-goog-content-length-range",
        "x-goog-if-generation-match",
        "x-goog-meta-device",
    ],
)
def test_a_signed_header_may_not_be_left_out(store: ObjectStore, header: str) -> None:
    signed = sign(store)
    headers = {name: value for name, value in signed.headers.items() if name != header}
    assert code_of(send(signed, headers=headers)) == (400, "MalformedSecurityHeader")
    assert store.stat("raw", NAME) is None


def test_metadata_that_was_not_signed_is_refused(store: ObjectStore) -> None:
    signed = sign(store)
    response = send(signed, headers={**signed.headers, "x-goog-meta-extra": "1"})
    assert code_of(response) == (400, "MalformedSecurityHeader")


@pytest.mark.parametrize(
    ("content", "code"), [(CONTENT + b"3", "EntityTooLarge"), (CONTENT[:-1], "EntityTooSmall")]
)
def test_another_length_is_refused(store: ObjectStore, content: bytes, code: str) -> None:
    assert code_of(send(sign(store), content)) == (400, code)
    assert store.stat("raw", NAME) is None


def test_other_bytes_of_that_length_are_refused(store: ObjectStore) -> None:
    assert code_of(send(sign(store), CONTENT[::-1])) == (400, "BadDigest")
    assert store.stat("raw", NAME) is None
    assert send(sign(store)).status_code == 200


def test_an_upload_that_breaks_off_leaves_nothing(store: ObjectStore) -> None:
    signed = sign(store)
    target = urlsplit(signed.url)
    connection = http.client.HTTPConnection(target.netloc, timeout=30)
    connection.putrequest("PUT", f"{target.path}?{target.query}")
    for name, value in {**signed.headers, "content-length": str(len(CONTENT))}.items():
        connection.putheader(name, value)
    connection.endheaders(CONTENT[:5])
    connection.close()
    assert send(signed).status_code == 200
