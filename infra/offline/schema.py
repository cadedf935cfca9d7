"""Reads the Google provider's schema out of its CDK bindings, which PyPI has.

The bindings are a jsii bundle of one JavaScript module per resource, generated from the schema: a
class says which attributes are computed, optional or required, a function which are blocks, and the
type declarations which values an attribute may have. The result, as JSON:

    {"version": …, "provider": Block, "resources": {name: Block}, "data": {name: Block}}
    Block: {"attributes": {name: Attribute}, "blocks": {name: Nested}}
    Attribute: {"type", "required", "optional", "computed", "values"?}
    Nested: {"nesting": "single" | "list" | "set" | "map", "min", "max", "block": Block}

`type` is Terraform's JSON notation. Run: python -m infra.offline.schema FOLDER OUTPUT.json.gz
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Type = Any
Block = dict[str, Any]

_MEMBER = re.compile(
    r"package/lib/(?P<folder>[^/]+)/(index|(?P<structures>index-structs/structs\d+))\."
    r"(?P<kind>js|d\.ts)$"
)
_RESOURCE = re.compile(r'static tfResourceType = "([a-z0-9_]+)"')
_VERSION = re.compile(r"providerVersion: '([\d.]+)'")
_FUNCTION = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{(.*?)^\}", re.S | re.M)
_CLASS = re.compile(r"^class (\w+) extends ([\w.]+) \{(.*?)^\}", re.S | re.M)
_ENTRY = re.compile(
    r"^\s+(\w+): \{\s+value: (.*?),\s+isBlock: (true|false),\s+type: \"(\w+)\","
    r"\s+storageClassType: \"(\w+)\",\s+\}",
    re.S | re.M,
)
_FLAGS = re.compile(
    r"// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n"
    r"(.*?)\n(?=    // \w+ - computed|    // =====|\}|class )",
    re.S,
)
_INTERFACE = re.compile(r"export interface (\w+)[^{]*\{(.*?)^\}", re.S | re.M)
_PROPERTY = re.compile(r"/\*\*((?:(?!\*/).)*?)\*/\s*readonly (\w+)\??:", re.S)
_VALUES = re.compile(r"Possible values: \[([^\]]+)\]")
_ANCHOR = re.compile(r"#(\w+) \w+#\1\}")
_STRUCTURE = re.compile(r"\b(\w+)ToHclTerraform")
_LIBRARY_CALL = re.compile(r"cdkt[nf]\.\w+ToHclTerraform")

_TYPES: Mapping[str, Type] = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "any": "dynamic",
    "stringList": ["list", "string"],
    "numberList": ["list", "number"],
    "booleanList": ["list", "bool"],
    "stringMap": ["map", "string"],
    "numberMap": ["map", "number"],
    "booleanMap": ["map", "bool"],
    "anyMap": ["map", "dynamic"],
    "stringListList": ["list", ["list", "string"]],
    "stringMapList": ["list", ["map", "string"]],
    "stringListMap": ["map", ["list", "string"]],
    "anyMapList": ["list", ["map", "dynamic"]],
}
_LIBRARY_TYPES: Mapping[str, Type] = {
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
    "AnyMap": ["map", "dynamic"],
    "StringMapList": ["list", ["map", "string"]],
    "StringListList": ["list", ["list", "string"]],
}
_GETTERS: Mapping[str, Type] = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "StringMap": ["map", "string"],
}
_MAIN_CLASSES = ("TerraformResource", "TerraformDataSource", "TerraformProvider")
_DEEPEST = 8
_COLLECTIONS = ("list", "set", "map")


@dataclass(frozen=True)
class Module:
    """One resource's module, taken apart."""

    functions: Mapping[str, str]
    classes: Mapping[str, str]
    values: Mapping[tuple[str, str], list[str]]

    def flags(self, class_name: str, depth: int = 0) -> dict[str, dict[str, Any]]:
        """The attributes that a class declares."""
        if class_name not in self.classes or depth > _DEEPEST:
            return {}
        return {
            name: {
                "computed": computed == "true",
                "optional": optional == "true",
                "required": required == "true",
                "type": self._computed_type(body, name, depth),
            }
            for name, computed, optional, required, body in _FLAGS.findall(self.classes[class_name])
        }

    def _computed_type(self, body: str, name: str, depth: int) -> Type:
        """The type of an attribute that cannot be set, from how it is read."""
        made = re.search(
            rf"new ([\w.]+)\(this, ['\"]{re.escape(name)}['\"](?:, (true|false))?", body
        )
        if made:
            maker = made.group(1)
            if maker.startswith(("cdktn.", "cdktf.")):
                return _LIBRARY_TYPES.get(maker.split(".")[1], "dynamic")
            maker = maker.rpartition(".")[2]
            nested = maker[: -len("List")] + "OutputReference" if maker.endswith("List") else maker
            fields = {n: flag["type"] for n, flag in self.flags(nested, depth + 1).items()}
            return ["set" if made.group(2) == "true" else "list", ["object", fields]]
        got = re.search(
            rf"get(String|Number|Boolean|List|NumberList|StringMap)Attribute\(['\"]{re.escape(name)}",
            body,
        )
        if got is None:
            return "dynamic" if "Resolvable" in body or "interpolation" in body else "string"
        kind = got.group(1)
        if kind in ("List", "NumberList"):
            element = "number" if kind == "NumberList" else "string"
            return ["set" if "Fn.tolist" in body else "list", element]
        return _GETTERS[kind]

    def block(self, body: str, class_name: str, interface: str, above: Sequence[str] = ()) -> Block:
        """The block whose attributes `body` writes."""
        flags = self.flags(class_name)
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        for name, value, is_block, kind, storage in _ENTRY.findall(body):
            flag = flags.get(
                name, {"computed": False, "optional": True, "required": False, "type": "dynamic"}
            )
            structure = _STRUCTURE.findall(_LIBRARY_CALL.sub("", value))
            if not structure:
                attributes[name] = {**flag, "type": _read_type(storage, kind)}
                if (interface, name) in self.values:
                    attributes[name]["values"] = self.values[interface, name]
                continue
            inner = self._nested(structure[0], above)
            if is_block == "true" or name == "timeouts":
                several = "listMapperHcl(" in value or "hashMapperHcl(" in value
                blocks[name] = _nest(inner, name, kind, several, flag["required"])
            else:
                attributes[name] = {**flag, "type": _as_attribute(inner, kind)}
        for name, flag in flags.items():
            settable = flag["optional"] or flag["required"]
            if name not in attributes and name not in blocks and flag["computed"] and not settable:
                attributes[name] = flag
        return {"attributes": attributes, "blocks": blocks}

    def _nested(self, function: str, above: Sequence[str]) -> Block:
        if above.count(function) >= 2:  # a structure that holds itself
            return {"attributes": {}, "blocks": {}}
        name = function[0].upper() + function[1:]
        body = self.functions.get(function, "")
        return self.block(body, f"{name}OutputReference", name, (*above, function))


def _read_type(storage: str, kind: str) -> Type:
    found = _TYPES.get(storage, "dynamic")
    if isinstance(found, list) and kind == "set":
        return ["set", *found[1:]]
    return found


def _nest(block: Block, name: str, kind: str, several: bool, required: bool) -> dict[str, Any]:
    if name == "timeouts":
        return {"nesting": "single", "min": 0, "max": 0, "block": block}
    nesting = kind if kind in _COLLECTIONS else "single"
    limits = {"min": int(required), "max": 0 if several else 1}
    return {"nesting": nesting, **limits, "block": block}


def _as_attribute(block: Block, kind: str) -> Type:
    """A block that is written as an attribute's value."""
    fields = {name: each["type"] for name, each in block["attributes"].items()}
    for name, nested in block["blocks"].items():
        inner = {n: each["type"] for n, each in nested["block"]["attributes"].items()}
        fields[name] = [nested["nesting"], ["object", inner]]
    whole: Type = ["object", fields]
    if kind == "struct":
        return whole
    return [kind if kind in _COLLECTIONS else "list", whole]


def read_module(code: str, declarations: str) -> tuple[str, Block]:
    """A resource's type and schema. Raises ValueError for a module that is none."""
    name = _RESOURCE.search(code)
    classes = _CLASS.findall(code)
    main = [(each, body) for each, base, body in classes if base.split(".")[-1] in _MAIN_CLASSES]
    if name is None or not main:
        raise ValueError("not the module of a resource")
    module = Module(
        dict(_FUNCTION.findall(code)),
        {each: body for each, _, body in classes},
        dict(_read_values(declarations)),
    )
    class_name, body = main[0]
    written = body.split("synthesizeHclAttributes()")[-1]
    return name.group(1), module.block(written, class_name, f"{class_name}Config")


def _read_values(declarations: str) -> Iterator[tuple[tuple[str, str], list[str]]]:
    """Which values an interface's property may have, as its documentation lists them."""
    for interface, body in _INTERFACE.findall(declarations):
        for documentation, _ in _PROPERTY.findall(body):
            listed = _VALUES.search(documentation)
            anchor = _ANCHOR.search(documentation)
            if listed and anchor:
                yield (interface, anchor.group(1)), re.findall(r'"([^"]*)"', listed.group(1))


def read_bundle(path: Path) -> dict[str, Any]:
    """The whole schema, from a jsii bundle."""
    schema: dict[str, Any] = {"version": "", "provider": None, "resources": {}, "data": {}}
    code: dict[str, str] = {}
    declarations: dict[str, str] = {}
    with tarfile.open(path, "r:gz") as bundle:
        for member in bundle:
            found = _MEMBER.match(member.name)
            stream = bundle.extractfile(member) if found else None
            if found and stream is not None:
                kept = declarations if found["kind"] == "d.ts" else code
                text = stream.read().decode()
                # A large module keeps its structures in files of their own.
                before = kept.get(found["folder"], "")
                main = found["structures"] is None
                kept[found["folder"]] = f"{text}\n{before}" if main else f"{before}\n{text}"
    for folder, text in code.items():
        version = _VERSION.search(text)
        if version:
            schema["version"] = version.group(1)
        if _RESOURCE.search(text) and not folder.startswith("ephemeral"):
            name, block = read_module(text, declarations.get(folder, ""))
            if folder == "provider":
                schema["provider"] = block
            else:
                kind = "data" if folder.startswith("data-google-") else "resources"
                schema[kind][name] = block
    return schema


def main() -> None:
    folder, output = map(Path, sys.argv[1:])
    (bundle,) = folder.rglob("*.jsii.tgz")
    with gzip.open(output, "wt") as out:
        json.dump(read_bundle(bundle), out, separators=(",", ":"), sort_keys=True)


if __name__ == "__main__":
    main()
