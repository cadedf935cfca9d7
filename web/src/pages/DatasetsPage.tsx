import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { datasetsQuery } from "../api/queries";
import type { Dataset } from "../api/types";
import { FreshnessState } from "../dataset/FreshnessState";
import { RunStrip } from "../dataset/RunStrip";
import { type Column, DataTable } from "../ui/DataTable";
import { Empty } from "../ui/Empty";
import { formatCount } from "../ui/format";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { State } from "../ui/State";
import { Age } from "../ui/Time";

const route = getRouteApi("/datasets");

const COLUMNS: readonly Column<Dataset>[] = [
  {
    id: "name",
    name: "Dataset",
    wide: true,
    sortBy: ({ name }) => name,
    cell: ({ name, description }) => (
      <>
        <Link to="/datasets/$name" params={{ name }}>
          {name}
        </Link>
        {description !== "" && <p className="dim clamp">{description}</p>}
      </>
    ),
  },
  {
    id: "state",
    name: "Freshness",
    cell: ({ loading, freshness }) => {
      if (loading) return <State tone="active" word="loading" />;
      return <FreshnessState freshness={freshness} />;
    },
  },
  { id: "runs", name: "Last ingestions", cell: ({ runs }) => <RunStrip runs={runs} /> },
  {
    id: "loaded",
    name: "Last load",
    sortBy: ({ loaded_at }) => loaded_at,
    cell: ({ loaded_at }) => <Age at={loaded_at} />,
  },
  {
    id: "rows",
    name: "Rows",
    numeric: true,
    sortBy: ({ rows }) => rows,
    cell: ({ rows }) => formatCount(rows),
  },
  {
    id: "contract",
    name: "Contract",
    cell: ({ contract_version }) => contract_version ?? <State tone="warn" word="none" />,
  },
  {
    id: "drift",
    name: "On drift",
    cell: ({ drift }) => (
      <span className="modes">
        {[...new Set(Object.values(drift))].join(", ").replaceAll("_", " ")}
      </span>
    ),
  },
];

export function DatasetsPage() {
  const { sort } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(datasetsQuery);
  return (
    <Page
      title="Datasets"
      aside={<Updated query={query} rows={query.data?.datasets.length} noun="dataset" />}
    >
      <Loaded query={query} height={8}>
        {({ datasets }) =>
          datasets.length === 0 ? (
            <Empty title="No contract is published yet.">
              <p>
                A dataset begins with its contract:{" "}
                <code>eventpulse contract publish contracts/</code>
              </p>
            </Empty>
          ) : (
            <DataTable
              label="Datasets"
              columns={COLUMNS}
              rows={datasets}
              rowId={({ name }) => name}
              sort={sort}
              onSort={(next) => void navigate({ search: { sort: next } })}
            />
          )
        }
      </Loaded>
    </Page>
  );
}
