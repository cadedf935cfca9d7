"""The repository's workflows: they fit their schemas, run every session, and hold no key."""

from __future__ import annotations

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
