"""The object stores under test. Test modules take these fixtures in with `pytest_plugins`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.adapters.objects_gcs import GcsObjectStore
from eventpulse.ports import BUCKETS, ObjectStore
from tests.adapters.fault_proxy import FaultProxy
from tests.adapters.object_servers import (
    GcsEmulator,
    UploadServer,
    start_fake_gcs_server,
    start_gcs_emulator,
)

SIGNING_STORES = ["file", pytest.param("gcs", marks=pytest.mark.google)]
"""fake-gcs-server looks at nothing of a signed request."""
STORES = [*SIGNING_STORES, pytest.param("fake_gcs", marks=pytest.mark.google)]


FAKE_GCS_DIFFERS = {
    "test_what_exists_is_not_created_again_with_a_big_body": "resumable uploads may replace",
    "test_only_the_live_generation_is_deleted_and_only_by_its_number": "deletes any generation",
    "test_every_raw_generation_is_listed_when_asked_for": "lists generations in no order",
    "test_a_generation_under_way_is_not_listed": "lists generations in no order",
    "test_listing_generations_goes_on_over_a_thousand": "lists generations in no order",
}
"""Where fake-gcs-server is not as Cloud Storage is, by the suite's tests."""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """An empty store, of each kind."""
    store: ObjectStore = request.getfixturevalue(f"{request.param}_store")
    return store


@pytest.fixture(scope="session")
def upload_server() -> Iterator[UploadServer]:
    server = UploadServer()
    yield server
    server.stop()


@pytest.fixture
def file_store(tmp_path: Path, upload_server: UploadServer) -> FileObjectStore:
    """A directory with its upload endpoint."""
    store = FileObjectStore(f"file://{tmp_path}/objects", b"a secret", upload_server.url)
    upload_server.store = store
    return store


@pytest.fixture(scope="session")
def gcs_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsEmulator]:
    with start_gcs_emulator(tmp_path_factory.mktemp("storage")) as emulator:
        yield emulator


@pytest.fixture
def gcs_url(gcs_emulator: GcsEmulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """Four buckets that no other test uses; raw keeps its generations."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(gcs_emulator.key_file))
    return make_buckets(gcs_emulator.url)


def make_buckets(endpoint: str) -> str:
    prefix = f"evp-{uuid.uuid4().hex[:12]}"
    client = Client(
        project="test-project",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": endpoint},
    )
    for bucket in BUCKETS:
        made = client.bucket(f"{prefix}-{bucket}")
        made.versioning_enabled = bucket == "raw"
        client.create_bucket(made)
    client.close()
    return f"gs://{prefix}"


@pytest.fixture
def gcs_store(
    gcs_emulator: GcsEmulator, gcs_url: str, monkeypatch: pytest.MonkeyPatch
) -> GcsObjectStore:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_emulator.url)
    return GcsObjectStore(gcs_url)


@pytest.fixture(scope="session")
def fake_gcs_server() -> Iterator[str]:
    """The URL of a fake-gcs-server that keeps its objects in memory."""
    with start_fake_gcs_server() as url:
        yield url


@pytest.fixture
def fake_gcs_store(
    request: pytest.FixtureRequest,
    fake_gcs_server: str,
    gcs_emulator: GcsEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> GcsObjectStore:
    """The same adapter on other people's emulator, with what that does otherwise marked so."""
    name = request.node.originalname
    if name in FAKE_GCS_DIFFERS:
        request.applymarker(pytest.mark.xfail(reason=FAKE_GCS_DIFFERS[name], strict=True))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(gcs_emulator.key_file))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake_gcs_server)
    return GcsObjectStore(make_buckets(fake_gcs_server))


@pytest.fixture
def gcs_proxy(gcs_emulator: GcsEmulator) -> Iterator[FaultProxy]:
    """A proxy that makes faults, in front of the emulator."""
    with FaultProxy(gcs_emulator.url) as proxy:
        yield proxy


@pytest.fixture
def proxied_store(
    gcs_proxy: FaultProxy, gcs_url: str, monkeypatch: pytest.MonkeyPatch
) -> GcsObjectStore:
    """A store that only knows the proxy."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_proxy.url)
    return GcsObjectStore(gcs_url, patience=10.0)
