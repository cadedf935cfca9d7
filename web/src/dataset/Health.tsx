import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, read } from "../api/client";
import { martsQuery } from "../api/queries";
import type { DatasetDetail } from "../api/types";
import { FreshnessState } from "./FreshnessState";
import { RunStrip } from "./RunStrip";
import { MartLines } from "../mart/MartLines";
import { Facts } from "../ui/Facts";
import { formatCount } from "../ui/format";
import { Loaded } from "../ui/Loaded";
import { ErrorNotice, Notice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { Age, Time } from "../ui/Time";

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

function Verification({ dataset }: { readonly dataset: DatasetDetail }) {
  const queries = useQueryClient();
  const verify = useMutation({
    mutationFn: () =>
      read(api.POST("/api/datasets/{name}/verify", { params: { path: { name: dataset.name } } })),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["dataset", dataset.name] }),
  });
  const { verification } = dataset;
  return (
    <Section
      title="Verification"
      aside={
        <button
          type="button"
          disabled={dataset.loads === 0 || verify.isPending}
          onClick={() => verify.mutate()}
        >
          {verify.isPending ? "Rebuilding…" : "Verify now"}
        </button>
      }
    >
      {verify.error && <ErrorNotice error={verify.error} retry={() => verify.mutate()} />}
      {verification === null ? (
        <p className="dim">
          Not verified yet. Verifying rebuilds the table from the raw objects and compares digests.
        </p>
      ) : (
        <Notice
          tone={verification.equal ? "good" : "bad"}
          title={
            verification.equal
              ? "The table is what its raw objects say"
              : "The table differs from its raw objects"
          }
        >
          <p className="dim">
            <Time at={verification.at} /> · digest <code>{verification.digest.slice(0, 16)}…</code>
          </p>
        </Notice>
      )}
    </Section>
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
