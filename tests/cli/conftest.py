"""The command line's fixtures: a stack behind a real port, and a way to run a command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.cli.parser import main
from tests.cli.stack import QUIET, LocalStack, Ran, RunCommand
from tests.fakes import MemoryTaskQueue
from tests.functions.harness import (
    SIGN_KEY,
    Cloud,
    open_platform,
    order,
    orders_contract,
    orders_file,
)
from tests.web_server import serve


@pytest.fixture
def stack(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalStack]:
    for name in ("EVENTPULSE_API_TOKEN", "EVENTPULSE_HOME", "EVENTPULSE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with open_platform(tmp_path / "objects", postgres_url, QUIET) as platform:
        assert isinstance(platform.tasks, MemoryTaskQueue)
        stack = LocalStack(tmp_path, Cloud(platform, platform.tasks))
        with serve(stack) as url:
            stack.url = url
            platform.__dict__["objects"] = FileObjectStore(
                f"file://{tmp_path / 'objects'}", SIGN_KEY, f"{url}/objects"
            )
            monkeypatch.setenv("EVENTPULSE_URL", url)
            stack.cloud.publish(orders_contract())
            yield stack
            stack.rest()


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> RunCommand:
    """Run one command; its status, standard output and standard error."""

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        status = main(list(arguments))
        out, err = capfd.readouterr()
        return Ran(status, out, err)

    return run


@pytest.fixture
def loaded(stack: LocalStack, run: RunCommand) -> dict[str, Any]:
    """An ingestion of four rows, of which one is refused."""
    content = orders_file(order(1), order(2, amount="-1"), order(3), order(4))
    ran = run("ingest", stack.file("a.csv", content), "--dataset", "orders", "--json")
    stack.rest()
    ingestion: dict[str, Any] = ran.json["ingestions"][0]
    return ingestion
