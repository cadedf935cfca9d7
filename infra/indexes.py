"""Write `firestore.indexes.json`: the composite indexes of every query that the code makes.

python -m infra.indexes
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eventpulse.adapters.log_firestore import index_file
from eventpulse.streams import PROJECTORS, list_queries

INDEXES = Path(__file__).with_name("firestore.indexes.json")
KINDS = tuple(sorted(PROJECTORS))
"""Every kind of stream."""


def describe_indexes() -> dict[str, Any]:
    return index_file(list_queries(), KINDS)


if __name__ == "__main__":
    INDEXES.write_text(json.dumps(describe_indexes(), indent=2) + "\n")
