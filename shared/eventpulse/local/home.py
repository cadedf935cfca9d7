"""The folder of one stack: all that it keeps, and who runs on it.

objects/  postgres/  google/     data, kept from one start to the next
drop/                            the watched folder, if no other is named
secrets.json                     token, task token and signing key, made once, mode 0600
stack.json                       while a stack runs: url, token, pid, lane, environment
lock                             held while a stack runs: one stack at a time
logs/                            what its processes say
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


class HomeTaken(RuntimeError):
    """Another stack runs on this home."""

    def __init__(self, home: Path, running: Mapping[str, Any] | None) -> None:
        who = f" (process {running['pid']}, {running['url']})" if running else ""
        super().__init__(
            f"Another stack{who} runs on {home}. Stop it, or start this one with another --home."
        )
        self.home = home


@dataclass(frozen=True)
class Secrets:
    """What the stack's own calls prove themselves with, as hexadecimal text."""

    api_token: str
    task_token: str
    sign_key: str


class Home:
    """Names everything below one folder; makes it with mode 0700 when it is new."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.objects = self.path / "objects"
        self.postgres = self.path / "postgres"
        self.google = self.path / "google"
        self.logs = self.path / "logs"
        self.drop = self.path / "drop"
        self._stack_file = self.path / "stack.json"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other stacks out. Raises HomeTaken at once. The kernel lets go when we die."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.path / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HomeTaken(self.path, self.read_stack()) from None
            self._stack_file.unlink(missing_ok=True)  # of one that was killed
            yield

    def load_secrets(self) -> Secrets:
        """The home's secrets, made at the first start."""
        path = self.path / "secrets.json"
        with contextlib.suppress(FileNotFoundError):
            return Secrets(**json.loads(path.read_text()))
        made = Secrets(*(secrets.token_hex(32) for _ in range(3)))
        write_private(path, asdict(made))
        return made

    def load_port(self) -> int:
        """The port that the stack was served on last, 0 at the first start."""
        try:
            return int((self.path / "port").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def keep_port(self, port: int) -> None:
        """Remember the port: tasks and browsers know the stack by its address."""
        (self.path / "port").write_text(f"{port}\n")

    def read_stack(self) -> dict[str, Any] | None:
        """What the running stack says of itself; None when none runs."""
        with contextlib.suppress(FileNotFoundError):
            running: dict[str, Any] = json.loads(self._stack_file.read_text())
            return running
        return None

    @contextlib.contextmanager
    def announced(self, stack: Mapping[str, Any]) -> Iterator[None]:
        """Say what runs here, for as long as it does."""
        write_private(self._stack_file, stack)
        try:
            yield
        finally:
            self._stack_file.unlink(missing_ok=True)


def write_private(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file that only its owner reads; it appears whole, or not at all."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
