import { Link } from "@tanstack/react-router";

import type { Run } from "../api/types";
import { REASONS, STATES } from "../ingestion/states";
import { formatCount } from "../ui/format";
import { Glyph } from "../ui/State";

const MOST = 7;

/** The last ingestions, the newest on the right: each a glyph that leads to it. */
export function RunStrip({ runs }: { readonly runs: readonly Run[] }) {
  if (runs.length === 0) return <span className="dim">none yet</span>;
  return (
    <span className="strip">
      {runs
        .slice(0, MOST)
        .toReversed()
        .map((run) => (
          <Link
            key={run.id}
            to="/ingestions/$id"
            params={{ id: run.id }}
            className={`tone-${STATES[run.state].tone}`}
            title={describe(run)}
            aria-label={describe(run)}
          >
            <Glyph tone={STATES[run.state].tone} />
          </Link>
        ))}
    </span>
  );
}

function describe({ object, state, reason, rows_quarantined }: Run): string {
  const why = reason === null ? "" : ` (${REASONS[reason]})`;
  const refused = rows_quarantined ? `, ${formatCount(rows_quarantined)} rows refused` : "";
  return `${object}: ${state}${why}${refused}`;
}
