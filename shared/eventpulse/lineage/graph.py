"""The lineage of all tables and their columns as one graph, and what lies up and down of a place in
it. Pure.

Nodes are tables: `raw.<dataset>` (the files that its contract takes), `curated.<dataset>` and
`marts.<name>`. Edges are of tables and of columns; a file's column is named by its header.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from eventpulse.contracts.contract import Contract
from eventpulse.marts.mart import Mart

Direction = Literal["upstream", "downstream", "both"]
NodeKind = Literal["raw", "curated", "marts"]

Place = tuple[str, str]
"""A table, and one of its columns; an empty column is the table itself."""


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    kind: NodeKind
    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """Data flow from one place to another; `transformation` in OpenLineage's words, of columns."""

    source: Place
    target: Place
    transformation: str | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    nodes: Mapping[str, Node] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()


def build_graph(contracts: Iterable[Contract], marts: Iterable[Mart]) -> Graph:
    """The graph of current contracts, as drift has extended them, and registered marts."""
    nodes: dict[str, Node] = {}
    edges: list[Edge] = []
    for contract in contracts:
        raw, curated = f"raw.{contract.dataset}", f"curated.{contract.dataset}"
        names = tuple(each.name for each in contract.fields)
        headers = tuple(each.headers[0] for each in contract.fields)
        nodes[raw] = Node(raw, "raw", contract.dataset, headers)
        nodes[curated] = Node(curated, "curated", contract.dataset, names)
        edges.append(Edge((raw, ""), (curated, "")))
        for header, name in zip(headers, names, strict=True):
            edges.append(Edge((raw, header), (curated, name), "IDENTITY"))
    for mart in marts:
        target = f"marts.{mart.name}"
        nodes[target] = Node(target, "marts", mart.name, mart.columns)
        edges += [Edge((source, ""), (target, "")) for source in mart.sources]
        for column, sources in mart.lineage.items():
            how = mart.transformations.get(column)
            edges += [Edge(source, (target, column), how) for source in sorted(sources)]
    for source, _ in [each.source for each in edges]:
        if source not in nodes:  # a mart reads what nobody has published
            layer, _, name = source.partition(".")
            nodes[source] = Node(source, "marts" if layer == "marts" else "curated", name, ())
    return Graph(nodes, tuple(edges))


def cut_graph(graph: Graph, start: Place, direction: Direction, depth: int) -> Graph:
    """What lies within `depth` edges of a place: tables of a table, columns of a column. Nodes keep
    all their columns; the edges are those that were followed."""
    followed: list[Edge] = []
    if direction in ("upstream", "both"):
        followed += _follow(graph.edges, start, depth, back=True)
    if direction in ("downstream", "both"):
        followed += _follow(graph.edges, start, depth, back=False)
    edges = tuple(dict.fromkeys(followed))
    names = {start[0], *(place[0] for each in edges for place in (each.source, each.target))}
    return Graph({name: node for name, node in graph.nodes.items() if name in names}, edges)


def _follow(edges: Sequence[Edge], start: Place, depth: int, *, back: bool) -> Iterator[Edge]:
    leaving: dict[Place, list[Edge]] = {}
    for edge in edges:
        leaving.setdefault(edge.target if back else edge.source, []).append(edge)
    reached, front = {start}, [start]
    for _ in range(depth):
        ahead: list[Place] = []
        for place in front:
            for edge in leaving.get(place, ()):
                yield edge
                other = edge.source if back else edge.target
                if other not in reached:
                    reached.add(other)
                    ahead.append(other)
        front = ahead
