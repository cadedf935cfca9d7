import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import {
  countsQuery,
  datasetsQuery,
  failuresQuery,
  ingestionsQuery,
  martsQuery,
  trendsQuery,
} from "../api/queries";
import type { Dataset, FailureGroup, Ingestion, Mart } from "../api/types";
import { FailureGroups } from "../failures/FailureGroups";
import { IngestionTable } from "../ingestion/IngestionTable";
import { sinceOf } from "../ingestion/ranges";
import { MartLines } from "../mart/MartLines";
import { Tiles } from "../overview/Tiles";
import { TrendCharts } from "../trends/TrendCharts";
import { Empty } from "../ui/Empty";
import { formatCount } from "../ui/format";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { Section } from "../ui/Section";
import { Age } from "../ui/Time";
import { together } from "../ui/together";

const FEW = 3;

/** What arrived, what was refused, and what the tables hold, at a glance. */
export function OverviewPage() {
  const counts = useQuery(countsQuery({ since: sinceOf("24h") }));
  const trends = useQuery(trendsQuery({}));
  const failures = useQuery(failuresQuery({}));
  const latest = useQuery(ingestionsQuery({ limit: 8 }));
  const datasets = useQuery(datasetsQuery);
  const marts = useQuery(martsQuery);
  return (
    <Page title="Overview" aside={<Updated query={latest} />}>
      <Loaded query={together(counts, trends, failures, latest, datasets, marts)} height={20}>
        {([counts, trends, failures, { ingestions }, { datasets }, { marts }]) => (
          <>
            <Tiles counts={counts} trends={trends} />
            <TrendCharts trends={trends} />
            <Failures groups={failures.groups} />
            <Latest ingestions={ingestions} />
            <div className="halves">
              <Datasets datasets={datasets} />
              <Marts marts={marts} />
            </div>
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Failures({ groups }: { readonly groups: readonly FailureGroup[] }) {
  return (
    <Section title="Needs a look" aside={<Link to="/failures">All failures</Link>}>
      {groups.length === 0 ? (
        <p className="dim">Nothing was refused or failed that was not replayed.</p>
      ) : (
        <FailureGroups groups={groups.slice(0, FEW)} />
      )}
    </Section>
  );
}

function Latest({ ingestions }: { readonly ingestions: readonly Ingestion[] }) {
  return (
    <Section title="Latest ingestions" aside={<Link to="/ingestions">All ingestions</Link>}>
      {ingestions.length === 0 ? (
        <Empty title="Nothing has arrived yet.">
          <Link to="/upload" className="button primary">
            Upload a file
          </Link>
        </Empty>
      ) : (
        <IngestionTable ingestions={ingestions} />
      )}
    </Section>
  );
}

function Datasets({ datasets }: { readonly datasets: readonly Dataset[] }) {
  return (
    <Section title="Datasets" aside={<Link to="/datasets">All datasets</Link>}>
      <ul className="lines">
        {datasets.map(({ name, rows, loaded_at }) => (
          <li key={name}>
            <Link to="/datasets/$name" params={{ name }}>
              {name}
            </Link>
            <span>{formatCount(rows)} rows</span>
            <span className="dim">
              loaded <Age at={loaded_at} />
            </span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Marts({ marts }: { readonly marts: readonly Mart[] }) {
  return (
    <Section title="Marts" aside={<Link to="/marts">All marts</Link>}>
      <MartLines marts={marts} />
    </Section>
  );
}
