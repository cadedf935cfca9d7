import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";

import { lineageGraphQuery } from "../api/queries";
import type { LineageGraph } from "../api/types";
import { Graph } from "../lineage/Graph";
import { Picker } from "../lineage/Picker";
import { type Column, DataTable } from "../ui/DataTable";
import { Empty } from "../ui/Empty";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { Section } from "../ui/Section";

const route = getRouteApi("/lineage");

const KINDS = { raw: "raw files", curated: "curated table", marts: "mart" } as const;

/** Which tables and columns are made of which: all of it, or what is up and down of one. */
export function LineagePage() {
  const { node, column, direction, depth } = route.useSearch();
  const query = useQuery(
    lineageGraphQuery({
      node,
      column: node ? column : undefined,
      direction: node ? direction : undefined,
      depth: node && depth ? Number(depth) : undefined,
      columns: column !== undefined,
    }),
  );
  // What one can pick comes after what one sees: the server makes both from all contracts and marts.
  const all = useQuery({
    ...lineageGraphQuery({ columns: false }),
    enabled: query.data !== undefined,
  });
  const nodes = query.data?.nodes.length;
  return (
    <Page title="Lineage" aside={<Updated query={query} rows={nodes} noun="table" />}>
      <Picker nodes={all.data?.nodes ?? []} />
      <Loaded query={query} height={12}>
        {(graph) =>
          graph.nodes.length === 0 ? (
            <Empty title="Nothing is published yet, so nothing is made of anything." />
          ) : (
            <Drawn graph={graph} focus={node} />
          )
        }
      </Loaded>
    </Page>
  );
}

function Drawn({ graph, focus }: { readonly graph: LineageGraph; readonly focus?: string }) {
  const { nodes, edges } = useMemo(() => draw(graph), [graph]);
  return (
    <>
      <div className="section">
        <Graph label="Lineage of tables" nodes={nodes} edges={edges} focus={focus} />
      </div>
      <Section title="As a list">
        <DataTable
          label="Flows"
          columns={FLOWS}
          rows={graph.edges}
          rowId={({ source, source_column, target, target_column }) =>
            [source, source_column, target, target_column].join(" ")
          }
        />
      </Section>
    </>
  );
}

type Flow = LineageGraph["edges"][number];

const HOW: Readonly<Record<NonNullable<Flow["transformation"]>, string>> = {
  IDENTITY: "as it is",
  TRANSFORMATION: "transformed",
  AGGREGATION: "aggregated",
};

const FLOWS: readonly Column<Flow>[] = [
  { id: "source", name: "From", wide: true, cell: (flow) => name(flow.source, flow.source_column) },
  { id: "target", name: "To", wide: true, cell: (flow) => name(flow.target, flow.target_column) },
  {
    id: "how",
    name: "How",
    cell: ({ transformation }) =>
      transformation ? HOW[transformation] : <span className="dim">–</span>,
  },
];

function name(table: string, column: string | null) {
  return (
    <code>
      {table}
      {column !== null && `.${column}`}
    </code>
  );
}

const PATHS: Readonly<Record<LineageGraph["nodes"][number]["kind"], (name: string) => string>> = {
  raw: (name) => `/ingestions?dataset=${encodeURIComponent(name)}`,
  curated: (name) => `/datasets/${encodeURIComponent(name)}`,
  marts: (name) => `/marts/${encodeURIComponent(name)}`,
};

/** One edge a pair of tables, however many columns flow between them. */
function draw(graph: LineageGraph) {
  const pairs = new Map(
    graph.edges.map(({ source, target }) => [`${source} ${target}`, { from: source, to: target }]),
  );
  return {
    nodes: graph.nodes.map(({ id, name, kind }) => ({
      id,
      name,
      kind: KINDS[kind],
      to: PATHS[kind](name),
    })),
    edges: [...pairs.values()],
  };
}
