import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { backfillsQuery } from "../api/queries";
import type { Backfill } from "../api/types";
import { PlanBackfill } from "../backfill/PlanBackfill";
import { TONES } from "../backfill/states";
import { type Column, DataTable } from "../ui/DataTable";
import { Empty } from "../ui/Empty";
import { formatCount } from "../ui/format";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { Pages } from "../ui/Pages";
import { State } from "../ui/State";
import { Age, Time } from "../ui/Time";

const route = getRouteApi("/backfills");

const COLUMNS: readonly Column<Backfill>[] = [
  { id: "state", name: "State", cell: ({ state }) => <State tone={TONES[state]} word={state} /> },
  {
    id: "dataset",
    name: "Dataset",
    wide: true,
    cell: ({ id, dataset }) => (
      <Link to="/backfills/$id" params={{ id }}>
        {dataset}
      </Link>
    ),
  },
  {
    id: "since",
    name: "Created from",
    cell: ({ since }) => (since ? <Time at={since} detail="minute" /> : "the first"),
  },
  {
    id: "until",
    name: "Until before",
    cell: ({ until }) => (until ? <Time at={until} detail="minute" /> : "the last"),
  },
  { id: "items", name: "Files", numeric: true, cell: ({ items }) => formatCount(items) },
  { id: "ended", name: "Ended", numeric: true, cell: ({ ended }) => formatCount(ended) },
  { id: "by", name: "By", cell: ({ requested_by }) => requested_by },
  { id: "created", name: "Asked for", cell: ({ created_at }) => <Age at={created_at} /> },
];

export function BackfillsPage() {
  const { cursor, dataset } = route.useSearch();
  const query = useQuery(backfillsQuery({ cursor, dataset }));
  return (
    <Page
      title="Backfills"
      aside={<Updated query={query} rows={query.data?.backfills.length} noun="backfill" />}
    >
      <PlanBackfill dataset={dataset} />
      <Loaded query={query} height={6}>
        {({ backfills, next_cursor }) =>
          backfills.length === 0 ? (
            <Empty title="None was asked for yet.">
              <p>A backfill reads raw files of a dataset again, under its current contract.</p>
            </Empty>
          ) : (
            <>
              <DataTable
                label="Backfills"
                columns={COLUMNS}
                rows={backfills}
                rowId={({ id }) => id}
              />
              <Pages label="Pages of backfills" cursor={cursor} next={next_cursor} />
            </>
          )
        }
      </Loaded>
    </Page>
  );
}
