"""A BigQuery whose jobs all end in the same error: what the emulator cannot be made to do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def serve_failing_jobs(reason: str, message: str) -> Iterator[str]:
    """The address of a service that accepts any job, and says that it failed so."""
    error = {"reason": reason, "message": message}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.partition("?")[0].rpartition("/")[2]
            if "/jobs/" in self.path:
                self._answer(_describe_job(name, "load", error))
            elif "/tables/" in self.path:
                reference = {"projectId": "p", "datasetId": "d", "tableId": name}
                self._answer({"tableReference": reference, "type": "TABLE", "schema": {}})
            else:
                self._answer({"error": {**error, "code": 400, "errors": [error]}}, 400)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kind = next(each for each in ("load", "query") if each in body["configuration"])
            self._answer(_describe_job(body["jobReference"]["jobId"], kind, error))

        def _answer(self, resource: dict[str, Any], status: int = 200) -> None:
            content = json.dumps(resource).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _describe_job(job_id: str, kind: str, error: dict[str, str]) -> dict[str, Any]:
    return {
        "jobReference": {"projectId": "p", "jobId": job_id, "location": "EU"},
        "configuration": {"jobType": kind.upper(), kind: {}},
        "status": {"state": "DONE", "errorResult": error, "errors": [error, error]},
        "statistics": {},
    }
