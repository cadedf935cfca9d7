"""The Cloud Storage emulator's JSON API, as google-cloud-storage sees it."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from emulators.stack import GoogleStack

pytestmark = pytest.mark.google

MEBIBYTE = 1 << 20


def md5_of(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def test_an_object_comes_back_with_all_that_was_said_of_it(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a/b.csv")
    blob.metadata = {"contract": "orders"}
    blob.cache_control = "no-store"
    blob.upload_from_string("x,y\n", content_type="text/csv")

    read = bucket.get_blob("a/b.csv")

    assert read.download_as_bytes() == b"x,y\n"
    assert (read.size, read.content_type, read.cache_control) == (4, "text/csv", "no-store")
    assert read.metadata == {"contract": "orders"}
    assert (read.md5_hash, read.metageneration) == (md5_of(b"x,y\n"), 1)
    assert read.generation == blob.generation


@pytest.mark.parametrize("name", ["a//b", "/a", "a/", "x/../y", "é ñ", "100%", "#?", "a+b&c=d"])
def test_every_name_is_an_object_of_its_own(bucket: storage.Bucket, name: str) -> None:
    bucket.blob("a/b").upload_from_string("another")
    bucket.blob(name).upload_from_string(name)

    assert bucket.blob(name).download_as_bytes() == name.encode()
    assert sorted(blob.name for blob in bucket.list_blobs()) == sorted(["a/b", name])


def test_a_name_that_no_object_may_have_is_refused(bucket: storage.Bucket) -> None:
    for name in (".", "..", "a\nb", "x" * 1025):
        with pytest.raises(exceptions.BadRequest):
            bucket.blob(name).upload_from_string("x")


def test_of_32_concurrent_creates_exactly_one_wins(bucket: storage.Bucket) -> None:
    def create(number: int) -> bool:
        try:
            bucket.blob("one").upload_from_string(str(number), if_generation_match=0)
        except exceptions.PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        won = list(pool.map(create, range(32)))

    assert won.count(True) == 1
    assert bucket.blob("one").download_as_text() == str(won.index(True))


def test_old_generations_stay_readable_by_number(bucket: storage.Bucket) -> None:
    generations = []
    for text in ("first", "second", "third"):
        blob = bucket.blob("x")
        blob.upload_from_string(text)
        generations.append(blob.generation)
    bucket.blob("x").delete()

    read = [bucket.blob("x", generation=g).download_as_text() for g in generations]
    listed = [(blob.generation, blob.size) for blob in bucket.list_blobs(versions=True)]

    assert read == ["first", "second", "third"]
    assert generations == sorted(set(generations))
    assert listed == list(zip(generations, (5, 6, 5), strict=True))
    assert not bucket.blob("x").exists()
    assert list(bucket.list_blobs()) == []


def test_without_versioning_an_overwritten_generation_is_gone(
    storage_client: storage.Client, run: str
) -> None:
    plain = storage_client.create_bucket(f"plain-{run}")
    blob = plain.blob("x")
    blob.upload_from_string("first")
    first = blob.generation
    plain.blob("x").upload_from_string("second")

    with pytest.raises(exceptions.NotFound):
        plain.blob("x", generation=first).download_as_bytes()


def test_a_metadata_patch_keeps_the_generation(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string("x")
    generation = blob.generation
    blob.metadata = {"state": "loaded"}
    blob.patch(if_metageneration_match=1)

    read = bucket.get_blob("x")

    assert (read.generation, read.metageneration) == (generation, 2)
    assert read.metadata == {"state": "loaded"}
    with pytest.raises(exceptions.PreconditionFailed):
        blob.patch(if_metageneration_match=1)


def test_preconditions_hold_on_every_operation(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string("x")
    stale = blob.generation - 1
    attempts = [
        lambda: bucket.blob("x").upload_from_string("y", if_generation_match=stale),
        lambda: bucket.blob("x").delete(if_generation_match=stale),
        lambda: bucket.blob("x").download_as_bytes(if_generation_match=stale),
        lambda: bucket.blob("x").reload(if_generation_match=stale),
        lambda: bucket.blob("x").compose([bucket.blob("x")], if_generation_match=0),
        lambda: bucket.blob("x").rewrite(bucket.blob("x"), if_generation_match=0),
        lambda: bucket.copy_blob(blob, bucket, "z", if_source_generation_match=stale),
    ]
    for attempt in attempts:
        with pytest.raises(exceptions.PreconditionFailed):
            attempt()

    assert bucket.get_blob("x").generation == blob.generation


def test_lists_by_prefix_delimiter_and_page(bucket: storage.Bucket) -> None:
    names = [f"d{i}/f{j}" for i in range(3) for j in range(4)] + ["top"]
    for name in names:
        bucket.blob(name).upload_from_string("")

    whole = [blob.name for blob in bucket.list_blobs(page_size=5)]
    folders = bucket.list_blobs(delimiter="/", page_size=1)
    offset = bucket.list_blobs(start_offset="d1/f2", end_offset="d2/f1")

    assert whole == names
    assert [blob.name for blob in folders] == ["top"]
    assert folders.prefixes == {"d0/", "d1/", "d2/"}
    assert [blob.name for blob in bucket.list_blobs(prefix="d1/f")] == names[4:8]
    assert [blob.name for blob in offset] == ["d1/f2", "d1/f3", "d2/f0"]


def test_composed_objects_have_no_md5(bucket: storage.Bucket) -> None:
    for name in ("1", "2"):
        bucket.blob(name).upload_from_string(name * 3)
    whole = bucket.blob("whole")
    whole.content_type = "text/plain"
    whole.compose([bucket.blob("1"), bucket.blob("2")])

    read = bucket.get_blob("whole")

    assert read.download_as_bytes() == b"111222"
    assert (read.md5_hash, read.component_count, read.content_type) == (None, 2, "text/plain")


def test_bytes_that_are_not_those_announced_are_refused(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.md5_hash = md5_of(b"other")

    with pytest.raises(exceptions.BadRequest):
        blob.upload_from_string("these", checksum=None)

    assert not bucket.blob("x").exists()


@pytest.mark.parametrize("known_size", [True, False])
def test_resumable_uploads_in_chunks(bucket: storage.Bucket, known_size: bool) -> None:
    data = os.urandom(MEBIBYTE + 17)
    blob = bucket.blob("x", chunk_size=256 * 1024)

    size = len(data) if known_size else None
    blob.upload_from_file(io.BytesIO(data), size=size, if_generation_match=0)

    assert bucket.blob("x").download_as_bytes() == data
    assert bucket.blob("x").download_as_bytes(start=MEBIBYTE, end=MEBIBYTE + 2) == data[-17:-14]


def test_a_resumable_upload_goes_on_where_it_was_cut(bucket: storage.Bucket) -> None:
    data = os.urandom(3 * 256 * 1024)
    session = bucket.blob("x").create_resumable_upload_session(size=len(data))
    first = requests.put(
        session,
        data=data[: 256 * 1024],
        headers={"content-range": f"bytes 0-{256 * 1024 - 1}/{len(data)}"},
        timeout=30,
    )
    asked = requests.put(session, headers={"content-range": f"bytes */{len(data)}"}, timeout=30)

    rest = {"content-range": f"bytes {256 * 1024}-{len(data) - 1}/{len(data)}"}
    last = requests.put(session, data=data[256 * 1024 :], headers=rest, timeout=30)
    again = requests.put(session, data=data[256 * 1024 :], headers=rest, timeout=30)

    assert (first.status_code, asked.headers["range"]) == (308, f"bytes=0-{256 * 1024 - 1}")
    assert (last.status_code, again.json()["generation"]) == (200, last.json()["generation"])
    assert bucket.blob("x").download_as_bytes() == data


def test_a_client_that_sends_slowly_keeps_nobody_waiting(bucket: storage.Bucket) -> None:
    finish: list[str] = []

    def drip() -> Iterator[bytes]:
        yield b"x" * 1000
        bucket.blob("other").upload_from_string("done meanwhile")
        finish.append(bucket.blob("other").download_as_text())
        yield b"y" * 1000

    host = bucket.client._connection.API_BASE_URL
    url = f"{host}/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=slow"
    answered = requests.post(url, data=drip(), timeout=60)

    assert (answered.status_code, finish) == (200, ["done meanwhile"])
    assert bucket.get_blob("slow").size == 2000


def test_a_gibibyte_is_streamed_with_bounded_memory(
    google_stack: GoogleStack, bucket: storage.Bucket
) -> None:
    server = psutil.Process(google_stack.get_pid("storage"))
    before = server.memory_info().rss
    zeros = bytes(MEBIBYTE)
    host = bucket.client._connection.API_BASE_URL
    path = f"storage/v1/b/{bucket.name}/o"
    most = before

    def produce() -> Iterator[bytes]:
        nonlocal most
        for _ in range(1024):
            most = max(most, server.memory_info().rss)
            yield zeros

    url = f"{host}/upload/{path}?uploadType=media&name=large"
    stored = requests.post(url, data=produce(), timeout=300).json()
    received = 0
    with requests.get(f"{host}/{path}/large?alt=media", stream=True, timeout=300) as download:
        for piece in download.iter_content(MEBIBYTE):
            received += len(piece)
            most = max(most, server.memory_info().rss)
    bucket.blob("large", generation=int(stored["generation"])).delete()

    assert (stored["size"], received) == (str(1 << 30), 1 << 30)
    assert most - before < 64 * MEBIBYTE


def test_a_bucket_is_a_directory_for_those_who_need_one(
    google_stack: GoogleStack, bucket: storage.Bucket
) -> None:
    mirror = google_stack.home / "storage" / "mirror" / bucket.name
    bucket.blob("a/b.parquet").upload_from_string("first")
    bucket.blob("a/b.parquet").upload_from_string("second")
    bucket.blob("a//b.parquet").upload_from_string("no file could be called so")
    shown = [path.relative_to(mirror) for path in mirror.rglob("*") if path.is_file()]

    assert shown == [Path("a/b.parquet")]
    assert (mirror / "a/b.parquet").read_text() == "second"
    bucket.blob("a/b.parquet").delete()
    assert list(mirror.iterdir()) == []


def test_objects_sessions_and_generations_survive_a_sigkill(tmp_path: Path) -> None:
    data = os.urandom(2 * 256 * 1024)
    with GoogleStack(tmp_path, services=["storage"]) as stack, pytest.MonkeyPatch.context() as env:

        def connect() -> storage.Bucket:
            env.setenv("STORAGE_EMULATOR_HOST", stack.environment["STORAGE_EMULATOR_HOST"])
            client = storage.Client(project="emulated", credentials=AnonymousCredentials())
            return client.bucket("survivors")

        bucket = connect()
        bucket.versioning_enabled = True
        bucket.create()
        bucket.blob("x").upload_from_string("first")
        bucket.blob("x").upload_from_string("second")
        session = bucket.blob("y").create_resumable_upload_session(size=len(data))
        header = {"content-range": f"bytes 0-{256 * 1024 - 1}/{len(data)}"}
        requests.put(session, data=data[: 256 * 1024], headers=header, timeout=30)

        stack.stop_service("storage", kill=True)
        stack.start_service("storage")

        bucket = connect()
        moved = stack.environment["STORAGE_EMULATOR_HOST"] + session[session.index("/upload/") :]
        header = {"content-range": f"bytes {256 * 1024}-{len(data) - 1}/{len(data)}"}
        requests.put(moved, data=data[256 * 1024 :], headers=header, timeout=30)
        old, new = bucket.list_blobs(prefix="x", versions=True)

        assert (old.download_as_bytes(), new.download_as_bytes()) == (b"first", b"second")
        assert bucket.blob("y").download_as_bytes() == data
        assert (tmp_path / "storage/mirror/survivors/x").read_text() == "second"
