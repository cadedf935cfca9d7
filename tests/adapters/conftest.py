"""The adapters under test, each on the server it talks to."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from emulators.stack import GoogleStack
from eventpulse.adapters.log_firestore import FirestoreEventLog
from eventpulse.adapters.log_postgres import PostgresEventLog
from eventpulse.ports import EventLog
from tests.adapters.log_cases import QUERIES
from tests.fakes import MemoryEventLog

LOGS = ["memory", "postgres", pytest.param("firestore", marks=pytest.mark.google)]


@pytest.fixture(params=LOGS)
def log(request: pytest.FixtureRequest) -> EventLog:
    """An empty log, of each kind."""
    log: EventLog = request.getfixturevalue(f"{request.param}_log")
    return log


@pytest.fixture
def memory_log() -> EventLog:
    return MemoryEventLog()


@pytest.fixture
def postgres_log(postgres_url: str) -> Iterator[PostgresEventLog]:
    log = PostgresEventLog(postgres_url, indexes=QUERIES.values())
    yield log
    log.close()


@pytest.fixture
def firestore_address(google_stack: GoogleStack) -> str:
    """`host:port` of the Firestore emulator."""
    return google_stack.environment["FIRESTORE_EMULATOR_HOST"]


@pytest.fixture
def firestore_url() -> str:
    """A corner of the database that no other test uses."""
    return f"firestore://test-project/(default)?prefix={uuid.uuid4().hex}"


@pytest.fixture
def firestore_log(firestore_address: str, firestore_url: str) -> Iterator[FirestoreEventLog]:
    log = FirestoreEventLog(firestore_url)
    yield log
    log.close()
