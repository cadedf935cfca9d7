"""The problems of one contract, gathered while reading goes on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

_LABEL = re.compile(r"[\w][\w .-]{0,63}")


class Problems:
    """A list of "path: what is wrong; what to do", in the order in which they were found."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._paths: set[str] = set()

    def add(self, path: str, what: str, remedy: str) -> None:
        self.found.append(f"{path}: {what}; {remedy}")
        self._paths.add(path)

    def concern(self, path: str) -> bool:
        """Whether this very path was complained about: a second complaint would only confuse."""
        return path in self._paths

    def concern_part(self, path: str) -> bool:
        """Whether this path or anything inside it was complained about."""
        inside = (f"{path}.", f"{path}[")
        return path in self._paths or any(p.startswith(inside) for p in self._paths)


def join_path(path: str, key: str) -> str:
    key = quote_text(key) if not _LABEL.fullmatch(key) else key
    return f"{path}.{key}" if path else key


def label_items(path: str, items: Iterable[object]) -> list[str]:
    """The path of each item of a list: by its name where it has one of its own, else by index."""
    labels: list[str] = []
    for index, item in enumerate(items):
        named = item if isinstance(item, Mapping) else {}
        names = (named.get(key) for key in ("name", "property", "id"))
        name = next((n for n in names if isinstance(n, str) and _LABEL.fullmatch(n)), str(index))
        labels.append(f"{path}[{index if f'{path}[{name}]' in labels else name}]")
    return labels


def describe_value(value: object) -> str:
    """A value as a person would say it, short enough for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"the number {_shorten(str(value))}"
    if isinstance(value, str):
        return f"the text {quote_text(value)}"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if value else "an empty list"


def quote_text(text: str) -> str:
    return repr(_shorten(text))


def suggest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` may be a misspelling of."""
    folded = {k.casefold(): k for k in known}
    close = difflib.get_close_matches(name.casefold()[:80], folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else None


def list_words(words: Iterable[object], conjunction: str = "or") -> str:
    """`a, b or c`."""
    *front, last = [str(w) for w in words]
    return f"{', '.join(front)} {conjunction} {last}" if front else last


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


class Refused(Exception):
    """A value of the wrong kind: what is wrong, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
