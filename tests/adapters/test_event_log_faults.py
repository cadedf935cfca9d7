"""The EventLog when answers are lost, servers restart and processes compete."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlsplit

import psycopg
import pytest
from google.api_core.exceptions import FailedPrecondition
from psycopg import sql

from eventpulse.adapters.log_firestore import FirestoreEventLog, index_file, required_index
from eventpulse.adapters.log_postgres import PostgresEventLog, make_select
from eventpulse.adapters.log_values import decode_cursor
from eventpulse.adapters.postgres import is_transient
from eventpulse.errors import BackendUnavailable, SettingInvalid
from eventpulse.ports import Append, Claim, Conflict, EventLog, Head, Json, NewEvent, Query
from tests.adapters.log_cases import INDEXES, KIND, QUERIES, fill
from tests.postgres_server import PostgresServer
from tests.proxies import GrpcProxy, PostgresProxy, do_nothing

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MADE = NewEvent("made")


class LoseCommit(Protocol):
    """Order the next commit's answer, or the commit itself, to be lost."""

    def __call__(self, *, applied: bool, meanwhile: Callable[[], None] = do_nothing) -> None: ...


@dataclass(frozen=True)
class Faulty:
    """A log behind a proxy, one that reaches the same server directly, and the fault to order."""

    log: EventLog
    direct: EventLog
    lose_commit: LoseCommit


@pytest.fixture(params=["postgres", pytest.param("firestore", marks=pytest.mark.google)])
def faulty(request: pytest.FixtureRequest) -> Faulty:
    found: Faulty = request.getfixturevalue(f"faulty_{request.param}")
    assert found.log.head("probe/none").version == 0  # tables and connections are made
    return found


@pytest.fixture
def faulty_postgres(postgres_server: PostgresServer, postgres_url: str) -> Iterator[Faulty]:
    proxy = PostgresProxy(postgres_server.socket)
    log = PostgresEventLog(proxy.url(urlsplit(postgres_url).path.strip("/")))
    direct = PostgresEventLog(postgres_url)

    def lose_commit(*, applied: bool, meanwhile: Callable[[], None] = do_nothing) -> None:
        proxy.cut("COMMIT", "after" if applied else "before", meanwhile=meanwhile)

    yield Faulty(log, direct, lose_commit)
    assert proxy.pending == 0
    log.close()
    direct.close()
    proxy.close()


@pytest.fixture
def grpc_proxy(firestore_address: str) -> Iterator[GrpcProxy]:
    proxy = GrpcProxy(firestore_address)
    yield proxy
    proxy.close()


@pytest.fixture
def faulty_firestore(
    grpc_proxy: GrpcProxy,
    firestore_log: FirestoreEventLog,
    firestore_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Faulty]:
    firestore_log.head("probe/none")  # connects to the emulator itself
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", grpc_proxy.address)
    log = FirestoreEventLog(firestore_url, patience=10)

    def lose_commit(*, applied: bool, meanwhile: Callable[[], None] = do_nothing) -> None:
        when = "after" if applied else "before"
        grpc_proxy.fail("Commit", "UNAVAILABLE", when=when, meanwhile=meanwhile)

    yield Faulty(log, firestore_log, lose_commit)
    log.close()


# --- Ambiguous answers ---------------------------------------------------------------------------


@pytest.mark.parametrize("applied", [True, False])
def test_a_commit_whose_answer_is_lost_is_made_once(faulty: Faulty, applied: bool) -> None:
    head = faulty.log.head("probe/a")
    faulty.lose_commit(applied=applied)
    assert faulty.log.commit([Append(head, [MADE], {"n": 1})], [Claim("k")], at=NOW) is None
    assert [event.version for event in faulty.direct.read("probe/a")] == [1]
    assert faulty.direct.head("probe/a").projection == {"n": 1}
    assert faulty.direct.claim("k") == {}


@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_commit_of_a_projection_only_is_made_once(faulty: Faulty, applied: bool) -> None:
    faulty.log.commit([Append(faulty.log.head("probe/a"), [MADE], {"n": 1})], at=NOW)
    head = faulty.log.head("probe/a")
    faulty.lose_commit(applied=applied)
    assert faulty.log.commit([Append(head, [], {"n": 2})], at=NOW) is None
    assert faulty.direct.head("probe/a").projection == {"n": 2}


def test_a_lost_commit_of_a_claim_only_is_made_once(faulty: Faulty) -> None:
    faulty.lose_commit(applied=True)
    assert faulty.log.commit([], [Claim("k", {"by": "us"})], at=NOW) is None
    assert faulty.log.commit([], [Claim("k", {"by": "them"})], at=NOW) == Conflict("claim", "k")


@pytest.mark.parametrize("events", [[MADE], []])
def test_a_lost_commit_is_recognised_after_others_moved_on(
    faulty: Faulty, events: list[NewEvent]
) -> None:
    faulty.log.commit([Append(faulty.log.head("probe/a"), [MADE], {"n": 1})], at=NOW)
    head = faulty.log.head("probe/a")

    def move_on() -> None:
        later = faulty.direct.head("probe/a")
        assert later.projection == {"n": 2}
        assert faulty.direct.commit([Append(later, [MADE], {"n": 3})], at=NOW) is None

    faulty.lose_commit(applied=True, meanwhile=move_on)
    assert faulty.log.commit([Append(head, events, {"n": 2})], at=NOW) is None
    assert faulty.direct.head("probe/a").projection == {"n": 3}
    assert len(faulty.direct.read("probe/a")) == 2 + len(events)


def test_a_commit_that_never_arrived_and_was_overtaken_conflicts(faulty: Faulty) -> None:
    head = faulty.log.head("probe/a")

    def overtake() -> None:
        own = faulty.direct.head("probe/a")
        assert faulty.direct.commit([Append(own, [MADE], {"n": 9})], at=NOW) is None

    faulty.lose_commit(applied=False, meanwhile=overtake)
    conflict = faulty.log.commit([Append(head, [MADE], {"n": 1})], [Claim("k")], at=NOW)
    assert conflict == Conflict("stream", "probe/a")
    assert faulty.direct.head("probe/a").projection == {"n": 9}
    assert len(faulty.direct.read("probe/a")) == 1
    assert faulty.direct.claim("k") is None


@pytest.mark.google
@pytest.mark.parametrize(
    "code", ["ABORTED", "DEADLINE_EXCEEDED", "INTERNAL", "RESOURCE_EXHAUSTED", "UNKNOWN"]
)
def test_every_fault_of_firestore_that_may_pass_is_retried(
    faulty_firestore: Faulty, grpc_proxy: GrpcProxy, code: str
) -> None:
    log = faulty_firestore.log
    log.head("probe/a")
    for method in ("BatchGetDocuments", "RunQuery", "RunAggregationQuery"):
        grpc_proxy.fail(method, code)
    grpc_proxy.fail("Commit", code, times=2, when="after")
    assert log.commit([Append(log.head("probe/a"), [MADE], {"run": "r"})], at=NOW) is None
    assert len(log.read("probe/a")) == 1
    assert len(log.query(fill("all", "r"), limit=2).heads) == log.count(fill("all", "r")) == 1
    assert {"BatchGetDocuments", "RunQuery", "RunAggregationQuery"} < set(grpc_proxy.calls)


@pytest.mark.google
def test_firestore_that_stays_away_is_named_with_the_delay_it_asked_for(
    grpc_proxy: GrpcProxy, firestore_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", grpc_proxy.address)
    log = FirestoreEventLog(firestore_url, patience=0.5)
    head = log.head("probe/a")
    for method in ("Commit", "BatchGetDocuments"):
        grpc_proxy.fail(method, "RESOURCE_EXHAUSTED", times=1000, retry_delay=7.5)
    for operation in (
        lambda: log.head("probe/a"),
        lambda: log.commit([Append(head, [MADE], {})], at=NOW),
    ):
        with pytest.raises(BackendUnavailable) as raised:
            operation()
        assert raised.value.retryable
        assert raised.value.retry_after == 7.5
        assert raised.value.fields["backend"] == "Firestore"
    log.close()


@pytest.mark.google
def test_a_commit_that_was_made_is_success_even_if_every_answer_to_it_is_lost(
    grpc_proxy: GrpcProxy, firestore_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", grpc_proxy.address)
    log = FirestoreEventLog(firestore_url, patience=0.5)
    head = log.head("probe/a")
    grpc_proxy.fail("Commit", "DEADLINE_EXCEEDED", times=1, when="after")
    grpc_proxy.fail("Commit", "DEADLINE_EXCEEDED", times=1000)
    assert log.commit([Append(head, [MADE], {})], at=NOW) is None
    assert log.head("probe/a").version == 1
    log.close()


@pytest.mark.google
def test_a_query_without_its_index_is_the_clients_own_error(
    firestore_log: FirestoreEventLog,
) -> None:
    query = Query(KIND, (("run", "==", "r"),), (("undeclared", "asc"),))
    with pytest.raises(FailedPrecondition, match="requires an index"):
        firestore_log.query(query, limit=1)


# --- Restarts ------------------------------------------------------------------------------------


def test_postgres_restarted_in_the_middle_loses_nothing_acknowledged(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    log = PostgresEventLog(postgres_url)
    made = threading.Semaphore(0)
    stop = threading.Event()

    def write(index: int) -> int:
        for number in itertools.count(1):
            if stop.is_set():
                return number - 1
            head = log.head(f"probe/{index}")
            assert head.version == number - 1
            assert log.commit([Append(head, [MADE], {"n": number})], at=NOW) is None
            made.release()
        raise AssertionError

    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(write, index) for index in range(4)]
        for mode in ("immediate", "fast"):
            for _ in range(40):
                assert made.acquire(timeout=30)
            postgres_server.restart(mode=mode)
        for _ in range(40):
            assert made.acquire(timeout=30)
        stop.set()
        counts = [future.result(60) for future in written]
    assert [head.version for head in log.heads([f"probe/{i}" for i in range(4)])] == counts
    assert [len(log.read(f"probe/{index}")) for index in range(4)] == counts
    log.close()


def test_postgres_that_stays_away_is_unavailable() -> None:
    log = PostgresEventLog("postgresql://127.0.0.1:1/none", patience=0.2)
    with pytest.raises(BackendUnavailable, match=r"Postgres could not read heads: .*refused"):
        log.head("probe/a")


@pytest.mark.parametrize(
    ("state", "may_pass"),
    [
        ("08006", True),
        ("25P03", True),
        ("40001", True),
        ("40P01", True),
        ("53100", True),
        ("53300", True),
        ("57P01", True),
        ("57P03", True),
        ("23505", False),
        ("42P01", False),
        ("57014", False),
        ("28P01", False),
    ],
)
def test_faults_of_postgres_that_may_pass_are_known(state: str, may_pass: bool) -> None:
    assert is_transient(psycopg.errors.lookup(state)("a fault")) is may_pass


def test_a_connection_lost_while_idle_is_not_noticed(postgres_url: str) -> None:
    log = PostgresEventLog(postgres_url)
    log.head("probe/a")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert log.commit([Append(log.head("probe/a"), [MADE], {})], at=NOW) is None
    log.close()


# --- Processes -----------------------------------------------------------------------------------

COMPETITOR = """
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from eventpulse.adapters.log_postgres import PostgresEventLog
from eventpulse.ports import Append, Claim, Head, NewEvent
from tests.adapters.log_cases import QUERIES

log = PostgresEventLog(sys.argv[1], indexes=QUERIES.values())
print("ready", flush=True)
sys.stdin.readline()

def commit(index):
    append = Append(Head("probe/a", 0, {}), [NewEvent("made")], {"n": index})
    return log.commit([append], [Claim("k")], at=datetime.now(UTC))

with ThreadPoolExecutor(4) as pool:
    print([result is None for result in pool.map(commit, range(4))].count(True))
log.close()
"""


def test_of_32_commits_by_8_processes_on_an_empty_database_one_wins(postgres_url: str) -> None:
    command = [sys.executable, "-c", COMPETITOR, postgres_url]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        wins = [int(process.communicate(timeout=60)[0]) for process in processes]
        assert [process.returncode for process in processes] == [0] * 8
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert sum(wins) == 1
    log = PostgresEventLog(postgres_url)
    assert log.head("probe/a").version == 1
    assert len(log.read("probe/a")) == 1
    log.close()


# --- Indexes and settings ------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUERIES)
def test_postgres_has_an_index_for_each_declared_query(postgres_url: str, name: str) -> None:
    log = PostgresEventLog(postgres_url, indexes=[QUERIES[name]])
    log.head("probe/a")
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'streams\\_probe%'"
        ).fetchall()
    log.close()
    again = PostgresEventLog(postgres_url, indexes=[QUERIES[name]])
    again.head("probe/a")
    again.close()
    assert len(rows) == 1


def test_an_order_of_figures_has_one_index_for_all_filters(postgres_url: str) -> None:
    """Each index costs every commit."""
    order = QUERIES["largest"].order_by
    filters = [(), (("state", "==", 1),), (("state", "==", 1), ("run", "==", "r"))]
    queries = [Query(KIND, where, order) for where in filters]
    log = PostgresEventLog(postgres_url, indexes=[*queries, QUERIES["newest"]])
    sizes = {"a": 2, "b": 10, "c": 7}
    appends = [
        Append(
            Head(f"probe/{name}", 0, {}),
            [MADE],
            {"run": "r", "state": size % 2, "size": size, "created": ""},
        )
        for name, size in sizes.items()
    ]
    assert log.commit(appends, at=NOW) is None
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'streams\\_probe%'"
        ).fetchall()
    assert len(rows) == 2
    assert [text for (text,) in rows if "'size'" in text and "'state'" not in text]
    assert [head.stream for head in log.query(queries[1], limit=5).heads] == ["probe/c"]
    log.close()


ORDERED: dict[str, dict[str, list[str]]] = {
    "oldest": {},
    "newest": {},
    "mixed": {},
    "created_before": {"created": ["00500"]},
    "largest": {},
}


@pytest.mark.parametrize("name", ORDERED)
def test_postgres_reads_a_page_from_its_index(postgres_url: str, name: str) -> None:
    log = PostgresEventLog(postgres_url, indexes=QUERIES.values())
    for start in range(0, 1000, 200):
        projection: dict[str, Json] = {"run": "r", "created": f"{start:05}", "path": "", "state": 1}
        appends = [
            Append(Head(f"probe/{start + number}", 0, {}), [MADE], {**projection, "size": number})
            for number in range(200)
        ]
        assert log.commit(appends, at=NOW) is None
    query = fill(name, "r", **ORDERED[name])
    first = log.query(query, limit=10)
    log.close()
    assert first.cursor is not None
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("ANALYZE eventpulse.streams")
        for position in (None, decode_cursor(query, first.cursor)):
            statement, values = make_select(query, position, 10)
            explain = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + statement
            row = connection.execute(explain, values).fetchone()
            assert row is not None
            (scan,) = row[0][0]["Plan"]["Plans"]
            assert scan["Node Type"] == "Index Scan"
            assert scan["Index Name"].startswith("streams_probe_")
            assert scan["Actual Rows"] == 10
            assert scan.get("Rows Removed by Filter", 0) <= 200


def test_the_suites_firestore_indexes_are_those_that_its_queries_need() -> None:
    assert json.loads(INDEXES.read_text()) == index_file(QUERIES.values(), [KIND])


def test_an_index_is_required_beyond_one_field_only() -> None:
    equal, order = (("a", "==", 1), ("b", "in", [])), (("c", "desc"),)
    assert required_index(Query(KIND)) is None
    assert required_index(Query(KIND, equal)) is None
    assert required_index(Query(KIND, (), order)) is None
    assert required_index(Query(KIND, (("c", ">", "x"),), order)) is None
    assert required_index(Query(KIND, equal, order)) == {
        "collectionGroup": KIND,
        "queryScope": "COLLECTION",
        "fields": [
            {"fieldPath": "fields.a", "order": "ASCENDING"},
            {"fieldPath": "fields.b", "order": "ASCENDING"},
            {"fieldPath": "fields.c", "order": "DESCENDING"},
        ],
    }


def test_an_index_that_others_stand_in_for_is_not_declared() -> None:
    """Firestore merges indexes that each hold one of the equal fields and the whole order."""
    newest, alone = (("c", "desc"),), [(("a", "==", 1),), (("b", "==", 1),)]
    one, other = (Query(KIND, where, newest) for where in alone)
    both = Query(KIND, (*one.where, *other.where), newest)
    oldest = Query(KIND, both.where, (("c", "asc"),))

    def declared(*queries: Query) -> list[object]:
        return list(index_file(queries, [KIND])["indexes"])

    assert declared(one, both, other) == [required_index(one), required_index(other)]
    assert declared(one, both) == [required_index(one), required_index(both)]
    assert declared(one, other, oldest)[2:] == [required_index(oldest)]


@pytest.mark.parametrize(
    "url", ["firestore://", "firestore:///x", "http://p/d", "firestore://p/d?prefx=x"]
)
def test_a_firestore_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingInvalid, match="firestore://PROJECT/DATABASE"):
        FirestoreEventLog(url)


def test_a_postgres_url_that_is_none_is_refused_without_its_password() -> None:
    with pytest.raises(SettingInvalid) as refused:
        PostgresEventLog("postgresql://u:secret@h/d?nonsense=1")
    assert "secret" not in str(refused.value)
