"""Regular expressions and time formats that a contract may declare.

Patterns are RE2: what look-around, back references and possessive quantifiers would need is
refused, because no engine here can promise linear time for them. Time formats are strptime's, the
JDK's patterns of ODCS are translated, and two formats under which one text could mean two moments
are refused, so that `01/02/2024` is never guessed. Fractions of a second are read in ISO 8601 only:
the C library's strptime, which the engine has, knows no %f.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from eventpulse.contracts.contract import LogicalType

_NOT_RE2: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\(\?<?[=!]"), "look-around"),
    (re.compile(r"\\[1-9]|\(\?P=|\\k<"), "a back reference"),
    (re.compile(r"\(\?>"), "an atomic group"),
    (re.compile(r"[*+?}]\+"), "a possessive quantifier"),
    (re.compile(r"\(\?\("), "a condition"),
    (re.compile(r"\\Z"), r"\Z (RE2 has \z)"),
)
_LITERAL = re.compile(r"\\[^1-9kZ]|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def refuse_pattern(pattern: str) -> str | None:
    """Why a pattern cannot be used with RE2; None when it can."""
    # Escaped characters and character classes can hold no construct, so they are blanked first.
    bare = _LITERAL.sub(lambda m: "." * len(m.group()), pattern)
    for construct, name in _NOT_RE2:
        if construct.search(bare):
            return f"uses {name}, which RE2 does not have"
    try:
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            pc.match_substring_regex(pa.array([""]), pattern)
        except pa.ArrowInvalid as error:
            return f"is not valid RE2: {str(error).removeprefix('Invalid regular expression: ')}"
    except ImportError:  # where Arrow is not installed, Python's own syntax is the nearest
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            return f"is not a valid regular expression: {error}"
    return None


_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"


def _build_ipv6() -> str:
    group, ipv4 = "[0-9a-fA-F]{1,4}", rf"({_OCTET}\.){{3}}{_OCTET}"
    # `::` stands for at least one group: with n groups before it, at most 7 - n come after.
    gaps = [f"({group}:){{{n}}}(:{group}){{1,{7 - n}}}" for n in range(1, 7)]
    tails = [f"({group}:){{{n}}}(:{group}){{0,{5 - n}}}:{ipv4}" for n in range(1, 6)]
    whole = [f"({group}:){{7}}{group}", f"({group}:){{6}}{ipv4}", f"({group}:){{1,7}}:"]
    return "|".join(
        [*whole, *gaps, *tails, f"::({group}:){{0,5}}{ipv4}", f":((:{group}){{1,7}}|:)"]
    )


STRING_FORMATS: Mapping[str, str] = {
    "email": r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+",
    "uuid": "[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+",
    "hostname": rf"{_LABEL}(\.{_LABEL})*",
    "ipv4": rf"({_OCTET}\.){{3}}{_OCTET}",
    "ipv6": _build_ipv6(),
}
"""What a text must match, whole, to have one of ODCS's formats. RE2."""

_DATE_PARTS = ("Y|y", "m|b|B", "d")
_DIRECTIVES = "YymbBdHIMSpz"
_DIRECTIVE = re.compile(r"%(.)", re.DOTALL)
_JDK: dict[str, str] = {
    **dict.fromkeys(("yyyy", "uuuu"), "%Y"),
    **dict.fromkeys(("yy", "uu"), "%y"),
    **dict.fromkeys(("M", "MM"), "%m"),
    "MMM": "%b",
    "MMMM": "%B",
    **dict.fromkeys(("d", "dd"), "%d"),
    **dict.fromkeys(("H", "HH"), "%H"),
    **dict.fromkeys(("h", "hh"), "%I"),
    **dict.fromkeys(("m", "mm"), "%M"),
    **dict.fromkeys(("s", "ss"), "%S"),
    "a": "%p",
    **dict.fromkeys(("X", "XX", "XXX", "Z", "xx", "xxx"), "%z"),
}
_JDK_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")
_SAMPLES = (
    datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC),
    datetime(2012, 11, 10, 9, 8, 7, tzinfo=UTC),
)


def translate_jdk_format(pattern: str) -> str | None:
    """A JDK DateTimeFormatter pattern as a strptime format; None when it has no equivalent."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        token = _JDK_TOKEN.match(pattern, position)
        if token is None:
            return None
        text = token.group()
        if token.group(1) is not None:
            parts.append((token.group(1).replace("''", "'") or "'").replace("%", "%%"))
        elif token.group(2) is None:
            parts.append(text.replace("%", "%%"))
        elif text in _JDK:
            parts.append(_JDK[text])
        else:
            return None
        position = token.end()
    return "".join(parts)


def refuse_format(kind: LogicalType, text: str) -> str | None:
    """Why a strptime format cannot read a date, timestamp or time; None when it can."""
    used = _DIRECTIVE.findall(text.replace("%%", ""))
    unknown = [d for d in used if d not in _DIRECTIVES]
    if unknown or text.replace("%%", "").endswith("%"):
        return f"uses %{unknown[0] if unknown else ''}, known are %{', %'.join(_DIRECTIVES)}"
    if len(set(used)) != len(used):
        return "names a part of the time twice"
    has_date = [any(d in used for d in part.split("|")) for part in _DATE_PARTS]
    has_hour = "H" in used or ("I" in used and "p" in used)
    has_clock = any(d in used for d in "HIMSpz")
    if kind != "time" and not all(has_date):
        return "does not name the year, the month and the day"
    if kind == "date" and has_clock:
        return "names a time of day, which a date would lose"
    if kind != "date" and not has_hour:
        return "does not name the hour (%H, or %I with %p)"
    if kind == "time" and (any(has_date) or "z" in used):
        return "names more than a time of day"
    try:
        datetime.strptime(_SAMPLES[0].strftime(text), text)  # noqa: DTZ007
    except ValueError as error:
        return f"cannot be read: {error}"
    return None


def find_ambiguity(formats: Sequence[str]) -> tuple[str, str, str] | None:
    """Two of the formats and a text that they read as different moments; None without any."""
    for written in formats:
        for read in formats:
            for sample in _SAMPLES:
                text = sample.strftime(written)
                try:
                    own = datetime.strptime(text, written)  # noqa: DTZ007
                    other = datetime.strptime(text, read)  # noqa: DTZ007
                except ValueError:
                    continue
                if own.replace(tzinfo=None) != other.replace(tzinfo=None):
                    return written, read, text
    return None
