"""What each command of the command line does: a few requests, and what is printed of them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eventpulse.client import FINISHED, Client, find_stack
from eventpulse.errors import ContractInvalid, RequestRefused
from eventpulse.settings import read_settings

OK, NOT_WELL, USAGE, UNREACHABLE = 0, 1, 2, 3
"""Exit statuses; `parser.py` says what each means."""

BAD_STATES = frozenset({"rejected", "failed"})


@dataclass
class Session:
    """What a command works with: the options given, and the stack."""

    given: argparse.Namespace

    @cached_property
    def client(self) -> Client:
        target = find_stack(read_settings())
        return Client(target.url, target.token)

    @cached_property
    def console(self) -> Any:
        from eventpulse.cli.rendering import make_console

        return make_console()

    def show(self, answer: object, render: Callable[[], object]) -> None:
        """The answer as JSON, or as people read it."""
        if self.given.json:
            print_json(answer)
        else:
            render()


Command = Callable[[Session], int]


class UsageError(Exception):
    """Options that do not fit together or name nothing; exit status 2."""


def print_json(answer: object) -> None:
    sys.stdout.write(json.dumps(answer, ensure_ascii=False, indent=2) + "\n")


# --- Ingestions ----------------------------------------------------------------------------------


def list_ingestions(session: Session) -> int:
    given = session.given
    page = session.client.list_ingestions(
        state=given.state,
        dataset=given.dataset,
        object=given.object,
        reason=given.reason,
        not_state=given.not_state,
        not_dataset=given.not_dataset,
        not_object=given.not_object,
        not_reason=given.not_reason,
        since=given.since,
        until=given.until,
        search=given.search,
        sort=given.sort if given.reverse else f"-{given.sort}",
        limit=given.limit,
        cursor=given.cursor,
    )
    from eventpulse.cli.rendering import show_ingestions

    session.show(page, lambda: show_ingestions(session.console, page))
    return OK


def show_one(session: Session) -> int:
    from eventpulse.cli.rendering import show_ingestion, show_refused

    client = session.client
    ingestion = client.get_ingestion(client.resolve_id(session.given.id))

    def render() -> None:
        show_ingestion(session.console, ingestion, client.get_timeline(ingestion["id"]))
        show_refused(session.console, ingestion, client.get_quarantine(ingestion["id"], limit=10))

    session.show(ingestion, render)
    return OK


def show_quarantine(session: Session) -> int:
    from eventpulse.cli.rendering import show_refused

    client = session.client
    ingestion_id = client.resolve_id(session.given.id)
    if session.given.csv:
        for block in client.read_quarantine_csv(ingestion_id):
            sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
        return OK
    if session.given.xlsx:
        return export_workbook(session, ingestion_id, session.given.xlsx)
    page = client.get_quarantine(
        ingestion_id, limit=session.given.limit, cursor=session.given.cursor
    )

    def render() -> None:
        show_refused(session.console, client.get_ingestion(ingestion_id), page)
        if not page["rows"]:
            session.console.print("No rows were refused.")

    session.show(page, render)
    return OK


def export_workbook(session: Session, ingestion_id: str, to: Path) -> int:
    data = session.client.get_file(f"/api/ingestions/{ingestion_id}/quarantine", format="xlsx")
    to.write_bytes(data)
    if session.given.json:
        print_json({"file": str(to), "bytes": len(data)})
    else:
        session.console.print(
            f"{to}: mend the marked cells, then eventpulse recover {ingestion_id[:8]} {to}"
        )
    return OK


def replay(session: Session) -> int:
    client = session.client
    started = client.replay(client.resolve_id(session.given.id), session.given.key)
    return _follow(session, started)


def retract(session: Session) -> int:
    client = session.client
    return _follow(session, client.retract(client.resolve_id(session.given.id)))


def _follow(session: Session, ingestion: dict[str, Any]) -> int:
    """Show what was asked for, with --wait what became of it."""
    from eventpulse.cli.progress import follow_ingestions
    from eventpulse.cli.rendering import show_outcome

    if session.given.wait:
        [ingestion] = follow_ingestions(session.client, [ingestion], session.given.timeout)
    session.show(ingestion, lambda: show_outcome(session.console, ingestion))
    return NOT_WELL if session.given.wait and not is_well(ingestion) else OK


def is_well(ingestion: dict[str, Any]) -> bool:
    """Whether it ended, and not badly."""
    return ingestion["state"] in FINISHED - BAD_STATES


def ingest(session: Session) -> int:
    from eventpulse.cli.progress import follow_ingestions, name_upload, upload_files
    from eventpulse.cli.rendering import show_outcome, show_refused

    given, client = session.given, session.client
    if given.as_name and len(given.files) > 1:
        raise UsageError("--as names one object, and several files are given")
    signed = [
        name_upload(client, file, given.dataset, given.as_name, replace=given.replace)
        for file in given.files
    ]
    for file, each in zip(given.files, signed, strict=True):
        if each is None:
            known = [d["name"] for d in client.list_datasets()["datasets"]]
            raise UsageError(
                f"no contract takes {file}: say which dataset it is for with --dataset "
                f"({', '.join(known) or 'none is published yet'}), or name its object with --as"
            )
    started = upload_files(client, given.files, [s for s in signed if s], given.timeout)
    ended = follow_ingestions(client, started, given.timeout)

    def render() -> None:
        for each in ended:
            show_outcome(session.console, each)
            if each["state"] != "duplicate":
                page = client.get_quarantine(each["id"], limit=given.rows)
                show_refused(session.console, each, page)

    session.show({"ingestions": ended}, render)
    return OK if all(map(is_well, ended)) else NOT_WELL


# --- Datasets, contracts, marts ------------------------------------------------------------------


def list_datasets(session: Session) -> int:
    from eventpulse.cli.rendering import show_datasets

    answer = session.client.list_datasets()
    session.show(answer, lambda: show_datasets(session.console, answer))
    return OK


def verify(session: Session) -> int:
    from eventpulse.cli.progress import watch_progress
    from eventpulse.cli.rendering import show_verification

    client, given = session.client, session.given
    answer = client.verify(given.dataset)
    with watch_progress(f"rebuilding {given.dataset}") as advance:
        try:
            answer = client.wait_until_verified(answer["id"], given.timeout, advance)
        except TimeoutError:
            answer = client.get(f"/api/verifications/{answer['id']}")
    session.show(answer, lambda: show_verification(session.console, answer))
    return OK if answer["equal"] else NOT_WELL


def show_contract(session: Session) -> int:
    client, given = session.client, session.given
    if given.json:
        print_json(client.get_contract(given.dataset, given.version))
    else:
        sys.stdout.write(client.get_contract_text(given.dataset, given.version))
    return OK


def lint_contracts(session: Session) -> int:
    """Needs no stack: the contracts are read here, as the registry would."""
    from eventpulse.cli.rendering import show_problems
    from eventpulse.odcs import lint_contract

    files = find_files(session.given.paths, ".odcs.yaml")
    found = [{"source": str(file), "problems": lint_contract(file.read_bytes())} for file in files]

    def render() -> None:
        for each in found:
            show_problems(session.console, str(each["source"]), each["problems"])

    session.show(found, render)
    return NOT_WELL if any(each["problems"] for each in found) else OK


def publish_contracts(session: Session) -> int:
    def publish(file: Path) -> dict[str, Any]:
        return session.client.publish_contract(read_text(file), file.name)

    return _publish(
        session, ".odcs.yaml", publish, lambda each: f"{each['dataset']} {each['version']}"
    )


def publish_marts(session: Session) -> int:
    def publish(file: Path) -> dict[str, Any]:
        contract = file.with_suffix(".odcs.yaml")
        promised = read_text(contract) if contract.exists() else ""
        return session.client.publish_mart(file.stem, read_text(file), promised)

    return _publish(session, ".sql", publish, lambda each: f"the mart {each['name']}")


def _publish(
    session: Session,
    suffix: str,
    publish: Callable[[Path], dict[str, Any]],
    name: Callable[[dict[str, Any]], str],
) -> int:
    """Publish each file; one that is refused does not keep back the others."""
    from eventpulse.cli.rendering import show_problems, show_published

    answers: list[dict[str, Any]] = []
    for file in find_files(session.given.paths, suffix):
        try:
            answers.append(publish(file))
        except (RequestRefused, ContractInvalid) as error:
            problem = {**error.fields, "code": error.code, "detail": error.message}
            answers.append({"source": str(file), **problem})

    def render() -> None:
        for each in answers:
            if "code" in each:
                problems = each.get("problems") or [each["detail"]]
                show_problems(session.console, each["source"], problems)
            else:
                show_published(session.console, name(each), changed=each["changed"])

    session.show(answers, render)
    return NOT_WELL if any("code" in each for each in answers) else OK


def find_files(paths: Iterable[Path], suffix: str) -> list[Path]:
    """The files named, and those of the folders named that end with `suffix`."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no {path}")
        inside = sorted(path.glob(f"*{suffix}")) if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"there is no *{suffix} in {path}")
        found += inside
    return found


def read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ContractInvalid(str(file), [f"(file): it is not UTF-8: {error}"]) from error
