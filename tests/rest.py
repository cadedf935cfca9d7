"""When a platform is at rest, as its log says.

Not when its queue is empty: a task that stands at a lease's end, or at the end of a window, waits
there also when all that it would do is done.
"""

from __future__ import annotations

from eventpulse.fleet.batches import DATASET, Batch, query_landed, query_outstanding
from eventpulse.ingestions.ingestion import query_unfinished
from eventpulse.pipeline.streams import list_heads
from eventpulse.platform import Platform

_END_OF_TIME = "9999"


def list_unfinished(platform: Platform) -> list[str]:
    """What was stored and has not landed, landed and is in no bundle, or is being ingested. A claim
    of which nothing came is none of that: its URL was never used."""
    claimed = list_heads(platform, query_outstanding(_END_OF_TIME))
    stored = [
        head
        for head in claimed
        if platform.objects.stat("raw", Batch.model_validate(head.projection).name.object_name)
    ]
    landed = list_heads(platform, query_landed(DATASET))
    unfinished = list_heads(platform, query_unfinished(_END_OF_TIME))
    return [head.stream for head in (*stored, *landed, *unfinished)]
