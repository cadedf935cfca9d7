"""What is particular to the directory: its files, concurrent processes, kills, full disks."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import requests

from eventpulse.adapters.file_layout import make_folder
from eventpulse.adapters.file_names import SAFE_FOLDED
from eventpulse.adapters.finalize_file import FinalizeDelivery
from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.errors import BackendUnavailable, SettingInvalid
from eventpulse.ports import Bucket, ObjectRef, StoredObject
from tests.adapters.event_receiver import EventReceiver
from tests.adapters.killed_writer import NAME, NEW, OLD

pytest_plugins = ["tests.adapters.objects_fixtures"]


# How many generations are there after a kill, in raw and elsewhere.
KEPT = {
    ("create", "nothing"): (0, 0),
    ("create", "whole"): (1, 1),
    ("replace", "nothing"): (1, 1),
    ("replace", "whole"): (2, 1),
    ("delete", "nothing"): (1, 1),
    ("delete", "whole"): (1, 0),
}


def run_program(module: str, *arguments: str) -> str:
    """The standard output of a program of this package."""
    command = [sys.executable, "-m", f"tests.adapters.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def put(
    store: FileObjectStore, bucket: Bucket, name: str, content: bytes, *, replace: bool = False
) -> StoredObject:
    with store.write(bucket, name, replace=replace) as sink:
        sink.write(content)
    return sink.stored


def open_store(root: Path) -> FileObjectStore:
    return FileObjectStore(f"file://{root}", b"", "")


def files_below(root: Path) -> Iterator[Path]:
    """Everything but folders and locks."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != ".locks"]
        yield from (Path(folder, name) for name in files)


# --- Files ---------------------------------------------------------------------------------------


def test_a_live_object_is_a_file_that_people_find(file_store: FileObjectStore) -> None:
    stored = put(file_store, "raw", "flights/2024 01.csv", b"first")
    uri = urlsplit(file_store.uri(stored.ref))
    path = Path(unquote(uri.path))
    assert (uri.scheme, uri.netloc) == ("file", "")
    assert path == Path(file_store.layout.root, "raw/flights/2024%2001.csv")
    assert path.read_bytes() == b"first"
    put(file_store, "raw", "flights/2024 01.csv", b"second", replace=True)
    assert path.read_bytes() == b"second"


def test_content_is_read_only(file_store: FileObjectStore) -> None:
    stored = put(file_store, "raw", "a.csv", b"a")
    assert stat.S_IMODE(os.stat(file_store.layout.content(stored.ref)).st_mode) == 0o444


def test_a_store_can_be_moved(file_store: FileObjectStore, tmp_path: Path) -> None:
    stored = put(file_store, "raw", "a/b.csv", b"a")
    os.rename(file_store.layout.root, tmp_path / "elsewhere")
    moved = open_store(tmp_path / "elsewhere")
    assert moved.stat("raw", "a/b.csv") == stored
    assert (tmp_path / "elsewhere/raw/a/b.csv").read_bytes() == b"a"


def test_outside_raw_nothing_is_left_of_what_was_replaced_or_deleted(
    file_store: FileObjectStore,
) -> None:
    put(file_store, "staged", "a.csv", b"1")
    second = put(file_store, "staged", "a.csv", b"2", replace=True)
    root = Path(file_store.layout.root)
    assert len(list(files_below(root / ".generations"))) == 2  # content and document
    assert file_store.delete(second.ref)
    assert [path.parent.name for path in files_below(root)] == [".deleted"]


def test_generations_grow_although_the_clock_goes_back(
    file_store: FileObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(file_store, "raw", "a", b"1")
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000)
    second = put(file_store, "raw", "a", b"2", replace=True)
    assert second.ref.generation == first.ref.generation + 1
    assert file_store.delete(second.ref)
    assert put(file_store, "raw", "a", b"3").ref.generation == second.ref.generation + 1


def test_files_of_strangers_are_not_objects(file_store: FileObjectStore) -> None:
    stored = put(file_store, "raw", "a.csv", b"a")
    folder = Path(file_store.layout.root, "raw")
    (folder / "b.csv").write_bytes(b"dropped by hand")
    (folder / "c d.csv").symlink_to("a.csv@17")
    (folder / "e.csv").symlink_to("/etc/passwd")
    (folder / "%~").symlink_to("a.csv@17")
    assert list(file_store.list("raw")) == [stored]
    assert file_store.stat("raw", "b.csv") is None
    assert file_store.stat("raw", "e.csv") is None
    assert put(file_store, "raw", "b.csv", b"b").size == 1


@pytest.mark.parametrize("url", ["", "/a", "file:a", "file://host/a", "gs://a"])
def test_a_url_that_names_no_absolute_path_is_refused(url: str) -> None:
    with pytest.raises(SettingInvalid, match="file:///"):
        FileObjectStore(url, b"", "")


def test_a_store_that_lost_a_document_says_so(file_store: FileObjectStore) -> None:
    stored = put(file_store, "raw", "a.csv", b"a")
    os.unlink(file_store.layout.document(stored.ref))
    with pytest.raises(FileNotFoundError, match=str(stored.ref.generation)):
        file_store.stat("raw", "a.csv")


def test_nothing_is_made_by_the_constructor(tmp_path: Path) -> None:
    store = open_store(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert store.stat("raw", "a") is None


# --- A file system that takes `A` and `a` for one name -------------------------------------------


def test_case_matters_where_the_file_system_folds_it(file_store: FileObjectStore) -> None:
    make_folder(file_store.layout.root)
    file_store.stat("raw", "a")
    vars(file_store.layout)["_safe"] = SAFE_FOLDED  # as found out on such a file system
    refs = [put(file_store, "raw", name, name.encode()).ref for name in ("A.csv", "a.csv")]
    paths = {file_store.layout.pointer("raw", ref.name).lower() for ref in refs}
    assert len(paths) == 2
    assert [stored.ref for stored in file_store.list("raw")] == refs


# --- Processes -----------------------------------------------------------------------------------


def test_of_32_processes_that_create_one_wins(file_store: FileObjectStore) -> None:
    root = file_store.layout.root
    make_folder(root)
    codes = json.loads(run_program("racing_writers", f"file://{root}", "32"))
    assert sorted(codes) == [0] + [1] * 31
    stored = file_store.stat("raw", "a")
    assert stored is not None
    with file_store.open(stored.ref) as file:
        assert file.read() == b"%02d" % codes.index(0) * 100_000
    assert len(list(files_below(Path(root, ".generations")))) == 2
    assert len(os.listdir(file_store.layout.outbox)) == 1
    assert os.listdir(file_store.layout.writing) == []


@pytest.mark.parametrize("bucket", ["raw", "staged"])
@pytest.mark.parametrize("action", ["create", "replace", "delete"])
def test_a_kill_at_any_step_leaves_all_or_nothing(
    tmp_path: Path, action: str, bucket: Bucket
) -> None:
    killed = int(run_program("killed_writer", str(tmp_path), action, bucket))
    assert killed > 20
    with EventReceiver() as receiver:
        outcomes = [
            judge_killed(tmp_path / str(number), action, bucket, receiver)
            for number in range(killed)
        ]
    assert outcomes == sorted(outcomes)  # nothing before the commit point, all of it after
    assert {"nothing", "whole"} == set(outcomes)


def judge_killed(root: Path, action: str, bucket: Bucket, receiver: EventReceiver) -> str:
    """What a killed run left: `nothing` of its action, or the `whole`; anything else is a fault."""
    store = open_store(root)
    live = store.stat(bucket, NAME)
    before, after = {"create": (None, NEW), "replace": (OLD, NEW), "delete": (OLD, None)}[action]
    content = None
    if live is not None:
        with store.open(live.ref) as file:
            content = file.read()
        assert len(content) == live.size
    assert content in (before, after)
    assert [one.ref for one in store.list(bucket)] == ([live.ref] if live else [])
    announced = deliver_all(root, receiver)
    settle_all(store, bucket)
    visible = visible_generations(store, bucket)
    assert announced == (sorted(visible) if bucket == "raw" else [])
    outcome = "whole" if content == after else "nothing"
    assert len(visible) == KEPT[action, outcome][bucket != "raw"]
    return outcome


def deliver_all(root: Path, receiver: EventReceiver) -> list[int]:
    """The generations that are announced once everything in the outbox was dealt with."""
    idle = threading.Event()
    receiver.received.clear()
    with FinalizeDelivery(root, receiver.url) as delivery:
        while delivery.pending():
            idle.wait(0.005)
    return sorted(int(event.data["generation"]) for event in receiver.received)


def settle_all(store: FileObjectStore, bucket: Bucket) -> None:
    """Write and delete something else, which sweeps what was killed; no trace stays."""
    other = put(store, bucket, "other", b"", replace=True)
    assert store.delete(other.ref)
    assert os.listdir(store.layout.writing) == []


def visible_generations(store: FileObjectStore, bucket: Bucket) -> set[int]:
    """The generations of the object that can be read; no file of any other is there."""
    folder = Path(store.layout.generations, bucket, "folder")
    if not folder.exists():
        return set()
    found = {int(path.name.split("@")[1].split(".")[0]) for path in folder.iterdir()}
    for generation in found:
        stored = store.stat(bucket, NAME, generation)
        assert stored is not None
        with store.open(stored.ref) as file:
            assert len(file.read()) == stored.size
    return found


def test_a_killed_writer_does_not_hold_the_next_one_up(tmp_path: Path) -> None:
    killed = int(run_program("killed_writer", str(tmp_path), "create", "raw"))
    for number in range(killed):
        store = open_store(tmp_path / str(number))
        before = store.stat("raw", NAME)
        after = put(store, "raw", NAME, b"next", replace=True)
        assert before is None or after.ref.generation > before.ref.generation
        assert store.stat("raw", NAME) == after


def test_a_writer_that_is_alive_is_not_swept(file_store: FileObjectStore) -> None:
    with file_store.write("raw", "slow") as sink:
        sink.write(b"begun")
        put(open_store(Path(file_store.layout.root)), "raw", "quick", b"")  # sweeps first
        sink.write(b", and done")
    with file_store.open(sink.stored.ref) as file:
        assert file.read() == b"begun, and done"


# --- Faults --------------------------------------------------------------------------------------


@contextlib.contextmanager
def use_up_descriptors(leave: int) -> Iterator[None]:
    """Open files until this process may open only `leave` more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 50, limits[1])
        )
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(leave):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)


def test_a_fault_that_may_pass_is_said_to_be_one(file_store: FileObjectStore) -> None:
    """Here: there is one file descriptor left, which is not enough."""
    put(file_store, "raw", "before", b"")
    with use_up_descriptors(leave=1), pytest.raises(BackendUnavailable) as caught:
        put(file_store, "raw", "a", b"a")
    assert caught.value.fields["operation"] == "write raw/a"
    assert file_store.stat("raw", "a") is None
    assert put(file_store, "raw", "a", b"a").size == 1
    assert os.listdir(file_store.layout.writing) == []


def test_a_fault_that_stays_passes_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        put(open_store(tmp_path / "file"), "raw", "a", b"a")


# --- Uploads in chunks ---------------------------------------------------------------------------


def test_a_body_may_come_in_chunks_and_is_cut_off_at_its_limit(
    file_store: FileObjectStore,
) -> None:
    signed = file_store.sign_upload(
        "a",
        length=3,
        md5="kAFQmDzST7DWlj99KOF/cg==",
        content_type="text/plain",
        expires=datetime.now(UTC) + timedelta(minutes=1),
    )

    def send(*blocks: bytes) -> requests.Response:
        return requests.put(signed.url, data=iter(blocks), headers=dict(signed.headers), timeout=30)

    too_much = send(b"abc", b"d")
    assert (too_much.status_code, "EntityTooLarge" in too_much.text) == (400, True)
    assert send(b"a", b"bc").status_code == 200


def test_other_services_of_the_endpoint_are_refused(file_store: FileObjectStore) -> None:
    signed = file_store.sign_upload(
        "a",
        length=3,
        md5="kAFQmDzST7DWlj99KOF/cg==",
        content_type="text/plain",
        expires=datetime.now(UTC) + timedelta(minutes=1),
    )
    url = signed.url.partition("?")[0]
    headers = dict(signed.headers)
    assert requests.put(url, data=b"abc", headers=headers, timeout=30).status_code == 400
    assert requests.delete(signed.url, headers=headers, timeout=30).status_code == 405
    expected = ObjectRef("raw", "a", 1)
    assert file_store.stat(expected.bucket, expected.name) is None
