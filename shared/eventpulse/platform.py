"""The platform: what every use case is handed. `wiring` makes one from settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from eventpulse.ports import EventLog, ObjectStore, TaskQueue, Warehouse
from eventpulse.settings import Settings


class Platform(Protocol):
    """The four ports, the settings and the clock. Nothing connects before use; a port whose setting
    is wrong raises SettingInvalid when it is first named."""

    @property
    def settings(self) -> Settings: ...

    @property
    def clock(self) -> Callable[[], datetime]: ...

    @property
    def objects(self) -> ObjectStore: ...

    @property
    def log(self) -> EventLog: ...

    @property
    def tasks(self) -> TaskQueue: ...

    @property
    def warehouse(self) -> Warehouse: ...
