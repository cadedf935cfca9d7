"""`eventpulse up` as a process: it serves, stops cleanly, leaves its data, and survives a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from emulators.samples import read_sample
from emulators.samples.generate import generate_parcels
from emulators.user import AttachedStack, StackUser
from eventpulse.settings import VARIABLES
from tests.waiting import wait_until

CLI = [sys.executable, "-m", "eventpulse.cli"]
STOP_SECONDS = 60.0


def make_environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**inherited, **variables}


class Up:
    """One `eventpulse up` on a home; `user` is there once it said that it is up."""

    def __init__(self, home: Path, options: Sequence[str]) -> None:
        self.home = home
        self._output = home.with_suffix(".output")
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [*CLI, "up", f"--home={home}", "--port=0", *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=make_environment(),
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def await_up(self) -> StackUser:
        """Somebody who uses the stack; a stack of emulators by its API alone."""

        def has_said_so() -> bool:
            assert self.process.poll() is None, self.output
            return "EventPulse is up" in self.output

        wait_until(has_said_so, f"it is not up: {self.output}")
        stack = AttachedStack.find(self.home)
        assert stack is not None
        return StackUser(stack)

    def family(self) -> list[psutil.Process]:
        """The process and all that it started."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command of the command line, told of the home alone."""
        return subprocess.run(
            [*CLI, *command],
            env=make_environment(EVENTPULSE_HOME=str(self.home)),
            capture_output=True,
            text=True,
            timeout=STOP_SECONDS,
            check=False,
        )

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def started(home: Path, *options: str) -> Iterator[Up]:
    up = Up(home, options)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.stop(signal.SIGTERM)


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def await_gone(family: Sequence[psutil.Process]) -> None:
    wait_until(
        lambda: all(map(is_gone, family)),
        f"left running: {[each for each in family if not is_gone(each)]}",
    )


def test_it_runs_simulated_devices_which_are_the_same_at_the_next_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    epochs: set[str] = set()
    for starts in (1, 2):
        with started(home, "--devices=1") as up:
            user = up.await_up()

            def delivered(user: StackUser = user, starts: int = starts) -> bool:
                page = user.get("devices/simulated-0001/gaps", all="true")
                epochs.update(each["epoch"] for each in page["epochs"] if each["landed"])
                return len(epochs) == starts

            wait_until(delivered, "the device delivered nothing", seconds=120)
            wait_until(
                lambda: [each["status"] for each in user.get("devices")["devices"]] == ["online"],  # noqa: B023
                "no heartbeat came",
            )
            listed = up.run("devices", "list")
            assert "simulated-0001" in listed.stdout, listed.stderr
            family = up.family()
            assert up.stop() == 0
        await_gone(family)


def test_it_ingests_stops_cleanly_and_goes_on_from_its_data(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with started(home) as up:
        user = up.await_up()
        drop = home / "drop" / "planes"
        drop.mkdir()
        (drop / "2013.csv").write_bytes(read_sample("planes"))
        wait_until(lambda: len(user.list_ingestions()) == 1, "the dropped file was not ingested")
        airports = tmp_path / "airports.csv"
        airports.write_bytes(read_sample("airports"))
        ingested = up.run("ingest", str(airports), "--dataset", "airports", "--json")
        assert ingested.returncode == 0, ingested.stderr
        ids = [each["id"] for each in user.list_ingestions()]
        assert [each.state for each in user.await_ends(ids)] == ["loaded", "loaded"]
        digest = user.digest("planes")
        family = up.family()
        assert len(family) > 5, "the functions' workers and Postgres are among them"
        assert up.stop(signal.SIGINT) == 0, up.output
        await_gone(family)
        assert AttachedStack.find(home) is None
        assert "Traceback" not in up.output
    with started(home) as again:
        user = again.await_up()
        assert sorted(each["id"] for each in user.list_ingestions()) == sorted(ids)
        assert user.digest("planes") == digest
        copy = user.upload("planes/copy.csv", read_sample("planes"))
        assert [each.state for each in user.await_ends([copy])] == ["duplicate"]
        assert again.stop(signal.SIGTERM) == 0, again.output


def test_two_stacks_run_side_by_side_and_one_home_has_one_stack(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    with started(one) as first, started(other) as second:
        users = [first.await_up(), second.await_up()]
        ids = [user.upload("airports/2013.csv", read_sample("airports")) for user in users]
        for user, ingestion in zip(users, ids, strict=True):
            user.await_ends([ingestion])
            assert [each["id"] for each in user.list_ingestions()] == [ingestion]
        with started(one) as third:
            assert third.process.wait(STOP_SECONDS) == 1
            assert f"process {first.process.pid}" in third.output
        assert users[0].get("health")["status"] == "ok"


def test_a_killed_stack_leaves_nothing_running_and_the_next_one_finishes_its_work(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    content = b"".join(generate_parcels(50_000, seed=3))
    with started(home) as up:
        user = up.await_up()
        ingestion = user.upload("parcels/large.csv", content)

        def is_validated_now() -> bool:
            found = user.look([ingestion])[ingestion]
            return found is not None and found.lease is not None

        wait_until(is_validated_now, "its validation never began")
        # Uploaded, but perhaps not even landed.
        late = user.upload("airports/2013.csv", read_sample("airports"))
        family = up.family()
        up.process.kill()
        up.process.wait(STOP_SECONDS)
        await_gone(family)
    with started(home) as again:
        user = again.await_up()
        ends = user.await_ends([ingestion, late])
        assert [(each.state, each.rows_read) for each in ends] == [
            ("loaded", 50_000),
            ("loaded", 1_458),
        ]
        assert user.verify("parcels")["equal"]


@pytest.mark.google
@pytest.mark.parametrize("lane", ["google", "mixed"])
def test_a_killed_stack_of_emulators_leaves_nothing_running_and_keeps_its_data(
    tmp_path: Path, lane: str
) -> None:
    airports = tmp_path / "airports.csv"
    airports.write_bytes(read_sample("airports"))
    with started(tmp_path / "home", f"--lane={lane}") as up:
        up.await_up()
        ingested = up.run("ingest", str(airports), "--dataset", "airports", "--json")
        assert ingested.returncode == 0, ingested.stderr
        family = up.family()
        up.process.kill()
        up.process.wait(STOP_SECONDS)
        await_gone(family)
    with started(tmp_path / "home", f"--lane={lane}") as again:
        again.await_up()
        listed = json.loads(again.run("ingestions", "--json").stdout)["ingestions"]
        assert [each["state"] for each in listed] == ["loaded"]
        assert again.run("verify", "airports").returncode == 0
        family = again.family()
        assert again.stop() == 0, again.output
        await_gone(family)


def test_what_cannot_be_started_is_said(tmp_path: Path) -> None:
    with started(tmp_path / "home", f"--contracts={tmp_path / 'missing'}") as up:
        assert up.process.wait(STOP_SECONDS) == 1
        assert "no folder of contracts" in up.output
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    (contracts / "bad.odcs.yaml").write_text("kind: DataContract\n")
    with started(tmp_path / "other", f"--contracts={contracts}") as up:
        assert up.process.wait(STOP_SECONDS) == 1
        assert "bad.odcs.yaml" in up.output
        assert "Traceback" not in up.output
