"""Runs the real terraform on a copy of the configuration, with the stand-in for the provider."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.offline.tools import ensure_environment, ensure_schema, ensure_terraform

CONFIGURATION = Path(__file__).parents[1]
PROJECT = "demo-project"
_PROVIDER = Path(__file__).with_name("provider.py")
_COPIED = ("*.tf", "*.json", "*.rules", "tests/*.tftest.hcl")
# The state of a check lies in the copy; a file of this name overrides what versions.tf says.
_LOCAL_STATE = 'terraform {\n  backend "local" {}\n}\n'


class TerraformFailed(Exception):
    """A command that failed, and what it said."""


@dataclass(frozen=True)
class Terraform:
    """terraform in one folder. The provider is reached through `environment`."""

    program: Path
    folder: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> str:
        """What the command printed. Raises TerraformFailed."""
        done = self._call(*arguments)
        if done.returncode:
            command = " ".join(arguments)
            raise TerraformFailed(f"terraform {command} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def validate(self) -> list[str]:
        """The faults that terraform finds in the configuration itself."""
        found = json.loads(self._call("validate", "-json").stdout)
        return [
            f"{each['summary']}: {each['detail']}"
            for each in found["diagnostics"]
            if each["severity"] == "error"
        ]

    def plan(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The plan for these variables, as `terraform show -json` tells it.

        Raises TerraformFailed.
        """
        given = [f"-var={name}={_literal(value)}" for name, value in variables.items()]
        self.run("plan", "-refresh=false", "-input=false", "-lock=false", "-out=plan.bin", *given)
        plan: dict[str, Any] = json.loads(self.run("show", "-json", "plan.bin"))
        return plan

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.program), *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            check=False,
            capture_output=True,
            text=True,
        )


def _literal(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def serve_provider() -> Iterator[dict[str, str]]:
    """The variables with which terraform finds the stand-in, for as long as it runs."""
    python = ensure_environment() / "bin" / "python"
    command: Sequence[str] = (str(python), str(_PROVIDER), str(ensure_schema()))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        reattach = process.stdout.readline().strip()
        if not reattach:
            raise TerraformFailed(f"the stand-in for the provider ended with {process.wait()}")
        yield {
            **os.environ,
            "TF_REATTACH_PROVIDERS": reattach,
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }
        process.stdin.close()


def copy_configuration(folder: Path, environment: Mapping[str, str]) -> Terraform:
    """terraform, initialised on a copy of the configuration in `folder`."""
    for pattern in _COPIED:
        for source in CONFIGURATION.glob(pattern):
            target = folder / source.relative_to(CONFIGURATION)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    (folder / "backend_override.tf").write_text(_LOCAL_STATE)
    terraform = Terraform(ensure_terraform(), folder, environment)
    terraform.run("init", "-input=false")
    return terraform
