"""Forward: a lineage artifact to an OpenLineage HTTP endpoint (Marquez, DataHub, …).

Each artifact has a task of its own, so that an endpoint that is slow or away holds up nothing: the
queue tries again, and the artifact in the reports bucket stays what counts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from eventpulse.errors import BackendUnavailable, RequestRefused
from eventpulse.leases import Delivery
from eventpulse.pipeline.documents import read_json
from eventpulse.platform import Platform
from eventpulse.values import Document

logger = logging.getLogger(__name__)

PATH = "/api/v1/lineage"
TIMEOUT_SECONDS = 10.0
MOST_RETRIES = 90
"""With the queue's backoff of five minutes seven hours; then the endpoint does without. The queue's
own attempts must be more, or nobody would be told."""

_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})


def forward_lineage(platform: Platform, body: Mapping[str, Any], delivery: Delivery) -> None:
    """Post every event of the artifact that `body` describes as a `Document`.

    Raises BackendUnavailable while the endpoint does not take them, and RequestRefused (400) for a
    body that is no document. An event that the endpoint refuses for good is logged and left out.
    """
    try:
        document = Document.model_validate(body)
    except ValidationError as error:
        raise RequestRefused(400, "invalid_task", "Not a task", str(error)) from error
    if not platform.settings.openlineage_url:
        logger.warning("no OpenLineage endpoint is configured any more: %s", document.uri)
        return
    try:
        for event in read_json(platform, "reports", document):
            _post(platform, event, document)
    except BackendUnavailable as error:
        if delivery.retries < MOST_RETRIES:
            raise
        logger.error("gave up forwarding %s: %s", document.uri, error.message)


def _post(platform: Platform, event: Mapping[str, Any], document: Document) -> None:
    import requests

    settings = platform.settings
    headers = {}
    if settings.openlineage_api_key:
        headers["Authorization"] = f"Bearer {settings.openlineage_api_key}"
    url = settings.openlineage_url.rstrip("/") + PATH
    try:
        answer = requests.post(url, json=event, headers=headers, timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        raise BackendUnavailable("OpenLineage", "take an event", error) from error
    if answer.status_code in _MAY_PASS:
        raise BackendUnavailable("OpenLineage", "take an event", f"it answers {answer.status_code}")
    if not answer.ok:
        logger.error(
            "the OpenLineage endpoint refuses an event of %s: %d %s",
            document.uri,
            answer.status_code,
            answer.text[:500],
        )
