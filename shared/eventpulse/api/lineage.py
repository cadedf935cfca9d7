"""The lineage graph over datasets, marts and their columns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from eventpulse.api.endpoints import Call
from eventpulse.api.models import Answer, Request
from eventpulse.errors import RequestRefused
from eventpulse.lineage.graph import Direction, Edge, Graph, Node, NodeKind, build_graph, cut_graph
from eventpulse.marts.mart import ALL_MARTS, MartState, read_mart
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.pipeline.load import dataset_contract
from eventpulse.pipeline.streams import list_heads
from eventpulse.platform import Platform

MOST_DEPTH = 50


class LineageQuery(Request):
    node: str | None = Field(None, description="A table: curated.orders; all of them without it.")
    column: str | None = Field(None, description="One of its columns: lineage of columns.")
    direction: Direction = "both"
    depth: int = Field(MOST_DEPTH, ge=1, le=MOST_DEPTH, description="Edges away at most.")
    columns: bool = Field(True, description="Whether edges of columns are told too.")


class LineageNode(Answer):
    """A table: `raw` are the files of a dataset, whose columns are named by their headers."""

    id: str
    kind: NodeKind
    name: str
    columns: list[str]


class LineageEdge(Answer):
    """Data flow between tables, or (`source_column`, `target_column`) between columns."""

    source: str
    target: str
    source_column: str | None
    target_column: str | None
    transformation: Literal["IDENTITY", "TRANSFORMATION", "AGGREGATION"] | None


class LineageGraph(Answer):
    nodes: list[LineageNode]
    edges: list[LineageEdge]


def get_lineage_graph(call: Call) -> LineageGraph:
    wanted: LineageQuery = call.query
    whole = graph = _read_graph(call.platform)
    if wanted.node is not None:
        _check_place(graph, wanted.node, wanted.column)
        graph = cut_graph(graph, (wanted.node, wanted.column or ""), wanted.direction, wanted.depth)
        if wanted.column is None and wanted.columns:
            graph = _with_columns(graph, whole)
    elif wanted.column is not None:
        problem = "query.column: belongs to a node; give node too"
        raise RequestRefused(
            422, "invalid_request", "Invalid request", f"{problem}.", problems=[problem]
        )
    edges = [each for each in graph.edges if wanted.columns or not each.source[1]]
    return LineageGraph(
        nodes=[_describe_node(each) for each in graph.nodes.values()],
        edges=[_describe_edge(each) for each in edges],
    )


def _read_graph(platform: Platform) -> Graph:
    entries = get_catalogue(platform).entries
    contracts = [
        dataset_contract(platform, name, str(entry["version"])) for name, entry in entries.items()
    ]
    states = [MartState.model_validate(h.projection) for h in list_heads(platform, ALL_MARTS)]
    return build_graph(contracts, [read_mart(each.name, each.text) for each in states])


def _with_columns(part: Graph, whole: Graph) -> Graph:
    """The edges of columns between the tables whose own edge is there."""
    pairs = {(each.source[0], each.target[0]) for each in part.edges}
    edges = [e for e in whole.edges if e.source[1] and (e.source[0], e.target[0]) in pairs]
    return Graph(part.nodes, (*part.edges, *edges))


def _check_place(graph: Graph, node: str, column: str | None) -> None:
    found = graph.nodes.get(node)
    if found is None:
        what = f"There is no table {node!r} in the lineage."
    elif column is not None and column not in found.columns:
        what = f"{node} has no column {column!r}."
    else:
        return
    raise RequestRefused(
        404,
        "lineage_not_found",
        "There is no such place",
        f"{what} Tables are raw.<dataset>, curated.<dataset> and marts.<name>.",
    )


def _describe_node(node: Node) -> LineageNode:
    return LineageNode(id=node.id, kind=node.kind, name=node.name, columns=list(node.columns))


def _describe_edge(edge: Edge) -> LineageEdge:
    return LineageEdge.model_validate(
        {
            "source": edge.source[0],
            "target": edge.target[0],
            "source_column": edge.source[1] or None,
            "target_column": edge.target[1] or None,
            "transformation": edge.transformation,
        }
    )
