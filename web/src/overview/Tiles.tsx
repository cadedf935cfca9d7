import { Link } from "@tanstack/react-router";

import type { IngestionCounts, IngestionState, Trends } from "../api/types";
import { STATES } from "../ingestion/states";
import { formatCount, formatSeconds, formatShare } from "../ui/format";
import { Glyph } from "../ui/State";

const WATCHED: readonly IngestionState[] = ["loaded", "rejected", "failed"];

/** The last day in numbers; each leads to what it counts. */
export function Tiles({
  counts,
  trends,
}: {
  readonly counts: IngestionCounts;
  readonly trends: Trends;
}) {
  const today = trends.days.filter((each) => each.day === trends.until).at(-1);
  const active = (["received", "validated", "accepted"] as const).reduce(
    (sum, state) => sum + (counts.states[state] ?? 0),
    0,
  );
  return (
    <ul className="tiles" aria-label="The last 24 hours">
      <li>
        <Link to="/ingestions" search={{ range: "24h" }}>
          <b>{formatCount(counts.total)}</b>
          <span>arrived in 24 h</span>
        </Link>
      </li>
      {WATCHED.map((state) => (
        <li key={state} className={counts.states[state] ? `tone-${STATES[state].tone}` : undefined}>
          <Link to="/ingestions" search={{ range: "24h", state }}>
            <b>
              <Glyph tone={STATES[state].tone} />
              {formatCount(counts.states[state] ?? 0)}
            </b>
            <span>{state}</span>
          </Link>
        </li>
      ))}
      <li className={active > 0 ? "tone-active" : undefined}>
        <div>
          <b>{formatCount(active)}</b>
          <span>on their way</span>
        </div>
      </li>
      <li>
        <div>
          <b>{today ? formatShare(today.rows_quarantined, today.rows_read) : "–"}</b>
          <span>of rows refused today</span>
        </div>
      </li>
      <li>
        <div>
          <b>{formatSeconds(today?.latency_p95 ?? null)}</b>
          <span>95% loaded within, today</span>
        </div>
      </li>
    </ul>
  );
}
