"""Publishes a folder's contracts and marts to the registry; what is there already is left alone."""

from __future__ import annotations

import logging
from pathlib import Path

from eventpulse.errors import RequestRefused
from eventpulse.pipeline.marts import publish_mart
from eventpulse.pipeline.registry import publish_contract
from eventpulse.platform import Platform

logger = logging.getLogger(__name__)

CONTRACT_SUFFIX = ".odcs.yaml"
MART_SUFFIX = ".sql"


def publish_contracts(platform: Platform, folder: Path) -> list[str]:
    """Publish `<dataset>.odcs.yaml`; the datasets that changed. Raises ContractInvalid.

    A contract that an accepted proposal has overtaken stays as the registry has it.
    """
    changed = []
    for path in sorted(folder.glob(f"*{CONTRACT_SUFFIX}")):
        try:
            published = publish_contract(platform, path.read_text("utf-8"), path.name)
        except RequestRefused as error:
            logger.warning("%s is not published: %s", path.name, error.message)
            continue
        if published.changed:
            logger.info("published %s %s", published.dataset, published.version)
            changed.append(published.dataset)
    return changed


def publish_marts(platform: Platform, folder: Path) -> list[str]:
    """Publish `<name>.sql`, each with `<name>.odcs.yaml` if there is one; the marts that changed.

    Raises ContractInvalid.
    """
    changed = []
    for path in sorted(folder.glob(f"*{MART_SUFFIX}")):
        contract = path.with_name(f"{path.stem}{CONTRACT_SUFFIX}")
        promised = contract.read_text("utf-8") if contract.exists() else ""
        if publish_mart(platform, path.stem, path.read_text("utf-8"), promised):
            logger.info("published the mart %s", path.stem)
            changed.append(path.stem)
    return changed
