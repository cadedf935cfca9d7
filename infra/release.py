"""Makes what a release holds, from what `nox -s package` built: `dist/release/`.

- bundles.zip: every function's zip, for `terraform apply -var=bundles=…`
- sbom.cdx.json: what the functions are made of, from uv.lock (CycloneDX 1.5)
- SHA256SUMS: the hashes of both and of each bundle in the zip

The same commit gives the same bytes.

python -m infra.release
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import uuid
import zipfile
from pathlib import Path

from infra.bundles import ROOT, build_bundles, run_uv, zip_entry

SPACE = uuid.UUID("5f0a4a0e-4a39-5a57-8f0b-0d0d1c8e6a11")


def make_release(dist: Path) -> Path:
    """The folder of the release's files, made anew from the bundles in `dist`."""
    bundles = build_bundles(dist)
    folder = dist / "release"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    paths = [bundles[name] for name in sorted(bundles)]
    with zipfile.ZipFile(folder / "bundles.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            archive.writestr(zip_entry(path.name, zipfile.ZIP_STORED), path.read_bytes())
    (folder / "sbom.cdx.json").write_text(make_sbom())
    listed = [*paths, folder / "bundles.zip", folder / "sbom.cdx.json"]
    lines = [f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}" for each in listed]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    return folder


def make_sbom() -> str:
    """Everything that any function installs, as uv.lock pins it."""
    exported = run_uv(
        "export",
        "--frozen",
        "--quiet",
        "--package=eventpulse",
        "--all-extras",
        "--no-default-groups",
        "--format=cyclonedx1.5",
    )
    bill = json.loads(exported)
    # When and under which number it was written says nothing of what it lists.
    bill["metadata"].pop("timestamp", None)
    bill.pop("serialNumber", None)
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(SPACE, json.dumps(bill, sort_keys=True))}"
    return json.dumps(bill, indent=2, sort_keys=True) + "\n"


def main() -> None:
    folder = make_release(ROOT / "dist")
    sys.stdout.write((folder / "SHA256SUMS").read_text())


if __name__ == "__main__":
    main()
