import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";

import { martQuery } from "../api/queries";
import type { MartDetail } from "../api/types";
import { Graph } from "../lineage/Graph";
import { MartState } from "../mart/MartState";
import { Rules, Verdict } from "../mart/Quality";
import { Empty } from "../ui/Empty";
import { Facts } from "../ui/Facts";
import { formatCount } from "../ui/format";
import { Loaded, Updated } from "../ui/Loaded";
import { Notice } from "../ui/Notice";
import { Page } from "../ui/Page";
import { RowsTable } from "../ui/RowsTable";
import { Section } from "../ui/Section";
import { Age } from "../ui/Time";

const route = getRouteApi("/marts/$name");

export function MartPage() {
  const { name } = route.useParams();
  const query = useQuery(martQuery(name));
  return (
    <Page key={name} title={name} aside={<Updated query={query} />}>
      <Loaded query={query} height={16}>
        {(mart) => <Details mart={mart} />}
      </Loaded>
    </Page>
  );
}

function Details({ mart }: { readonly mart: MartDetail }) {
  const { nodes, edges } = useMemo(() => drawMart(mart), [mart]);
  return (
    <>
      <div className="title-bar">
        <MartState mart={mart} />
        <p>{mart.description}</p>
      </div>
      {mart.error !== null && (
        <Notice tone="bad" title="The last build failed">
          <p>{mart.error}</p>
        </Notice>
      )}
      {mart.quality_uri !== null && <Verdict finding={mart.finding} />}
      <Section title="Build">
        <Facts
          facts={{
            Rows: formatCount(mart.rows),
            Built: <Age at={mart.built_at} />,
            Builds: formatCount(mart.builds),
            "Published as": mart.materialization,
            "Built from": Object.entries(mart.versions)
              .map(([dataset, version]) => `${dataset} after load ${version}`)
              .join(", "),
          }}
        />
      </Section>
      <Section title="Lineage">
        <Graph label={`Lineage of ${mart.name}`} nodes={nodes} edges={edges} focus={mart.name} />
      </Section>
      <Section title="Rows" aside={<span className="dim">the first {mart.preview.length}</span>}>
        {mart.preview.length === 0 ? (
          <Empty
            title={
              mart.builds === 0 ? "It is built when what it reads is loaded." : "It has no rows."
            }
          />
        ) : (
          <RowsTable label={`Rows of ${mart.name}`} columns={mart.columns} rows={mart.preview} />
        )}
      </Section>
      <Section title="SQL">
        <pre className="code" tabIndex={0}>
          {mart.sql}
        </pre>
      </Section>
      <Rules mart={mart} />
    </>
  );
}

function drawMart(mart: MartDetail) {
  const sources = mart.sources.map((each) => {
    const name = each.split(".").at(-1) ?? each;
    const isMart = each.startsWith("marts.");
    return {
      id: each,
      name: each,
      kind: isMart ? "mart" : "curated table",
      to: isMart ? `/marts/${name}` : `/datasets/${name}`,
    };
  });
  return {
    nodes: [...sources, { id: mart.name, name: mart.name, kind: mart.materialization }],
    edges: sources.map(({ id }) => ({ from: id, to: mart.name })),
  };
}
