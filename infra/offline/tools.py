"""Fetches what the checks run, once, and keeps it under `$EVENTPULSE_CACHE` or the user's cache.

- terraform: the one on the PATH when it is new enough, else a pinned release, whose program must
  have the hash below.
- the checkers, and what the stand-in for the provider runs on: a virtual environment of their own
  from requirements.txt, because their pins do not fit the project's.
- the Google provider's schema, read out of its CDK bindings.

Everything appears whole: it is made beside its place and moved there. Several processes may ask at
once; one makes it, the others wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

BINDINGS = "cdktn-provider-google==21.1.0"
"""The bindings of google provider 8.7.0, which versions.tf's constraint admits."""

OLDEST_TERRAFORM = (1, 11)

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_SCHEMA_READER = Path(__file__).with_name("schema.py")
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Release:
    """A release of terraform. `programs`: the SHA-256 of the program, by system and machine."""

    version: str
    programs: Mapping[str, str]
    site: str = "https://releases.hashicorp.com/terraform"


TERRAFORM = Release(
    "1.11.4",
    {"linux_amd64": "268000fca5c61021c6396893d9483007ba589ad9d0aaccbd7dfa8c78bf7dbe23"},
)


class ToolMissing(Exception):
    """A tool that could not be had, and what to do."""


def find_cache() -> Path:
    """The folder for what can be fetched again."""
    given = os.environ.get("EVENTPULSE_CACHE")
    if given:
        return Path(given) / "infra"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eventpulse" / "infra"


def ensure_terraform(release: Release = TERRAFORM) -> Path:
    """The terraform program. Raises ToolMissing."""
    found = shutil.which("terraform")
    if found is not None and _version_of(found) >= OLDEST_TERRAFORM:
        return Path(found)
    system = f"{platform.system().lower()}_{_MACHINES.get(platform.machine().lower(), 'unknown')}"
    if system not in release.programs:
        oldest = ".".join(map(str, OLDEST_TERRAFORM))
        raise ToolMissing(
            f"There is no terraform {oldest} or newer on the PATH, and no release is pinned for "
            f"{system}. Install it: https://developer.hashicorp.com/terraform/install."
        )
    place = find_cache() / f"terraform-{release.version}-{system}"
    return _ensure(place, lambda target: _download(release, system, target))


def ensure_environment() -> Path:
    """The checkers' virtual environment; programs are in its `bin`."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(python.encode() + _REQUIREMENTS.read_bytes()).hexdigest()[:16]

    def make(target: Path) -> None:
        _run_uv("venv", "--quiet", "--relocatable", f"--python={sys.executable}", str(target))
        _install(target / "bin" / "python", "-r", str(_REQUIREMENTS))

    return _ensure(find_cache() / f"environment-{digest}", make)


def ensure_schema() -> Path:
    """The Google provider's schema, as schema.py describes it."""
    digest = hashlib.sha256(_SCHEMA_READER.read_bytes()).hexdigest()[:16]
    name = re.sub(r"[^\w.]+", "-", BINDINGS)

    def make(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent) as bindings:
            _run_uv("pip", "install", "--quiet", "--no-deps", f"--target={bindings}", BINDINGS)
            command = [sys.executable, str(_SCHEMA_READER), bindings, str(target)]
            subprocess.run(command, check=True)

    return _ensure(find_cache() / f"{name}-{digest}.json.gz", make)


def _ensure(place: Path, make: Callable[[Path], None]) -> Path:
    """`place`, made by `make` when it is not there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            unfinished = place.with_name(f"{place.name}.unfinished")
            _remove(unfinished)
            make(unfinished)
            unfinished.rename(place)
    return place


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _version_of(program: str) -> tuple[int, ...]:
    """A terraform's version; (0,) when it does not say."""
    command = [program, "version", "-json"]
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull}
    said = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    try:
        version = json.loads(said.stdout)["terraform_version"]
    except (ValueError, KeyError):
        return (0,)
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _download(release: Release, system: str, target: Path) -> None:
    url = f"{release.site}/{release.version}/terraform_{release.version}_{system}.zip"
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            archive = response.read()
    except OSError as error:
        raise ToolMissing(
            f"terraform {release.version} could not be fetched from {url}: {error}. "
            "Install terraform yourself, so that it is on the PATH."
        ) from error
    program = zipfile.ZipFile(io.BytesIO(archive)).read("terraform")
    digest = hashlib.sha256(program).hexdigest()
    if digest != release.programs[system]:
        raise ToolMissing(
            f"The terraform of {url} has the hash {digest}: it is not the pinned one."
        )
    target.write_bytes(program)
    target.chmod(0o755)


def _install(python: Path, *what: str) -> None:
    _run_uv("pip", "install", "--quiet", f"--python={python}", *what)


def _run_uv(*arguments: str) -> None:
    from uv import find_uv_bin

    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "VIRTUAL_ENV": ""}
    command = [find_uv_bin(), *arguments]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ToolMissing(f"{' '.join(command)} failed:\n{done.stderr}")
