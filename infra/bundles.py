"""Build what is deployed: `dist/<function>/` and a zip of it, named by its content.

A bundle holds the function's main.py, its requirements locked with hashes, and the package as a
wheel; that of the api also the dashboard's files, where they are built. Two builds of the same
commit are byte-identical: times are fixed, entries sorted, and the lock comes from uv.lock.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
EPOCH = "315532800"
"""1980-01-01, the first moment that a zip can name."""

DASHBOARD_SERVER = "api"
"""The function that hands out the dashboard's files."""

_REQUIREMENT = re.compile(r"^eventpulse\[([a-z,]+)\]$", re.MULTILINE)


def build_bundles(target: Path) -> dict[str, Path]:
    """Build every function into `target`; returns {function: its zip}."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = _build_wheel(Path(scratch))
        functions = sorted(main.parent for main in (ROOT / "functions").glob("*/main.py"))
        return {each.name: _bundle(each, wheel, target) for each in functions}


def _build_wheel(folder: Path) -> Path:
    run_uv("build", "--wheel", "--quiet", "--out-dir", str(folder), str(ROOT / "shared"))
    (wheel,) = folder.glob("*.whl")
    return wheel


def _bundle(function: Path, wheel: Path, target: Path) -> Path:
    folder = target / function.name
    folder.mkdir()
    shutil.copyfile(function / "main.py", folder / "main.py")
    shutil.copyfile(wheel, folder / wheel.name)
    requirements = lock_requirements(read_extras(function), wheel)
    (folder / "requirements.txt").write_text(requirements)
    dashboard = ROOT / "web" / "dist"
    if function.name == DASHBOARD_SERVER and (dashboard / "index.html").is_file():
        shutil.copytree(dashboard, folder / "web")
    data = pack(folder)
    path = target / f"{function.name}-{hashlib.sha256(data).hexdigest()[:16]}.zip"
    path.write_bytes(data)
    return path


def read_extras(function: Path) -> list[str]:
    """The package's extras that a function's requirements.txt names."""
    found = _REQUIREMENT.search((function / "requirements.txt").read_text())
    if found is None:
        sys.exit(f"{function}/requirements.txt must hold one line eventpulse[extra,…]")
    return sorted(found.group(1).split(","))


def lock_requirements(extras: Iterable[str], wheel: Path) -> str:
    """Everything that the extras pull in, pinned and hashed as in uv.lock, and the wheel."""
    wanted = [argument for extra in extras for argument in ("--extra", extra)]
    exported = run_uv(
        "export",
        "--frozen",
        "--quiet",
        "--package=eventpulse",
        "--no-emit-project",
        "--no-default-groups",
        "--no-header",
        "--no-annotate",
        "--format=requirements.txt",
        *wanted,
    )
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{exported}./{wheel.name} --hash=sha256:{digest}\n"


def pack(folder: Path) -> bytes:
    """A zip of all that is in a folder, the same whenever it is made."""
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(each for each in folder.rglob("*") if each.is_file()):
                name = path.relative_to(folder).as_posix()
                archive.writestr(zip_entry(name), path.read_bytes())
        file.seek(0)
        return file.read()


def zip_entry(name: str, compression: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """An entry that says nothing of when and by whom it was made."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = compression
    entry.external_attr = 0o644 << 16
    return entry


def run_uv(*arguments: str) -> str:
    """What uv printed; ends the process with what it said when it fails."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "UV_PYTHON_DOWNLOADS": "never"}
    from uv import find_uv_bin

    command = [find_uv_bin(), *arguments]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stderr}")
    return result.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--check", action="store_true", help="build twice and compare")
    options = parser.parse_args()
    bundles = build_bundles(options.out)
    if options.check:
        with tempfile.TemporaryDirectory() as again:
            names = {name: path.name for name, path in build_bundles(Path(again)).items()}
        different = sorted(name for name in names if names[name] != bundles[name].name)
        if different:
            sys.exit(f"two builds differ: {', '.join(different)}")
    for name, path in bundles.items():
        print(f"{name:10} {path.name}  {path.stat().st_size >> 10} KiB")


if __name__ == "__main__":
    main()
