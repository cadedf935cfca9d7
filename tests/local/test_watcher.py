"""The drop folder, with a real file store: what is taken, when, and what is left alone."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.local import watcher
from eventpulse.local.watcher import ARCHIVE, Watcher, is_being_written
from tests.waiting import wait_until

SETTLE = 0.1


@pytest.fixture
def objects(tmp_path: Path) -> FileObjectStore:
    return FileObjectStore((tmp_path / "objects").as_uri(), b"key", "http://127.0.0.1/objects")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    (folder / "sales").mkdir(parents=True)
    return folder


@contextmanager
def watching(folder: Path, objects: FileObjectStore) -> Iterator[None]:
    # No second scan: what is found must have been noticed.
    with Watcher(folder, objects, settle_seconds=SETTLE, rescan_seconds=600.0):
        yield


def read(objects: FileObjectStore, name: str) -> bytes | None:
    stored = objects.stat("raw", name)
    if stored is None:
        return None
    with objects.open(stored.ref) as stream:
        return stream.read()


def archived(folder: Path) -> list[str]:
    """Relative names in the archive, without the time."""
    archive = folder / ARCHIVE
    files = (path for path in archive.rglob("*") if path.is_file())
    return sorted("/".join(path.relative_to(archive).parts[1:]) for path in files)


def test_a_file_is_uploaded_under_its_relative_name_and_archived(
    folder: Path, objects: FileObjectStore
) -> None:
    with watching(folder, objects):
        (folder / "sales" / "a b.csv").write_bytes(b"id\n1\n")
        wait_until(lambda: archived(folder) == ["sales/a b.csv"], "it was not archived")
    assert read(objects, "sales/a b.csv") == b"id\n1\n"
    assert not (folder / "sales" / "a b.csv").exists()
    stored = objects.stat("raw", "sales/a b.csv")
    assert stored is not None
    assert stored.content_type == "text/csv"


def test_what_lies_there_at_the_start_is_taken(folder: Path, objects: FileObjectStore) -> None:
    (folder / "sales" / "2026" / "01").mkdir(parents=True)
    (folder / "sales" / "2026" / "01" / "a.csv").write_bytes(b"old")
    with watching(folder, objects):
        wait_until(lambda: archived(folder) == ["sales/2026/01/a.csv"], "it was not archived")
    assert read(objects, "sales/2026/01/a.csv") == b"old"


def test_a_file_that_is_still_written_is_not_taken(folder: Path, objects: FileObjectStore) -> None:
    slow, marker = folder / "sales" / "slow.csv", folder / "sales" / "marker.csv"
    with watching(folder, objects):
        with slow.open("wb") as file:
            file.write(b"half, ")
            file.flush()
            # By the time that files laid later are gone, this one had every chance to be taken.
            for number in range(3):
                marker.write_bytes(str(number).encode())
                wait_until(lambda: not marker.exists(), "the marker was not taken")
            assert is_being_written(slow)
            assert read(objects, "sales/slow.csv") is None
            file.write(b"whole")
        wait_until(lambda: not slow.exists(), "it was not taken after it was closed")
    assert read(objects, "sales/slow.csv") == b"half, whole"


def test_a_file_that_is_moved_in_is_taken(
    folder: Path, objects: FileObjectStore, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_bytes(b"moved")
    temporary = folder / "sales" / "b.csv.part"
    with watching(folder, objects):
        outside.rename(folder / "sales" / "a.csv")
        temporary.write_bytes(b"renamed")
        temporary.rename(folder / "sales" / "b.csv")
        wait_until(lambda: archived(folder) == ["sales/a.csv", "sales/b.csv"], "not archived")
    assert read(objects, "sales/a.csv") == b"moved"
    assert read(objects, "sales/b.csv") == b"renamed"


def test_a_folder_that_is_moved_in_is_found(
    folder: Path, objects: FileObjectStore, tmp_path: Path
) -> None:
    outside = tmp_path / "planes"
    outside.mkdir()
    (outside / "a.csv").write_bytes(b"in a folder")
    with watching(folder, objects):
        outside.rename(folder / "planes")
        wait_until(lambda: archived(folder) == ["planes/a.csv"], "not archived")
    assert read(objects, "planes/a.csv") == b"in a folder"


@pytest.mark.parametrize(
    "name",
    ["sales/.hidden.csv", "sales/a.csv.part", "sales/~$a.xlsx", ".sales/a.csv", "sales/a.csv~"],
)
def test_hidden_and_temporary_files_are_left_alone(
    folder: Path, objects: FileObjectStore, name: str
) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"not data")
    with watching(folder, objects):
        (folder / "sales" / "data.csv").write_bytes(b"data")
        wait_until(lambda: archived(folder) == ["sales/data.csv"], "not archived")
    assert path.read_bytes() == b"not data"
    assert [each.ref.name for each in objects.list("raw")] == ["sales/data.csv"]


def test_a_link_is_left_alone(folder: Path, objects: FileObjectStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_bytes(b"secret")
    (folder / "sales" / "link.csv").symlink_to(secret)
    with watching(folder, objects):
        (folder / "sales" / "data.csv").write_bytes(b"data")
        wait_until(lambda: archived(folder) == ["sales/data.csv"], "not archived")
    assert [each.ref.name for each in objects.list("raw")] == ["sales/data.csv"]


def test_a_file_without_a_folder_is_left_and_said(
    folder: Path, objects: FileObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), watching(folder, objects):
        (folder / "stray.csv").write_bytes(b"whose?")
        wait_until(lambda: "stray.csv" in caplog.text, "it was not said")
    assert (folder / "stray.csv").exists()
    assert list(objects.list("raw")) == []
    assert caplog.text.count("is left alone") == 1


@pytest.mark.parametrize("name", [b"new\nline.csv", b"latin\xff.csv"])
def test_a_file_that_no_object_can_be_called_is_left_and_said(
    name: bytes, folder: Path, objects: FileObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    path = folder / "sales" / os.fsdecode(name)
    with caplog.at_level(logging.WARNING), watching(folder, objects):
        path.write_bytes(b"id\n1\n")
        (folder / "sales" / "z.csv").write_bytes(b"id\n1\n")
        wait_until(lambda: archived(folder) == ["sales/z.csv"], "the next one was not archived")
    assert path.exists()
    said = [each.getMessage() for each in caplog.records if each.name == watcher.__name__]
    assert [each.split(" An object")[0] for each in said] == [
        f"{str(path)!r} is left alone: rename it."
    ]


def test_a_failure_leaves_the_file_and_is_tried_again(
    folder: Path, objects: FileObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "objects"
    in_the_way.write_bytes(b"a file where the store needs a folder")
    path = folder / "sales" / "a.csv"
    with watching(folder, objects):
        path.write_bytes(b"late")
        wait_until(lambda: "could not be taken" in caplog.text, "the failure was not said")
        assert path.exists()
        in_the_way.unlink()
        wait_until(lambda: archived(folder) == ["sales/a.csv"], "it was not tried again")
    assert read(objects, "sales/a.csv") == b"late"


def test_the_same_name_again_is_the_next_generation(folder: Path, objects: FileObjectStore) -> None:
    path = folder / "sales" / "a.csv"
    with watching(folder, objects):
        for content in (b"A", b"B", b"A"):
            path.write_bytes(content)
            wait_until(lambda: not path.exists(), "it was not taken")
    assert archived(folder) == ["sales/a.csv"] * 3
    assert read(objects, "sales/a.csv") == b"A"


def test_a_large_file_that_is_copied_in_is_taken_whole_and_once(
    folder: Path, objects: FileObjectStore, tmp_path: Path
) -> None:
    source = tmp_path / "large.csv"
    source.write_bytes(os.urandom(1 << 20) * 32)
    with watching(folder, objects):
        shutil.copy(source, folder / "sales" / "large.csv")
        wait_until(lambda: archived(folder) == ["sales/large.csv"], "it was not archived")
    assert read(objects, "sales/large.csv") == source.read_bytes()
    assert len(list(objects.list("raw"))) == 1
