"""The object store on Cloud Storage: `gs://acme-eventpulse` is the buckets `acme-eventpulse-raw`,
`-staged`, `-quarantine` and `-reports`.

Operations are what Cloud Storage charges for: a write is one (nothing is looked up after it), an
`open` read to its end is one, a page of a listing (1,000 objects) is one.

Without a key file, upload URLs are signed by IAM's signBlob, for which the function's service
account needs `roles/iam.serviceAccountTokenCreator` on itself. With STORAGE_EMULATOR_HOST the
client library speaks, with anonymous credentials, to an emulator.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urlsplit

import google.auth
from google.api_core import exceptions
from google.auth import iam
from google.auth.credentials import Signing
from google.auth.transport.requests import Request
from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY
from google.oauth2 import service_account

from eventpulse.adapters.downloads_gcs import GcsReader
from eventpulse.adapters.google_http_faults import name_http_faults
from eventpulse.adapters.object_names import check_name, check_upload_name
from eventpulse.adapters.signature_v4 import expiry_of, lifetime_seconds, upload_headers
from eventpulse.adapters.uploads_gcs import TIMEOUT, WRITER, GcsWriter
from eventpulse.errors import ObjectMissing, SettingInvalid
from eventpulse.ports import BUCKETS, Bucket, ObjectRef, SignedRequest, StoredObject

_BACKEND = "Cloud Storage"
_CLOUD_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LISTED = (
    "items(name,generation,size,timeCreated,contentType,md5Hash,crc32c,metadata),nextPageToken"
)
_READ_BUFFER_BYTES = 256 << 10


def signing_credentials(credentials: Any, request: Any) -> Any:
    """Credentials that can sign: with their own key when they have one, else through IAM.

    `request` is a google-auth transport. Raises SettingInvalid when they belong to no service
    account.
    """
    if isinstance(credentials, Signing):
        return credentials
    if getattr(credentials, "service_account_email", None) == "default":
        credentials.refresh(request)  # a function's own account learns its name with its token
    email = getattr(credentials, "service_account_email", None)
    if not email:
        raise SettingInvalid(
            "GOOGLE_APPLICATION_CREDENTIALS",
            type(credentials).__name__,
            "credentials of a service account, because only those can sign upload URLs",
        )
    return service_account.Credentials(  # type: ignore[no-untyped-call]
        signer=iam.Signer(request, credentials, email),  # type: ignore[no-untyped-call]
        service_account_email=email,
        token_uri="https://oauth2.googleapis.com/token",
    )


class GcsObjectStore:
    """ObjectStore on `gs://<prefix>`. `patience` is how long a fault is retried, in seconds."""

    def __init__(self, url: str, *, patience: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme != "gs" or not parts.netloc or parts.path.strip("/"):
            raise SettingInvalid("EVENTPULSE_OBJECTS", url, "gs://prefix-of-the-buckets")
        self._prefix = parts.netloc
        self._retry = DEFAULT_RETRY.with_timeout(patience).with_delay(0.2, 15.0, 2.0)

    @cached_property
    def _client(self) -> Any:
        client = Client(project=None)
        # The library would look every bucket up, for traces that nobody takes: one more operation
        # to pay, and one more permission to have.
        client._bucket_metadata_cache = None
        return client

    @cached_property
    def _signing_credentials(self) -> Any:
        credentials, _ = google.auth.default(scopes=[_CLOUD_SCOPE])
        return signing_credentials(credentials, Request())

    def _blob(self, bucket: Bucket, name: str, generation: int | None = None) -> Any:
        gcs_bucket = self._client.bucket(self.bucket_name(bucket))
        return gcs_bucket.blob(check_name(name), generation=generation)

    def bucket_name(self, bucket: Bucket) -> str:
        if bucket not in BUCKETS:
            raise ValueError(f"{bucket!r} is not one of the buckets {', '.join(BUCKETS)}.")
        return f"{self._prefix}-{bucket}"

    def uri(self, ref: ObjectRef) -> str:
        return f"gs://{self.bucket_name(ref.bucket)}/{check_name(ref.name)}"

    def stat(self, bucket: Bucket, name: str, generation: int | None = None) -> StoredObject | None:
        with name_http_faults(_BACKEND, f"look up {bucket}/{name}"):
            blob = self._blob(bucket, name, generation)
            try:
                blob.reload(timeout=TIMEOUT, retry=self._retry)
            except exceptions.NotFound:
                return None
            return _read_resource(bucket, blob._properties)

    def open(self, ref: ObjectRef) -> BinaryIO:
        translate = functools.partial(name_http_faults, _BACKEND, f"read {ref.bucket}/{ref.name}")
        path = f"b/{self.bucket_name(ref.bucket)}/o/{quote(check_name(ref.name), safe='')}"
        with translate():
            url = f"{self._client.api_endpoint}/download/storage/v1/{path}"
            url += f"?alt=media&generation={ref.generation}"
            try:
                reader = GcsReader(self._client._http, url, self._retry, translate)
            except exceptions.NotFound:
                raise ObjectMissing(ref.bucket, ref.name, ref.generation) from None
        return io.BufferedReader(reader, _READ_BUFFER_BYTES)

    @contextlib.contextmanager
    def write(
        self,
        bucket: Bucket,
        name: str,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
        replace: bool = False,
    ) -> Iterator[GcsWriter]:
        """As the port says; ObjectExists may already be raised while a large body is written."""
        translate = functools.partial(name_http_faults, _BACKEND, f"write {bucket}/{name}")
        with translate():
            blob = self._blob(bucket, name)
        writer = GcsWriter(
            blob,
            bucket,
            content_type=content_type,
            metadata=metadata or {},
            replace=replace,
            retry=self._retry,
            translate=translate,
            read=functools.partial(_read_resource, bucket),
        )
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise
        writer.finish()

    def list(
        self, bucket: Bucket, prefix: str = "", after: str = "", *, generations: bool = False
    ) -> Iterator[StoredObject]:
        with name_http_faults(_BACKEND, f"list {bucket}/{prefix}"):
            for blob in self._client.list_blobs(
                self.bucket_name(bucket),
                prefix=prefix or None,
                start_offset=after or None,  # inclusive
                versions=generations,
                fields=_LISTED,
                timeout=TIMEOUT,
                retry=self._retry,
            ):
                if blob.name != after:
                    yield _read_resource(bucket, blob._properties)

    def delete(self, ref: ObjectRef) -> bool:
        faults: list[Exception] = []
        remove = functools.partial(
            self._blob(ref.bucket, ref.name).delete,
            if_generation_match=ref.generation,
            timeout=TIMEOUT,
            retry=None,
        )
        with name_http_faults(_BACKEND, f"delete {ref.bucket}/{ref.name}"):
            try:
                self._retry(remove, on_error=faults.append)()
            except exceptions.PreconditionFailed:
                return False
            except exceptions.NotFound:
                # After a fault it was most likely this call whose answer was lost.
                return bool(faults)
            return True

    def sign_upload(
        self,
        name: str,
        *,
        length: int,
        md5: str,
        content_type: str,
        expires: datetime,
        metadata: Mapping[str, str] | None = None,
        replaces: int | None = None,
    ) -> SignedRequest:
        headers = upload_headers(
            length=length,
            md5=md5,
            content_type=content_type,
            metadata=metadata,
            replaces=replaces,
        )
        seconds = lifetime_seconds(expires, datetime.now(UTC))
        with name_http_faults(_BACKEND, f"sign an upload of {name}"):
            url = self._blob("raw", check_upload_name(name)).generate_signed_url(
                version="v4",
                method="PUT",
                expiration=timedelta(seconds=seconds),
                headers=dict(headers),
                credentials=self._signing_credentials,
            )
        return SignedRequest("PUT", url, headers, expiry_of(url))


def _read_resource(bucket: Bucket, resource: Mapping[str, Any]) -> StoredObject:
    """An object resource of the JSON API as the port's value."""
    metadata = dict(resource.get("metadata") or {})
    metadata.pop(WRITER, None)
    return StoredObject(
        ref=ObjectRef(bucket, resource["name"], int(resource["generation"])),
        size=int(resource["size"]),
        created=datetime.fromisoformat(resource["timeCreated"]),
        content_type=cast(str, resource.get("contentType", "application/octet-stream")),
        md5=resource.get("md5Hash"),
        crc32c=resource.get("crc32c"),
        metadata=metadata,
    )
