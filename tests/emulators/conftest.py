"""The clients of Google's libraries, on the session's emulators."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, firestore, storage

from emulators.stack import GoogleStack


@pytest.fixture
def run() -> str:
    """A name that no other test uses."""
    return f"r{uuid.uuid4().hex[:12]}"


@pytest.fixture
def database(google_stack: GoogleStack) -> firestore.Client:
    return firestore.Client(project="emulated", credentials=AnonymousCredentials())


@pytest.fixture
def storage_client(google_stack: GoogleStack) -> storage.Client:
    return storage.Client(project="emulated", credentials=AnonymousCredentials())


@pytest.fixture
def bucket(storage_client: storage.Client, run: str) -> storage.Bucket:
    """An empty bucket that keeps old generations."""
    bucket = storage_client.bucket(f"emulated-{run}")
    bucket.versioning_enabled = True
    return storage_client.create_bucket(bucket)


@pytest.fixture
def warehouse(google_stack: GoogleStack, run: str) -> Iterator[bigquery.Client]:
    """A client whose default dataset is empty."""
    address = google_stack.environment["BIGQUERY_EMULATOR_HOST"]
    client = bigquery.Client(
        project="emulated",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": address},
    )
    client.create_dataset(run)
    client.default_query_job_config = bigquery.QueryJobConfig(default_dataset=f"emulated.{run}")
    yield client
    client.delete_dataset(run, delete_contents=True)
    client.close()
