"""The OIDC issuer's address: who signs, by which keys, as documents over HTTP."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from emulators.credentials import Issuer


class IssuerServer:
    """Serves an issuer's documents, and mints tokens that name this server as their issuer."""

    def __init__(self, issuer: Issuer, host: str, port: int) -> None:
        self._issuer = issuer
        documents = self._list_documents

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document = documents().get(self.path)
                self.send_response(404 if document is None else 200)
                body = b"" if document is None else json.dumps(document).encode()
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing: each verification asks for the keys."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self.url = f"http://{host}:{self._server.server_port}"

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def mint_token(self, email: str, audience: str) -> str:
        """An ID token for a service account."""
        return self._issuer.mint_token(self.url, email, audience)

    def _list_documents(self) -> dict[str, Any]:
        return {
            "/certs": self._issuer.list_certificates(),
            "/jwks.json": self._issuer.list_jwks(),
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks.json",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
        }
