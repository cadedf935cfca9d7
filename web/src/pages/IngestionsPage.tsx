import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { among } from "../address";
import { countsQuery, ingestionsQuery } from "../api/queries";
import { Filters } from "../ingestion/Filters";
import { IngestionTable } from "../ingestion/IngestionTable";
import { LeftOut } from "../ingestion/LeftOut";
import { sinceOf } from "../ingestion/ranges";
import { SORTS, wordsOf } from "../ingestion/sorts";
import { StateChips } from "../ingestion/StateChips";
import { Empty } from "../ui/Empty";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { Pages } from "../ui/Pages";

const route = getRouteApi("/ingestions");

export function IngestionsPage() {
  const { q, range, sort = "-received_at", cursor, ...filters } = route.useSearch();
  const navigate = route.useNavigate();
  const since = sinceOf(range);
  const query = useQuery(
    ingestionsQuery({ ...filters, since, search: q, sort, cursor, limit: 50 }),
  );
  const { state, not_state, dataset, not_dataset, not_reason } = filters;
  const counts = useQuery(countsQuery({ dataset, not_dataset, not_reason, since }));
  const filtered = [...Object.values(filters), q, range, cursor].some((each) => each !== undefined);
  const [first, further] = wordsOf(sort);
  return (
    <Page title="Ingestions" aside={<Updated query={query} rows={query.data?.ingestions.length} />}>
      <StateChips current={state} leftOut={not_state} counts={counts.data} />
      <Filters />
      <LeftOut />
      <Loaded query={query} height={20}>
        {({ ingestions, next_cursor }) => (
          <>
            {ingestions.length > 0 ? (
              <IngestionTable
                ingestions={ingestions}
                sort={sort}
                onSort={(next) =>
                  void navigate({
                    search: (before) => ({
                      ...before,
                      sort: among(SORTS.slice(1))(next),
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
              first={first}
              further={ingestions.length === 0 ? "Look further" : further}
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
