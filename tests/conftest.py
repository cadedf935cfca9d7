"""Fixtures that several suites share. Servers start when the first test asks for them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import tests.properties  # noqa: F401 (registers the profile)
from emulators.stack import DEFAULT_INDEXES, GoogleStack
from tests.postgres_server import PostgresServer

settings.load_profile("eventpulse")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name content by its argument: packed bytes hold the time, and every worker of a run must
    collect the same tests."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    """Serving a function in this process configures the package's loggers, also when a fixture of
    a wider scope does it: undo it before and after each test."""
    unconfigure_logging()
    yield
    unconfigure_logging()


def unconfigure_logging() -> None:
    for name in ("eventpulse", "eventpulse.edge"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One embedded Postgres for the session."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty database, dropped after the test."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def google_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleStack]:
    """The emulators of Firestore, Cloud Storage and Cloud Tasks, for the session.

    Firestore has the project's indexes and those that a suite declares for its own queries; the
    clients find the services through the environment.
    """
    home = tmp_path_factory.mktemp("google")
    indexes = home / "indexes.json"
    suites = sorted(Path(__file__).parent.rglob("firestore.indexes.json"))
    indexes.write_text(json.dumps(merge_indexes([DEFAULT_INDEXES, *suites])))
    with GoogleStack(home / "stack", indexes=indexes) as stack, pytest.MonkeyPatch.context() as env:
        for name, value in stack.environment.items():
            env.setenv(name, value)
        yield stack


def merge_indexes(files: list[Path]) -> dict[str, list[object]]:
    """The contents of several `firestore.indexes.json` as one."""
    contents = [json.loads(path.read_text()) for path in files if path.exists()]
    return {
        part: [entry for content in contents for entry in content[part]]
        for part in ("indexes", "fieldOverrides")
    }
