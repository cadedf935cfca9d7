"""What the agent is shipped with: unit, image, script, sample configuration, documents."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from eventpulse_edge import VERSION
from eventpulse_edge.cli import _make_parser
from eventpulse_edge.config import SENSOR_OPTIONS, VARIABLES, read_config

EDGE = Path(__file__).parents[2] / "edge"
PACKAGING = EDGE / "packaging"
README = (EDGE / "README.md").read_text()


def run(*command: str, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "PATH": path, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_image_has_nothing_that_hadolint_finds() -> None:
    run("hadolint", "--failure-threshold", "style", str(EDGE / "Dockerfile"))


def test_the_image_runs_as_nobody_in_particular_and_writes_its_volume_only() -> None:
    text = (EDGE / "Dockerfile").read_text()
    user = re.findall(r"^USER (\d+):", text, re.M)
    assert user == ["10001"]
    assert re.findall(r"^VOLUME (.*)$", text, re.M) == ['["/var/lib/eventpulse-edge"]']
    assert "linux/amd64,linux/arm64,linux/arm/v7" in text


def test_the_script_has_nothing_that_shellcheck_finds() -> None:
    run("shellcheck", "--severity=style", str(PACKAGING / "install.sh"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_unit_is_well_formed_and_hardened(tmp_path: Path) -> None:
    unit = tmp_path / "eventpulse-edge.service"
    text = (PACKAGING / unit.name).read_text()
    unit.write_text(text.replace("/opt/eventpulse-edge/venv/bin/eventpulse-edge", sys.executable))
    found = run("systemd-analyze", "verify", str(unit))
    assert unit.name not in found, found
    said = run("systemd-analyze", "security", "--offline=true", str(unit))
    exposure = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert exposure is not None
    assert float(exposure[1]) <= 2.0


def test_the_unit_keeps_a_watchdog_and_starts_for_ever() -> None:
    text = (PACKAGING / "eventpulse-edge.service").read_text()
    for line in ("Type=notify", "WatchdogSec=60", "Restart=always", "StartLimitIntervalSec=0"):
        assert f"\n{line}\n" in text


def test_the_sample_configuration_is_read_and_names_every_setting() -> None:
    text = (PACKAGING / "config.toml").read_text()
    config = read_config(tomllib.loads(text))
    assert [sensor.type for sensor in config.sensors] == ["system", "simulated"]
    everything = re.sub(r"^# (?=\[|[a-z_]+ = )", "", text, flags=re.M)
    full = read_config(tomllib.loads(everything))
    assert {sensor.type for sensor in full.sensors} == set(SENSOR_OPTIONS)
    assert full.limits == config.limits, "the comments show the defaults"
    assert (full.heartbeat_seconds, full.sync_seconds, full.state) == (
        config.heartbeat_seconds,
        config.sync_seconds,
        config.state,
    )


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the script is run as root")
def test_the_script_installs_updates_and_keeps_the_configuration(tmp_path: Path) -> None:
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("systemctl", "useradd"):
        (stubs / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/calls"\n')
        (stubs / name).chmod(0o755)
    # pip itself is not the matter here: the packages of this environment stand in.
    pip = tmp_path / "pip.conf"
    pip.write_text("[install]\nno-deps = true\nno-build-isolation = true\n")
    root = tmp_path / "root"
    environment = {
        "PATH": f"{stubs}{os.pathsep}{os.environ['PATH']}",
        "EVENTPULSE_EDGE_ROOT": str(root),
        "PIP_CONFIG_FILE": str(pip),
        "PYTHONPATH": os.pathsep.join(each for each in sys.path if "site-packages" in each),
    }
    wheel = build_wheel(tmp_path)
    for time in ("first", "again"):
        done = subprocess.run(
            [str(PACKAGING / "install.sh"), str(wheel)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        program = root / "opt/eventpulse-edge/venv/bin/eventpulse-edge"
        assert run(str(program), "--version", **environment).strip() == VERSION
        assert "venv.new" not in program.read_text()
        configuration = root / "etc/eventpulse-edge/config.toml"
        if time == "first":
            configuration.write_text("# mine\n")
    assert configuration.read_text() == "# mine\n"
    assert (root / "etc/systemd/system/eventpulse-edge.service").exists()
    calls = (tmp_path / "calls").read_text()
    assert "systemctl enable eventpulse-edge.service" in calls
    assert "systemctl try-restart eventpulse-edge.service" in calls


def build_wheel(folder: Path) -> Path:
    """The package as a wheel; it is pure Python, so its folder and its metadata are all of it."""
    run("uv", "build", "--quiet", "--wheel", "--out-dir", str(folder / "wheel"), str(EDGE))
    (wheel,) = (folder / "wheel").glob("*.whl")
    return wheel


# --- Documents -----------------------------------------------------------------------------------


def test_the_readme_lists_every_variable() -> None:
    for name, meaning in VARIABLES.items():
        assert f"| `{name}` | {meaning} |" in README


def test_the_readme_lists_every_command() -> None:
    help_ = _make_parser().format_help()
    commands = set(re.findall(r"^    (\w+) ", help_, re.M))
    assert commands == {"run", "enroll", "status", "spool"}
    for name in ("run", "enroll", "status", "spool inspect", "spool verify"):
        assert f"| `eventpulse-edge {name}` |" in README


def test_the_readme_lists_every_sensor_and_its_options() -> None:
    for name, options in SENSOR_OPTIONS.items():
        row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
        assert set(re.findall(r"`(\w+)`", row)) >= {name, *options}
