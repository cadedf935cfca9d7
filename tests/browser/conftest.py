"""A stack with what the demo drops into it, and Debian's Chromium to look at it with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="nox -s browser installs it")

from emulators.samples.scenarios import build_scenarios  # noqa: E402
from emulators.user import StackUser  # noqa: E402
from eventpulse.ingestions.ingestion import SourceObject  # noqa: E402
from eventpulse.local.stack import Stack  # noqa: E402
from eventpulse.pipeline.streams import Changes  # noqa: E402
from eventpulse.ports import NewEvent  # noqa: E402
from eventpulse.values import derive_id, format_time  # noqa: E402
from tests.browser.dashboard import Dashboard, Seeded  # noqa: E402
from tests.browser.field_device import FieldDevice  # noqa: E402

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or "chromium"
DEVICE = "greenhouse-01"
PATIENCE_MS = 60_000.0
"""How long a browser may take for anything, on a machine however busy."""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    """A running stack after every scenario of the demo; ids of ingestions by scenario."""
    home = tmp_path_factory.mktemp("stack")
    with Stack(home, contracts=ROOT / "contracts") as stack:
        assert (stack.site / "index.html").is_file(), "build the dashboard: nox -s browser"
        user = StackUser(stack)
        ids: dict[str, list[str]] = {}
        for scenario in build_scenarios():
            files = [(each.object_name, each.content) for each in scenario.uploads]
            if scenario.replay_of is not None:
                ids[scenario.name] = [user.replay(ids[scenario.replay_of][0])]
            elif scenario.together:
                ids[scenario.name] = user.upload_together(files)
            else:
                ids[scenario.name] = [_upload(user, *file) for file in files]
            user.await_ends(ids[scenario.name])
        user.await_marts()
        others = _prepare(user)
        seeded = Seeded(stack, user, {name: each[0] for name, each in ids.items()}, others)
        seeded.await_readings(DEVICE)
        yield seeded


def _prepare(user: StackUser) -> dict[str, str]:
    """What the demo leaves out: a device, a contract of two versions, a planned backfill."""
    code = user.post("devices", {"id": DEVICE, "name": "Greenhouse, north"})["claim_code"]
    device = FieldDevice(user.stack.url, DEVICE)
    device.enroll(code)
    device.report()
    device.send_readings([20.0 + number % 7 for number in range(60)])
    contract = (ROOT / "contracts" / "airports.odcs.yaml").read_text()
    contract = contract.replace("1.0.0", "1.1.0").replace("maxLength: 120", "maxLength: 200")
    user.post("contracts", {"text": contract})
    plan = user.post("backfills", {"dataset": "airports", "force": True, "check": True})
    proposals = user.get("proposals")["proposals"]
    return {"device": DEVICE, "backfill": plan["id"], "proposal": proposals[-1]["id"]}


def _upload(user: StackUser, name: str, content: bytes) -> str:
    made = user.upload(name, content)
    user.await_ends([made])
    return made


@pytest.fixture(scope="session")
def chromium() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        playwright.expect.set_options(timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture
def dashboard(seeded: Seeded, chromium: playwright.Browser) -> Iterator[Dashboard]:
    """A new browser profile, signed in. The page must have logged no error in the end."""
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, timezone_id="Europe/Prague", locale="en-GB"
    )
    context.set_default_timeout(PATIENCE_MS)
    dashboard = Dashboard(context.new_page(), seeded)
    dashboard.sign_in()
    yield dashboard
    context.close()
    assert dashboard.faults == []


CROWD = 5_000
_AT_ONCE = 100


@pytest.fixture
def crowd(seeded: Seeded) -> int:
    """So many duplicates more, written into the stack's own log as `land` writes them: to send it
    5,000 files takes minutes."""
    received = datetime.now(UTC)
    for start in range(0, CROWD, _AT_ONCE):
        changes = Changes(seeded.stack.platform)
        for number in range(start, start + _AT_ONCE):
            name = f"crowd/crowd-{number:05}.csv"
            source = SourceObject(
                bucket="raw", name=name, generation=1, size=1, created=format_time(received)
            )
            changes.add(
                f"ingestion/{derive_id(name)}",
                NewEvent("received", {"objects": [source.model_dump()], "dataset": "crowd"}),
                NewEvent("duplicate", {"duplicate_of": derive_id("crowd"), "detail": "A copy."}),
            )
        assert changes.commit()
    return CROWD
