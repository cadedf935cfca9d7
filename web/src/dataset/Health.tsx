import { useQuery } from "@tanstack/react-query";

import { martsQuery } from "../api/queries";
import type { DatasetDetail } from "../api/types";
import { FreshnessState } from "./FreshnessState";
import { RunStrip } from "./RunStrip";
import { Verification } from "./Verification";
import { MartLines } from "../mart/MartLines";
import { Facts } from "../ui/Facts";
import { formatCount } from "../ui/format";
import { Loaded } from "../ui/Loaded";
import { Section } from "../ui/Section";
import { Age } from "../ui/Time";

/** What the table holds, whether it was verified, and which marts read it. */
export function Health({ dataset }: { readonly dataset: DatasetDetail }) {
  return (
    <>
      <Section title="Table">
        <Facts
          facts={{
            Rows: formatCount(dataset.rows),
            Loads: formatCount(dataset.loads),
            Freshness: <FreshnessState freshness={dataset.freshness} />,
            "Last ingestions": <RunStrip runs={dataset.runs} />,
            "Last load": <Age at={dataset.loaded_at} />,
            Contract: dataset.contract_version,
            "Files are named like": dataset.path_patterns.map((each) => (
              <code key={each}>{each} </code>
            )),
            "Columns that drift added":
              dataset.evolved.length > 0
                ? dataset.evolved.map((each) => <code key={each}>{each} </code>)
                : null,
          }}
        />
      </Section>
      <Verification dataset={dataset} />
      <Marts dataset={dataset.name} />
    </>
  );
}

function Marts({ dataset }: { readonly dataset: string }) {
  const query = useQuery(martsQuery);
  return (
    <Section title="Marts that read it">
      <Loaded query={query} height={2}>
        {({ marts }) => {
          const reading = marts.filter((each) => each.sources.includes(`curated.${dataset}`));
          return reading.length === 0 ? (
            <p className="dim">No mart reads this dataset.</p>
          ) : (
            <MartLines marts={reading} />
          );
        }}
      </Loaded>
    </Section>
  );
}
