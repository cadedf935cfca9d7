"""A provider with the Google provider's schema that makes nothing: it plans what is written.

Terraform is pointed at it by TF_REATTACH_PROVIDERS (plugin protocol 6, on loopback). It refuses a
value that the schema's documentation does not list. What the real provider already knows at plan
time, an account's address from its name, say, is known here too (`PLANNED`); all else that Google
would decide is unknown in a plan, and made up when a data source is read (`READ`).

Runs in an environment of its own: python provider.py SCHEMA.json.gz. Prints one line of JSON for
TF_REATTACH_PROVIDERS, and serves until its standard input ends.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import msgpack
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as pb_grpc

ADDRESS = "registry.terraform.io/hashicorp/google"
PROJECT, NUMBER = "demo-project", "123456789012"
_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}
_UNKNOWN = msgpack.ExtType(0, b"\x00")
_LARGEST = 1 << 28

_ACCOUNT = "{account_id}@" + PROJECT + ".iam.gserviceaccount.com"
PLANNED: dict[str, dict[str, str]] = {
    "google_service_account": {
        "email": _ACCOUNT,
        "member": f"serviceAccount:{_ACCOUNT}",
        "name": f"projects/{PROJECT}/serviceAccounts/{_ACCOUNT}",
        "id": f"projects/{PROJECT}/serviceAccounts/{_ACCOUNT}",
    },
    "google_project_iam_custom_role": {"name": f"projects/{PROJECT}/roles/" + "{role_id}"},
    "google_secret_manager_secret": {"id": f"projects/{PROJECT}/secrets/" + "{secret_id}"},
}
"""Computed attributes that follow from what is written, by resource."""

READ: dict[str, dict[str, str]] = {
    "google_project": {"number": NUMBER, "project_id": PROJECT},
    "google_storage_project_service_account": {
        "email_address": f"service-{NUMBER}@gs-project-accounts.iam.gserviceaccount.com",
        "member": f"serviceAccount:service-{NUMBER}@gs-project-accounts.iam.gserviceaccount.com",
    },
}
"""What data sources answer."""


def describe_block(block: dict[str, Any]) -> Any:
    described = pb.Schema.Block(version=0)
    for name, each in block["attributes"].items():
        required = each["required"]
        optional, computed = each["optional"] and not required, each["computed"] and not required
        if name == "id" and not required:
            optional = computed = True
        described.attributes.append(
            pb.Schema.Attribute(
                name=name,
                type=json.dumps(each["type"]).encode(),
                required=required,
                optional=optional or not (required or computed),
                computed=computed,
            )
        )
    for name, each in block["blocks"].items():
        single = each["nesting"] == "single"
        described.block_types.append(
            pb.Schema.NestedBlock(
                type_name=name,
                block=describe_block(each["block"]),
                nesting=_NESTING[each["nesting"]],
                min_items=0 if single else each["min"],
                max_items=0 if single else each["max"],
            )
        )
    return described


def unpack(value: Any) -> Any:
    if value.msgpack:
        return msgpack.unpackb(value.msgpack, raw=False, strict_map_key=False)
    return json.loads(value.json or b"null")


def pack(value: Any) -> Any:
    return pb.DynamicValue(msgpack=msgpack.packb(value))


def find_unlisted(
    value: dict[str, Any], block: dict[str, Any], path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str, list[str]]]:
    """Where a value is none of those that its attribute may have: path, value, possible values."""
    for name, each in block["attributes"].items():
        found, values = value.get(name), each.get("values")
        if values and isinstance(found, str) and found and found not in values:
            yield (*path, name), found, values
    for name, each in block["blocks"].items():
        inner = value.get(name)
        for position, item in enumerate(inner if isinstance(inner, list) else [inner]):
            if isinstance(item, dict):
                below = (*path, name, position) if each["nesting"] == "list" else (*path, name)
                yield from find_unlisted(item, each["block"], below)


class Provider(pb_grpc.ProviderServicer):  # type: ignore[misc]
    """The calls that terraform makes for validate, test and plan."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._described = pb.GetProviderSchema.Response()
        self._described.provider.block.CopyFrom(describe_block(schema["provider"]))
        for name, block in schema["resources"].items():
            self._described.resource_schemas[name].block.CopyFrom(describe_block(block))
        for name, block in schema["data"].items():
            self._described.data_source_schemas[name].block.CopyFrom(describe_block(block))

    def GetMetadata(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "the schema says it all")

    def GetProviderSchema(self, request: Any, context: Any) -> Any:
        return self._described

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:
        response = pb.ValidateResourceConfig.Response()
        block = self._schema["resources"][request.type_name]
        for path, value, values in find_unlisted(unpack(request.config), block):
            detail = f"{value!r} is none of {', '.join(values)}."
            diagnostic = response.diagnostics.add(
                severity=1, summary="No such value", detail=detail
            )
            for step in path:
                key = "attribute_name" if isinstance(step, str) else "element_key_int"
                diagnostic.attribute.steps.add(**{key: step})
        return response

    def ValidateDataResourceConfig(self, request: Any, context: Any) -> Any:
        return pb.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request: Any, context: Any) -> Any:
        return pb.ConfigureProvider.Response()

    def PlanResourceChange(self, request: Any, context: Any) -> Any:
        state = unpack(request.proposed_new_state)
        if state is not None:
            self._fill(request.type_name, state)
        return pb.PlanResourceChange.Response(planned_state=pack(state))

    def _fill(self, type_name: str, state: dict[str, Any]) -> None:
        planned = PLANNED.get(type_name, {})
        for name, each in self._schema["resources"][type_name]["attributes"].items():
            if state.get(name) is None and (each["computed"] or name == "id"):
                written = {k: v for k, v in state.items() if isinstance(v, str)}
                known = name in planned
                state[name] = planned[name].format(**written) if known else _UNKNOWN

    def ReadDataSource(self, request: Any, context: Any) -> Any:
        state = unpack(request.config)
        state.update(READ[request.type_name])
        return pb.ReadDataSource.Response(state=pack(state))

    def UpgradeResourceState(self, request: Any, context: Any) -> Any:
        state = pb.DynamicValue(json=request.raw_state.json)
        return pb.UpgradeResourceState.Response(upgraded_state=state)

    def ReadResource(self, request: Any, context: Any) -> Any:
        return pb.ReadResource.Response(new_state=request.current_state)

    def GetFunctions(self, request: Any, context: Any) -> Any:
        return pb.GetFunctions.Response()

    def StopProvider(self, request: Any, context: Any) -> Any:
        return pb.StopProvider.Response()


def main() -> None:
    schema = json.loads(gzip.decompress(Path(sys.argv[1]).read_bytes()))
    sizes = ("grpc.max_receive_message_length", "grpc.max_send_message_length")
    server = grpc.server(
        futures.ThreadPoolExecutor(8), options=[(size, _LARGEST) for size in sizes]
    )
    pb_grpc.add_ProviderServicer_to_server(Provider(schema), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    reattach = {
        ADDRESS: {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
        }
    }
    sys.stdout.write(json.dumps(reattach) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
