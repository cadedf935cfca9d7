"""The gateway: which application answers which path, and what each of them sees."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from werkzeug.test import Client

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.local.gateway import API, DEVICES, FUNCTIONS, Gateway
from eventpulse.settings import Settings

ECHO = """
import functions_framework

@functions_framework.http
def {name}(request):
    return {{"function": "{name}", "path": request.path, "root": request.root_path,
            "query": request.query_string.decode(), "body": request.get_data(as_text=True)}}
"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    """A folder of functions that say what they saw."""
    folder = tmp_path / "functions"
    for name in (*FUNCTIONS, API, DEVICES):
        (folder / name).mkdir(parents=True)
        (folder / name / "main.py").write_text(ECHO.format(name=name))
    return folder


@pytest.fixture
def client(functions: Path) -> Client:
    return Client(Gateway(functions, None, Settings()))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_sees_its_path_without_its_name(client: Client, name: str) -> None:
    seen = client.post(f"/{name}/deeper?x=1", data="body").get_json()
    assert seen == {
        "function": name,
        "path": "/deeper",
        "root": f"/{name}",
        "query": "x=1",
        "body": "body",
    }
    assert client.post(f"/{name}").get_json()["path"] == "/"
    assert client.post(f"/{name}/").get_json()["path"] == "/"


def test_devices_see_the_whole_path(client: Client) -> None:
    for path in ("/api/edge", "/api/edge/time", "/api/edge/commands/a"):
        seen = client.get(path).get_json()
        assert (seen["function"], seen["path"]) == ("devices", path)
    assert client.get("/api/edgewise").get_json()["function"] == "api"


def test_the_api_sees_the_whole_path(client: Client) -> None:
    for path in ("/api", "/api/ready", "/api/ingestions/a%2Fb"):
        seen = client.get(path).get_json()
        assert (seen["function"], seen["root"]) == ("api", "")
    assert seen["path"] == "/api/ingestions/a/b"


def test_names_that_only_begin_alike_are_no_functions(client: Client) -> None:
    assert client.get("/apis").status_code == 404
    assert client.post("/landing").status_code == 405
    assert client.get("/x/land").status_code == 404


def test_a_file_store_receives_signed_uploads(functions: Path, tmp_path: Path) -> None:
    settings = Settings(
        objects=(tmp_path / "objects").as_uri(),
        uploads="http://127.0.0.1/objects",
        sign_key="key",
    )
    client = Client(Gateway(functions, None, settings))
    store = FileObjectStore(settings.objects, b"key", settings.uploads)
    signed = store.sign_upload(
        "sales/a b.csv",
        length=4,
        md5=base64.b64encode(hashlib.md5(b"data").digest()).decode(),
        content_type="text/csv",
        expires=datetime.now(UTC) + timedelta(minutes=5),
    )
    url = urlsplit(signed.url)
    answer = client.put(
        f"{url.path}?{url.query}",
        base_url="http://127.0.0.1",
        data=b"data",
        headers=dict(signed.headers),
    )
    assert answer.status_code == 200
    assert store.stat("raw", "sales/a b.csv") is not None
    assert client.put(url.path, data=b"data").status_code in (400, 403)


def test_without_a_file_store_nothing_is_received(client: Client) -> None:
    assert client.put("/objects/raw/a.csv", data=b"data").status_code == 404


def test_without_a_dashboard_there_is_a_page_that_leads_to_the_api(client: Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "/api/openapi.json" in page.text
    assert client.get("/elsewhere").status_code == 404
    assert client.post("/").status_code == 405


def test_a_built_dashboard_is_served(functions: Path, tmp_path: Path) -> None:
    site = tmp_path / "dist"
    (site / "assets").mkdir(parents=True)
    (site / "index.html").write_text("<p>dashboard</p>")
    (site / "assets" / "app-1.js").write_text("run()")
    (tmp_path / "secret.txt").write_text("secret")
    client = Client(Gateway(functions, site, Settings()))
    assert client.get("/").text == "<p>dashboard</p>"
    for page in ("/ingestions/7", "/marts", "/marts/weather_daily", "/drift"):
        assert client.get(page).text == "<p>dashboard</p>"
    assert client.post("/marts").get_json()["function"] == "marts"
    script = client.get("/assets/app-1.js")
    assert script.text == "run()"
    assert script.mimetype == "text/javascript"
    assert "immutable" in script.headers["Cache-Control"]
    assert client.get("/").headers["Cache-Control"] == "no-cache"
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/assets/missing.js"):
        assert client.get(path).status_code == 404
    assert client.get("/api/ready").get_json()["function"] == "api"


def test_the_real_functions_are_all_there() -> None:
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/main.py")}
    assert folders == {*FUNCTIONS, API, DEVICES}
