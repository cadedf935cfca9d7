"""Every developer command. `nox -l` lists them; the README explains the first two.

All sessions share one environment (.venv), made from uv.lock: the first run installs, later ones
find nothing to do.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import nox

ROOT = Path(__file__).parent
PYTHON = ROOT / ".venv" / "bin" / "python"

nox.options.sessions = ["lint", "tests"]
nox.options.default_venv_backend = "none"

# Tests start hundreds of processes, each of which would compile anew all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def find_uv(session: nox.Session) -> str:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        session.error('uv is not installed; install it with: pip install "nox[uv]"')
    return uv


def sync(session: nox.Session, *groups: str, **options: Any) -> None:
    """Bring .venv to what uv.lock says, plus the named dependency groups."""
    uv = find_uv(session)
    wanted = [argument for group in groups for argument in ("--group", group)]
    session.run(
        uv,
        "sync",
        "--frozen",
        "--inexact",
        "--quiet",
        f"--python={sys.executable}",
        *wanted,
        external=True,
        env={"UV_PYTHON_DOWNLOADS": "never", "VIRTUAL_ENV": ""},
        **options,
    )


def run(session: nox.Session, *command: str, **environment: str) -> None:
    # A stack stops cleanly on Ctrl-C, given a moment.
    session.run(
        str(PYTHON),
        *command,
        external=True,
        env=environment or None,
        interrupt_timeout=60,
        terminate_timeout=10,
    )


TWO_WORKERS = ("-n", "2", "--dist", "worksteal")
"""Each goes through the suites in order, so that a module's fixture is rarely made twice."""

MEMORY = Path("/dev/shm")
MEMORY_BYTES = 8 << 30
"""The local lane's tests leave half a gigabyte; one of an emulator's sends it a whole one."""


def find_memory() -> dict[str, str]:
    """Where tests keep files: in memory, if the machine has it. An ingestion makes things durable
    some sixty times, and the tests have nothing to gain by a disk that they wait for."""
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return {}
    found = os.statvfs(MEMORY)
    runs_programs = not found.f_flag & getattr(os, "ST_NOEXEC", 0)
    fits = found.f_bavail * found.f_frsize > MEMORY_BYTES
    return {"TMPDIR": str(MEMORY)} if runs_programs and fits else {}


def build_dashboard(session: nox.Session) -> None:
    """Build it if what it is made of has changed. A stack also runs without: nothing here fails."""
    sync_node(session, success_codes=range(256))
    session.run(
        str(PYTHON), "-m", "infra.dashboard", external=True, success_codes=range(256), silent=False
    )


def sync_node(session: nox.Session, **options: Any) -> None:
    """Node from PyPI where the machine has none."""
    if shutil.which("npm") is None:
        sync(session, "web", **options)


@nox.session
def demo(session: nox.Session) -> None:
    """Start a stack, drop files into it, and show what became of each (--json, --lane, --keep)."""
    google = any(lane in session.posargs for lane in ("google", "mixed"))
    sync(session, *(["emulators"] if google else []))
    if "--keep" in session.posargs:
        build_dashboard(session)
    run(session, "-m", "emulators.demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests that need neither emulators nor a cloud project."""
    sync(session)
    run(
        session,
        "-m",
        "pytest",
        "-m",
        "not google and not cloud and not smoke and not browser and not infra",
        *TWO_WORKERS,
        *session.posargs,
        **find_memory(),
    )


@nox.session
def up(session: nox.Session) -> None:
    """Start a stack and keep it until Ctrl-C (--contracts, --home, --lane, --devices …)."""
    sync(session, *(["emulators"] if "google" in session.posargs else []))
    build_dashboard(session)
    run(session, "-m", "eventpulse.cli", "up", *session.posargs)


@nox.session(default=False)
def contracts(session: nox.Session) -> None:
    """Ask datacontract-cli, in an environment of its own, about contracts and files."""
    sync(session)
    uv = find_uv(session)
    python = ROOT / ".nox" / "contracts" / "bin" / "python"
    if not python.exists():
        session.run(uv, "venv", "--quiet", str(python.parents[1]), external=True)
    wanted = "--requirements=tests/contracts/requirements.txt"
    session.run(uv, "pip", "install", "--quiet", f"--python={python}", wanted, external=True)
    run(
        session,
        "-m",
        "pytest",
        "-n",
        "0",
        "tests/contracts",
        *session.posargs,
        DATACONTRACT_PYTHON=str(python),
    )


@nox.session(default=False)
def emulators(session: nox.Session) -> None:
    """Run the Google adapters' suites and the lanes' cases against the emulators."""
    sync(session, "emulators")
    run(session, "-m", "pytest", "-m", "google", *TWO_WORKERS, *session.posargs, **find_memory())


@nox.session(default=False)
def cloud(session: nox.Session) -> None:
    """Run the lanes' cases against a real project, named by EVENTPULSE_CLOUD_PROJECT."""
    if not os.environ.get("EVENTPULSE_CLOUD_PROJECT"):
        session.skip(
            "no project: set EVENTPULSE_CLOUD_PROJECT, make the buckets "
            "<project>-eventpulse-test-{raw,staged,quarantine,reports}, and give credentials "
            "(gcloud auth application-default login)"
        )
    sync(session)
    run(session, "-m", "pytest", "-m", "cloud", "tests/lanes", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, lint rules and types."""
    sync(session, "emulators")
    run(session, "-m", "ruff", "format", "--check", ".")
    run(session, "-m", "ruff", "check", ".")
    run(session, "-m", "mypy", "shared/eventpulse", "edge/eventpulse_edge", "emulators", "infra")
    for main in sorted((ROOT / "functions").glob("*/main.py")):
        run(session, "-m", "mypy", str(main.relative_to(ROOT)))


@nox.session(default=False)
def web(session: nox.Session) -> None:
    """Build the dashboard: lint, types, unit tests, the same bytes twice, sizes within budgets."""
    sync(session)
    sync_node(session)
    run(session, "-m", "infra.dashboard", "--check")


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Use the dashboard in a real browser, against a stack (needs Debian's chromium)."""
    if shutil.which("chromium") is None:
        session.error(
            "chromium is not installed: apt-get install --yes --no-install-recommends chromium"
        )
    sync(session, "browser")
    sync_node(session)
    run(session, "-m", "infra.dashboard")
    wanted = ["-m", "browser", "tests/browser", *session.posargs]
    run(session, "-m", "pytest", *wanted, **find_memory())


@nox.session(default=False)
def infra(session: nox.Session) -> None:
    """Check the deployment offline: terraform, plans against the code, rights, planted faults."""
    sync(session, "emulators")
    sync_node(session)
    run(session, "-m", "pytest", "tests/infra", *session.posargs)


@nox.session(default=False)
def cost(session: nox.Session) -> None:
    """What a month costs (--files N --devices N --gigabytes N --variant V --hosting H --json)."""
    sync(session)
    run(session, "-m", "infra.cost", *session.posargs)


@nox.session(default=False)
def package(session: nox.Session) -> None:
    """Build dist/<function>/ and a deterministic zip of each, twice, and compare the two."""
    sync(session)
    build_dashboard(session)
    run(session, "-m", "infra.bundles", "--check")


@nox.session(default=False)
def smoke(session: nox.Session) -> None:
    """Install each bundle in a clean environment, start it, and send it a real event."""
    sync(session)
    build_dashboard(session)
    run(session, "-m", "infra.bundles")
    run(session, "-m", "pytest", "-m", "smoke", "tests/smoke", *session.posargs)


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Make dist/release/: the bundles, their hashes, and a bill of what they are made of."""
    sync(session)
    build_dashboard(session)
    run(session, "-m", "infra.release")


@nox.session(default=False)
def schemas(session: nox.Session) -> None:
    """Write the JSON Schemas of what an ingestion leaves anew, from the models."""
    sync(session)
    run(session, "-m", "eventpulse.schemas")


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Feed mutated bytes to the readers of files and contracts (NAME, --seconds, --corpus)."""
    sync(session, "fuzz")
    run(session, "-m", "tests.fuzz", *session.posargs)


@nox.session(default=False)
def explore(session: nox.Session) -> None:
    """Look for new examples against every property that the tests hold (EXPLORE_TIMES)."""
    sync(session)
    times = os.environ.get("EXPLORE_TIMES", "20")
    chosen = "hypothesis and not google"
    wanted = ["-m", chosen, *TWO_WORKERS, *session.posargs]
    run(session, "-m", "pytest", *wanted, EXPLORE_TIMES=times)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure against bare baselines in the same run (names, --rows, --rounds, --json)."""
    sync(session, "bench", "emulators")
    run(session, "-m", "tests.bench", *session.posargs)


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """Kill agents, functions and Postgres 1,000 times; then check the books (--kills, --seed)."""
    sync(session)
    run(session, "-m", "tests.lanes.chaos", *session.posargs)
