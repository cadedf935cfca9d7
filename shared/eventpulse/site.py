"""The dashboard's static files, or, before it is built, one page that says what this is.

What a browser may do with a page of ours is said in its headers: run and load what this very
origin serves, and nothing else, but for signed uploads to Cloud Storage. There is no inline script
or style that could need an exception.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.security import safe_join
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import wrap_file

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>EventPulse</title>
<h1>EventPulse</h1>
<p>Files become trusted tables: each one checked against its contract, loaded exactly once, and
explained. This is a stack on one machine. Its dashboard is not built: <code>nox -s web</code>.</p>
<ul>
<li><a href="/api/openapi.json">The API</a>, described in OpenAPI 3.1</li>
<li><a href="/api/ready">Whether it is ready</a></li>
</ul>
</html>
"""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self' https://storage.googleapis.com",  # signed uploads go straight there
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_FRESH = {**SECURITY_HEADERS, "Cache-Control": "no-cache"}
_KEPT = {**SECURITY_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}

_ENCODINGS: Mapping[str, str] = {"br": ".br", "gzip": ".gz"}
"""Content codings that the build has made already, the best first, by the file's further suffix."""


class Site:
    """A WSGI application over one folder; None or a folder without index.html: the plain page.

    A path that names no file, nor looks like one, is a page of the dashboard: index.html. Names of
    files below assets/ hold their content's hash, so browsers keep them for good.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request: Request) -> WSGIApplication:
        if request.method not in ("GET", "HEAD"):
            return Response("Use GET.\n", 405, {**SECURITY_HEADERS, "Allow": "GET, HEAD"})
        index = self._folder / "index.html" if self._folder else None
        if self._folder is None or index is None or not index.is_file():
            if request.path != "/":
                return _nothing()
            return Response(_PAGE, 200, _FRESH, mimetype="text/html")
        assets = request.path.startswith("/assets/")
        joined = safe_join(str(self._folder), request.path.lstrip("/"))
        if joined is not None and Path(joined).is_file():
            return _send(request, Path(joined), _KEPT if assets else _FRESH)
        if assets or Path(request.path).suffix in mimetypes.types_map:
            return _nothing()
        return _send(request, index, _FRESH)


def _nothing() -> Response:
    return Response("There is nothing here.\n", 404, SECURITY_HEADERS)


def _send(request: Request, path: Path, headers: Mapping[str, str]) -> Response:
    encoding = _choose_encoding(request, path)
    sent = path if encoding is None else path.with_name(path.name + _ENCODINGS[encoding])
    file = sent.open("rb")
    kind, _ = mimetypes.guess_type(path.name)
    response = Response(
        wrap_file(request.environ, file),
        200,
        {**headers, "Content-Length": str(sent.stat().st_size), "Vary": "Accept-Encoding"},
        mimetype=kind or "application/octet-stream",
        direct_passthrough=True,
    )
    if encoding is not None:
        response.headers["Content-Encoding"] = encoding
    response.call_on_close(file.close)
    return response


def _choose_encoding(request: Request, path: Path) -> str | None:
    """The best coding that the browser takes and the build has."""
    for encoding, suffix in _ENCODINGS.items():
        taken = request.accept_encodings[encoding] > 0
        if taken and path.with_name(path.name + suffix).is_file():
            return encoding
    return None
