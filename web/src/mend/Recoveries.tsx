import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { uploadedQuery } from "../api/queries";
import type { TimelineEvent } from "../api/types";
import { IngestionState } from "../ingestion/IngestionState";
import { formatCount, formatPlural } from "../ui/format";
import { ErrorNotice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { State } from "../ui/State";
import { Age } from "../ui/Time";

/** The mended rows that were sent again, the last first: each with what became of it. */
export function Recoveries({ events }: { readonly events: readonly TimelineEvent[] }) {
  const sent = events.filter(({ type }) => type === "recovered").toReversed();
  if (sent.length === 0) return null;
  return (
    <Section title="Mended and sent again">
      <ul className="lines" aria-live="polite" aria-label="Mended and sent again">
        {sent.map(({ at, data }) => (
          <Recovery
            key={String(data.object)}
            object={String(data.object)}
            rows={Number(data.rows)}
            at={at}
          />
        ))}
      </ul>
    </Section>
  );
}

function Recovery({
  object,
  rows,
  at,
}: {
  readonly object: string;
  readonly rows: number;
  readonly at: string;
}) {
  const { data, error, refetch } = useQuery(uploadedQuery(object));
  const made = data?.ingestions[0];
  return (
    <li>
      <span>
        {formatPlural(rows, "row")}, <Age at={at} />
      </span>
      {error !== null ? (
        <ErrorNotice error={error} retry={() => void refetch()} />
      ) : made === undefined ? (
        <State tone="active" word="sent, waiting for its ingestion" />
      ) : (
        <>
          <span>
            <IngestionState ingestion={made} />
          </span>
          <span>
            {formatCount(made.rows_accepted)} accepted, {formatCount(made.rows_quarantined)} refused
          </span>
          <Link
            to="/ingestions/$id"
            params={{ id: made.id }}
            search={made.rows_quarantined ? { tab: "quarantine" } : {}}
          >
            {made.rows_quarantined ? "Mend the rest" : "Open the ingestion"}
          </Link>
        </>
      )}
    </li>
  );
}
