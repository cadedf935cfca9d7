"""compose.yaml, its images and its settings, checked without Docker."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from eventpulse.settings import VARIABLES, read_settings
from eventpulse.site import SECURITY_HEADERS
from infra.offline.tools import ensure_environment
from infra.rights import functions

pytestmark = pytest.mark.infra

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "emulators" / "compose.yaml"
PROFILES = ("google", "postgres", "agent")
CLIENTS_OWN = {"FIRESTORE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"}
OURS = re.compile(r"eventpulse-\w+:local")


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = ensure_environment() / "bin" / program
    command = [str(path), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


@cache
def services() -> dict[str, dict[str, Any]]:
    """The services as compose itself understands them, anchors and defaults resolved."""
    profiles = [f"--profile={each}" for each in PROFILES]
    done = run("docker-compose", f"--file={COMPOSE}", *profiles, "config", "--format=json")
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return found


def test_compose_accepts_each_profile() -> None:
    for profiles in (["google"], ["postgres"], ["postgres", "agent"]):
        given = [f"--profile={each}" for each in profiles]
        done = run("docker-compose", f"--file={COMPOSE}", *given, "config", "--quiet")
        assert (done.returncode, done.stderr) == (0, "")


def test_it_fits_the_published_schema() -> None:
    done = run("check-jsonschema", "--builtin-schema=vendor.compose-spec", str(COMPOSE))
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("npx") is None, reason="dclint runs on node")
def test_dclint_finds_nothing() -> None:
    rules = ROOT / "emulators" / ".dclintrc.json"
    command = ["npx", "--yes", "dclint@3.1.0", f"--config={rules}", str(COMPOSE)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_hadolint_finds_nothing() -> None:
    done = run("hadolint", "emulators/Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_finds_a_planted_fault(tmp_path: Path) -> None:
    text = (ROOT / "emulators" / "Dockerfile").read_text()
    broken = tmp_path / "Dockerfile"
    broken.write_text(text.replace("FROM python:3.12-slim AS agent", "FROM python:latest AS agent"))
    assert "DL3007" in run("hadolint", str(broken)).stdout


def test_every_function_has_a_service() -> None:
    targets = {
        word.partition("=")[2]
        for each in services().values()
        for word in each.get("command") or []
        if word.startswith("--target=")
    }
    assert targets == set(functions())


def test_all_that_is_promised_is_there() -> None:
    wanted = {
        "storage",
        "firestore",
        "bigquery",
        "tasks",
        "postgres",
        "stack",
        "dashboard",
        "agent",
    }
    assert wanted <= set(services())


def test_every_variable_is_one_that_somebody_reads() -> None:
    from eventpulse_edge.config import VARIABLES as EDGE

    for name, each in services().items():
        given = set(each.get("environment") or {})
        if name == "agent":
            assert given <= set(EDGE), name
        elif OURS.fullmatch(each["image"]):
            assert given - CLIENTS_OWN <= set(VARIABLES), name


def test_every_function_can_read_its_settings() -> None:
    for function in functions():
        settings = read_settings(services()[function]["environment"])
        assert settings.functions.format(function=function) == f"http://{function}:8080"
        assert settings.objects == "gs://eventpulse"


def test_what_is_waited_for_says_when_it_is_ready() -> None:
    for name, each in services().items():
        for other, wait in (each.get("depends_on") or {}).items():
            if wait["condition"] == "service_healthy":
                assert services()[other].get("healthcheck"), f"{name} waits for {other}"
            shared = set(each["profiles"]) & set(services()[other]["profiles"])
            assert shared or name == "agent", f"{name} waits for {other}, of another profile"


def test_our_own_services_say_whether_they_are_healthy() -> None:
    for name, each in services().items():
        if OURS.fullmatch(each["image"]) and name != "publisher":  # which ends
            assert each.get("healthcheck"), name


def test_nothing_listens_beyond_this_machine() -> None:
    for name, each in services().items():
        assert all(port["host_ip"] == "127.0.0.1" for port in each.get("ports") or []), name


def test_the_publisher_publishes_all_that_the_repository_has() -> None:
    (command,) = services()["publisher"]["command"][2:]
    assert command.split(" && ") == [
        "eventpulse contract publish contracts/",
        "eventpulse mart publish contracts/marts/",
    ]


def test_the_dashboard_has_the_headers_that_the_api_gives_it() -> None:
    text = (ROOT / "emulators" / "dashboard.conf").read_text()
    assert dict(re.findall(r'add_header (\S+) "(.+)" always;', text)) == SECURITY_HEADERS


def test_nothing_may_gain_rights() -> None:
    for name, each in services().items():
        assert "no-new-privileges:true" in each["security_opt"], name
        assert name == "postgres" or each["cap_drop"] == ["ALL"], name


def test_what_the_images_copy_exists_and_is_in_the_context() -> None:
    text = (ROOT / "emulators" / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.M):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert re.search(rf"^!{re.escape(source.split('/')[0])}", ignored, re.M), source
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", text, re.M))
    used = {each["build"]["target"] for each in services().values() if each.get("build")}
    assert used <= stages


def test_the_seed_makes_the_buckets_of_the_object_store() -> None:
    from eventpulse.ports import BUCKETS

    made = {each["target"].split("/")[2] for each in services()["storage"]["configs"]}
    assert made == {f"eventpulse-{bucket}" for bucket in BUCKETS}
