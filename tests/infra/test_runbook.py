"""The runbook: its commands, names and links are those of the code."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.cost import EXAMPLES, Load, estimate, render_examples
from infra.offline.plan import Plan
from infra.offline.terraform import Terraform
from infra.rights import README, replace_section

ROOT = Path(__file__).parents[2]
TEXT = README.read_text()
BLOCKS = [block for block in re.findall(r"^ *```sh\n(.*?)```", TEXT, re.S | re.M)]


def commands(program: str) -> Iterator[list[str]]:
    """Every command of the runbook that runs this program, as words."""
    inline = re.findall(rf"`({program} [^`]+)`", TEXT)
    lines = [line.strip() for block in BLOCKS for line in block.splitlines()]
    for line in [*lines, *inline]:
        for found in re.findall(
            rf"(?:^|\$\()({program} (?:'[^']*'|\"[^\"]*\"|\$\([^)]*\)|[^#|)])+)",
            line.replace("\n", " "),
        ):
            if len(found.split()) > 2 or program not in ("eventpulse", "gcloud"):
                whole = re.sub(r"\$\([^)]*\)", "X", found)
                yield shlex.split(whole.replace("…", "X"))


def test_every_link_leads_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", TEXT, re.M)
    }
    for link in re.findall(r"\]\(((?!https?:)[^)]+)\)", TEXT):
        path, _, anchor = link.partition("#")
        assert (README.parent / path).exists(), link
        assert path or anchor in anchors, link


def test_every_file_in_the_table_exists_and_every_file_is_in_it() -> None:
    named = set(re.findall(r"`(\w+\.tf)`", TEXT))
    files = {path.name for path in README.parent.glob("*.tf")}
    assert named <= files | {"terraform.tfvars"}
    assert files - named <= {"apis.tf", "outputs.tf", "registry.tf", "variables.tf", "versions.tf"}


def test_every_output_is_one() -> None:
    outputs = set(re.findall(r'^output "(\w+)"', (README.parent / "outputs.tf").read_text(), re.M))
    used = {words[-1] for words in commands("terraform") if "output" in words}
    assert used <= outputs
    assert {"dashboard_url", "raw_bucket", "federation", "deployer"} <= used


def test_every_variable_is_one() -> None:
    declared = set(
        re.findall(r'^variable "(\w+)"', (README.parent / "variables.tf").read_text(), re.M)
    )
    given = {
        word[5:].partition("=")[0]
        for c in commands("terraform")
        for word in c
        if word.startswith("-var=")
    }
    for block in re.findall(r"```hcl\n(.*?)```", TEXT, re.S):
        given |= set(re.findall(r"^ *(\w+) +=", block, re.M))
    named = set(re.findall(r"`(\w+)(?: = [^`]+)?`", TEXT))
    assert given <= declared
    assert {
        "hosting",
        "variant",
        "github_repository",
        "stuck_seconds",
        "prompt_seconds",
    } <= named & declared


@pytest.mark.infra
def test_every_flag_of_terraform_is_one(terraform: Terraform) -> None:
    known: dict[str, str] = {}
    for words in commands("terraform"):
        rest = [word for word in words[1:] if not word.startswith("-chdir=")]
        if not rest or rest[0].startswith("-"):
            continue
        name = rest[0]
        if name not in known:
            asked = [str(terraform.program), name, "-help"]
            known[name] = subprocess.run(asked, check=False, capture_output=True, text=True).stdout
            assert "Usage:" in known[name], name
        also = "-target -var" if name == "apply" else ""  # apply takes plan's flags
        for flag in (word.partition("=")[0] for word in rest if word.startswith("-")):
            assert flag in known[name] + also, f"terraform {name} {flag}"


def test_every_nox_session_is_one() -> None:
    text = (ROOT / "noxfile.py").read_text()
    sessions = set(re.findall(r"^@nox\.session.*\ndef (\w+)", text, re.M))
    used = {words[words.index("-s") + 1] for words in commands("nox")}
    assert used <= sessions
    assert {"package", "infra", "cost"} <= used


def test_every_command_of_the_command_line_is_one() -> None:
    from eventpulse.cli.parser import make_parser

    for words in commands("eventpulse"):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            try:
                make_parser().parse_args(words[1:])
            except SystemExit:
                pytest.fail(f"{' '.join(words)}: {said.getvalue()}")


@pytest.mark.infra
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud knows its own commands")
def test_every_command_of_gcloud_is_one(terraform: Terraform, tmp_path: Path) -> None:
    found = [" ".join(shlex.quote(w) for w in words) for words in commands("gcloud")]
    hosting = (terraform.folder / "hosting.tf").read_text()
    found += [
        re.sub(r"\$\{[^}]+\}", "x", c) for c in re.findall(r'command = "(gcloud [^"]+)"', hosting)
    ]
    assert len(found) > 15
    # An alpha component is installed on its own.
    found = [each for each in dict.fromkeys(found) if not each.startswith("gcloud alpha")]
    page = tmp_path / "commands.md"
    page.write_text("\n".join(["```sh", *found, "```", ""]))
    lint = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-text-file={page}"]
    said = subprocess.run(lint, check=False, capture_output=True, text=True, timeout=300)
    results = json.loads(said.stdout)
    assert len(results) == len(found)
    assert [(r["command_string"], r["error_message"]) for r in results if not r["success"]] == []


def test_settings_that_are_named_are_read() -> None:
    from eventpulse.settings import VARIABLES

    assert set(re.findall(r"EVENTPULSE_\w+", TEXT)) <= set(VARIABLES)


# --- Figures --------------------------------------------------------------------------------------


def test_the_cost_of_the_examples_is_that_of_the_price_table() -> None:
    written = replace_section(TEXT, "cost", render_examples())
    assert written == TEXT, "prices or usage have changed: run `python -m infra.rights`"


def test_every_price_has_a_source_and_a_date() -> None:
    prices = tomllib.loads((README.parent / "prices.toml").read_text())
    for group, rows in prices.items():
        for name, row in rows.items():
            assert row["price"] >= 0, f"{group}.{name}"
            assert row["per"] > 0
            assert row["source"].startswith("https://cloud.google.com/")
            assert row["date"].year >= 2025


def test_more_never_costs_less() -> None:
    def total(load: Load) -> float:
        return sum(item.dollars for item in estimate(load))

    idle = total(Load())
    assert idle < total(Load(1000)) < total(Load(1000, 10)) < total(Load(1000, 10, 5))
    assert idle < 2
    assert total(Load(1000, 10, 5, kept_months=1)) < total(Load(1000, 10, 5, kept_months=24))


def test_the_examples_cover_variants_and_hostings() -> None:
    assert {(variant, hosting) for _, _, variant, hosting in EXAMPLES} >= {
        ("google", "iap"),
        ("google", "load_balancer"),
        ("cloudsql", "tokens"),
    }


@pytest.mark.infra
def test_figures_in_the_table_of_limits_are_those_of_the_configuration(google: Plan) -> None:
    (queue,) = google.all("google_cloud_tasks_queue")
    limits = queue.values["rate_limits"][0]
    assert f"| {limits['max_dispatches_per_second']} here (`queue.tf`)" in TEXT
    assert f"| {limits['max_concurrent_dispatches']} here |" in TEXT
    config = google.one("google_cloudfunctions2_function", "validate")["service_config"][0]
    assert f"{config['timeout_seconds']:,} s of the 1,800" in TEXT
    assert f"`validate` has {config['max_instance_count']} instances of one call each" in TEXT
