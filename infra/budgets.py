"""What the dashboard may weigh, and what a build of it does: kilobytes (1,000 bytes) after gzip.

A page costs what the browser must load before it shows: the entry, everything that it imports, and
the page's own chunk with everything that that imports. Vite's manifest says which those are. What
the entry and the list of ingestions need is counted together; other pages by what they add to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIST_PAGE = "src/pages/IngestionsPage.tsx"
MOST_JS = 140.0
"""The entry and the list of ingestions, together."""
MOST_ROUTE = 30.0
"""What any other page may add to those."""
MOST_CSS = 8.0


@dataclass(frozen=True)
class Sizes:
    """Kilobytes: `first` of the entry and the list, `routes` of what each page adds to those,
    `css` of all style sheets."""

    first: float
    routes: Mapping[str, float]
    css: float

    def describe(self) -> str:
        """One line."""
        page, largest = max(self.routes.items(), key=lambda item: item[1])
        return (
            f"gzip: entry and list {self.first:.1f} of {MOST_JS:g} kB, largest page "
            f"{Path(page).stem} {largest:.1f} of {MOST_ROUTE:g} kB, CSS {self.css:.1f} of "
            f"{MOST_CSS:g} kB"
        )


def find_excesses(sizes: Sizes) -> list[str]:
    """What is over its budget, in words."""
    measured = [
        ("The entry and the list of ingestions", sizes.first, MOST_JS),
        *((f"The page {Path(page).stem}", size, MOST_ROUTE) for page, size in sizes.routes.items()),
        ("CSS", sizes.css, MOST_CSS),
    ]
    return [
        f"{what} is {size:.1f} kB of gzip, more than the budget of {most:g} kB."
        for what, size, most in measured
        if size > most
    ]


def measure_sizes(dist: Path) -> Sizes:
    """Weigh a build by its manifest and its precompressed files."""
    manifest: dict[str, dict[str, Any]] = json.loads((dist / ".vite/manifest.json").read_text())
    (entry,) = (name for name, chunk in manifest.items() if chunk.get("isEntry"))
    first = collect_chunks(manifest, entry) | collect_chunks(manifest, LIST_PAGE)
    pages = [name for name in manifest if name.startswith("src/pages/") and name != LIST_PAGE]
    added = {page: _weigh(dist, manifest, collect_chunks(manifest, page) - first) for page in pages}
    return Sizes(
        first=_weigh(dist, manifest, first),
        routes=added,
        css=sum(_kilobytes(path) for path in dist.glob("assets/*.css.gz")),
    )


def collect_chunks(manifest: Mapping[str, Mapping[str, Any]], name: str) -> set[str]:
    """A chunk and all that it imports at once."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += manifest[each].get("imports", [])
    return found


def _weigh(dist: Path, manifest: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> float:
    return sum(_kilobytes(dist / f"{manifest[name]['file']}.gz") for name in names)


def _kilobytes(path: Path) -> float:
    return path.stat().st_size / 1000
