"""A contract's YAML text with a patch applied: comments, quotes and order stay as they are.

`read_contract` has read the text before and reads the result after; this only moves nodes.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruamel.yaml import YAML

_SEQUENCE = re.compile(r"^schema:[^\n]*\n(?:\s*#[^\n]*\n)*( *)- ", re.MULTILINE)
_NUMERIC_OPTIONS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "format",
)


def patch_contract(text: str, patch: Sequence[Mapping[str, Any]], version: str) -> str:
    """The text with the patch's operations done and another version.

    An operation that is done already changes nothing. Raises KeyError when a property that is to be
    changed is not there.
    """
    yaml = _round_trip(text)
    document = yaml.load(text)
    document["version"] = version
    schema = document["schema"][0]
    for operation in patch:
        _OPERATIONS[operation["op"]](schema, operation["property"])
    return _restore_comments(text, _dump(yaml, document))


def set_status(text: str, status: str) -> str:
    """The text with another `status`."""
    yaml = _round_trip(text)
    document = yaml.load(text)
    document["status"] = status
    return _dump(yaml, document)


def _round_trip(text: str) -> YAML:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.representer.sort_base_mapping_type_on_output = False
    match = _SEQUENCE.search(text)
    offset = len(match.group(1)) if match else 0
    yaml.indent(mapping=2, sequence=2 + offset, offset=offset)
    return yaml


def _dump(yaml: YAML, document: Any) -> str:
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


def _restore_comments(old: str, new: str) -> str:
    """Put back whole-line comments that went with a key before them: they are of what follows."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    kept = {
        block.a + offset: block.b + offset
        for block in matcher.get_matching_blocks()
        for offset in range(block.size)
    }
    lost: dict[int, list[str]] = {}
    for index, line in enumerate(before):
        if line.lstrip().startswith("#") and index not in kept:
            following = next((kept[at] for at in range(index, len(before)) if at in kept), None)
            lost.setdefault(len(after) if following is None else following, []).append(line)
    parts = [
        part for at in range(len(after) + 1) for part in (*lost.get(at, ()), *after[at : at + 1])
    ]
    return "".join(parts)


# --- Operations ----------------------------------------------------------------------------------


def _add(schema: Any, declared: Mapping[str, Any]) -> None:
    headers = {each.get("physicalName", each["name"]) for each in schema["properties"]}
    if declared.get("physicalName", declared["name"]) in headers:
        return
    schema["properties"].append(dict(declared))


def _remove(schema: Any, declared: Mapping[str, Any]) -> None:
    properties = schema["properties"]
    for index, each in enumerate(properties):
        if each["name"] == declared["name"]:
            del properties[index]
            return


def _replace(schema: Any, declared: Mapping[str, Any]) -> None:
    property_ = next(
        (each for each in schema["properties"] if each["name"] == declared["name"]), None
    )
    if property_ is None:
        raise KeyError(declared["name"])
    if "aliases" in declared:
        _add_aliases(property_, declared["aliases"])
    if "logicalType" in declared:
        _retype(property_, declared["logicalType"])
    if declared.get("required") is False and "required" in property_:
        property_["required"] = False


_OPERATIONS: Mapping[str, Callable[[Any, Mapping[str, Any]], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
}


def _add_aliases(property_: Any, aliases: Sequence[str]) -> None:
    custom = property_.setdefault("customProperties", [])
    known = next((each for each in custom if each["property"] == "aliases"), None)
    if known is None:
        custom.append({"property": "aliases", "value": list(aliases)})
        return
    known["value"].extend(each for each in aliases if each not in known["value"])


def _retype(property_: Any, wide: str) -> None:
    """Another type, without the options, formats and physical type that were the old one's."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if property_["logicalType"] == wide:
        return
    property_["logicalType"] = wide
    property_.pop("physicalType", None)
    options = property_.get("logicalTypeOptions", {})
    for name in _NUMERIC_OPTIONS if wide == "string" else ("format",):
        options.pop(name, None)
    if wide == "timestamp":
        for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if name in options:
                options[name] = DoubleQuotedScalarString(f"{options[name]}T00:00:00Z")
    if not options:
        property_.pop("logicalTypeOptions", None)
    if wide == "string":
        for each in property_.get("enum", ()):
            each["value"] = str(each["value"])
    custom = property_.get("customProperties", [])
    kept = [each for each in custom if each["property"] != "dateFormats"]
    if len(kept) < len(custom):
        property_["customProperties"] = kept
        if not kept:
            del property_["customProperties"]
