"""Land: a finalize event of the raw bucket becomes an ingestion."""

from __future__ import annotations

import functions_framework
from cloudevents.http import CloudEvent

from eventpulse.http import serve_event
from eventpulse.pipeline.land import land_object


@functions_framework.cloud_event
def land(event: CloudEvent) -> None:
    serve_event(event, "land", land_object)
