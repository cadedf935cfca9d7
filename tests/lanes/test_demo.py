"""The demo as a process: every scenario ends as it must, on a new home and on one used before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from emulators.demo import DEMO_LANES, JSON_FIELDS
from emulators.samples.scenarios import build_scenarios
from eventpulse.local.stack import ROOT
from tests.lanes.conftest import mark_lanes

SECONDS = 300.0


def run_demo(lane: str, home: Path, result: Path) -> dict[str, Any]:
    """What `--json` wrote. The demo must have found everything as expected."""
    command = [sys.executable, "-m", "emulators.demo", f"--lane={lane}"]
    done = subprocess.run(
        [*command, f"--home={home}", f"--json={result}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(result.read_text())
    return found


@pytest.mark.parametrize("lane", mark_lanes(DEMO_LANES))
def test_every_scenario_ends_as_it_must_twice_on_one_home(lane: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = run_demo(lane, home, tmp_path / "first.json")
    assert set(first) == {"ingestions", "marts", "digests"}
    uploads = sum(len(each.outcomes) for each in build_scenarios())
    assert len(first["ingestions"]) == uploads
    for each in first["ingestions"]:
        assert set(each) == set(JSON_FIELDS)
        assert None not in (each["quality_uri"], each["drift_uri"], each["lineage_uri"])
        read = ("rows_accepted", "rows_quarantined", "rows_duplicate")
        assert each["rows_read"] == sum(each[name] for name in read)
    assert set(first["digests"]) == {"airports", "edge_telemetry", "parcels", "planes", "weather"}
    again = run_demo(lane, home, tmp_path / "again.json")
    assert again["digests"] == first["digests"]
    assert again["marts"] == first["marts"]
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(home) in get_line(each)]


def get_line(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or ())
