"""datacontract-cli, another reader of the standard, on our contracts and on files that both judge.

It runs in an environment of its own (`nox -s contracts`), since its dependencies are many.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from emulators.samples import SAMPLES, read_sample
from eventpulse.odcs import lint_contract
from eventpulse.odcs.custom import FIELD_PROPERTIES, SCHEMA_PROPERTIES
from tests.keyword_cases import KeywordCase, read_cases
from tests.unit.drift.drafted import draft_text

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("DATACONTRACT_PYTHON", "")
CONTRACTS = sorted(
    path for name in ("contracts", "tests") for path in (ROOT / name).glob("**/*.odcs.yaml")
)

pytestmark = pytest.mark.skipif(not PYTHON, reason="datacontract-cli is asked by nox -s contracts")


def ask(command: str, paths: list[Path]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [PYTHON, str(Path(__file__).with_name("judge.py")), command],
        input=json.dumps([str(each) for each in paths]),
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdicts: list[dict[str, Any]] = json.loads(done.stdout)
    return verdicts


def explain(verdict: dict[str, Any]) -> list[Any]:
    return [each for each in verdict["checks"] if each["result"] != "passed"]


def test_lint_passes_on_every_contract(tmp_path: Path) -> None:
    drafts = []
    for name in SAMPLES:
        path = tmp_path / f"{name}.odcs.yaml"
        path.write_text(draft_text(read_sample(name), f"{name}/sample.csv"))
        drafts.append(path)
    paths, examples = [*CONTRACTS, *drafts], write_examples(tmp_path)
    assert len(CONTRACTS) >= 12
    verdicts = ask("lint", [*paths, *examples])
    for path, verdict in zip([*paths, *examples], verdicts, strict=True):
        assert verdict["result"] == "passed", (path.name, explain(verdict))
    assert [lint_contract(path.read_bytes()) for path in paths] == [[]] * len(paths)


def test_lint_agrees_on_the_contracts_of_every_keyword(tmp_path: Path) -> None:
    cases = [case for case in read_cases() if "lint" not in case.apart]
    paths = []
    for number, case in enumerate(cases):
        paths.append(tmp_path / f"{number}.odcs.yaml")
        paths[-1].write_text(case.contract())
    verdicts = ask("lint", paths)
    found = {
        case.name: explain(verdict)
        for case, verdict in zip(cases, verdicts, strict=True)
        if verdict["result"] != "passed"
    }
    assert found == {}


def test_verdicts_agree_where_both_can_judge(tmp_path: Path) -> None:
    """A file that passes here passes there, and one that fails here fails there; in v3.2, of which
    v3.1 is a part for it."""
    cases = [case for case in read_cases() if case.api_version == "v3.2.0"]
    files = [
        (
            case,
            "passed" if number == 0 else "failed",
            write(tmp_path, f"{index}-{number}", case, rows),
        )
        for index, case in enumerate(cases)
        for number, rows in enumerate([case.passes, *case.fails])
    ]
    verdicts = ask("test", [path for _, _, path in files])
    differing: dict[str, list[Any]] = {}
    for (case, expected, _), verdict in zip(files, verdicts, strict=True):
        if verdict["result"] != expected:
            differing.setdefault(case.keyword, []).append((expected, explain(verdict)))
    apart = {case.keyword for case in cases if case.apart}
    together = [case for case in cases if not case.apart]
    assert len(together) >= 30
    assert {name: why for name, why in differing.items() if name not in apart} == {}
    assert apart <= set(differing), "it judges these by now: take their `apart` out"


def write_examples(folder: Path) -> list[Path]:
    """A contract for each custom property of the guide, with the guide's own example."""
    guide = (ROOT / "contracts" / "README.md").read_text("utf-8")
    paths = []
    for section in guide.split("\n### `")[1:]:
        name = section.split("`", 1)[0]
        example = yaml.safe_load(section.split("```yaml\n")[1].split("```")[0])
        contract = yaml.safe_load((ROOT / "contracts" / "parcels.odcs.yaml").read_text("utf-8"))
        (schema,) = contract["schema"]
        column = next(each for each in schema["properties"] if each["name"] == "recorded_at")
        place = column if name in FIELD_PROPERTIES else schema
        others = [each for each in place.get("customProperties", []) if each["property"] != name]
        place["customProperties"] = [*others, *example]
        paths.append(folder / f"{name}.odcs.yaml")
        paths[-1].write_text(yaml.safe_dump(contract, sort_keys=False))
    assert len(paths) == len(SCHEMA_PROPERTIES) + len(FIELD_PROPERTIES)
    return paths


def write(folder: Path, name: str, case: KeywordCase, rows: Any) -> Path:
    data, contract = folder / f"{name}.csv", folder / f"{name}.odcs.yaml"
    data.write_text(case.write(rows))
    contract.write_text(case.contract(str(data)))
    return contract
