"""The built bundles of dist/, each in a clean environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
BUNDLED = tuple(sorted(main.parent.name for main in (ROOT / "functions").glob("*/main.py")))


def install(function: str, folder: Path) -> Path:
    """A clean environment with nothing but the bundle's locked requirements; its Python."""
    environment = folder / function
    run_uv("venv", "--quiet", f"--python={sys.executable}", str(environment))
    python = environment / "bin" / "python"
    run_uv(
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        f"--python={python}",
        "--requirements=requirements.txt",
        cwd=DIST / function,
    )
    return python


def run_uv(*arguments: str, cwd: Path = ROOT) -> None:
    subprocess.run([find_uv_bin(), *arguments], cwd=cwd, check=True, timeout=300)
