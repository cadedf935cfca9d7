"""The function `api` hands out the dashboard beside its main.py, and the API under /api."""

from __future__ import annotations

import inspect
import io
import zipfile
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from eventpulse.site import SECURITY_HEADERS
from infra.bundles import pack


@pytest.fixture
def dashboard(monkeypatch: pytest.MonkeyPatch, api: FlaskClient, tmp_path: Path) -> Path:
    """The folder that the function serves, with a page and a script in it."""
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>EventPulse</title>")
    (folder / "assets" / "index-1a2b.js").write_text("1")
    main = inspect.unwrap(api.application.view_functions["run"])
    monkeypatch.setitem(main.__globals__, "DASHBOARD", folder)
    return folder


def test_pages_and_files_of_the_dashboard_are_served(api: FlaskClient, dashboard: Path) -> None:
    for path in ("/", "/ingestions/1f3a"):
        answer = api.get(path)
        assert (answer.status_code, answer.mimetype) == (200, "text/html")
        assert "<title>EventPulse</title>" in answer.text
        assert SECURITY_HEADERS.items() <= dict(answer.headers).items()
    script = api.get("/assets/index-1a2b.js")
    assert (script.status_code, script.text) == (200, "1")
    assert "immutable" in script.headers["Cache-Control"]
    assert api.get("/assets/missing.js").status_code == 404


def test_a_path_leads_to_no_file_outside(api: FlaskClient, dashboard: Path) -> None:
    (dashboard.parent / "secret.txt").write_text("secret")
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/assets/../../secret.txt"):
        assert "secret" not in api.get(path).text


def test_the_api_is_under_its_path_as_before(api: FlaskClient, dashboard: Path) -> None:
    assert api.get("/api/health").json["status"] == "ok"  # type: ignore[index]
    assert api.get("/api/nothing").mimetype == "application/problem+json"
    assert api.get("/apiary").mimetype == "text/html"


def test_nothing_but_reading_is_done_outside_the_api(api: FlaskClient, dashboard: Path) -> None:
    assert api.post("/", json={}).status_code == 405


def test_a_bundle_keeps_the_folders_of_its_files(dashboard: Path) -> None:
    (dashboard.parent / "main.py").write_text("")
    with zipfile.ZipFile(io.BytesIO(pack(dashboard.parent))) as archive:
        names = archive.namelist()
    assert names == ["main.py", "web/assets/index-1a2b.js", "web/index.html"]
