"""A release holds every bundle, hashes that fit, and a bill of what is in them; twice the same."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from infra.release import make_release
from infra.rights import functions

pytestmark = pytest.mark.infra


def test_a_release_is_whole_and_the_same_again(tmp_path: Path) -> None:
    folder = make_release(tmp_path / "dist")
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(content) == {"bundles.zip", "sbom.cdx.json", "SHA256SUMS"}
    with zipfile.ZipFile(folder / "bundles.zip") as archive:
        bundles = {name: archive.read(name) for name in archive.namelist()}
    assert sorted(name.partition("-")[0] for name in bundles) == functions()
    hashes = dict(
        reversed(line.split("  ")) for line in content["SHA256SUMS"].decode().splitlines()
    )
    for name, data in {**bundles, "sbom.cdx.json": content["sbom.cdx.json"]}.items():
        assert hashes[name] == hashlib.sha256(data).hexdigest()
    bill = json.loads(content["sbom.cdx.json"])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    named = {each["name"] for each in bill["components"]}
    assert {"pyarrow", "google-cloud-storage", "flask"} <= named
    again = make_release(tmp_path / "again")
    assert {path.name: path.read_bytes() for path in again.iterdir()} == content
