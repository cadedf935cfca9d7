import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { countsQuery, ingestionsQuery } from "../api/queries";
import { Filters } from "../ingestion/Filters";
import { IngestionTable } from "../ingestion/IngestionTable";
import { sinceOf } from "../ingestion/ranges";
import { StateChips } from "../ingestion/StateChips";
import { Empty } from "../ui/Empty";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { Pages } from "../ui/Pages";

const route = getRouteApi("/ingestions");

export function IngestionsPage() {
  const { state, reason, dataset, q, range, sort, cursor } = route.useSearch();
  const navigate = route.useNavigate();
  const since = sinceOf(range);
  const query = useQuery(
    ingestionsQuery({
      state,
      reason,
      dataset,
      since,
      search: q,
      sort: sort === "received_at" ? sort : undefined,
      cursor,
      limit: 50,
    }),
  );
  const counts = useQuery(countsQuery({ dataset, since }));
  const filtered = Boolean(state ?? reason ?? dataset ?? q ?? range ?? cursor);
  return (
    <Page title="Ingestions" aside={<Updated query={query} rows={query.data?.ingestions.length} />}>
      <StateChips current={state} counts={counts.data} />
      <Filters />
      <Loaded query={query} height={20}>
        {({ ingestions, next_cursor }) => (
          <>
            {ingestions.length > 0 ? (
              <IngestionTable
                ingestions={ingestions}
                sort={sort ?? "-received_at"}
                onSort={(next) =>
                  void navigate({
                    search: (before) => ({
                      ...before,
                      sort: next === "received_at" ? next : undefined,
                      cursor: undefined,
                    }),
                  })
                }
              />
            ) : (
              <NoIngestions filtered={filtered} further={next_cursor !== null} />
            )}
            <Pages
              label="Pages of ingestions"
              cursor={cursor}
              next={next_cursor}
              first={sort === "received_at" ? "Oldest" : "Newest"}
              further={
                ingestions.length === 0
                  ? "Look further"
                  : sort === "received_at"
                    ? "Newer"
                    : "Older"
              }
            />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function NoIngestions({
  filtered,
  further,
}: {
  readonly filtered: boolean;
  readonly further: boolean;
}) {
  if (further) return <Empty title="None of those looked at so far is like that." />;
  return filtered ? (
    <Empty title="No ingestion is like that.">
      <Link to="/ingestions" className="button">
        Show all
      </Link>
    </Empty>
  ) : (
    <Empty title="Nothing has arrived yet.">
      <p>An ingestion begins when a file is created in the raw bucket.</p>
      <Link to="/upload" className="button primary">
        Upload a file
      </Link>
    </Empty>
  );
}
