"""Fetching terraform: from the PATH, else a pinned release whose program has the pinned hash."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.wrappers import Request, Response

from infra.offline.tools import Release, ToolMissing, ensure_terraform, find_cache
from tests.web_server import serve

PROGRAM = b'#!/bin/sh\necho \'{"terraform_version": "9.9.9"}\'\n'


@pytest.fixture
def site() -> Iterator[str]:
    """Releases as HashiCorp's site lays them out."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("LICENSE.txt", "…")
        archive.writestr("terraform", PROGRAM)

    @Request.application
    def answer(request: Request) -> Response:
        found = request.path == "/9.9.9/terraform_9.9.9_linux_amd64.zip"
        return Response(packed.getvalue() if found else b"", 200 if found else 404)

    with serve(answer) as url:
        yield url


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Linux machine without terraform."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("EVENTPULSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def release(site: str, program: bytes = PROGRAM) -> Release:
    return Release("9.9.9", {"linux_amd64": hashlib.sha256(program).hexdigest()}, site)


def test_the_pinned_release_is_fetched_once_and_kept(site: str) -> None:
    program = ensure_terraform(release(site))
    assert program.read_bytes() == PROGRAM
    assert os.access(program, os.X_OK)
    assert program.is_relative_to(find_cache())
    assert ensure_terraform(release("http://127.0.0.1:1")) == program


def test_another_program_is_refused_and_not_kept(site: str) -> None:
    with pytest.raises(ToolMissing, match="it is not the pinned one"):
        ensure_terraform(release(site, b"another"))
    assert [path for path in find_cache().iterdir() if path.suffix != ".lock"] == []


def test_a_release_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(ToolMissing, match="Install terraform yourself"):
        ensure_terraform(release("http://127.0.0.1:1"))


def test_a_machine_without_a_pinned_release_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(ToolMissing, match="darwin_amd64"):
        ensure_terraform(release("http://127.0.0.1:1"))


@pytest.mark.parametrize(("version", "taken"), [("1.11.0", True), ("1.10.9", False), ("?", False)])
def test_a_terraform_on_the_path_is_taken_when_it_is_new_enough(
    tmp_path: Path, site: str, version: str, taken: bool
) -> None:
    own = tmp_path / "bin" / "terraform"
    own.write_text(f'#!/bin/sh\necho \'{{"terraform_version": "{version}"}}\'\n')
    own.chmod(0o755)
    assert (ensure_terraform(release(site)) == own) is taken
