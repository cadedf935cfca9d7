"""The dashboard's files: which coding is sent, how long browsers keep it, what pages may do."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from werkzeug.test import Client

from eventpulse.site import SECURITY_HEADERS, Site

SCRIPT = "run()" * 100


@pytest.fixture
def client(tmp_path: Path) -> Client:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>dashboard</p>")
    script = tmp_path / "assets" / "app-1.js"
    script.write_text(SCRIPT)
    script.with_name("app-1.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    script.with_name("app-1.js.br").write_bytes(b"as brotli")
    return Client(Site(tmp_path))


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("identity", None),
        (None, None),
    ],
)
def test_the_best_coding_that_the_browser_takes_is_sent(
    client: Client, accepted: str | None, encoding: str | None
) -> None:
    headers = {} if accepted is None else {"Accept-Encoding": accepted}
    answer = client.get("/assets/app-1.js", headers=headers)
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.mimetype == "text/javascript"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    if encoding == "gzip":
        assert gzip.decompress(answer.data).decode() == SCRIPT


@pytest.mark.parametrize(
    "path", ["/", "/datasets/weather.daily", "/assets/app-1.js", "/assets/gone", "/no.js"]
)
def test_every_answer_says_what_a_page_may_do(client: Client, path: str) -> None:
    answer = client.get(path)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_deep_links_are_pages_and_missing_files_are_not(client: Client) -> None:
    for path in ("/ingestions/7?tab=quality", "/datasets/weather.daily"):
        assert client.get(path).text == "<p>dashboard</p>"
    for path in ("/assets/gone", "/assets/app-2.js", "/favicon.ico"):
        assert client.get(path).status_code == 404


def test_a_stack_without_a_dashboard_says_how_to_build_it(tmp_path: Path) -> None:
    page = Client(Site(tmp_path)).get("/")
    assert page.status_code == 200
    assert "nox -s web" in page.text
