import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { lineageQuery, martsQuery } from "../api/queries";
import type { Ingestion, Mart } from "../api/types";
import { Graph } from "../lineage/Graph";
import type { Edge, Node } from "../lineage/layout";
import { type ColumnOrigin, readColumnOrigins } from "../lineage/openlineage";
import { type Column, DataTable } from "../ui/DataTable";
import { Loaded } from "../ui/Loaded";
import { Section } from "../ui/Section";
import { together } from "../ui/together";

/** From the raw objects to the marts that read the table, and which column comes from which. */
export function Lineage({ ingestion }: { readonly ingestion: Ingestion }) {
  const query = together(useQuery(lineageQuery(ingestion)), useQuery(martsQuery));
  return (
    <Loaded query={query} height={12}>
      {([events, { marts }]) => (
        <>
          <Section title="Where the rows come from and go to">
            <Drawn ingestion={ingestion} marts={marts} />
          </Section>
          <Section title="Columns">
            <Origins origins={readColumnOrigins(events)} />
          </Section>
        </>
      )}
    </Loaded>
  );
}

function Drawn({
  ingestion,
  marts,
}: {
  readonly ingestion: Ingestion;
  readonly marts: readonly Mart[];
}) {
  const { nodes, edges } = useMemo(() => drawIngestion(ingestion, marts), [ingestion, marts]);
  return (
    <Graph label="Lineage of the ingestion" nodes={nodes} edges={edges} focus={ingestion.id} />
  );
}

function Origins({ origins }: { readonly origins: readonly ColumnOrigin[] }) {
  if (origins.length === 0) {
    return <p className="dim">The ingestion loaded nothing, so no column comes from it.</p>;
  }
  return (
    <DataTable label="Columns" columns={COLUMNS} rows={origins} rowId={({ column }) => column} />
  );
}

const COLUMNS: readonly Column<ColumnOrigin>[] = [
  { id: "column", name: "Column of the table", cell: ({ column }) => <code>{column}</code> },
  {
    id: "from",
    name: "Comes from",
    wide: true,
    cell: ({ from }) => from.map((each) => <code key={each}>{each} </code>),
  },
];

function drawIngestion(
  ingestion: Ingestion,
  marts: readonly Mart[],
): { readonly nodes: readonly Node[]; readonly edges: readonly Edge[] } {
  const { id, dataset } = ingestion;
  const raw = ingestion.objects.map((each) => ({
    id: `raw ${each.name} ${each.generation}`,
    name: each.name,
    kind: "raw object",
  }));
  const nodes: Node[] = [
    ...raw,
    { id, name: id.slice(0, 8), kind: `ingestion, ${ingestion.state}` },
  ];
  const edges: Edge[] = raw.map((each) => ({ from: each.id, to: id }));
  if (dataset === null || ingestion.state !== "loaded") return { nodes, edges };
  const table = `curated.${dataset}`;
  nodes.push({ id: table, name: table, kind: "curated table", to: `/datasets/${dataset}` });
  edges.push({ from: id, to: table });
  for (const mart of marts.filter((each) => each.sources.includes(table))) {
    nodes.push({ id: mart.name, name: mart.name, kind: "mart", to: `/marts/${mart.name}` });
    edges.push({ from: table, to: mart.name });
  }
  return { nodes, edges };
}
