"""From settings to adapters: the scheme of a URL picks each one, on first use."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TypeVar
from urllib.parse import urlsplit

from eventpulse.errors import SettingInvalid
from eventpulse.platform import Platform
from eventpulse.ports import EventLog, ObjectStore, TaskQueue, Warehouse
from eventpulse.settings import Settings, read_settings, variable_of

Port = TypeVar("Port")
Maker = TypeVar("Maker")


class WiredPlatform:
    """A platform whose ports the settings choose, but for those that are given. Nothing connects
    before use."""

    def __init__(
        self,
        settings: Settings,
        *,
        objects: ObjectStore | None = None,
        log: EventLog | None = None,
        warehouse: Warehouse | None = None,
        tasks: TaskQueue | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.clock = clock
        given = {"objects": objects, "log": log, "warehouse": warehouse, "tasks": tasks}
        self.__dict__.update({name: port for name, port in given.items() if port is not None})

    @cached_property
    def objects(self) -> ObjectStore:
        return self._guard("objects", _choose("objects", self.settings, _OBJECTS))

    @cached_property
    def log(self) -> EventLog:
        return self._guard("log", _choose("state", self.settings, _LOGS))

    @cached_property
    def tasks(self) -> TaskQueue:
        return self._guard("tasks", _choose("tasks", self.settings, _QUEUES))

    @cached_property
    def warehouse(self) -> Warehouse:
        make = _pick("warehouse", self.settings.warehouse, _WAREHOUSES)
        return self._guard("warehouse", make(self.settings.warehouse, self.objects))

    def _guard(self, name: str, port: Port) -> Port:
        if not self.settings.failpoints:
            return port
        from eventpulse.failpoints import guard_effects

        return guard_effects(port, name, self.settings.failpoints)


_in_use: list[Platform] = []


def default_platform() -> Platform:
    """The process's platform: the innermost of `use_platform`, else the environment's."""
    return _in_use[-1] if _in_use else environment_platform()


@cache
def environment_platform() -> Platform:
    """The platform that the environment describes. Raises SettingInvalid."""
    return WiredPlatform(read_settings())


@contextmanager
def use_platform(platform: Platform) -> Iterator[Platform]:
    """Have every function of this process, on any thread, work on `platform`."""
    _in_use.append(platform)
    try:
        yield platform
    finally:
        _in_use.remove(platform)


def _file_store(settings: Settings) -> ObjectStore:
    from eventpulse.adapters.objects_file import FileObjectStore

    key = settings.sign_key.encode() or _unknown_key()
    return FileObjectStore(settings.objects, sign_key=key, upload_url=settings.uploads)


@cache
def _unknown_key() -> bytes:
    """What a process without EVENTPULSE_SIGN_KEY signs with: no other one takes its URLs."""
    return secrets.token_bytes(32)


def _gcs_store(settings: Settings) -> ObjectStore:
    from eventpulse.adapters.objects_gcs import GcsObjectStore

    return GcsObjectStore(settings.objects)


def _postgres_log(settings: Settings) -> EventLog:
    from eventpulse.adapters.log_postgres import PostgresEventLog
    from eventpulse.streams import list_queries

    return PostgresEventLog(settings.state, indexes=list_queries())


def _firestore_log(settings: Settings) -> EventLog:
    from eventpulse.adapters.log_firestore import FirestoreEventLog

    return FirestoreEventLog(settings.state)


def _postgres_queue(settings: Settings) -> TaskQueue:
    from eventpulse.adapters.tasks_postgres import PostgresTaskQueue

    return PostgresTaskQueue(settings.tasks)


def _cloud_queue(settings: Settings) -> TaskQueue:
    from eventpulse.adapters.tasks_cloudtasks import CloudTasksQueue

    return CloudTasksQueue(settings.tasks, functions_url=settings.functions)


def _postgres_warehouse(url: str, objects: ObjectStore) -> Warehouse:
    from eventpulse.adapters.warehouse_postgres import PostgresWarehouse

    return PostgresWarehouse(url, objects)


def _bigquery_warehouse(url: str, objects: ObjectStore) -> Warehouse:
    from eventpulse.adapters.warehouse_bigquery import BigQueryWarehouse

    return BigQueryWarehouse(url, objects)


_OBJECTS = {"file": _file_store, "gs": _gcs_store}
_LOGS = {
    "postgresql": _postgres_log,
    "postgres": _postgres_log,
    "firestore": _firestore_log,
}
_QUEUES = {
    "postgresql": _postgres_queue,
    "postgres": _postgres_queue,
    "cloudtasks": _cloud_queue,
}
_WAREHOUSES = {
    "postgresql": _postgres_warehouse,
    "postgres": _postgres_warehouse,
    "bigquery": _bigquery_warehouse,
}


def _choose(
    field: str, settings: Settings, makers: Mapping[str, Callable[[Settings], Port]]
) -> Port:
    return _pick(field, getattr(settings, field), makers)(settings)


def _pick(field: str, url: str, makers: Mapping[str, Maker]) -> Maker:
    scheme = urlsplit(url).scheme
    if scheme not in makers:
        schemes = ", ".join(f"{name}://" for name in makers)
        shown = f"{scheme}://…" if scheme else url  # the rest may hold a password
        raise SettingInvalid(variable_of(field), shown, f"a URL that begins with {schemes}")
    return makers[scheme]
