"""A process that begins a load job and is killed in the middle of it, as by SIGKILL.

    python -m tests.adapters.killed_loader KIND WAREHOUSE OBJECTS JOB TABLE SOURCE…

TABLE is a pickled DatasetTable, a SOURCE a name in the staged bucket with its generation behind an
`@`. In Postgres the process dies when it opens the last source: rows of the others have been
copied. In BigQuery it dies when the job has begun, before its outcome is known.
"""

from __future__ import annotations

import base64
import os
import pickle
import signal
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

from eventpulse.adapters.objects_file import FileObjectStore
from eventpulse.adapters.objects_gcs import GcsObjectStore
from eventpulse.adapters.warehouse_bigquery import BigQueryWarehouse
from eventpulse.adapters.warehouse_postgres import PostgresWarehouse
from eventpulse.ports import DatasetTable, ObjectRef


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FatalObjects(FileObjectStore):
    """Reading `fatal` is the end."""

    fatal = ""

    def open(self, ref: ObjectRef) -> BinaryIO:
        if ref.name == self.fatal:
            die()
        return super().open(ref)


class KilledWarehouse(BigQueryWarehouse):
    def _begin_load(self, table: DatasetTable, sources: Sequence[ObjectRef], job_id: str) -> Any:
        super()._begin_load(table, sources, job_id)
        die()


def main(kind: str, url: str, objects: str, job_id: str, table: str, *names: str) -> None:
    sources = [
        ObjectRef("staged", name, int(generation))
        for name, _, generation in (each.rpartition("@") for each in names)
    ]
    warehouse: PostgresWarehouse | BigQueryWarehouse
    if kind == "postgres":
        store = FatalObjects(objects, b"a secret", "http://127.0.0.1")
        store.fatal = sources[-1].name
        warehouse = PostgresWarehouse(url, store)
    else:
        warehouse = KilledWarehouse(url, GcsObjectStore(objects))
    warehouse.load_rows(pickle.loads(base64.b64decode(table)), sources, job_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
