"""One suite for the EventLog, over every adapter and the fake."""

from __future__ import annotations

import base64
import itertools
import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from eventpulse.errors import RequestRefused
from eventpulse.ports import (
    Append,
    Claim,
    Conflict,
    EventLog,
    Head,
    Json,
    NewEvent,
    Query,
)
from tests.adapters.log_cases import KIND, expect, fill, streams_of, walk
from tests.properties import examples

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MADE = NewEvent("made")


def append(log: EventLog, stream: str, *types: str, **projection: Json) -> Conflict | None:
    """Read the head, then add events of these types to it."""
    events = [NewEvent(type_) for type_ in types]
    return log.commit([Append(log.head(stream), events, projection)], at=NOW)


# --- Versions ------------------------------------------------------------------------------------


def test_a_stream_that_does_not_exist_is_at_version_zero(log: EventLog) -> None:
    assert log.head("probe/none") == Head("probe/none", 0, {})
    assert log.read("probe/none") == []


def test_versions_run_without_gaps(log: EventLog) -> None:
    assert append(log, "probe/a", "one", "two", n=2) is None
    assert append(log, "probe/a", "three", n=3) is None
    assert [(e.version, e.type) for e in log.read("probe/a")] == [
        (1, "one"),
        (2, "two"),
        (3, "three"),
    ]
    assert log.head("probe/a").version == 3
    assert log.head("probe/a").projection == {"n": 3}


def test_events_after_a_version_are_read(log: EventLog) -> None:
    append(log, "probe/a", *(str(number) for number in range(1, 13)))
    assert [event.version for event in log.read("probe/a", after=9)] == [10, 11, 12]
    assert log.read("probe/a", after=12) == []
    assert log.read("probe/a", after=99) == []


def test_an_event_keeps_time_cause_data_and_writer(log: EventLog) -> None:
    cause = {"request_id": "r-1", "traceparent": "00-a-b-01", "actor": "amélie"}
    at = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    events = [NewEvent("one", {"x": [1, {"y": None}]}), NewEvent("two")]
    head = log.head("probe/a")
    assert log.commit([Append(head, events, {})], at=at, cause=cause) is None
    one, two = log.read("probe/a")
    assert (one.stream, one.type, one.data) == ("probe/a", "one", {"x": [1, {"y": None}]})
    assert (two.type, two.data) == ("two", {})
    assert one.at == two.at == NOW
    assert one.at.utcoffset() == timedelta(0)
    assert type(one.at) is datetime
    assert one.cause == two.cause == cause
    assert one.writer == two.writer != ""


def test_each_commit_has_a_writer_of_its_own(log: EventLog) -> None:
    append(log, "probe/a", "one")
    append(log, "probe/a", "two")
    one, two = log.read("probe/a")
    assert one.writer != two.writer


def test_a_stale_version_conflicts_and_changes_nothing(log: EventLog) -> None:
    append(log, "probe/a", "one", n=1)
    stale = log.head("probe/a")
    append(log, "probe/a", "two", n=2)
    conflict = log.commit([Append(stale, [MADE], {"n": 9})], [Claim("c")], at=NOW)
    assert conflict == Conflict("stream", "probe/a")
    assert log.head("probe/a").projection == {"n": 2}
    assert len(log.read("probe/a")) == 2
    assert log.claim("c") is None


def test_a_stream_is_begun_once(log: EventLog) -> None:
    head = log.head("probe/a")
    assert log.commit([Append(head, [MADE], {"n": 1})], at=NOW) is None
    assert log.commit([Append(head, [MADE], {"n": 2})], at=NOW) == Conflict("stream", "probe/a")
    assert log.head("probe/a").projection == {"n": 1}


def test_several_streams_are_written_together_or_not_at_all(log: EventLog) -> None:
    heads = log.heads(["probe/a", "probe/b", "other/c"])
    assert log.commit([Append(head, [MADE], {"n": 1}) for head in heads], at=NOW) is None
    a, b, c = log.heads(["probe/a", "probe/b", "other/c"])
    append(log, "probe/b", "meanwhile", n=2)
    appends = [Append(head, [MADE, MADE], {"n": 3}) for head in (a, b, c)]
    assert log.commit(appends, at=NOW) == Conflict("stream", "probe/b")
    assert [head.version for head in log.heads(["probe/a", "probe/b", "other/c"])] == [1, 2, 1]
    assert [len(log.read(name)) for name in ("probe/a", "probe/b", "other/c")] == [1, 2, 1]


def test_a_projection_is_replaced_whole(log: EventLog) -> None:
    append(log, "probe/a", "one", keep=1, drop={"x": 1}, change={"a": 1, "b": 2})
    append(log, "probe/a", "two", keep=1, change={"a": 3})
    assert log.head("probe/a").projection == {"keep": 1, "change": {"a": 3}}


def test_an_append_without_events_replaces_the_projection_only(log: EventLog) -> None:
    append(log, "probe/a", "one", n=1)
    stale = log.head("probe/a")
    assert append(log, "probe/a", n=2) is None
    head = log.head("probe/a")
    assert (head.version, head.projection) == (1, {"n": 2})
    assert len(log.read("probe/a")) == 1
    for events in ([], [MADE]):
        conflict = log.commit([Append(stale, events, {"n": 9})], at=NOW)
        assert conflict == Conflict("stream", "probe/a")
    assert append(log, "probe/a", "two", n=3) is None
    assert log.head("probe/a").version == 2


def test_writing_the_same_projection_again_spends_the_head(log: EventLog) -> None:
    append(log, "probe/a", "one", n=1)
    head = log.head("probe/a")
    assert log.commit([Append(head, [], {"n": 1})], at=NOW) is None
    assert log.commit([Append(head, [], {"n": 1})], at=NOW) == Conflict("stream", "probe/a")


def test_heads_come_in_the_order_asked(log: EventLog) -> None:
    append(log, "probe/a", "one", n=1)
    append(log, "other/b", "one", "two", n=2)
    heads = log.heads(["other/b", "probe/none", "probe/a", "other/b"])
    assert [(head.stream, head.version) for head in heads] == [
        ("other/b", 2),
        ("probe/none", 0),
        ("probe/a", 1),
        ("other/b", 2),
    ]
    assert heads[0] == heads[3]
    assert log.heads([]) == []


# --- Claims --------------------------------------------------------------------------------------


def test_a_claim_is_made_once(log: EventLog) -> None:
    head = log.head("probe/a")
    assert log.commit([Append(head, [MADE], {})], [Claim("k", {"by": "a"})], at=NOW) is None
    other = log.head("probe/b")
    conflict = log.commit([Append(other, [MADE], {})], [Claim("k", {"by": "b"})], at=NOW)
    assert conflict == Conflict("claim", "k")
    assert log.claim("k") == {"by": "a"}
    assert log.head("probe/b").version == 0
    assert log.read("probe/b") == []


def test_claims_need_no_streams(log: EventLog) -> None:
    assert log.commit([], [Claim("k1"), Claim("k2", {"n": [1]})], at=NOW) is None
    assert log.commit([], [Claim("k3"), Claim("k2")], at=NOW) == Conflict("claim", "k2")
    assert [log.claim(key) for key in ("k1", "k2", "k3")] == [{}, {"n": [1]}, None]


@pytest.mark.parametrize(
    "key", ["", ".", "a/b", "__x__", "x" * 5000, "ключ\n\x00", "\ud800", "gs://b/a b%2F?#"]
)
def test_any_text_is_a_claim_key(log: EventLog, key: str) -> None:
    assert log.claim(key) is None
    assert log.commit([], [Claim(key, {"n": 1})], at=NOW) is None
    assert log.commit([], [Claim(key)], at=NOW) == Conflict("claim", key)
    assert log.claim(key) == {"n": 1}


# --- Races ---------------------------------------------------------------------------------------


def race(number: int, work: Callable[[int], Any]) -> list[Any]:
    """The results of `number` threads that start together."""
    barrier = threading.Barrier(number)

    def run(index: int) -> Any:
        barrier.wait(30)
        return work(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


@pytest.mark.parametrize("version", [0, 1])
def test_of_32_commits_at_one_version_one_wins(log: EventLog, version: int) -> None:
    if version:
        append(log, "probe/a", "one", n=-1)
    head = log.head("probe/a")

    def commit(index: int) -> Conflict | None:
        own = log.head(f"probe/own-{index}")
        appends = [Append(own, [MADE], {}), Append(head, [MADE, MADE], {"n": index})]
        return log.commit(appends, at=NOW)

    results = race(32, commit)
    assert results.count(None) == 1
    assert results.count(Conflict("stream", "probe/a")) == 31
    winner = results.index(None)
    assert log.head("probe/a").projection == {"n": winner}
    assert log.head("probe/a").version == version + 2
    assert [e.version for e in log.read("probe/a")] == list(range(1, version + 3))
    owned = [head.version for head in log.heads([f"probe/own-{i}" for i in range(32)])]
    assert owned == [int(index == winner) for index in range(32)]


def test_of_32_commits_of_one_claim_one_wins(log: EventLog) -> None:
    results = race(
        32,
        lambda index: log.commit(
            [Append(Head(f"probe/{index}", 0, {}), [MADE], {})], [Claim("k", {"n": index})], at=NOW
        ),
    )
    assert results.count(None) == 1
    assert results.count(Conflict("claim", "k")) == 31
    winner = results.index(None)
    assert log.claim("k") == {"n": winner}
    assert [i for i in range(32) if log.head(f"probe/{i}").version] == [winner]


def test_no_update_is_lost(log: EventLog) -> None:
    """Commits over two streams in either order, read and tried again until each was made."""

    def add(index: int) -> int:
        names = ["probe/x", "probe/y"] if index % 2 else ["probe/y", "probe/x"]
        for attempt in itertools.count(1):
            appends = [
                Append(head, [MADE], {"n": int(str(head.projection.get("n", 0))) + 1})
                for head in log.heads(names)
            ]
            if log.commit(appends, at=NOW) is None:
                return attempt
        raise AssertionError

    attempts = race(12, add)
    assert sum(attempts) >= 12
    for name in ("probe/x", "probe/y"):
        assert log.head(name).projection == {"n": 12}
        events = log.read(name)
        assert [event.version for event in events] == list(range(1, 13))
        assert len({event.writer for event in events}) == 12


# --- Values --------------------------------------------------------------------------------------

AWKWARD: dict[str, Json] = {
    "nested": [[1, [2, []]], {}, [{"a.b": {"`": None}}]],
    "dotted.key": {"x.y": 1, "": 2, "__name__": 3},
    "numbers": [0, -1, 2**63 - 1, -(2**63), 2**70, 0.1, 1e300, -0.0],
    "flags": [True, False, None],
    "text": "é 漢 😀 \x00\x01\x1f \u2028 \ud800 \uffff 'quoted\" \\u0000 %s {}",
    "big": 2**80,
    "fraction": 0.5,
    "": "empty name",
    "Ключ": "a name that no query uses",
}


def test_documents_come_back_as_they_were(log: EventLog) -> None:
    head = log.head("probe/a")
    appends = [Append(head, [NewEvent("made", AWKWARD)], AWKWARD)]
    assert log.commit(appends, [Claim("k", AWKWARD)], at=NOW) is None
    (event,) = log.read("probe/a")
    for found in (event.data, log.head("probe/a").projection, log.claim("k")):
        assert found == AWKWARD
        assert isinstance(found, dict)
        assert [type(flag) for flag in found["flags"]] == [bool, bool, type(None)]


def test_a_document_of_a_million_bytes_is_kept(log: EventLog) -> None:
    text = "é漢😀x" * 99_990
    assert 990_000 < len(text.encode()) < 1_000_000
    head = log.head("probe/a")
    assert log.commit([Append(head, [NewEvent("made", {"t": text})], {"t": text})], at=NOW) is None
    assert log.head("probe/a").projection == {"t": text}
    assert log.read("probe/a")[0].data == {"t": text}


@pytest.mark.parametrize("value", ["x" * 1_000_000, float("nan"), float("inf")])
def test_what_no_document_can_hold_is_refused(log: EventLog, value: Json) -> None:
    head = log.head("probe/a")
    with pytest.raises(ValueError, match=r"above the 1,000,000|not JSON compliant"):
        log.commit([Append(head, [NewEvent("made", {"v": value})], {})], at=NOW)
    assert log.head("probe/a").version == 0


def test_400_documents_are_committed_at_once(log: EventLog) -> None:
    heads = log.heads([f"probe/{number}" for number in range(200)])
    appends = [Append(head, [MADE], {"n": 1}) for head in heads]
    with pytest.raises(ValueError, match="401 documents"):
        log.commit(appends, [Claim("one more")], at=NOW)
    assert log.commit(appends, at=NOW) is None
    assert {head.version for head in log.heads([head.stream for head in heads])} == {1}


def test_nine_megabytes_are_committed_at_once(log: EventLog) -> None:
    heads = log.heads([f"probe/{number}" for number in range(10)])
    wide: dict[str, Json] = {"wide": ["x" * 899_000]}
    appends = [Append(head, [MADE], wide) for head in heads]
    with pytest.raises(ValueError, match=r"bytes in one commit; 9,000,000 are allowed"):
        log.commit(appends, [Claim("and more", {"v": "x" * 10_000})], at=NOW)
    assert log.commit(appends, at=NOW) is None
    assert {head.version for head in log.heads([head.stream for head in heads])} == {1}


STRANGE_IDS = ["", ".", "..", "__x__", "a b", "%2F", "\x00", "\x01", "\x01\x01", "é😀", "x" * 394]


@pytest.mark.parametrize("identity", STRANGE_IDS)
def test_any_text_without_a_slash_is_an_id(log: EventLog, identity: str) -> None:
    stream = f"probe/{identity}"
    assert append(log, stream, "one", "two", run="r") is None
    assert log.head(stream).version == 2
    assert {event.stream for event in log.read(stream)} == {stream}
    assert streams_of(log.query(fill("all", "r"), limit=9).heads) == [stream]


@pytest.mark.parametrize(
    "stream", ["probe", "probe/a/b", "/a", "Probe/a", "", "probe/" + "x" * 395, "probe/\ud800"]
)
def test_what_is_no_stream_is_missing_and_cannot_be_written(log: EventLog, stream: str) -> None:
    assert log.head(stream) == Head(stream, 0, {})
    assert log.read(stream) == []
    with pytest.raises(ValueError, match="no stream's name"):
        log.commit([Append(Head(stream, 0, {}), [MADE], {})], at=NOW)


def test_mistakes_of_the_caller_are_refused(log: EventLog) -> None:
    append(log, "probe/a", "one")
    head, new = log.head("probe/a"), log.head("probe/b")
    twice = [Append(head, [MADE], {}), Append(head, [MADE], {})]
    with pytest.raises(ValueError, match="named twice"):
        log.commit(twice, at=NOW)
    with pytest.raises(ValueError, match="named twice"):
        log.commit([], [Claim("k"), Claim("k")], at=NOW)
    with pytest.raises(ValueError, match="begins with an event"):
        log.commit([Append(new, [], {})], at=NOW)
    with pytest.raises(ValueError, match="not as it was read"):
        log.commit([Append(Head("probe/a", 1, {}), [MADE], {})], at=NOW)
    with pytest.raises(ValueError, match="time zone"):
        log.commit([Append(new, [MADE], {})], at=NOW.replace(tzinfo=None))
    assert log.head("probe/a").version == 1
    assert log.head("probe/b").version == 0


# --- Queries -------------------------------------------------------------------------------------

# Text whose order differs between code points, UTF-16 units, UTF-8 bytes and human collations.
TEXTS = st.sampled_from(
    ["", "A", "B", "a", "a\x00", "a\x01", "a ", "aa", "é", "z", "~", "\uffff", "😀", "\x00", "\x01"]
)
STATES = st.sampled_from([None, "", "a", "loaded", "1", 1, 0, True, False, -(2**63), 2**63 - 1])
DOCUMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "state": STATES,
            "created": st.none() | TEXTS,
            "path": st.none() | TEXTS,
            "size": st.none() | st.integers(-3, 120) | STATES,
        }
    ),
    max_size=12,
)
ASKED = st.one_of(
    st.tuples(st.sampled_from(["all", "oldest", "newest", "mixed", "largest"]), st.just({})),
    st.tuples(st.just("by_state"), st.fixed_dictionaries({"state": st.lists(STATES, min_size=1)})),
    st.tuples(
        st.sampled_from(["by_states", "newest_by_states", "largest_by_states"]),
        st.fixed_dictionaries({"state": st.tuples(st.lists(STATES, max_size=5))}),
    ),
    st.tuples(
        st.sampled_from(["created_between", "created_within", "smallest_within"]),
        st.fixed_dictionaries({"created": st.tuples(TEXTS, TEXTS)}),
    ),
    st.tuples(
        st.sampled_from(["created_before", "created_until"]),
        st.fixed_dictionaries({"created": st.tuples(TEXTS)}),
    ),
)


@examples(40, HealthCheck.function_scoped_fixture)
@given(documents=DOCUMENTS, asked=st.lists(ASKED, min_size=1, max_size=4), limit=st.integers(1, 5))
def test_queries_answer_as_plain_python_does(
    log: EventLog, documents: list[dict[str, Json]], asked: list[tuple[str, Any]], limit: int
) -> None:
    run = uuid.uuid4().hex
    projections: dict[str, dict[str, Json]] = {
        f"{KIND}/{run[: 1 + number % 3]}{number % 2}-{number}-{run}": {"run": run, **fields}
        for number, fields in enumerate(documents)
    }
    if projections:
        appends = [Append(Head(n, 0, {}), [MADE], fields) for n, fields in projections.items()]
        assert log.commit(appends, at=NOW) is None
    for name, values in asked:
        query = fill(name, run, **values)
        expected = expect(query, projections)
        assert walk(log, query, limit) == expected
        assert log.count(query) == len(expected)


def test_a_page_holds_heads_that_can_be_appended_to(log: EventLog) -> None:
    append(log, "probe/a", "one", run="r", nested={"x": [1]})
    (head,) = log.query(fill("all", "r"), limit=5).heads
    assert head == log.head("probe/a")
    assert log.commit([Append(head, [MADE], {"run": "r"})], at=NOW) is None


def test_a_query_sees_one_kind_and_the_current_projection_only(log: EventLog) -> None:
    append(log, "probe/a", "one", run="r", state="old", created="1")
    append(log, "other/b", "one", run="r", state="old", created="1")
    append(log, "probe/a", "two", run="r", state="new", created="2")
    assert log.count(fill("by_state", "r", state=["old"])) == 0
    assert streams_of(log.query(fill("newest", "r"), limit=5).heads) == ["probe/a"]


def test_pages_go_on_while_streams_are_added(log: EventLog) -> None:
    def add(names: str) -> None:
        for name in names:
            append(log, f"probe/{name}", "one", run="r", created="same")

    add("bdfhj")
    query = fill("newest", "r")
    page = log.query(query, limit=2)
    assert streams_of(page.heads) == ["probe/j", "probe/h"]
    add("aegik")
    names = []
    while page.cursor is not None:
        page = log.query(query, limit=2, cursor=page.cursor)
        names += streams_of(page.heads)
    assert names == [f"probe/{name}" for name in "gfedba"]


def test_the_last_page_has_no_cursor(log: EventLog) -> None:
    assert log.query(fill("newest", "none"), limit=2).cursor is None
    for name in "ab":
        append(log, f"probe/{name}", "one", run="r", created="1")
    assert log.query(fill("newest", "r"), limit=2).cursor is None
    assert log.query(fill("newest", "r"), limit=1).cursor is not None


def forge(cursor: str, value: Json) -> str:
    """The cursor with another value of its ordered field."""
    fingerprint, _, stream = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    text = json.dumps([fingerprint, [value], stream])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_figures_are_ordered_as_numbers_and_none_comes_first(log: EventLog) -> None:
    sizes = {"a": 9, "b": 10, "c": None, "d": 100, "e": -1, "f": 10}
    for name, size in sizes.items():
        append(log, f"probe/{name}", "one", run="r", size=size, created=name)
    assert walk(log, fill("largest", "r"), 2) == [f"probe/{name}" for name in "dfbaec"]
    within = fill("smallest_within", "r", created=("b", "f"))
    assert walk(log, within, 1) == [f"probe/{name}" for name in "cebd"]


def test_cursors_that_are_none_are_refused(log: EventLog) -> None:
    for name in "abc":
        append(log, f"probe/{name}", "one", run="r", created="1", path="p", state="s")
    query = fill("newest", "r")
    cursor = log.query(query, limit=1).cursor
    assert cursor is not None
    other = log.query(fill("oldest", "r"), limit=1).cursor
    longer = log.query(fill("mixed", "r"), limit=1).cursor
    beyond = forge(cursor, 2**63)
    for wrong in (
        *("", "x", "%%%", cursor[:-3], cursor + "!", cursor[::-1], "bnVsbA"),
        *(other, longer, beyond, forge(cursor, 0.5), forge(cursor, ["1"])),
    ):
        with pytest.raises(RequestRefused) as refused:
            log.query(query, limit=1, cursor=wrong)
        assert (refused.value.status, refused.value.code) == (400, "invalid_cursor")
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert streams_of(log.query(query, limit=1, cursor=cursor).heads) == ["probe/b"]


def test_text_too_long_to_be_compared_counts_as_none(log: EventLog) -> None:
    append(log, "probe/a", "one", run="r", state="x" * 1_100, created="1")
    append(log, "probe/b", "one", run="r", state="x" * 1_101, created="y" * 2_000)
    assert walk(log, fill("by_state", "r", state=["x" * 1_100]), 9) == ["probe/a"]
    assert walk(log, fill("by_state", "r", state=["x" * 1_101]), 9) == []
    assert walk(log, fill("by_states", "r", state=[["x" * 1_101, "x" * 1_100]]), 9) == ["probe/a"]
    assert walk(log, fill("oldest", "r"), 1) == ["probe/b", "probe/a"]
    assert log.head("probe/b").projection["state"] == "x" * 1_101


BAD_QUERIES = [
    (Query("Probe"), "lower-case word"),
    (Query(KIND, (("a.b", "==", 1),)), "lower-case words"),
    (Query(KIND, (("a", "==", 1.5),)), "compare strings, integers"),
    (Query(KIND, (("a", "in", [[1]]),)), "compare strings, integers"),
    (Query(KIND, (("a", "in", "abc"),)), "takes a list"),
    (Query(KIND, (("a", ">", 1),), (("a", "asc"),)), "ranges compare strings"),
    (Query(KIND, (("a", ">", "1"),)), "on ordered fields only"),
    (Query(KIND, (("a", ">", "1"),), (("b", "asc"),)), "on ordered fields only"),
    (Query(KIND, (("a", "==", "1"),), (("a", "asc"),)), "by ranges only"),
    (Query(KIND, (), (("a", "asc"), ("a", "desc"))), "ordered twice"),
    (Query(KIND, (("a", "in", [*range(31)]),)), "more than 30"),
    (Query(KIND, (("a", "in", [*range(6)]), ("b", "in", [*range(6)]))), "more than 30"),
]


@pytest.mark.parametrize(("query", "problem"), BAD_QUERIES)
def test_queries_that_one_lane_cannot_answer_are_refused(
    log: EventLog, query: Query, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        log.query(query, limit=1)
    with pytest.raises(ValueError, match=problem):
        log.count(query)
