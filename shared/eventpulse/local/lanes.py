"""What each lane consists of on one machine: the services behind the four ports, and who delivers.

    local    file store, and one embedded Postgres for state, warehouse and tasks
    google   emulators of Cloud Storage, Firestore, BigQuery and Cloud Tasks
    mixed    the emulator of Cloud Storage, and the embedded Postgres for the rest
    cloud    a project's own buckets, Firestore and BigQuery, named by the variables that whoever
             starts the stack gives; the functions and their queue stay on this machine, and sweep
             finds what lands, since no event of the project reaches it

A lane says which variables lead the functions to its services; nothing else of a stack differs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal, get_args

from eventpulse.adapters.finalize_file import FinalizeDelivery
from eventpulse.adapters.tasks_postgres import Backoff, Dispatcher
from eventpulse.errors import SettingInvalid
from eventpulse.local.children import Children
from eventpulse.local.database import EmbeddedPostgres
from eventpulse.local.home import Home, Secrets

LaneName = Literal["local", "google", "mixed", "cloud"]
LANES: tuple[LaneName, ...] = get_args(LaneName)
DATABASES = ("EVENTPULSE_STATE", "EVENTPULSE_WAREHOUSE", "EVENTPULSE_TASKS")
"""What a Postgres of one's own can stand behind, in the local and the mixed lane."""

BACKOFF = Backoff(shortest=0.2, longest=30.0)
"""When a task that failed is called again: there is nobody to be polite to on one's own machine."""

_DEADLINE_SECONDS = 1800.0
_LEASE_SECONDS = 5.0
_DELIVERIES = 8


@dataclass(frozen=True)
class Ground:
    """What a lane is built on. `url` is where the functions are served; `given` are variables that
    whoever starts the stack has set."""

    home: Home
    secrets: Secrets
    children: Children
    url: str
    given: Mapping[str, str]

    @property
    def functions(self) -> str:
        return f"{self.url}/{{function}}"

    @property
    def authorization(self) -> dict[str, str]:
        """The header of an internal call."""
        return {"Authorization": f"Bearer {self.secrets.task_token}"}


@dataclass(frozen=True)
class Lane:
    """Services that run. `deliver` brings their events and tasks to the functions for as long as
    its context lasts, and lets calls under way finish at the end."""

    variables: Mapping[str, str]
    deliver: Callable[[], AbstractContextManager[None]]


def open_lane(name: LaneName, ground: Ground) -> AbstractContextManager[Lane]:
    """Start a lane's services, and stop them when the context is left."""
    if name == "local":
        return open_local(ground)
    if name == "cloud":
        return open_cloud(ground)
    from eventpulse.local.lanes_google import open_google, open_mixed

    return open_google(ground) if name == "google" else open_mixed(ground)


@contextmanager
def open_local(ground: Ground) -> Iterator[Lane]:
    """File store and Postgres; this process delivers events and tasks."""
    objects = ground.home.objects

    @contextmanager
    def deliver_events() -> Iterator[None]:
        with FinalizeDelivery(
            objects, f"{ground.url}/land", ground.authorization, concurrency=_DELIVERIES
        ):
            yield

    with open_databases(ground) as databases:
        variables = {
            "EVENTPULSE_OBJECTS": objects.as_uri(),
            "EVENTPULSE_UPLOADS": f"{ground.url}/objects",
            **databases,
        }
        yield Lane(variables, lambda: deliver(ground, databases, deliver_events()))


@contextmanager
def open_cloud(ground: Ground) -> Iterator[Lane]:
    """A project's stores behind the functions of this machine. Raises SettingInvalid."""
    for name in ("EVENTPULSE_OBJECTS", *DATABASES[:2]):
        if name not in ground.given:
            raise SettingInvalid(name, "", "the URL of a store of the project")
    with open_databases(ground) as databases:
        yield Lane(databases, lambda: deliver(ground, databases, nullcontext()))


@contextmanager
def open_databases(ground: Ground) -> Iterator[dict[str, str]]:
    """The URLs of state, warehouse and tasks: those given, else the home's embedded Postgres."""
    given = {name: ground.given[name] for name in DATABASES if name in ground.given}
    if len(given) == len(DATABASES):
        yield given
        return
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    log = ground.home.logs / "postgres.log"
    postgres = EmbeddedPostgres(ground.home.postgres, log, environment)
    with ExitStack() as running:
        running.callback(postgres.remove_socket_folder)
        postgres.prepare()
        running.callback(ground.children.stop, postgres.program.name)
        ground.children.start(postgres.program, postgres.is_ready)
        yield {**dict.fromkeys(DATABASES, postgres.url), **given}


@contextmanager
def deliver(
    ground: Ground, databases: Mapping[str, str], events: AbstractContextManager[None]
) -> Iterator[None]:
    """Deliver the tasks of a Postgres queue, and `events`."""
    dispatcher = Dispatcher(
        databases["EVENTPULSE_TASKS"],
        ground.functions,
        token=ground.secrets.task_token,
        concurrency=_DELIVERIES,
        backoff=BACKOFF,
        deadline=_DEADLINE_SECONDS,
        lease=_LEASE_SECONDS,
    )
    with dispatcher, events:
        yield
