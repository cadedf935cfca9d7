"""The Google lane's services together, as child processes under one home folder.

    with GoogleStack(Path(".eventpulse/google")) as stack:
        os.environ.update(stack.environment)
        stack.set_triggers("raw", {"land": "http://127.0.0.1:8080"})

Invariants:
  - Everything is kept under ``home``; started again on the same home, a stack finds its data.
    Ports are new at each start: ``environment`` says which.
  - ``start`` returns when every service has said that it answers, or raises and leaves nothing.
  - No child outlives the process that started it, however that ends.
  - Stacks with different homes run side by side; one home has one stack at a time.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Self

import requests

from emulators.credentials import PROJECT, Issuer, ServiceAccount, create_service_account
from emulators.process import Child, run_module

Service = Literal["firestore", "storage", "tasks", "bigquery"]
SERVICES: tuple[Service, ...] = ("firestore", "storage", "tasks", "bigquery")
_ROOT = Path(__file__).resolve().parents[1]
DEFAULT_INDEXES = _ROOT / "infra" / "firestore.indexes.json"


class GoogleStack:
    """The services, started on entering and stopped on leaving."""

    def __init__(
        self,
        home: Path,
        *,
        services: Iterable[Service] = SERVICES,
        indexes: Path = DEFAULT_INDEXES,
    ) -> None:
        """``indexes`` are Firestore's composite indexes; the file is read again as it changes."""
        self.home = home.resolve()
        self._services = tuple(services)
        self._indexes = indexes
        self._children: dict[Service, Child] = {}
        self._lock: Any = None
        self._credentials = self.home / "credentials"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What the client libraries and the project's adapters read."""
        variables = {
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "EVENTPULSE_EMULATOR_SERVICE_ACCOUNT_KEY": str(self.service_account.key_file),
        }
        for service in self._children:
            variables |= _DESCRIBE[service](self._children[service].facts)
        return variables

    @property
    def service_account(self) -> ServiceAccount:
        """The account that signs URLs, and that tasks and the schedule act as."""
        return create_service_account(self._credentials)

    def mint_token(self, email: str, audience: str) -> str:
        """An ID token as Google would issue it to ``email``, good for an hour."""
        issuer = str(self._children["tasks"].facts["issuer"])
        return Issuer(self._credentials).mint_token(issuer, email, audience)

    def start(self) -> None:
        """Start every service and wait until each answers."""
        self._take_home()
        try:
            # At once: one starts while another waits.
            with ThreadPoolExecutor(len(self._services)) as pool:
                started = {name: pool.submit(self.start_service, name) for name in self._services}
            for future in started.values():
                future.result()
        except BaseException:
            self.stop()
            raise

    def start_service(self, service: Service) -> None:
        """Start one service; for tests that stop one in the middle."""
        folder = self.home / service
        folder.mkdir(parents=True, exist_ok=True)
        self._children[service] = Child(
            service,
            self._command(service, folder),
            log=self.home / "logs" / f"{service}.log",
            ready_seconds=600 if service == "bigquery" else 60,
        )

    def get_pid(self, service: Service) -> int:
        """The process id of a running service."""
        return self._children[service].pid

    def stop_service(self, service: Service, kill: bool = False) -> None:
        """Stop one service, by SIGKILL if asked; its data stay."""
        child = self._children.pop(service)
        child.kill() if kill else child.stop()

    def stop(self) -> None:
        """Stop every service; safe to call twice."""
        with ThreadPoolExecutor(len(SERVICES)) as pool:
            list(pool.map(self.stop_service, list(self._children)))
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def set_triggers(
        self, bucket: str, urls: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> None:
        """Have the bucket's finalize events posted to each of ``urls`` (trigger name -> address),
        with ``headers`` that say who sends them.

        Replaces the bucket's triggers. A trigger that keeps its name keeps what it is still
        owed, and gets it at its new address.
        """
        url = f"{self._storage_url}/_emulator/buckets/{bucket}/triggers"
        triggers = {
            name: {"url": address, "headers": dict(headers or {})} for name, address in urls.items()
        }
        requests.put(url, json=triggers, timeout=30).raise_for_status()

    def count_pending_events(self) -> int:
        """Finalize events that no receiver has answered with 2xx yet."""
        response = requests.get(f"{self._storage_url}/_emulator/outbox", timeout=30)
        response.raise_for_status()
        return int(response.json()["pending"])

    @property
    def _storage_url(self) -> str:
        return str(self._children["storage"].facts["url"])

    def _take_home(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self._lock = (self.home / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            self._lock = None
            raise RuntimeError(f"another stack runs on {self.home}") from error

    def _command(self, service: Service, folder: Path) -> list[str]:
        match service:
            case "firestore":
                arguments = ["--db", str(folder / "firestore.db"), "--indexes", str(self._indexes)]
            case "storage":
                signers = self.service_account.signers_file
                arguments = ["--root", str(folder), "--signers", str(signers)]
            case "tasks":
                arguments = ["--db", str(folder / "tasks.db")]
                arguments += ["--credentials", str(self._credentials)]
            case "bigquery":
                mirror = self.home / "storage" / "mirror"
                arguments = ["--data", str(folder), "--gcs-root", str(mirror)]
        return run_module(f"emulators.{service}", *arguments)


def _describe_firestore(facts: Mapping[str, Any]) -> dict[str, str]:
    return {"FIRESTORE_EMULATOR_HOST": facts["address"]}


def _describe_storage(facts: Mapping[str, Any]) -> dict[str, str]:
    return {"STORAGE_EMULATOR_HOST": facts["url"]}


def _describe_tasks(facts: Mapping[str, Any]) -> dict[str, str]:
    return {
        "EVENTPULSE_EMULATOR_TASKS": facts["address"],
        "EVENTPULSE_EMULATOR_OIDC_ISSUER": facts["issuer"],
        "EVENTPULSE_EMULATOR_OIDC_CERTS_URL": f"{facts['issuer']}/certs",
    }


def _describe_bigquery(facts: Mapping[str, Any]) -> dict[str, str]:
    return {
        "BIGQUERY_EMULATOR_HOST": facts["url"],
        "EVENTPULSE_EMULATOR_BIGQUERY_STORAGE": facts["grpc"],
    }


_DESCRIBE = {
    "firestore": _describe_firestore,
    "storage": _describe_storage,
    "tasks": _describe_tasks,
    "bigquery": _describe_bigquery,
}
