"""The dashboard's build: what it is named by, which Node it takes, what it may weigh."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
from pathlib import Path

import pytest

from infra import dashboard
from infra.budgets import LIST_PAGE, find_excesses, measure_sizes

ROOT = Path(__file__).parents[2]


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sources, small."""
    for name in ("index.html", "src/main.tsx", "node_modules/react/index.js", "dist/build.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"sources": "before"}')
    monkeypatch.setattr(dashboard, "WEB", tmp_path)
    return tmp_path


def test_a_build_is_named_by_its_sources(web: Path) -> None:
    before = dashboard.hash_sources()
    (web / "dist" / "build.json").write_text('{"sources": "now"}')
    (web / "node_modules" / "react" / "index.js").write_text("installed")
    assert dashboard.hash_sources() == before
    (web / "src" / "main.tsx").write_text("changed")
    assert dashboard.hash_sources() != before


def test_a_build_is_named_by_the_document_of_the_api_too(
    web: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dashboard.hash_sources()
    monkeypatch.setattr(dashboard, "openapi_document", lambda: {"openapi": "3.1.0"})
    assert dashboard.hash_sources() != before


def test_what_is_built_up_to_date_is_not_built_again(
    web: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built = {"sources": dashboard.hash_sources()}
    (web / "dist" / "build.json").write_text(json.dumps(built))
    monkeypatch.setattr(dashboard, "find_node", lambda: pytest.fail("nothing is to be built"))
    assert dashboard.bring_up_to_date() == 0
    assert capsys.readouterr().out == ""


def test_without_node_it_says_so_and_what_to_do(web: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "find_node", lambda: None)
    with pytest.raises(dashboard.CannotBuild, match="uv sync --group web"):
        dashboard.bring_up_to_date()


@pytest.mark.parametrize(
    ("version", "enough"),
    [("v24.19.0", True), ("v20.19.0", True), ("v20.18.3", False), ("v8.1.0", False), ("?", False)],
)
def test_node_must_be_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, enough: bool
) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(dashboard.sys, "executable", "/nowhere/bin/python")
    assert (dashboard.find_node() == dashboard.Node(tmp_path)) is enough


def test_generated_files_are_not_kept_in_the_repository() -> None:
    """The types of the API are made in every build: they cannot be out of date."""
    tracked = subprocess.run(
        ["git", "ls-files", "web"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = {Path(line).name for line in tracked.stdout.splitlines()}
    assert {"package-lock.json", "package.json"} <= names
    assert not names & {"schema.d.ts", "openapi.json", "build.json"}


# --- Budgets -------------------------------------------------------------------------------------


def write_build(dist: Path, weights: dict[str, int], imports: dict[str, list[str]]) -> None:
    """A build of chunks that weigh so many bytes of gzip, more or less."""
    (dist / ".vite").mkdir(parents=True)
    (dist / "assets").mkdir()
    manifest = {}
    for name, weight in weights.items():
        file = f"assets/{Path(name).stem}.js"
        data = gzip.compress(random.Random(name).randbytes(weight))
        (dist / f"{file}.gz").write_bytes(data)
        manifest[name] = {
            "file": file,
            "isEntry": name == "index.html",
            "imports": imports.get(name, []),
        }
    (dist / ".vite" / "manifest.json").write_text(json.dumps(manifest))
    (dist / "assets" / "app.css.gz").write_bytes(b"c" * 9_000)


def test_a_page_weighs_what_it_adds_to_the_entry_and_the_list(tmp_path: Path) -> None:
    charts = "src/pages/DevicePage.tsx"
    write_build(
        tmp_path,
        {
            "index.html": 60_000,
            "_react.js": 50_000,
            LIST_PAGE: 20_000,
            charts: 9_000,
            "_c.js": 30_000,
        },
        {"index.html": ["_react.js"], LIST_PAGE: ["_react.js"], charts: ["_c.js", "index.html"]},
    )
    sizes = measure_sizes(tmp_path)
    assert sizes.first == pytest.approx(130, abs=0.5)
    assert sizes.routes == {charts: pytest.approx(39, abs=0.5)}
    excesses = find_excesses(sizes)
    assert [each.split(" is ")[0] for each in excesses] == ["The page DevicePage", "CSS"]
