"""What is particular to Cloud Storage: faults, the number of operations, signing without a key.

Faults come from a proxy between the client library and the emulator.
"""

from __future__ import annotations

import json
import random
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth.credentials import Credentials

from eventpulse.adapters.objects_gcs import GcsObjectStore, signing_credentials
from eventpulse.errors import BackendUnavailable, ObjectExists, ObjectMissing, SettingInvalid
from eventpulse.ports import ObjectRef, ObjectWriter, StoredObject
from tests.adapters.fault_proxy import FaultProxy
from tests.adapters.object_servers import ACCOUNT, GcsEmulator

pytest_plugins = ["tests.adapters.objects_fixtures"]
pytestmark = pytest.mark.google

MIB = 1 << 20
BIG = 20 * MIB  # two chunks and a last one
CONTENT = random.Random(3).randbytes(BIG)


def put(
    store: GcsObjectStore, content: bytes, *, name: str = "a", replace: bool = False
) -> StoredObject:
    with store.write("raw", name, replace=replace) as sink:
        sink.write(content)
    return sink.stored


def fail_after(sink: ObjectWriter, content: bytes) -> None:
    sink.write(content)
    raise BrokenPipeError


def get(store: GcsObjectStore, ref: ObjectRef) -> bytes:
    with store.open(ref) as file:
        return file.read()


def generations(emulator: GcsEmulator, store: GcsObjectStore, name: str = "a") -> int:
    """How many generations of an object there are, noncurrent ones included."""
    answer = requests.get(
        f"{emulator.url}/storage/v1/b/{store.bucket_name('raw')}/o",
        params={"versions": "true", "prefix": name},
        timeout=30,
    )
    return len(answer.json().get("items", []))


# --- Operations ----------------------------------------------------------------------------------


def test_a_small_creation_is_one_request(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy
) -> None:
    put(proxied_store, b"small")
    assert [method for method, _ in gcs_proxy.requests] == ["POST"]


def test_a_big_write_is_a_session_and_its_chunks(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy
) -> None:
    put(proxied_store, CONTENT)
    assert [method for method, _ in gcs_proxy.requests] == ["POST", "PUT", "PUT", "PUT"]


def test_reading_to_the_end_is_one_request(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy
) -> None:
    stored = put(proxied_store, CONTENT)
    gcs_proxy.requests.clear()
    with proxied_store.open(stored.ref) as file:
        assert b"".join(iter(lambda: file.read(777_777), b"")) == CONTENT
    assert [method for method, _ in gcs_proxy.requests] == ["GET"]


def test_a_page_of_a_listing_is_one_request(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy
) -> None:
    for name in "abc":
        put(proxied_store, b"", name=name)
    gcs_proxy.requests.clear()
    assert len(list(proxied_store.list("raw", after="a"))) == 2
    assert len(gcs_proxy.requests) == 1


def test_a_body_that_raises_cancels_its_session(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy
) -> None:
    with pytest.raises(BrokenPipeError), proxied_store.write("raw", "a") as sink:
        fail_after(sink, CONTENT)
    assert [method for method, _ in gcs_proxy.requests] == ["POST", "PUT", "PUT", "DELETE"]
    assert proxied_store.stat("raw", "a") is None


# --- Faults that pass ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_fault_that_passes_is_retried(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy, status: int
) -> None:
    gcs_proxy.answer(status, times=2)
    stored = put(proxied_store, b"content")
    gcs_proxy.answer(status, times=2)
    assert proxied_store.stat("raw", "a") == stored
    gcs_proxy.answer(status, times=2)
    assert get(proxied_store, stored.ref) == b"content"
    gcs_proxy.answer(status, times=2)
    assert list(proxied_store.list("raw")) == [stored]
    gcs_proxy.answer(status, times=2)
    assert proxied_store.delete(stored.ref)
    assert len(gcs_proxy.requests) == 15


@pytest.mark.parametrize("part", ["uploadType=resumable", "upload_id="])
def test_a_fault_in_a_session_is_retried(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy, part: str
) -> None:
    gcs_proxy.answer(503, times=2, part=part)
    assert get(proxied_store, put(proxied_store, CONTENT).ref) == CONTENT


def test_a_chunk_that_breaks_off_goes_on_where_it_stopped(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy
) -> None:
    gcs_proxy.cut_request(3 * MIB + 17, method="PUT")
    gcs_proxy.cut_request(5 * MIB, method="PUT")
    assert get(proxied_store, put(proxied_store, CONTENT).ref) == CONTENT


def test_a_chunk_whose_answer_was_lost_is_not_doubled(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy
) -> None:
    gcs_proxy.swallow(times=1, method="PUT")
    stored = put(proxied_store, CONTENT)
    assert stored.size == BIG
    assert get(proxied_store, stored.ref) == CONTENT


def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy
) -> None:
    stored = put(proxied_store, CONTENT)
    gcs_proxy.requests.clear()
    for at in (7 * MIB + 3, 5 * MIB, 0):
        gcs_proxy.cut_answer(at, method="GET")
    assert get(proxied_store, stored.ref) == CONTENT
    assert len(gcs_proxy.requests) == 4
    assert all(f"generation={stored.ref.generation}" in target for _, target in gcs_proxy.requests)


# --- Answers that were lost ----------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"small", CONTENT], ids=["small", "big"])
@pytest.mark.parametrize("replace", [False, True])
def test_a_write_whose_answer_was_lost_has_happened_once(
    proxied_store: GcsObjectStore,
    gcs_proxy: FaultProxy,
    gcs_emulator: GcsEmulator,
    content: bytes,
    replace: bool,
) -> None:
    sent_in_session = replace or len(content) > MIB
    with proxied_store.write("raw", "a", replace=replace) as sink:
        sink.write(content)
        method = "PUT" if sent_in_session else "POST"
        gcs_proxy.swallow(method=method)
    assert proxied_store.stat("raw", "a") == sink.stored
    assert get(proxied_store, sink.stored.ref) == content
    assert generations(gcs_emulator, proxied_store) == 1


def test_a_lost_race_is_no_success_although_an_answer_was_lost(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy
) -> None:
    """Both write the same bytes, so that nothing but the writer tells them apart."""

    def overtake() -> None:
        put(proxied_store, b"same")

    gcs_proxy.answer(503, method="POST", meanwhile=overtake)
    with pytest.raises(ObjectExists):
        put(proxied_store, b"same")


def test_a_deletion_whose_answer_was_lost_has_happened(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy
) -> None:
    stored = put(proxied_store, b"content")
    gcs_proxy.swallow(method="DELETE")
    assert proxied_store.delete(stored.ref)
    assert not proxied_store.delete(stored.ref)


def test_a_session_that_is_gone_is_a_fault_that_may_pass(
    proxied_store: GcsObjectStore, gcs_proxy: FaultProxy
) -> None:
    gcs_proxy.answer(410, method="PUT")
    with pytest.raises(BackendUnavailable, match="upload lost"):
        put(proxied_store, CONTENT)
    assert proxied_store.stat("raw", "a") is None
    assert put(proxied_store, CONTENT).size == BIG


# --- Faults that stay ----------------------------------------------------------------------------


def act(store: GcsObjectStore, what: str, ref: ObjectRef) -> object:
    match what:
        case "write":
            return put(store, b"content", name="b")
        case "write big":
            return put(store, CONTENT, name="b")
        case "look up":
            return store.stat("raw", "a")
        case "read":
            return get(store, ref)
        case "list":
            return list(store.list("raw"))
        case _:
            return store.delete(ref)


@pytest.mark.parametrize("what", ["write", "write big", "look up", "read", "list", "delete"])
@pytest.mark.parametrize("status", [429, 503, 504])
def test_a_fault_that_stays_surfaces_with_its_fields(
    gcs_proxy: FaultProxy,
    proxied_store: GcsObjectStore,
    gcs_url: str,
    what: str,
    status: int,
) -> None:
    stored = put(proxied_store, b"content")
    impatient = GcsObjectStore(gcs_url, patience=0.3)
    gcs_proxy.answer(status, times=1000, headers={"Retry-After": "7"})
    with pytest.raises(BackendUnavailable) as caught:
        act(impatient, what, stored.ref)
    assert caught.value.retry_after == 7.0
    assert caught.value.fields["backend"] == "Cloud Storage"
    assert str(caught.value.fields["operation"]).startswith(what.removesuffix(" big"))
    assert str(status) in str(caught.value.fields["problem"])
    gcs_proxy.heal()
    assert proxied_store.stat("raw", "b") is None


@pytest.mark.parametrize("what", ["write", "write big", "look up", "read", "list", "delete"])
def test_connections_that_keep_being_reset_surface(
    gcs_proxy: FaultProxy, proxied_store: GcsObjectStore, gcs_url: str, what: str
) -> None:
    stored = put(proxied_store, b"content")
    impatient = GcsObjectStore(gcs_url, patience=0.3)
    gcs_proxy.reset(times=1000)
    with pytest.raises(BackendUnavailable) as caught:
        act(impatient, what, stored.ref)
    assert caught.value.retry_after is None


def test_a_service_that_is_not_there_is_a_fault_that_may_pass(
    gcs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy("http://127.0.0.1:9") as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
    with pytest.raises(BackendUnavailable):  # the port is closed now
        GcsObjectStore(gcs_url, patience=0.3).stat("raw", "a")


def test_a_listing_fails_in_the_middle_and_says_so(
    gcs_proxy: FaultProxy, proxied_store: GcsObjectStore, gcs_url: str
) -> None:
    put(proxied_store, b"content")
    impatient = GcsObjectStore(gcs_url, patience=0.3)
    gcs_proxy.cut_answer(40, times=1000)
    with pytest.raises(BackendUnavailable):
        list(impatient.list("raw"))


def test_damaged_content_is_not_passed_on_as_whole(
    gcs_proxy: FaultProxy, proxied_store: GcsObjectStore
) -> None:
    stored = put(proxied_store, CONTENT)
    gcs_proxy.flip(11 * MIB, method="GET")
    with pytest.raises(BackendUnavailable, match="CRC32C"):
        get(proxied_store, stored.ref)
    assert get(proxied_store, stored.ref) == CONTENT


def test_what_trying_again_cannot_change_passes_as_it_is(
    gcs_proxy: FaultProxy, proxied_store: GcsObjectStore
) -> None:
    from google.api_core.exceptions import Forbidden

    gcs_proxy.answer(403)
    with pytest.raises(Forbidden):
        put(proxied_store, b"content")
    assert len(gcs_proxy.requests) == 1


def test_a_bucket_that_is_missing_is_not_hidden(
    gcs_store: GcsObjectStore, gcs_emulator: GcsEmulator
) -> None:
    from google.api_core.exceptions import NotFound

    elsewhere = GcsObjectStore("gs://no-such-prefix")
    for content in (b"small", CONTENT):
        with pytest.raises(NotFound):
            put(elsewhere, content)
    with pytest.raises(NotFound):
        list(elsewhere.list("raw"))
    with pytest.raises(ObjectMissing):
        elsewhere.open(ObjectRef("raw", "a", 1))


# --- Configuration and signing -------------------------------------------------------------------


@pytest.mark.parametrize("url", ["gs://", "s3://a", "gs://a/b", "a"])
def test_a_url_that_names_no_buckets_is_refused(url: str) -> None:
    with pytest.raises(SettingInvalid, match="gs://"):
        GcsObjectStore(url)


def test_buckets_and_addresses() -> None:
    store = GcsObjectStore("gs://acme-eventpulse")
    assert store.bucket_name("quarantine") == "acme-eventpulse-quarantine"
    assert store.uri(ObjectRef("raw", "a b/c", 1)) == "gs://acme-eventpulse-raw/a b/c"


class TokenCredentials(Credentials):
    """As the metadata server gives them to a function: a token, and no key to sign with."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.service_account_email = "default"

    def refresh(self, request: object) -> None:
        self.token = "the token"
        self.service_account_email = ACCOUNT


class Iam:
    """IAM's signBlob, as a transport of google-auth."""

    def __init__(self, key: rsa.RSAPrivateKey, *statuses: int) -> None:
        self._key = key
        self._statuses = list(statuses)
        self.calls: list[str] = []

    def __call__(
        self, url: str, method: str, body: bytes, headers: Mapping[str, str], **_: object
    ) -> Any:
        self.calls.append(url)
        if self._statuses:
            return Answer(self._statuses.pop(0), {})
        assert headers["authorization"] == "Bearer the token"
        payload = b64decode(json.loads(body)["payload"])
        signature = self._key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
        return Answer(200, {"signedBlob": b64encode(signature).decode()})


class Answer:
    def __init__(self, status: int, body: Mapping[str, str]) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {}
        self.data = json.dumps(body).encode()


def test_a_function_without_a_key_signs_through_iam(
    gcs_store: GcsObjectStore, gcs_emulator: GcsEmulator
) -> None:
    iam = Iam(gcs_emulator.key)
    credentials = signing_credentials(TokenCredentials(), iam)
    vars(gcs_store)["_signing_credentials"] = credentials
    signed = gcs_store.sign_upload(
        "a",
        length=1,
        md5="DMF1ucDxtqgxw5niaXcmYQ==",
        content_type="text/plain",
        expires=datetime.now(UTC) + timedelta(minutes=10),
    )
    assert len(iam.calls) == 1
    assert f"/serviceAccounts/{ACCOUNT}:signBlob" in iam.calls[0]
    credential = parse_qs(urlsplit(signed.url).query)["X-Goog-Credential"][0]
    assert credential.startswith(f"{ACCOUNT}/")
    response = requests.put(signed.url, data=b"a", headers=dict(signed.headers), timeout=30)
    assert response.status_code == 200


def test_credentials_of_no_service_account_cannot_sign() -> None:
    with pytest.raises(SettingInvalid, match="service account"):
        signing_credentials(object(), None)
