"""Object names as paths of a file system, both ways; pure, nothing here touches a disk.

Invariants
----------
- `name_of(object_path(name)) == name` for every name, so two names never share a path.
- Components are 1 to 201 ASCII characters of `A-Z a-z 0-9 - _ . = , % ~ +`; none is `.` or `..` and
  none begins with `.`, so no name escapes its folder or meets the store's own hidden folders.
- Ordinary names are what they look like: `flights/2024.csv` is `flights/2024.csv`.
- A folder and an object never want the same path, although `a` and `a/b` may both be objects:
  objects have a dot, folders have none, and whoever breaks that rule is marked by a final `~`
  (`a~`, `a/b~`, `v1.2~/b.csv`).
- A segment that is too long for a component goes on in a folder whose name ends with `+`.
- All names below the folder of `p/` begin with `p/`, which keeps listings in order with one folder
  open per level. Hence the odd rule for runs of slashes: a slash divides only after another
  character; those that follow belong to the next segment, quoted (`a//b` is `a/%2Fb~`).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

_LONGEST = 200  # of the 255 that file systems allow, so that suffixes still fit
_DIVIDED = re.compile(r"(/*[^/]+)/")
_EMPTY = "%"  # the segment after a final slash

MARK = "~"
CONTINUED = "+"

SAFE = frozenset((string.ascii_letters + string.digits + "-_.=,").encode())
# For file systems that take `A` and `a` for one name.
SAFE_FOLDED = SAFE - frozenset(string.ascii_uppercase.encode())


def object_path(name: str, safe: frozenset[int] = SAFE) -> str:
    """The relative path of the object `name`, with `/` between its components."""
    *folders, last = _split(name)
    components: list[str] = []
    for segment in folders:
        *begun, end = _pieces(_quote(segment, safe))
        components += [piece + CONTINUED for piece in begun]
        components.append(end + MARK if "." in end else end)
    *begun, end = _pieces(_quote(last, safe))
    components += [piece + CONTINUED for piece in begun]
    components.append(end if "." in end else end + MARK)
    return "/".join(components)


def name_of(path: str) -> str:
    """The name whose `object_path` is `path`."""
    *folders, last = path.split("/")
    return (b"".join(folder_key(folder) for folder in folders) + object_key(last)).decode()


def folder_key(component: str) -> bytes:
    """What a folder adds to the names of the objects below it."""
    if component.endswith(CONTINUED):
        return unquote_to_bytes(component[: -len(CONTINUED)])
    return unquote_to_bytes(component.removesuffix(MARK)) + b"/"


def object_key(component: str) -> bytes:
    """What an object's own component adds to its name."""
    quoted = component.removesuffix(MARK)
    return b"" if quoted == _EMPTY else unquote_to_bytes(quoted)


def _split(name: str) -> list[str]:
    segments, start = [], 0
    while match := _DIVIDED.match(name, start):
        segments.append(match[1])
        start = match.end()
    return [*segments, name[start:]]


def _quote(segment: str, safe: frozenset[int]) -> str:
    quoted = "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in segment.encode())
    return _undotted(quoted) or _EMPTY


def _pieces(quoted: str) -> Iterator[str]:
    while len(quoted) > _LONGEST:
        cut = _LONGEST
        escape = quoted.rfind("%", cut - 2, cut)
        if escape >= 0:
            cut = escape
        yield quoted[:cut]
        quoted = _undotted(quoted[cut:])
    yield quoted


def _undotted(quoted: str) -> str:
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted
