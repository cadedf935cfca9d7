"""Uploading and waiting on the command line, with a live view on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
)

from eventpulse.cli.rendering import make_console, plain
from eventpulse.client import Client, Uploaded
from eventpulse.errors import BackendUnavailable, RequestRefused

Answer = dict[str, Any]

NEXT: dict[str, str] = {
    "received": "checking rows",
    "validated": "judging",
    "accepted": "loading",
}
"""What an ingestion in each unfinished state waits for."""


def name_upload(
    client: Client, file: Path, dataset: str | None, as_name: str | None, *, replace: bool = True
) -> Answer | None:
    """The signed request of a file under its name; None when no dataset was named and no contract
    takes the file's.

    A file that is sent again under its own name replaces it, unless `replace` is off: the
    generation before stays, and what the file holds decides what becomes of it. Raises
    RequestRefused.
    """
    if as_name is not None:
        return _sign(client, file, as_name, dataset, replace)
    if dataset is not None:
        return _sign(client, file, f"{dataset}/{file.name}", dataset, replace)
    for name in (f"{file.resolve().parent.name}/{file.name}", file.name):
        signed = _sign(client, file, name, None, replace)
        if signed["datasets"]:
            return signed
    return None


def _sign(client: Client, file: Path, name: str, dataset: str | None, replace: bool) -> Answer:
    """Of two that replace a name at once one comes second, looks again and replaces the other's."""
    replaces: int | None = None
    while True:
        try:
            return client.sign_upload(file, name, dataset, replaces)
        except RequestRefused as error:
            if not replace or error.code not in ("object_exists", "object_missing"):
                raise
            generation = error.fields["generation"]
            replaces = generation if isinstance(generation, int) else None


def upload_files(
    client: Client, files: Sequence[Path], signed: Sequence[Answer], timeout: float
) -> list[Answer]:
    """Send the files, and find the ingestions that they began."""
    uploaded = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with _view(*columns) as view:
        for file, request in zip(files, signed, strict=True):
            task = view.add_task(plain(request["name"]), total=file.stat().st_size)
            uploaded.append(
                client.send_upload(file, request, lambda sent, task=task: view.advance(task, sent))  # type: ignore[misc]
            )
    return [_find_ingestion(client, each, timeout) for each in uploaded]


def _find_ingestion(client: Client, uploaded: Uploaded, timeout: float) -> Answer:
    try:
        return client.find_uploaded(uploaded, timeout)
    except TimeoutError:
        name = plain(uploaded.name)
        raise BackendUnavailable(
            f"EventPulse at {client.url}",
            f"begin with {name!r} within {timeout:g} seconds",
            "the file is uploaded, but nothing announced it; sweep will find it",
        ) from None


def follow_ingestions(client: Client, ingestions: Sequence[Answer], timeout: float) -> list[Answer]:
    """Wait until each is finished. One that is not in time is given as it stands then."""
    ended = []
    with _view(SpinnerColumn(), TextColumn("{task.description}")) as view:
        for each in ingestions:
            name = plain(each["object"])
            task = view.add_task(name)

            def show(state: str, task: Any = task, name: str = name) -> None:
                view.update(task, description=f"{name}: {NEXT.get(state, state)}")

            try:
                ended.append(client.wait_until_finished(each["id"], timeout, show))
            except TimeoutError:
                ended.append(client.get_ingestion(each["id"]))
    return ended


@contextmanager
def watch_progress(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar for long work; call what is given with how much is done, and of how much if known."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with _view(*columns) as view:
        task = view.add_task(plain(what), total=None)
        yield lambda done, total: view.update(task, completed=done, total=total)


@contextmanager
def _view(*columns: Any) -> Iterator[Progress]:
    """A live view where someone watches, nothing otherwise."""
    console = make_console(stderr=True)
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        yield progress
