"""Values inside values: how a contract names them, and which ones a file is taken apart for.

A header that begins with `/` is a JSON Pointer (RFC 6901): `/position/lat` is the value of `lat` in
`position`, `/readings/0` the first of a list, `/a~1b` that of the key `a/b`. A value is taken apart
as far as the contract's pointers lead; what they do not name there is a column of its own, named by
its pointer too, so that nothing new goes unseen. Of a list only what pointers name is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from eventpulse.contracts.contract import Field


class Pointers:
    """The contract's pointers. `apart`: there are any, so that values may be taken apart."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self._leaves = {each for field in fields for each in field.headers if each[:1] == "/"}
        self._inner = {leaf[:at] for leaf in self._leaves for at in _slashes(leaf)}
        self.apart = bool(self._leaves)

    def name(self, key: str) -> str:
        """How a key of the outermost object is called: by itself, unless that is a pointer."""
        whole = f"/{escape(key)}"
        return whole if key[:1] == "/" or whole in self._leaves else key

    def flatten(self, record: Mapping[str, object]) -> dict[str, object]:
        """The record's values by the columns' names."""
        if not self.apart:
            return {self.name(key): value for key, value in record.items()}
        flat: dict[str, object] = {}
        for key, value in record.items():
            if f"/{escape(key)}" in self._inner:
                flat.update(self._walk(f"/{escape(key)}", value))
            else:
                flat[self.name(key)] = value
        return flat

    def _walk(self, pointer: str, value: object) -> Iterator[tuple[str, object]]:
        if pointer in self._leaves or pointer not in self._inner:
            yield pointer, value
        elif value is None:
            return
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                yield from self._walk(f"{pointer}/{escape(key)}", inner)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                place = f"{pointer}/{index}"
                if place in self._leaves or place in self._inner:
                    yield from self._walk(place, inner)
        else:
            yield pointer, value

    def flatten_arrays(self, name: str, values: pa.Array) -> Iterator[tuple[str, pa.Array]]:
        """An Arrow column by the columns' names: structs are taken apart as objects are."""
        if f"/{escape(name)}" in self._inner:
            yield from self._walk_arrays(f"/{escape(name)}", values)
        else:
            yield self.name(name), values

    def _walk_arrays(self, pointer: str, values: pa.Array) -> Iterator[tuple[str, pa.Array]]:
        if pointer in self._leaves or pointer not in self._inner:
            yield pointer, values
        elif pa.types.is_struct(values.type):
            for index, field in enumerate(values.type):
                inner = pc.struct_field(values, [index])
                yield from self._walk_arrays(f"{pointer}/{escape(field.name)}", inner)
        elif pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
            places = {
                leaf for leaf in self._leaves | self._inner if leaf.rpartition("/")[0] == pointer
            }
            for place in sorted(places):
                yield from self._walk_arrays(place, _take_place(values, place.rpartition("/")[2]))
        else:
            yield pointer, values


def _take_place(lists: pa.Array, place: str) -> pa.Array:
    if not place.isdigit():
        return pa.nulls(len(lists), lists.type.value_type)
    index = int(place)
    long_enough = pc.greater(pc.list_value_length(lists), index)
    padded = pc.if_else(long_enough, lists, pa.scalar(None, lists.type))
    return pc.list_element(padded, index)


def escape(key: str) -> str:
    """A key as it stands in a pointer."""
    return key.replace("~", "~0").replace("/", "~1") if "~" in key or "/" in key else key


def _slashes(pointer: str) -> Iterator[int]:
    """Where the prefixes of a pointer end."""
    at = pointer.find("/", 1)
    while at >= 0:
        yield at
        at = pointer.find("/", at + 1)
