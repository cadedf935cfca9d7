"""The virtual environment that bqemulator runs in: its pins do not fit the project's.

Made on first use under the cache folder, ``$EVENTPULSE_CACHE`` or ``.eventpulse`` in the
repository, and again when ``requirements.txt`` beside this file changes. It appears whole: it
is finished under its final path before the stamp is written, and without the stamp it is made
anew. Several processes may ask at once; one makes it, the others wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_REPOSITORY = Path(__file__).resolve().parents[2]
# DuckDB keeps its extensions under the home directory: the environment brings its own.
_INSTALL_EXTENSIONS = (
    "from duckdb_extensions import import_extension; "
    "import_extension('spatial'); import_extension('avro')"
)


def find_cache() -> Path:
    """The folder for what can be made again."""
    return Path(os.environ.get("EVENTPULSE_CACHE") or _REPOSITORY / ".eventpulse")


def ensure_environment(cache: Path | None = None) -> Path:
    """The environment's folder, made if it is missing or out of date.

    Raises subprocess.CalledProcessError when a package cannot be installed.
    """
    folder = (cache or find_cache()) / "emulators" / "bigquery-venv"
    folder.parent.mkdir(parents=True, exist_ok=True)
    wanted = _digest()
    stamp = folder / "requirements.sha256"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            _make(folder)
            stamp.write_text(wanted)
    return folder


def find_python(folder: Path) -> Path:
    """The environment's interpreter."""
    return folder / "bin" / "python"


def environment_variables(folder: Path) -> dict[str, str]:
    """What a process of the environment needs."""
    return {**os.environ, "HOME": str(folder / "home"), "PYTHONNOUSERSITE": "1"}


def _digest() -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256(version.encode() + _REQUIREMENTS.read_bytes()).hexdigest()


def _make(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    python = str(find_python(folder))
    requirements = ["-r", str(_REQUIREMENTS)]
    uv = shutil.which("uv")
    if uv is not None:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", python, *requirements])
    else:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([python, "-m", "pip", "install", "--quiet", *requirements])
    (folder / "home").mkdir()
    command = [python, "-c", _INSTALL_EXTENSIONS]
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment_variables(folder))


def _run(command: list[str]) -> None:
    # Standard output is for the ready line; what an installer says goes to the log.
    subprocess.run(command, check=True, stdout=sys.stderr)
