"""Every query of the code has its composite index in Firestore, and none is declared in vain."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import eventpulse
from emulators.firestore.indexes import Indexes
from emulators.firestore.queries import parse_query
from eventpulse.adapters.log_firestore import FirestoreEventLog
from eventpulse.adapters.log_values import normalise_query
from eventpulse.streams import find_projector, list_queries
from infra.indexes import INDEXES, KINDS, describe_indexes

PACKAGE = Path(eventpulse.__file__).parent
DECLARING = {
    "operations/actions.py",
    "fleet/alerts.py",
    "operations/backfills.py",
    "fleet/batches.py",
    "fleet/commands.py",
    "fleet/devices.py",
    "ingestions/ingestion.py",
    "ingestions/loading.py",
    "marts/mart.py",
    "drift/proposals.py",
    "operations/trends.py",
    "operations/verifications.py",
}
"""Modules with a `declared_queries`: only they may make queries."""


def entries(part: object) -> set[str]:
    assert isinstance(part, list)
    return {json.dumps(each, sort_keys=True) for each in part}


@pytest.mark.parametrize("part", ["indexes", "fieldOverrides"])
def test_firestore_has_the_indexes_that_the_queries_need(part: str) -> None:
    needed = entries(describe_indexes()[part])
    found = entries(json.loads(INDEXES.read_text())[part])

    problems = [f"missing: {each}" for each in sorted(needed - found)]
    problems += [f"in vain: {each}" for each in sorted(found - needed)]
    assert not problems, "run `python -m infra.indexes`:\n" + "\n".join(problems)


def test_the_declared_indexes_serve_every_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone or merged, by the rules of the emulator, which names the index that it misses."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")  # nothing is sent to it
    log, indexes = FirestoreEventLog("firestore://p/d"), Indexes(INDEXES)
    queries = list_queries()
    for query in queries:
        indexes.require(parse_query(log.make_query(query)._to_protobuf()._pb))
    log.close()
    assert len(queries) > len(json.loads(INDEXES.read_text())["indexes"])


def test_every_log_takes_the_declared_queries() -> None:
    assert all(normalise_query(query) is not None for query in list_queries())
    assert {query.kind for query in list_queries()} <= set(KINDS)


def test_queries_are_made_only_where_they_are_declared() -> None:
    making = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "adapters" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Query"
    }

    assert making == DECLARING


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_stream_is_projected(kind: str) -> None:
    assert find_projector(kind).__name__.startswith("project_")
