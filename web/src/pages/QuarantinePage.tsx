import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo } from "react";

import { datasetsQuery, trendsQuery } from "../api/queries";
import type { Dataset, Run } from "../api/types";
import { IngestionState } from "../ingestion/IngestionState";
import { barOfRefused, fillDays } from "../trends/days";
import { Bars } from "../trends/Bars";
import { type Column, DataTable } from "../ui/DataTable";
import { Empty } from "../ui/Empty";
import { formatCount, formatShare } from "../ui/format";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { Section } from "../ui/Section";
import { Time } from "../ui/Time";
import { together } from "../ui/together";

const route = getRouteApi("/quarantine");

type Refused = Run & { readonly dataset: string };

const COLUMNS: readonly Column<Refused>[] = [
  {
    id: "object",
    name: "File",
    wide: true,
    sortBy: ({ object }) => object,
    cell: ({ id, object }) => (
      <Link to="/ingestions/$id" params={{ id }} search={{ tab: "quarantine" }}>
        {object}
      </Link>
    ),
  },
  {
    id: "dataset",
    name: "Dataset",
    sortBy: ({ dataset }) => dataset,
    cell: ({ dataset }) => dataset,
  },
  {
    id: "state",
    name: "State",
    cell: (run) => (
      <IngestionState ingestion={{ ...run, retract_requested: false, replaced_by: null }} />
    ),
  },
  {
    id: "refused",
    name: "Refused rows",
    numeric: true,
    sortBy: ({ rows_quarantined }) => rows_quarantined,
    cell: ({ rows_quarantined }) => <b className="tone-bad">{formatCount(rows_quarantined)}</b>,
  },
  {
    id: "share",
    name: "Of those read",
    numeric: true,
    cell: ({ rows_quarantined, rows_read }) => formatShare(rows_quarantined ?? 0, rows_read ?? 0),
  },
  {
    id: "received",
    name: "Received",
    sortBy: ({ received_at }) => received_at,
    cell: ({ received_at }) => <Time at={received_at} />,
  },
];

/** The files among each dataset's latest that had rows refused; each leads to those rows. */
export function QuarantinePage() {
  const { sort = "-received" } = route.useSearch();
  const navigate = route.useNavigate();
  const datasets = useQuery(datasetsQuery);
  const trends = useQuery(trendsQuery({}));
  const refused = useMemo(() => listRefused(datasets.data?.datasets ?? []), [datasets.data]);
  return (
    <Page title="Quarantine" aside={<Updated query={datasets} rows={refused.length} noun="file" />}>
      <Loaded query={together(datasets, trends)} height={12}>
        {([, { since, until, days }]) => (
          <>
            <Section title="Refused rows a day">
              <Bars
                label="Refused rows a day"
                bars={fillDays(since, until, days).map(barOfRefused)}
                legend={{ bad: "refused" }}
                format={formatCount}
              />
            </Section>
            {refused.length === 0 ? (
              <Empty title="No row of the latest files was refused." />
            ) : (
              <DataTable
                label="Files with refused rows"
                columns={COLUMNS}
                rows={refused}
                rowId={({ id }) => id}
                sort={sort}
                onSort={(next) => void navigate({ search: { sort: next } })}
              />
            )}
          </>
        )}
      </Loaded>
    </Page>
  );
}

function listRefused(datasets: readonly Dataset[]): readonly Refused[] {
  return datasets.flatMap(({ name, runs }) =>
    runs.filter((run) => run.rows_quarantined).map((run) => ({ ...run, dataset: name })),
  );
}
