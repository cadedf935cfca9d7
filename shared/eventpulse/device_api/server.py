"""The devices' table of endpoints, behind their sign-in."""

from __future__ import annotations

import flask

from eventpulse.api.endpoints import Endpoint
from eventpulse.api.serving import Surface, serve
from eventpulse.device_api.handlers import (
    delete_key,
    get_commands,
    get_contract,
    get_time,
    post_batch,
    post_command,
    post_commit,
    post_enroll,
    post_heartbeat,
    post_key,
)
from eventpulse.device_api.models import (
    BatchRequest,
    CommandReport,
    CommitRequest,
    EnrolmentRequest,
    KeyRequest,
)
from eventpulse.device_api.sign_in import sign_in
from eventpulse.fleet.devices import Heartbeat

MAX_BODY_BYTES = 64 << 10

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/edge/time", get_time, "The server's clock.", public=True),
    Endpoint(
        "POST",
        "/api/edge/enroll",
        post_enroll,
        "Bind a key to a device with its claim code.",
        body=EnrolmentRequest,
        public=True,
    ),
    Endpoint(
        "POST",
        "/api/edge/batches",
        post_batch,
        "Claim a batch; answers where to put it.",
        body=BatchRequest,
    ),
    Endpoint(
        "POST",
        "/api/edge/batches/{epoch}/{first}-{last}/commit",
        post_commit,
        "The bytes are there; answers the receipt.",
        body=CommitRequest,
    ),
    Endpoint(
        "POST",
        "/api/edge/heartbeat",
        post_heartbeat,
        "How the device is.",
        body=Heartbeat,
    ),
    Endpoint("GET", "/api/edge/commands", get_commands, "What the device is asked to do."),
    Endpoint(
        "POST",
        "/api/edge/commands/{id}",
        post_command,
        "How far a command is.",
        body=CommandReport,
    ),
    Endpoint("POST", "/api/edge/keys", post_key, "Register a further key.", body=KeyRequest),
    Endpoint("DELETE", "/api/edge/keys/{kid}", delete_key, "Remove a key."),
    Endpoint("GET", "/api/edge/contract", get_contract, "The rules that a reading must keep."),
)

DEVICES = Surface(
    "devices",
    ENDPOINTS,
    sign_in,
    help="edge/PROTOCOL.md describes every request.",
    max_body_bytes=MAX_BODY_BYTES,
    codes={
        "invalid_request": "request_invalid",
        "malformed_json": "request_invalid",
        "malformed_text": "request_invalid",
        "unsupported_media_type": "request_invalid",
        "backend_unavailable": "unavailable",
    },
)


def serve_devices(request: flask.Request) -> flask.Response:
    """The answer to one request of a device."""
    return serve(DEVICES, request)
