"""What a workbook's parts have in common as XML: names, entities, and a parser that is safe."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from xml.parsers import expat

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
TEXT = rb"[^<\x00-\x08\x0b\x0c\x0e-\x1f]*"
"""Text of an element, in a regular expression."""
PLAIN_TEXT = rb"<t(?: xml:space=\"preserve\")?>(" + TEXT + rb")</t>"
_ENTITY = re.compile(rb"&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([a-z]{2,4}));")
_NAMED: Mapping[bytes, bytes] = {
    b"amp": b"&",
    b"lt": b"<",
    b"gt": b">",
    b"quot": b'"',
    b"apos": b"'",
}
_ESCAPED = re.compile(rb"_x([0-9A-Fa-f]{4})_")


class XmlBroken(Exception):
    """What is wrong with the XML, for the message."""


class XmlTooLarge(Exception):
    """What there is too much of, for the message."""


def resolve_entities(text: bytes) -> bytes:
    """Raises XmlBroken where an entity is none of XML's own."""
    if b"&" not in text:
        return text
    if len(_ENTITY.findall(text)) != text.count(b"&"):
        raise XmlBroken("it has an entity that XML does not know")
    return _ENTITY.sub(_resolve, text)


def _resolve(found: re.Match[bytes]) -> bytes:
    sixteen, ten, name = found.groups()
    try:
        if name is not None:
            return _NAMED[name]
        return chr((int(sixteen, 16) if sixteen else int(ten)) or -1).encode()
    except (KeyError, ValueError, OverflowError):
        raise XmlBroken("it has an entity that XML does not know") from None


def resolve_escapes(text: bytes) -> bytes:
    """Spreadsheets write characters that XML cannot hold as `_x000D_`. A NUL stays as it is."""
    return _ESCAPED.sub(_resolve_escape, text) if b"_x" in text else text


def _resolve_escape(found: re.Match[bytes]) -> bytes:
    code = int(found[1], 16)
    return found[0] if code == 0 or 0xD800 <= code < 0xE000 else chr(code).encode()


def normalise(text: bytes) -> bytes:
    """As an XML parser would hand it out: entities resolved, line ends as one character."""
    return resolve_entities(text.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))


class XmlParser:
    """expat without document types, so that there are no entities to expand.

    `names` are the spreadsheets' own elements, the only ones of which the handlers hear; what they
    raise leaves through `feed`. `utf8`: no other encoding is declared.
    """

    def __init__(
        self,
        names: Sequence[str],
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None],
    ) -> None:
        self._expat = expat.ParserCreate(namespace_separator=" ")
        self._expat.buffer_text = True
        self.utf8 = True
        known = {f"{space} {name}": name for space in (MAIN, STRICT, RELATIONS) for name in names}

        def begin(tag: str, attributes: dict[str, str]) -> None:
            if tag in known:
                start(known[tag], attributes)

        def finish(tag: str) -> None:
            if tag in known:
                end(known[tag])

        self._expat.StartElementHandler = begin
        self._expat.EndElementHandler = finish
        self._expat.StartDoctypeDeclHandler = self._refuse
        self._expat.XmlDeclHandler = self._note_encoding

    def feed(self, piece: bytes, final: bool = False) -> None:
        """Raises XmlBroken."""
        try:
            self._expat.Parse(piece, final)
        except expat.ExpatError as error:
            raise XmlBroken(f"its XML is broken ({error})") from error
        except ValueError as error:  # an encoding that expat does not know, or NUL in its name
            raise XmlBroken(f"its XML cannot be read ({error})") from error

    def listen(self, take: Callable[[str], None] | None) -> None:
        """Hand text to `take` from here on, or to nobody."""
        self._expat.CharacterDataHandler = take

    def _refuse(self, *_: object) -> None:
        raise XmlBroken("it declares a document type, which spreadsheets never do")

    def _note_encoding(self, _: str, encoding: str | None, __: int) -> None:
        self.utf8 = encoding is None or encoding.lower() in ("utf-8", "utf8", "us-ascii")
