"""Each bundle of dist/ in a clean environment and a process of its own: one file through them all.

`nox -s smoke` builds dist/ first. The functions run as functions-framework runs them in the cloud,
on the local lane's stores; each logs what it imports, and must have left alone whatever another
lane or another function needs.
"""

from __future__ import annotations

import http.client
import os
import re
import secrets
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from eventpulse.adapters.finalize_file import FinalizeDelivery
from eventpulse.adapters.tasks_postgres import Dispatcher
from eventpulse.ingestions.ingestion import query_ingestions
from eventpulse.pipeline.marts import publish_mart
from eventpulse.pipeline.registry import publish_contract
from eventpulse.platform import Platform
from eventpulse.settings import read_settings
from eventpulse.wiring import WiredPlatform
from tests.adapters.task_receiver import Receiver
from tests.lanes.sales import sales_contract, write_sales
from tests.smoke.bundles import BUNDLED, DIST, install
from tests.waiting import wait_until

NEVER_HERE = ("google.cloud.storage", "google.cloud.firestore", "google.cloud.bigquery")
MAY_IMPORT = {
    "pyarrow": {"validate", "load", "marts", "api", "backfill"},
    "psycopg": set(BUNDLED),
    "sqlglot": {"load", "marts", "api", "sweep"},
    "numpy": {"validate", "load", "marts", "api", "backfill"},
    "pandas": {"validate", "load", "marts", "api", "backfill"},
    "jwt": {"devices"},
    "openlineage": {"validate", "drift", "load", "marts"},
    "open_data_contract_standard": {"validate", "drift", "load"},
}
"""Which functions may import a library at all, on the local lane, for one good CSV file."""

pytestmark = pytest.mark.smoke


@dataclass(frozen=True)
class Served:
    """A bundle that runs: where it listens, and the file that lists its imports."""

    url: str
    log: Path

    def imported(self) -> set[str]:
        found = re.findall(r"^import time:.*\| +([\w.]+)$", self.log.read_text(), re.MULTILINE)
        return set(found)


@contextmanager
def serve(function: str, folder: Path, environment: dict[str, str]) -> Iterator[Served]:
    python = install(function, folder)
    log = folder / f"{function}.log"
    command = [str(python), "-m", "functions_framework", f"--target={function}"]
    command += [f"--source={DIST / function / 'main.py'}", "--host=127.0.0.1", "--port=0"]
    told = {"PYTHONPROFILEIMPORTTIME": "1", "GUNICORN_LOG_LEVEL": "info"}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, **told},
            cwd=folder,
        ) as process,
    ):
        try:
            wait_until(lambda: _find_url(log) or process.poll() is not None, "it hangs")
            assert process.poll() is None, log.read_text()[-2000:]
            yield Served(_find_url(log), log)
        finally:
            process.terminate()


def _find_url(log: Path) -> str:
    """Where gunicorn says that it listens; empty until it does."""
    listening = re.search(r"Listening at: (\S+)", log.read_text())
    return listening[1] if listening else ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smoke")


def test_one_file_goes_through_all_bundles(folder: Path, postgres_url: str) -> None:
    token = secrets.token_hex(8)
    environment = {
        "PATH": os.environ["PATH"],
        "EVENTPULSE_OBJECTS": (folder / "objects").as_uri(),
        "EVENTPULSE_STATE": postgres_url,
        "EVENTPULSE_WAREHOUSE": postgres_url,
        "EVENTPULSE_TASKS": postgres_url,
        "EVENTPULSE_API_TOKEN": token,
        "TASK_TOKEN": token,
    }
    with Receiver() as openlineage:
        environment["EVENTPULSE_OPENLINEAGE_URL"] = openlineage.url
        imports = _run_through(folder, postgres_url, environment)
        wanted = [("START", "COMPLETE")] * 2  # of the ingestion, and of the mart
        wait_until(lambda: len(openlineage.calls) >= 4, "no lineage was forwarded")
    states = sorted(call.json()["eventType"] for call in openlineage.calls)
    assert states == sorted(state for pair in wanted for state in pair)
    for name, modules in imports.items():
        assert "eventpulse.http" in modules, f"{name} logged no imports"
        assert not modules.intersection(NEVER_HERE), name
        for library, users in MAY_IMPORT.items():
            assert name in users or library not in modules, f"{name} imports {library}"


def _run_through(
    folder: Path, postgres_url: str, environment: dict[str, str]
) -> dict[str, set[str]]:
    """Send one file through every function; what each of them imported."""
    token = environment["TASK_TOKEN"]
    platform = WiredPlatform(read_settings(environment))
    publish_contract(platform, sales_contract("sales"), "sales")
    mart = "-- materialize: table\nSELECT name, COUNT(*) AS sales FROM curated.sales GROUP BY name"
    publish_mart(platform, "by_name", mart)
    authorization = {"Authorization": f"Bearer {token}"}
    with ExitStack() as stack:
        served = {name: stack.enter_context(serve(name, folder, environment)) for name in BUNDLED}
        urls = {name: each.url for name, each in served.items()}
        stack.enter_context(Dispatcher(postgres_url, urls.__getitem__, token=token))
        stack.enter_context(FinalizeDelivery(folder / "objects", urls["land"], authorization))
        with platform.objects.write("raw", "sales/one.csv") as sink:
            sink.write(write_sales([(1, "a", 1, "2026-01-01"), (2, "b", 2, "")]))
        # Five functions start for it, each with all that it imports.
        wait_until(lambda: _mart_rows(platform) == 2, "the mart was not built", seconds=300)
        (head,) = platform.log.query(query_ingestions(), limit=2).heads
        assert head.projection["state"] == "loaded"
        call(f"{urls['sweep']}/", authorization, b"{}")
        call(f"{urls['bundle']}/", authorization, b'{"dataset": "sales"}')
        assert "now" in call(f"{urls['devices']}/api/edge/time", {})
        answer = call(f"{urls['api']}/api/ingestions", authorization)
        assert head.stream.partition("/")[2] in answer
        _open_dashboard(urls["api"])
        wait_until(lambda: platform.tasks.pending() == 0, "a task was never done")
        return {name: each.imported() for name, each in served.items()}


def _open_dashboard(url: str) -> None:
    """The page and what it loads, where the dashboard is in the bundle."""
    if not (DIST / "api" / "web").is_dir():
        return
    page = call(f"{url}/", {})
    scripts = re.findall(r'(?:src|href)="(/?assets/[^"]+)"', page)
    assert scripts, page
    for each in scripts:
        assert call(f"{url}/{each.lstrip('/')}", {})
    assert call(f"{url}/files", {}) == page, "an address within the dashboard"


def _mart_rows(platform: Platform) -> int:
    return platform.warehouse.count_rows("marts", "by_name")


def call(url: str, headers: dict[str, str], body: bytes | None = None) -> str:
    """The body of a successful answer."""
    sent = {**headers, "Content-Type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=sent)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == http.client.OK
        text: bytes = answer.read()
        return text.decode()
