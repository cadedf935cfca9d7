"""datacontract-cli as a peer, in an environment of its own."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tests.bench.measurement import Run
from tests.bench.runs import CONTRACT
from tests.bench.telemetry import Telemetry

REQUIREMENTS = Path(__file__).parents[1] / "contracts" / "requirements.txt"


def run_datacontract(folder: Path, data: Telemetry) -> Run | str:
    """`datacontract test` of a file of good rows against the same contract, or why it was skipped.

    With a bad cell it stops before its checks.
    """
    command = _install(folder / "datacontract")
    if isinstance(command, str):
        return command
    contract = yaml.safe_load(CONTRACT.read_text())
    contract["servers"] = [
        {
            "server": "local",
            "type": "local",
            "path": str(data.source),
            "format": "csv",
            "delimiter": ",",
        }
    ]
    described = folder / "datacontract.odcs.yaml"
    described.write_text(yaml.safe_dump(contract, sort_keys=False))
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [str(command), "test", str(described)], capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        return f"it ended with {done.returncode}: {(done.stdout or done.stderr)[-300:]}"
    return Run(wall, cpu, after.ru_maxrss * 1024, 0, {"exit": done.returncode})


def _install(folder: Path) -> Path | str:
    command = folder / "bin" / "datacontract"
    if command.exists():
        return command
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        return "uv is not installed"
    python = str(folder / "bin" / "python")
    for step in (
        ["venv", "--quiet", "--python", sys.executable, str(folder)],
        ["pip", "install", "--quiet", "--python", python, "--requirements", str(REQUIREMENTS)],
    ):
        done = subprocess.run([uv, *step], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{REQUIREMENTS.name} cannot be installed: {done.stderr.strip()[-200:]}"
    return command
