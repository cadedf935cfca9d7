import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { martsQuery } from "../api/queries";
import type { Mart } from "../api/types";
import { MartState } from "../mart/MartState";
import { type Column, DataTable } from "../ui/DataTable";
import { Empty } from "../ui/Empty";
import { formatCount } from "../ui/format";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { Age } from "../ui/Time";

const route = getRouteApi("/marts");

const COLUMNS: readonly Column<Mart>[] = [
  {
    id: "name",
    name: "Mart",
    wide: true,
    sortBy: ({ name }) => name,
    cell: ({ name, description, error }) => (
      <>
        <Link to="/marts/$name" params={{ name }}>
          {name}
        </Link>
        <p className={error === null ? "dim" : "tone-bad"}>{error ?? description}</p>
      </>
    ),
  },
  {
    id: "state",
    name: "State",
    sortBy: ({ state }) => state,
    cell: (mart) => <MartState mart={mart} />,
  },
  {
    id: "built",
    name: "Built",
    sortBy: ({ built_at }) => built_at,
    cell: ({ built_at }) => <Age at={built_at} />,
  },
  {
    id: "builds",
    name: "Builds",
    numeric: true,
    sortBy: ({ builds }) => builds,
    cell: ({ builds }) => formatCount(builds),
  },
  {
    id: "rows",
    name: "Rows",
    numeric: true,
    sortBy: ({ rows }) => rows,
    cell: ({ rows, materialization }) =>
      materialization === "view" ? <span className="dim">view</span> : formatCount(rows),
  },
  {
    id: "sources",
    name: "Reads",
    cell: ({ sources }) => sources.map((each) => each.replace("curated.", "")).join(", "),
  },
];

export function MartsPage() {
  const { sort } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(martsQuery);
  return (
    <Page
      title="Marts"
      aside={<Updated query={query} rows={query.data?.marts.length} noun="mart" />}
    >
      <Loaded query={query} height={8}>
        {({ marts }) =>
          marts.length === 0 ? (
            <Empty title="No mart is published yet.">
              <p>
                A mart is one SELECT over curated tables:{" "}
                <code>eventpulse mart publish NAME.sql</code>
              </p>
            </Empty>
          ) : (
            <DataTable
              label="Marts"
              columns={COLUMNS}
              rows={marts}
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
