"""The endpoints of backfills."""

from __future__ import annotations

from eventpulse.api.backfills import (
    BackfillAnswer,
    BackfillPage,
    BackfillQuery,
    BackfillRequest,
    ItemPage,
    ItemsQuery,
    get_backfill,
    list_backfill_items,
    list_backfills,
    post_backfill,
    post_backfill_cancel,
    post_backfill_pause,
    post_backfill_resume,
    post_backfill_start,
)
from eventpulse.api.endpoints import Endpoint

_CURSOR = {400: "The cursor belongs to another list."}
_BACKFILL = {404: "There is no such backfill."}

BACKFILL_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/api/backfills",
        post_backfill,
        "Plan a backfill: what would run, and what it would change. Nothing runs yet.",
        BackfillAnswer,
        status=202,
        body=BackfillRequest,
        refusals={404: "There is no contract for the dataset."},
        role="operator",
        subject="backfill/{id}",
    ),
    Endpoint(
        "GET",
        "/api/backfills",
        list_backfills,
        "List backfills, newest first.",
        BackfillPage,
        query=BackfillQuery,
        refusals=_CURSOR,
        role="viewer",
    ),
    Endpoint(
        "GET",
        "/api/backfills/{id}",
        get_backfill,
        "One backfill: its plan in numbers, what it would change, how far it is.",
        BackfillAnswer,
        refusals=_BACKFILL,
        role="viewer",
    ),
    Endpoint(
        "GET",
        "/api/backfills/{id}/items",
        list_backfill_items,
        "The raw objects of the plan, in the order in which they run.",
        ItemPage,
        query=ItemsQuery,
        refusals=_BACKFILL,
        role="viewer",
    ),
    *(
        Endpoint(
            "POST",
            f"/api/backfills/{{id}}/{verb}",
            handle,
            summary,
            BackfillAnswer,
            refusals={**_BACKFILL, 409: "It is in another state."},
            role="operator",
            subject="backfill/{id}",
        )
        for verb, handle, summary in (
            ("start", post_backfill_start, "Run a planned backfill."),
            ("pause", post_backfill_pause, "Let the slice under way end, and stop."),
            ("resume", post_backfill_resume, "Go on with a paused backfill."),
            ("cancel", post_backfill_cancel, "Let the slice under way end, and never go on."),
        )
    ),
)
