"""The real agent in a process of its own: killed at random moments, stopped, restarted."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.edge.fake_server import After, Before, FakeServer
from tests.edge.killing import KilledAgent

KILLS = 15


def await_that(condition: Callable[[], bool], what: str, timeout: float = 90.0) -> None:
    pause = threading.Event()
    for _ in range(int(timeout / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError(f"waited in vain for: {what}")


def test_killed_at_random_moments_under_load_it_delivers_each_accepted_event_once(
    tmp_path: Path,
) -> None:
    draw = random.Random(7)
    with FakeServer() as server:
        server.claim_codes["code"] = "station-0001"
        server.config = {"version": 1}
        agent = KilledAgent(tmp_path, server.url, device="station-0001", claim_code="code")
        for _ in range(KILLS):
            for point in ("batches", "put", "commit"):
                if draw.random() < 0.5:
                    server.arm(point, draw.choice((Before("cut"), After("cut"), Before(503))))
            agent.start()
            agent.await_acceptance(draw)
            agent.kill()
        server._faults.clear()
        agent.start()
        agent.await_acceptance(draw)
        assert agent.stop() == 0
        agent.start()
        agent.await_acceptance(draw)
        first = set(agent.accepted())
        assert agent.stop() == 0
        # What the last runs left is delivered by one that samples nothing new.
        config = tmp_path / "config.toml"
        config.write_text(
            config.read_text()
            .replace("interval = 0.004", "interval = 9000")
            .replace("interval = 0.05", "interval = 9000")
        )
        agent.start()
        await_that(lambda: bool(set(agent.accepted()) - first), "the last run's events")
        await_that(
            lambda: set(agent.accepted()) <= epochs(server) and not agent.spool_files(),
            "an empty spool",
        )
        assert agent.stop() == 0
        lasts = server.cloud.check()
        assert agent.kills == KILLS
        for epoch, accepted in agent.accepted().items():
            assert lasts[epoch] >= accepted, f"{epoch}: {accepted} accepted, {lasts[epoch]} came"
        assert server.cloud.gaps() == []
        assert sum(lasts.values()) == len(server.cloud.rows)
        assert set(server.puts.values()) == {1}
        assert len(server.heartbeats) > 0


def epochs(server: FakeServer) -> set[str]:
    with server._lock:
        return {batch.epoch for batch in server.cloud.order}


def run_cli(tmp_path: Path, *arguments: str, code: str = "", stdin: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "eventpulse_edge.cli", *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "EVENTPULSE_EDGE_CONFIG": str(tmp_path / "config.toml"),
            **({"EVENTPULSE_EDGE_CLAIM_CODE": code} if code else {}),
        },
    )
    return done.returncode, done.stdout + done.stderr


def _has_records(path: Path) -> bool:
    """Whether there is more than zeros that were set aside."""
    return bool(path.read_bytes().strip(b"\0"))


def test_the_command_line_tells_how_a_device_is(tmp_path: Path) -> None:
    with FakeServer() as server:
        server.claim_codes["code"] = "station-0001"
        server.config = {"version": 1}
        agent = KilledAgent(tmp_path, server.url, device="station-0001", claim_code="")
        status, text = run_cli(tmp_path, "enroll", stdin="wrong\n")
        assert (status, "claim_refused" in text) == (1, True)
        status, text = run_cli(tmp_path, "enroll", code="code")
        assert status == 0, text
        assert "station-0001 is enrolled" in text
        draw = random.Random(1)
        agent.start()
        agent.await_acceptance(draw)
        await_that((tmp_path / "state" / "status.json").exists, "the status")
        status, text = run_cli(tmp_path, "status")
        assert status == 0, text
        assert "station-0001: running" in text
        agent.kill()
        status, text = run_cli(tmp_path, "status", "--json")
        document = json.loads(text)
        assert (status, document["running"]) == (1, False)
        assert document["agent"]["epoch"] in agent.accepted()
        status, text = run_cli(tmp_path, "spool", "inspect")
        assert status == 0
        assert "events, 0 damaged" in text
        while not (written := list(filter(_has_records, agent.spool_files()))):
            agent.start()  # it was killed when all was delivered and a new segment just begun
            agent.await_acceptance(draw)
            agent.kill()
        path = written[0]
        content = bytearray(path.read_bytes())
        content[len(content.rstrip(b"\0")) // 2] ^= 0xFF
        path.write_bytes(bytes(content))
        status, text = run_cli(tmp_path, "spool", "verify")
        assert status == 1, text
        assert "DAMAGED" in text


def test_the_watchdog_hears_of_start_life_and_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(60)
        (tmp_path / "config.toml").write_text(
            'device = "d"\nserver = "http://127.0.0.1:9"\n'
            f'state = "{tmp_path}/state"\n[[sensors]]\ntype = "simulated"\n'
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "eventpulse_edge.cli", "run"],
            env={
                **os.environ,
                "EVENTPULSE_EDGE_CONFIG": str(tmp_path / "config.toml"),
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "200000",
            },
            stderr=subprocess.PIPE,
        )
        heard = [supervisor.recv(1000).decode() for _ in range(3)]
        process.terminate()
        _, log = process.communicate(timeout=60)
        while not heard[-1].startswith("STOPPING=1"):
            heard.append(supervisor.recv(1000).decode())
    assert process.returncode == 0
    assert heard[0] == "READY=1"
    assert heard[1].startswith("WATCHDOG=1\nSTATUS=")
    lines = [json.loads(line) for line in log.decode().splitlines()]
    assert {"severity", "time", "message", "logger", "function", "device"} <= set(lines[0])


def test_a_configuration_with_faults_names_each(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'device = "Station 1"\nserver = "http://example.org"\nspeed = 3\n'
        '[[sensors]]\ntype = "bme820"\ninterval = 0\n'
        '[[sensors]]\ntype = "program"\ncommand = "echo 1"\nlimits.x = {over = 3}\n'
    )
    status, text = run_cli(tmp_path, "run")
    assert status == 64
    for words in (
        "device is 'Station 1'",
        "must be an https:// URL",
        "speed is not known",
        "sensors[1].type is 'bme820'",
        "sensors[1].interval is 0",
        "sensors[2].command is 'echo 1'",
        "sensors[2].limits.x is {'over': 3}",
    ):
        assert words in text, text
    status, text = run_cli(tmp_path / "nowhere", "run")
    assert (status, "does not exist" in text) == (64, True)
