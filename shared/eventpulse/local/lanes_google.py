"""The lanes that need Google's services: run by their emulators, which stand in the repository.

Buckets and the queue are made here, as Terraform makes them in a project. Tasks carry OIDC tokens
of the emulators' issuer; events and the schedule carry the TASK_TOKEN.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests

from eventpulse.local.children import StartFailed
from eventpulse.local.lanes import BACKOFF, Ground, Lane, deliver, open_databases
from eventpulse.ports import BUCKETS

if TYPE_CHECKING:
    from emulators.stack import GoogleStack, Service

PREFIX = "eventpulse"
LOCATION = "europe-west1"
QUEUE = "eventpulse"

_REPOSITORY = Path(__file__).resolve().parents[3]
_CLIENT_VARIABLES = (
    "GOOGLE_CLOUD_PROJECT",
    "STORAGE_EMULATOR_HOST",
    "FIRESTORE_EMULATOR_HOST",
)
_REQUEST_SECONDS = 30.0


@contextmanager
def open_google(ground: Ground) -> Iterator[Lane]:
    """All of Google's services; they deliver events and tasks themselves."""
    with _run(ground, ("storage", "firestore", "tasks", "bigquery")) as google:
        described = google.environment
        project = described["GOOGLE_CLOUD_PROJECT"]
        account = google.service_account.email
        endpoint = described["EVENTPULSE_EMULATOR_TASKS"]
        make_queue(project, endpoint)
        warehouse = {
            "location": "EU",
            "prefix": PREFIX,
            "endpoint": described["BIGQUERY_EMULATOR_HOST"],
        }
        tasks = f"cloudtasks://{project}/{LOCATION}/{QUEUE}"
        variables = {
            **_describe_clients(google),
            "EVENTPULSE_OBJECTS": f"gs://{PREFIX}",
            "EVENTPULSE_STATE": f"firestore://{project}",
            "EVENTPULSE_WAREHOUSE": f"bigquery://{project}?{urlencode(warehouse)}",
            "EVENTPULSE_TASKS": f"{tasks}?endpoint={endpoint}&service_account={account}",
            "EVENTPULSE_INVOKERS": account,
            "EVENTPULSE_OIDC_CERTS": described["EVENTPULSE_EMULATOR_OIDC_CERTS_URL"],
        }
        yield Lane(variables, lambda: _deliver_events(ground, google))


@contextmanager
def open_mixed(ground: Ground) -> Iterator[Lane]:
    """Cloud Storage, with Postgres for everything else."""
    with _run(ground, ("storage",)) as google, open_databases(ground) as databases:
        variables = {
            **_describe_clients(google),
            "EVENTPULSE_OBJECTS": f"gs://{PREFIX}",
            **databases,
        }
        yield Lane(variables, lambda: deliver(ground, databases, _deliver_events(ground, google)))


@contextmanager
def _run(ground: Ground, services: Sequence[Service]) -> Iterator[GoogleStack]:
    if importlib.util.find_spec("emulators") is None:
        sys.path.append(str(_REPOSITORY))
    from emulators.process import StartError
    from emulators.stack import GoogleStack

    google = GoogleStack(ground.home.google, services=services)
    try:
        google.start()
    except StartError as error:
        raise StartFailed(error.name, str(error)) from error
    try:
        make_buckets(google.environment["STORAGE_EMULATOR_HOST"])
        yield google
    finally:
        google.stop()


def _describe_clients(google: GoogleStack) -> dict[str, str]:
    """What the client libraries read."""
    described = google.environment
    found = {name: described[name] for name in _CLIENT_VARIABLES if name in described}
    return {**found, "GOOGLE_APPLICATION_CREDENTIALS": str(google.service_account.key_file)}


@contextmanager
def _deliver_events(ground: Ground, google: GoogleStack) -> Iterator[None]:
    """The bucket's trigger stays when the stack stops: what it owes is delivered after."""
    urls = {"land": f"{ground.url}/land"}
    google.set_triggers(f"{PREFIX}-raw", urls, ground.authorization)
    yield


def make_buckets(storage: str) -> None:
    """The four buckets; raw keeps its generations."""
    for bucket in BUCKETS:
        resource = {
            "name": f"{PREFIX}-{bucket}",
            "versioning": {"enabled": bucket == "raw"},
        }
        made = requests.post(f"{storage}/storage/v1/b", json=resource, timeout=_REQUEST_SECONDS)
        if made.status_code != requests.codes.conflict:
            made.raise_for_status()


def make_queue(project: str, endpoint: str) -> None:
    """The queue, retrying as the local one does."""
    import grpc
    from google.api_core.exceptions import AlreadyExists
    from google.cloud import tasks_v2
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    parent = f"projects/{project}/locations/{LOCATION}"
    retries = tasks_v2.RetryConfig(
        max_attempts=-1,
        min_backoff=timedelta(seconds=BACKOFF.shortest),
        max_backoff=timedelta(seconds=BACKOFF.longest),
    )
    queue = tasks_v2.Queue(name=f"{parent}/queues/{QUEUE}", retry_config=retries)
    with grpc.insecure_channel(endpoint) as channel:
        transport: Any = CloudTasksGrpcTransport(channel=channel)
        client = tasks_v2.CloudTasksClient(transport=transport)
        try:
            client.create_queue(parent=parent, queue=queue)
        except AlreadyExists:
            client.update_queue(queue=queue)
