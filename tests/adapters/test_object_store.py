"""One suite for the ObjectStore, over every adapter."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from eventpulse.errors import ObjectExists, ObjectMissing
from eventpulse.ports import BUCKETS, Bucket, ObjectRef, ObjectStore, ObjectWriter, StoredObject
from tests.properties import examples

pytest_plugins = ["tests.adapters.objects_fixtures"]

BIG = 20 << 20  # several chunks of any client

ODD_NAMES = [
    "a",
    "a/",
    "a/b",
    "a//b",
    "/",
    "//",
    "/a",
    "../x",
    "../../etc/passwd",
    "a/../b",
    "a/./b",
    "a/..",
    ".hidden",
    "...",
    "%2F",
    "a%2Fb",
    "a%00b",
    "a b",
    "a+b",
    "a~",
    "a@1",
    "a@1.json",
    "A",
    "a.csv",
    "a.csv/part.1",
    "a?b#c&d=e",
    "tab\tbell\x07del\x7f",
    "é",
    "e\u0301",
    "日本語/表.csv",
    "😀",
    "ﬁle\u202egpj",
    "\\windows\\path",
    "con",
    "x" * 1024,
    "\x01" * 1024,
    "/" * 1024,
    "a/" * 512,
    "." * 300,
    "é" * 512,
    "y" * 255 + "/" + "z" * 256,
]


def put(
    store: ObjectStore, bucket: Bucket, name: str, content: bytes = b"content", **options: object
) -> StoredObject:
    with store.write(bucket, name, **options) as sink:  # type: ignore[arg-type]
        sink.write(content)
    return sink.stored


def fail_after(sink: ObjectWriter, content: bytes) -> None:
    sink.write(content)
    raise BrokenPipeError  # an OSError of the caller's own is not the store's


def get(store: ObjectStore, ref: ObjectRef) -> bytes:
    with store.open(ref) as file:
        return file.read()


def names_in(store: ObjectStore, bucket: Bucket, prefix: str = "", after: str = "") -> list[str]:
    return [stored.ref.name for stored in store.list(bucket, prefix, after)]


def md5_of(content: bytes) -> str:
    return b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


# --- Writing and reading -------------------------------------------------------------------------


def test_what_is_written_is_found(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    stored = put(
        store, "raw", "flights/a.csv", b"a,b\n", content_type="text/csv", metadata={"k": "v"}
    )
    assert (stored.ref.bucket, stored.ref.name) == ("raw", "flights/a.csv")
    assert (stored.size, stored.content_type, stored.metadata) == (4, "text/csv", {"k": "v"})
    assert stored.md5 == md5_of(b"a,b\n")
    assert before < stored.created < datetime.now(UTC) + timedelta(seconds=5)
    assert store.stat("raw", "flights/a.csv") == stored
    assert store.stat("raw", "flights/a.csv", stored.ref.generation) == stored
    assert list(store.list("raw")) == [stored]
    assert get(store, stored.ref) == b"a,b\n"


def test_an_object_may_be_empty(store: ObjectStore) -> None:
    with store.write("staged", "empty") as sink:
        pass
    assert sink.stored.size == 0
    assert get(store, sink.stored.ref) == b""
    replaced = put(store, "staged", "empty", b"", replace=True)
    assert replaced.ref.generation > sink.stored.ref.generation
    assert get(store, replaced.ref) == b""


def test_the_content_type_is_bytes_by_default(store: ObjectStore) -> None:
    assert put(store, "staged", "a").content_type == "application/octet-stream"


def test_a_big_object_is_written_in_pieces_of_any_size(store: ObjectStore) -> None:
    content = random.Random(1).randbytes(BIG)
    with store.write("staged", "big") as sink:
        sink.write(content[:1])
        sink.write(content[1 : 17 << 20])
        sink.write(b"")
        sink.write(memoryview(content)[17 << 20 :])  # type: ignore[arg-type]
    assert (sink.stored.size, sink.stored.md5) == (BIG, md5_of(content))
    assert get(store, sink.stored.ref) == content


def test_buckets_are_apart(store: ObjectStore) -> None:
    refs = [put(store, bucket, "a", bucket.encode()).ref for bucket in BUCKETS]
    assert [get(store, ref) for ref in refs] == [bucket.encode() for bucket in BUCKETS]
    assert len({store.bucket_name(bucket) for bucket in BUCKETS}) == 4


def test_an_unknown_bucket_is_refused(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="buckets"):
        store.stat("../raw", "a")  # type: ignore[arg-type]


# --- Creating once, replacing, generations -------------------------------------------------------


def test_what_exists_is_not_created_again(store: ObjectStore) -> None:
    first = put(store, "staged", "a", b"first")
    with pytest.raises(ObjectExists) as caught:
        put(store, "staged", "a", b"second")
    assert caught.value.fields == {"bucket": "staged", "name": "a"}
    assert store.stat("staged", "a") == first
    assert get(store, first.ref) == b"first"


def test_what_exists_is_not_created_again_with_a_big_body(store: ObjectStore) -> None:
    first = put(store, "staged", "a", b"first")
    with pytest.raises(ObjectExists):
        put(store, "staged", "a", bytes(BIG))
    assert store.stat("staged", "a") == first


def test_a_replacement_is_a_greater_generation(store: ObjectStore) -> None:
    generations = [
        put(store, "staged", "a", b"%d" % n, replace=True).ref.generation for n in range(5)
    ]
    assert generations == sorted(set(generations))
    live = store.stat("staged", "a")
    assert live is not None
    assert live.ref.generation == generations[-1]
    assert get(store, live.ref) == b"4"


def test_raw_generations_stay_readable_when_replaced_and_deleted(store: ObjectStore) -> None:
    first = put(store, "raw", "a", b"first")
    second = put(store, "raw", "a", b"second", replace=True)
    assert store.delete(second.ref)
    assert store.stat("raw", "a") is None
    third = put(store, "raw", "a", b"third")
    for stored, content in [(first, b"first"), (second, b"second"), (third, b"third")]:
        assert store.stat("raw", "a", stored.ref.generation) == stored
        assert get(store, stored.ref) == content
    assert list(store.list("raw")) == [third]


def test_a_generation_is_never_used_again(store: ObjectStore) -> None:
    first = put(store, "staged", "a")
    assert store.delete(first.ref)
    assert put(store, "staged", "a").ref.generation > first.ref.generation


def test_only_the_live_generation_is_deleted_and_only_by_its_number(store: ObjectStore) -> None:
    first = put(store, "staged", "a", b"first")
    second = put(store, "staged", "a", b"second", replace=True)
    assert not store.delete(first.ref)
    assert store.stat("staged", "a") == second
    assert store.delete(second.ref)
    assert not store.delete(second.ref)
    assert store.stat("staged", "a") is None
    assert names_in(store, "staged") == []


def test_a_reader_keeps_its_generation_while_it_is_replaced(store: ObjectStore) -> None:
    first = put(store, "raw", "a", b"1" * BIG)
    with store.open(first.ref) as file:
        begin = file.read(1000)
        put(store, "raw", "a", b"2" * BIG, replace=True)
        assert begin + file.read() == b"1" * BIG


# --- Missing things ------------------------------------------------------------------------------


def test_missing_things_are_values(store: ObjectStore) -> None:
    stored = put(store, "raw", "a")
    assert store.stat("raw", "none") is None
    assert store.stat("raw", "none", 1) is None
    assert store.stat("raw", "a", stored.ref.generation + 1) is None
    assert store.stat("staged", "a", stored.ref.generation) is None
    assert not store.delete(ObjectRef("raw", "none", 1))
    assert names_in(store, "quarantine") == []


@pytest.mark.parametrize("name", ["none", "a"])
def test_opening_what_is_missing_raises(store: ObjectStore, name: str) -> None:
    put(store, "raw", "a")
    with pytest.raises(ObjectMissing) as caught:
        store.open(ObjectRef("raw", name, 17))
    assert caught.value.fields == {"bucket": "raw", "name": name, "generation": 17}


# --- Appearing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, BIG])
@pytest.mark.parametrize("replace", [False, True])
def test_a_failing_body_leaves_nothing(store: ObjectStore, size: int, replace: bool) -> None:
    with pytest.raises(BrokenPipeError), store.write("raw", "a", replace=replace) as sink:
        fail_after(sink, bytes(size))
    assert store.stat("raw", "a") is None
    assert names_in(store, "raw") == []
    assert put(store, "raw", "a", b"whole").size == 5


def test_an_object_appears_when_its_context_is_left(store: ObjectStore) -> None:
    with store.write("raw", "a") as sink:
        for _ in range(5):
            sink.write(bytes(BIG // 5))
            assert store.stat("raw", "a") is None
            assert names_in(store, "raw") == []
    assert store.stat("raw", "a") == sink.stored


def test_readers_see_whole_objects_only(store: ObjectStore) -> None:
    put(store, "staged", "a", b"0" * 300_000)
    finished = threading.Event()

    def write() -> None:
        try:
            for n in range(1, 10):
                with store.write("staged", "a", replace=True) as sink:
                    for _ in range(3):
                        sink.write(b"%d" % n * 100_000)
        finally:
            finished.set()

    seen = set()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not finished.is_set():
            stored = store.stat("staged", "a")
            assert stored is not None
            try:
                content = get(store, stored.ref)
            except ObjectMissing:
                continue  # replaced in between, and not kept outside raw
            assert content == content[:1] * 300_000
            seen.add(content[:1])
        writing.result()
    assert seen


# --- Races ---------------------------------------------------------------------------------------


def race(count: int, act: Callable[[int], object]) -> list[object]:
    """What `count` threads that start together return, or the errors that they raise."""
    barrier = threading.Barrier(count)

    def run(number: int) -> object:
        barrier.wait(60)
        try:
            return act(number)
        except ObjectExists as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_of_32_concurrent_creations_one_wins(store: ObjectStore) -> None:
    outcomes = race(32, lambda number: put(store, "raw", "a", b"%02d" % number * 50_000))
    winners = [outcome for outcome in outcomes if isinstance(outcome, StoredObject)]
    assert len(winners) == 1
    assert store.stat("raw", "a") == winners[0]
    assert get(store, winners[0].ref) == b"%02d" % outcomes.index(winners[0]) * 50_000


def test_concurrent_replacements_are_generations_of_their_own(store: ObjectStore) -> None:
    outcomes = race(8, lambda number: put(store, "raw", "a", b"%d" % number, replace=True))
    written = {
        stored.ref.generation: (stored, b"%d" % number)
        for number, stored in enumerate(outcomes)
        if isinstance(stored, StoredObject)
    }
    assert len(written) == 8
    assert store.stat("raw", "a") == written[max(written)][0]
    for stored, content in written.values():
        assert get(store, stored.ref) == content


def test_of_concurrent_deletions_one_wins(store: ObjectStore) -> None:
    stored = put(store, "staged", "a")
    assert sorted(map(bool, race(8, lambda _: store.delete(stored.ref)))) == [False] * 7 + [True]


# --- Listing -------------------------------------------------------------------------------------


def test_listing_is_in_the_order_of_utf8_with_prefix_and_after(store: ObjectStore) -> None:
    names = ["a", "a!b", "a/", "a/b", "a/b/c", "a0", "aé", "a\U0001f600", "a\uffff", "b", "B"]
    for name in names:
        put(store, "reports", name)
    expected = sorted(names, key=str.encode)
    assert names_in(store, "reports") == expected
    for prefix in ["a", "a/", "a/b", "aé", "b", "none", "a/b/c/d"]:
        found = names_in(store, "reports", prefix)
        assert found == [name for name in expected if name.startswith(prefix)]
    for after in [*names, "a/a", "", "zzz", "a/zzz"]:
        found = names_in(store, "reports", after=after)
        assert found == [name for name in expected if name.encode() > after.encode()]
    assert names_in(store, "reports", "a/", "a/b") == ["a/b/c"]


def test_listing_goes_on_over_a_thousand_objects(store: ObjectStore) -> None:
    names = [f"many/{number % 7}/{number:05}" for number in range(1_050)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: put(store, "staged", name, b""), names))
    assert names_in(store, "staged") == sorted(names)
    listing = store.list("staged", after="many/3/00003")
    assert next(listing).ref.name == "many/3/00010"


def test_every_raw_generation_is_listed_when_asked_for(store: ObjectStore) -> None:
    a = [put(store, "raw", "a", b"%d" % n, replace=True) for n in range(3)]
    below = [put(store, "raw", "a/b", b"%d" % n, replace=True) for n in range(2)]
    deleted = put(store, "raw", "a!b")
    assert store.delete(deleted.ref)
    again = put(store, "raw", "a!b", b"again")
    gone = put(store, "raw", "gone", b"gone", metadata={"k": "v"})
    assert store.delete(gone.ref)
    every = [*a, deleted, again, *below, gone]

    assert list(store.list("raw", generations=True)) == every
    assert list(store.list("raw", "a/", generations=True)) == below
    assert list(store.list("raw", after="a!b", generations=True)) == [*below, gone]
    assert list(store.list("raw", "a", "a", generations=True)) == [deleted, again, *below]
    assert list(store.list("raw", "none", generations=True)) == []
    assert list(store.list("raw")) == [a[-1], again, below[-1]]
    assert [get(store, each.ref) for each in a] == [b"0", b"1", b"2"]


def test_a_generation_under_way_is_not_listed(store: ObjectStore) -> None:
    first = put(store, "raw", "a", b"first")
    with store.write("raw", "a", replace=True) as sink:
        sink.write(b"second")
        assert list(store.list("raw", generations=True)) == [first]
    assert list(store.list("raw", generations=True)) == [first, sink.stored]


def test_listing_generations_goes_on_over_a_thousand(store: ObjectStore) -> None:
    written: dict[str, list[StoredObject]] = {f"many/{number}": [] for number in range(4)}

    def write(name: str) -> None:
        for _ in range(260):
            written[name].append(put(store, "raw", name, b"", replace=True))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, written))
    assert list(store.list("raw", generations=True)) == [
        stored for name in sorted(written) for stored in written[name]
    ]


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: ascii(name[:20]))
def test_any_name_is_just_a_name(store: ObjectStore, name: str) -> None:
    stored = put(store, "raw", name, name.encode())
    assert stored.ref.name == name
    assert store.stat("raw", name) == stored
    assert get(store, stored.ref) == name.encode()
    assert names_in(store, "raw") == [name]
    assert store.delete(stored.ref)
    assert names_in(store, "raw") == []


def test_odd_names_live_side_by_side(store: ObjectStore) -> None:
    refs = [put(store, "staged", name, name.encode()).ref for name in ODD_NAMES]
    assert names_in(store, "staged") == sorted(ODD_NAMES, key=str.encode)
    assert list(store.list("staged", generations=True)) == list(store.list("staged"))
    assert [get(store, ref) for ref in refs] == [name.encode() for name in ODD_NAMES]
    assert len({store.uri(ref) for ref in refs}) == len(ODD_NAMES)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a\nb", "a\rb", "a\0b", "x" * 1025, "é" * 513, "\ud800"], ids=ascii
)
def test_what_cannot_be_a_name_is_refused(store: ObjectStore, name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - UnicodeEncodeError has no message of ours
        store.stat("raw", name)
    with pytest.raises(ValueError):  # noqa: PT011
        put(store, "raw", name)


names = st.text(
    st.one_of(
        st.sampled_from("ab./%~+@-_A é\x01"),
        st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=40,
).filter(lambda name: name not in (".", ".."))


@examples(20, HealthCheck.function_scoped_fixture)
@given(wanted=st.sets(names, max_size=12), prefix=names, after=names)
def test_names_come_back_in_order(
    store: ObjectStore, wanted: set[str], prefix: str, after: str
) -> None:
    refs = [put(store, "quarantine", name).ref for name in wanted]
    try:
        expected = sorted(wanted, key=str.encode)
        assert names_in(store, "quarantine") == expected
        assert names_in(store, "quarantine", prefix[:1], after) == [
            name
            for name in expected
            if name.startswith(prefix[:1]) and name.encode() > after.encode()
        ]
    finally:
        for ref in refs:
            assert store.delete(ref)


# --- Reading in any order ------------------------------------------------------------------------


@examples(20, HealthCheck.function_scoped_fixture)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END, None]),
            st.integers(0, 5_000_000),
            st.integers(-1, 3_000_000),
        ),
        max_size=8,
    )
)
def test_a_reader_seeks_like_a_file(
    store: ObjectStore, steps: list[tuple[int | None, int, int]]
) -> None:
    content = random.Random(2).randbytes(4_000_000)
    stored = store.stat("raw", "seek") or put(store, "raw", "seek", content)
    plain = io.BytesIO(content)
    with store.open(stored.ref) as file:
        assert file.seekable()
        for whence, offset, count in steps:
            if whence is not None:
                step = -min(offset, plain.tell()) if whence == io.SEEK_CUR else offset
                step = -min(offset, len(content)) if whence == io.SEEK_END else step
                assert file.seek(step, whence) == plain.seek(step, whence)
            assert file.read(count) == plain.read(count)
            assert file.tell() == plain.tell()
    assert file.closed


def test_content_comes_as_it_was_stored(store: ObjectStore) -> None:
    import gzip

    content = gzip.compress(b"a,b\n" * 1000)
    stored = put(store, "raw", "a.csv.gz", content, content_type="text/csv")
    assert get(store, stored.ref) == content


# --- Size ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_gibibyte_is_streamed_in_bounded_memory(
    store: ObjectStore, request: pytest.FixtureRequest
) -> None:
    """In a process of its own, so that only its memory counts; that inherits the environment."""
    if request.node.callspec.params["store"] == "fake_gcs":
        pytest.skip("fake-gcs-server copies all that it has of an upload with each chunk")
    if request.node.callspec.params["store"] == "gcs":
        url = str(request.getfixturevalue("gcs_url"))
    else:
        url = store.uri(ObjectRef("staged", "a.b", 1)).removesuffix("/staged/a.b")
    command = [sys.executable, "-m", "tests.adapters.big_object", url, "1024"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200
    stored = store.stat("staged", "big.bin")
    assert stored is not None
    assert store.delete(stored.ref)
