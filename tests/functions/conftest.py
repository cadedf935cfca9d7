"""What the tests of the functions share: a fresh platform and a cloud around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from emulators.stack import GoogleStack
from eventpulse.platform import Platform
from eventpulse.settings import Settings
from tests.fakes import MemoryTaskQueue
from tests.functions.harness import Cloud, client_of, open_google_platform, open_platform


@pytest.fixture
def settings() -> Settings:
    return Settings(max_attempts=3)


@pytest.fixture
def lane() -> str:
    """What the platform stands on; a module that runs on several takes `fleet.LANES`."""
    return "local"


@pytest.fixture
def platform(
    request: pytest.FixtureRequest, tmp_path: Path, lane: str, settings: Settings
) -> Iterator[Platform]:
    if lane == "google":
        stack: GoogleStack = request.getfixturevalue("google_stack")
        env: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        env.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(stack.service_account.key_file))
        opened = open_google_platform(stack.environment, settings)
    else:
        url: str = request.getfixturevalue("postgres_url")
        opened = open_platform(tmp_path / "objects", url, settings)
    with opened as platform:
        yield platform


@pytest.fixture
def cloud(platform: Platform) -> Cloud:
    assert isinstance(platform.tasks, MemoryTaskQueue)
    return Cloud(platform, platform.tasks)


@pytest.fixture
def api(platform: Platform) -> FlaskClient:
    return client_of("api")
