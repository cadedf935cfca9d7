import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { changed } from "../address";
import { proposalsQuery } from "../api/queries";
import type { Proposal } from "../api/types";
import { KINDS, PROPOSAL_STATES, TONES } from "../proposal/kinds";
import { type Column, DataTable } from "../ui/DataTable";
import { Empty } from "../ui/Empty";
import { formatCount } from "../ui/format";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { Pages } from "../ui/Pages";
import { Glyph, State } from "../ui/State";
import { Age } from "../ui/Time";

const route = getRouteApi("/proposals");

const COLUMNS: readonly Column<Proposal>[] = [
  { id: "state", name: "State", cell: ({ state }) => <State tone={TONES[state]} word={state} /> },
  {
    id: "summary",
    name: "Proposal",
    wide: true,
    cell: ({ id, kind, dataset, summary }) => (
      <>
        <Link to="/proposals/$id" params={{ id }}>
          {dataset}: {KINDS[kind]}
        </Link>
        <p className="dim clamp">{summary}</p>
      </>
    ),
  },
  {
    id: "base",
    name: "For",
    cell: ({ base }) => base ?? <span className="dim">no contract yet</span>,
  },
  {
    id: "waiting",
    name: "Waiting",
    numeric: true,
    cell: ({ waiting }) => formatCount(waiting.length),
  },
  { id: "seen", name: "Seen", numeric: true, cell: ({ seen }) => formatCount(seen) },
  { id: "created", name: "Proposed", cell: ({ created_at }) => <Age at={created_at} /> },
];

/** Contracts that verdicts propose: what would have to be accepted for files that were refused. */
export function ProposalsPage() {
  const { state = "open", cursor } = route.useSearch();
  const query = useQuery(proposalsQuery({ state, cursor }));
  return (
    <Page
      title="Proposals"
      aside={<Updated query={query} rows={query.data?.proposals.length} noun="proposal" />}
    >
      <nav className="chips" aria-label="States">
        {PROPOSAL_STATES.map((each) => (
          <Link
            key={each}
            to="."
            search={changed({ state: each === "open" ? undefined : each, cursor: undefined })}
            activeOptions={{ exact: true, includeSearch: true, explicitUndefined: true }}
            aria-current={each === state ? "true" : undefined}
            className={`tone-${TONES[each]}`}
          >
            <Glyph tone={TONES[each]} />
            {each}
          </Link>
        ))}
      </nav>
      <Loaded query={query} height={8}>
        {({ proposals, next_cursor }) =>
          proposals.length === 0 ? (
            <Empty title={`No proposal is ${state}.`}>
              <p>
                One is made when a file is of no known dataset, or has another schema than its
                contract.
              </p>
            </Empty>
          ) : (
            <>
              <DataTable
                label="Proposals"
                columns={COLUMNS}
                rows={proposals}
                rowId={({ id }) => id}
              />
              <Pages label="Pages of proposals" cursor={cursor} next={next_cursor} />
            </>
          )
        }
      </Loaded>
    </Page>
  );
}
