import { Link } from "@tanstack/react-router";

import { changed } from "../address";
import type { IngestionCounts, IngestionState } from "../api/types";
import { formatCount } from "../ui/format";
import { Glyph } from "../ui/State";
import { STATE_NAMES, STATES } from "./states";

/** The states as filters, each with how many ingestions are in it; those left out are struck. */
export function StateChips({
  current,
  leftOut = [],
  counts,
}: {
  readonly current: IngestionState | undefined;
  readonly leftOut?: readonly IngestionState[];
  readonly counts: IngestionCounts | undefined;
}) {
  return (
    <nav className="chips" aria-label="States">
      {[undefined, ...STATE_NAMES].map((state) => (
        <Link
          key={state ?? "all"}
          to="."
          search={changed({
            state,
            not_state: undefined,
            reason: undefined,
            cursor: undefined,
          })}
          activeOptions={{ exact: true, includeSearch: true, explicitUndefined: true }}
          aria-current={
            state === current && (state !== undefined || leftOut.length === 0) ? "true" : undefined
          }
          className={state && `tone-${STATES[state].tone}`}
        >
          {state && <Glyph tone={STATES[state].tone} />}
          {state && leftOut.includes(state) ? <s>{state}</s> : (state ?? "all")}
          <b>{counts && formatCount(state ? (counts.states[state] ?? 0) : counts.total)}</b>
        </Link>
      ))}
    </nav>
  );
}
