"""The repository's workflows: they fit their schemas, run every session, and hold no key."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.offline.tools import ensure_environment

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yaml"))
ON_DEMAND = {"demo", "up", "cloud", "cost", "bench", "chaos", "fuzz", "explore", "schemas"}
"""Sessions that no workflow runs: for people, or for a project that there is not."""


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ensure_environment() / "bin" / program), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.infra
@pytest.mark.parametrize(
    ("schema", "path"),
    [
        *(("vendor.github-workflows", path) for path in WORKFLOWS),
        ("vendor.dependabot", GITHUB / "dependabot.yml"),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_each_file_fits_the_published_schema(schema: str, path: Path) -> None:
    done = run("check-jsonschema", f"--builtin-schema={schema}", str(path))
    assert done.returncode == 0, done.stdout


@pytest.mark.infra
def test_zizmor_finds_nothing() -> None:
    done = run("zizmor", "--offline", "--config=.github/zizmor.yml", ".github")
    assert done.returncode == 0, done.stdout


@pytest.mark.infra
def test_zizmor_finds_a_planted_fault(tmp_path: Path) -> None:
    text = (GITHUB / "workflows" / "check.yaml").read_text()
    broken = tmp_path / "check.yaml"
    broken.write_text(text.replace('run: nox -s "$SESSION"', "run: nox -s ${{ github.head_ref }}"))
    assert broken.read_text() != text
    done = run("zizmor", "--offline", "--config=.github/zizmor.yml", str(broken))
    assert "template-injection" in done.stdout


def test_every_session_is_run_somewhere() -> None:
    defined = set(
        re.findall(r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.M)
    )
    check = read(GITHUB / "workflows" / "check.yaml")
    run_there = set(check["jobs"]["nox"]["strategy"]["matrix"]["session"])
    text = "".join(path.read_text() for path in WORKFLOWS)
    run_there |= set(re.findall(r"nox -s (\w+)", text))
    assert run_there | ON_DEMAND == defined, "run a new session in check.yaml, or name it above"
    assert run_there & ON_DEMAND == set()


def test_only_what_deploys_or_releases_may_do_more_than_read() -> None:
    for path in WORKFLOWS:
        workflow = read(path)
        assert workflow["permissions"] == {"contents": "read"}
        for name, job in workflow["jobs"].items():
            if "write" in str(job.get("permissions")):
                assert name in ("deploy", "release")
                assert job["needs"] == "check"


def test_the_deployment_waits_for_its_reviewers_and_holds_no_key() -> None:
    deploy = read(GITHUB / "workflows" / "deploy.yaml")["jobs"]["deploy"]
    assert deploy["environment"] == "production"
    assert deploy["permissions"]["id-token"] == "write"
    text = (GITHUB / "workflows" / "deploy.yaml").read_text()
    assert set(re.findall(r"secrets\.(\w+)", text)) == {"TERRAFORM_TFVARS"}
    named = set(re.findall(r"vars\.(\w+)", text))
    runbook = (ROOT / "infra" / "README.md").read_text()
    assert named == set(re.findall(r"gh variable set (\w+)", runbook))


STUBS = {
    "terraform": """case "${*: -1}" in
        dashboard_url) echo https://api.example ;;
        publisher) echo publisher@demo.example ;;
        hosting) echo "$HOSTING" ;;
        *) exit 9 ;;
    esac""",
    "gcloud": """echo "$*" >> asked
    case "$1 $2 $3" in
        "auth print-identity-token "*) echo an-id-token ;;
        "iam service-accounts sign-jwt") echo a-jwt > "$6"; cat "$5" > claims ;;
        *) exit 9 ;;
    esac""",
    "eventpulse": """echo "$EVENTPULSE_URL $EVENTPULSE_API_TOKEN $*" >> published""",
}


@pytest.mark.parametrize(
    ("hosting", "token"), [("tokens", "an-id-token"), ("iap", "a-jwt"), ("load_balancer", "a-jwt")]
)
def test_the_deployment_publishes_contracts_and_marts_as_its_own_account(
    hosting: str, token: str, tmp_path: Path
) -> None:
    steps = read(GITHUB / "workflows" / "deploy.yaml")["jobs"]["deploy"]["steps"]
    assert steps[-1]["name"] == "Publish the contracts and marts"
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, body in STUBS.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n")
        (programs / name).chmod(0o755)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOSTING": hosting,
        "RUNNER_TEMP": str(tmp_path),
    }
    run_as_github_does = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    said = subprocess.run(
        [*run_as_github_does, steps[-1]["run"]],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert said.stdout == f"::add-mask::{token}\n"
    assert (tmp_path / "published").read_text().splitlines() == [
        f"https://api.example {token} contract publish contracts/",
        f"https://api.example {token} mart publish contracts/marts/",
    ]
    asked = (tmp_path / "asked").read_text()
    assert "account=publisher@demo.example" in asked
    if hosting == "tokens":
        assert "--audiences=https://api.example --include-email" in asked
    else:
        claims = json.loads((tmp_path / "claims").read_text())
        assert claims["iss"] == claims["sub"] == "publisher@demo.example"
        assert claims["aud"] == "https://api.example/*"
        assert 0 < claims["exp"] - claims["iat"] <= 3600


def test_every_output_that_the_deployment_asks_for_is_one() -> None:
    outputs = re.findall(r'^output "(\w+)"', (ROOT / "infra" / "outputs.tf").read_text(), re.M)
    text = (GITHUB / "workflows" / "deploy.yaml").read_text()
    assert set(re.findall(r"output -raw (\w+)", text)) <= set(outputs)


def test_terraform_is_the_one_that_is_pinned() -> None:
    from infra.offline.tools import TERRAFORM

    text = "".join(path.read_text() for path in WORKFLOWS)
    assert set(re.findall(r'terraform_version: "(.+)"', text)) == {TERRAFORM.version}


def test_what_owners_are_named_for_exists() -> None:
    for line in (GITHUB / "CODEOWNERS").read_text().splitlines():
        path = line.split(" ")[0]
        if path.startswith("/"):
            assert (ROOT / path[1:]).exists(), path


def test_dependabot_watches_every_kind_of_lock() -> None:
    watched = {
        (u["package-ecosystem"], u["directory"]) for u in read(GITHUB / "dependabot.yml")["updates"]
    }
    for ecosystem, directory in watched:
        assert (ROOT / directory[1:]).is_dir(), ecosystem
    assert {
        ("uv", "/"),
        ("pip", "/tests/contracts"),
        ("npm", "/web"),
        ("terraform", "/infra"),
        ("github-actions", "/"),
    } <= watched
