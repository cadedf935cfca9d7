"""The Cloud Storage emulator beside fake-gcs-server: the same calls, the same answers.

fake-gcs-server is other people's reading of Cloud Storage. Where it does what the service does,
this emulator must agree with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from emulators.stack import GoogleStack
from tests.adapters.object_servers import start_fake_gcs_server

pytestmark = pytest.mark.google


@pytest.fixture(scope="module")
def oracle_url() -> Iterator[str]:
    with start_fake_gcs_server() as url:
        yield url


def connect(url: str, bucket: str) -> storage.Bucket:
    with pytest.MonkeyPatch.context() as env:
        env.setenv("STORAGE_EMULATOR_HOST", url)
        client = storage.Client(project="emulated", credentials=AnonymousCredentials())
    return client.create_bucket(bucket)


def upload_and_read(bucket: storage.Bucket) -> Any:
    blob = bucket.blob("a/é.csv")
    blob.metadata = {"k": "v"}
    blob.upload_from_string("x,y\n", content_type="text/csv")
    read = bucket.get_blob("a/é.csv")
    described = (read.name, read.size, read.content_type, read.md5_hash, read.crc32c, read.metadata)
    return (
        described,
        read.metageneration,
        read.download_as_bytes(),
        read.download_as_bytes(start=1, end=2),
    )


def write_once(bucket: storage.Bucket) -> Any:
    bucket.blob("x").upload_from_string("first", if_generation_match=0)
    return name_error(lambda: bucket.blob("x").upload_from_string("2", if_generation_match=0))


def read_what_is_missing(bucket: storage.Bucket) -> Any:
    return (
        name_error(lambda: bucket.blob("missing").download_as_bytes()),
        name_error(lambda: bucket.blob("missing").delete()),
        bucket.get_blob("missing"),
        name_error(lambda: bucket.client.bucket("no-such-bucket").reload()),
    )


def list_folders(bucket: storage.Bucket) -> Any:
    for name in ("a/1", "a/2", "b/1", "top"):
        bucket.blob(name).upload_from_string("")
    listed = bucket.list_blobs(delimiter="/")
    return [blob.name for blob in listed], sorted(listed.prefixes)


def compose_and_copy(bucket: storage.Bucket) -> Any:
    for name in ("1", "2"):
        bucket.blob(name).upload_from_string(name * 3, content_type="text/plain")
    bucket.blob("both").compose([bucket.blob("1"), bucket.blob("2")])
    token, written, total = bucket.blob("copy").rewrite(bucket.blob("both"))
    return token, written, total, bucket.blob("copy").download_as_bytes()


def upload_in_chunks(bucket: storage.Bucket) -> Any:
    with bucket.blob("x").open("wb", chunk_size=256 * 1024) as writer:
        for _ in range(5):
            writer.write(b"z" * 100_000)
    return bucket.get_blob("x").size, bucket.get_blob("x").md5_hash


def create_bucket_twice(bucket: storage.Bucket) -> Any:
    return name_error(lambda: bucket.client.create_bucket(bucket.name))


def name_error(call: Callable[[], object]) -> str:
    try:
        call()
    except exceptions.GoogleAPICallError as error:
        return type(error).__name__
    return "no error"


@pytest.mark.parametrize(
    "scenario",
    [
        upload_and_read,
        write_once,
        read_what_is_missing,
        list_folders,
        compose_and_copy,
        upload_in_chunks,
        create_bucket_twice,
    ],
)
def test_both_answer_alike(
    google_stack: GoogleStack,
    oracle_url: str,
    run: str,
    scenario: Callable[[storage.Bucket], Any],
) -> None:
    emulated = connect(google_stack.environment["STORAGE_EMULATOR_HOST"], f"oracle-{run}")

    assert scenario(emulated) == scenario(connect(oracle_url, f"oracle-{run}"))
