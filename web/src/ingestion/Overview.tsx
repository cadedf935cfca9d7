import { Link } from "@tanstack/react-router";

import { changed } from "../address";
import type { Ingestion } from "../api/types";
import { Facts } from "../ui/Facts";
import { formatBytes, formatCount, formatPlural, formatSeconds } from "../ui/format";
import { Section } from "../ui/Section";
import { Share } from "../ui/Share";
import { Time } from "../ui/Time";
import { Way } from "./Way";

export function Overview({ ingestion }: { readonly ingestion: Ingestion }) {
  const { rows_read, rows_accepted, rows_quarantined, rows_duplicate } = ingestion;
  return (
    <>
      <Way ingestion={ingestion} />
      {rows_read !== null && rows_read > 0 && (
        <Section title="Rows read" aside={<b>{formatCount(rows_read)}</b>}>
          <Share
            total={rows_read}
            parts={[
              { name: "accepted", count: rows_accepted ?? 0, tone: "good" },
              { name: "refused", count: rows_quarantined ?? 0, tone: "bad" },
              { name: "repeated keys", count: rows_duplicate ?? 0, tone: "warn" },
            ]}
          />
          {ingestion.rows_current !== null && (
            <p className="dim">
              Of the accepted, the table shows {formatCount(ingestion.rows_current)} now;{" "}
              {formatCount(ingestion.rows_superseded)} are superseded by newer rows of their keys
              {ingestion.rows_live ? "." : " (as of the load: the warehouse does not answer)."}
            </p>
          )}
        </Section>
      )}
      <Section title="About">
        <Facts
          facts={{
            Id: <code>{ingestion.id}</code>,
            Dataset: ingestion.dataset && (
              <Link to="/datasets/$name" params={{ name: ingestion.dataset }}>
                {ingestion.dataset}
              </Link>
            ),
            Contract: ingestion.contract_version,
            Received: <Time at={ingestion.received_at} />,
            Finished: ingestion.finished_at && <Time at={ingestion.finished_at} />,
            Took: ingestion.finished_at && formatSeconds(ingestion.seconds),
            "Replay of": ingestion.replay_of && <Other id={ingestion.replay_of} />,
            "Replaced by": ingestion.replaced_by && <Other id={ingestion.replaced_by} />,
            "Mended rows of": ingestion.recovers && <Other id={ingestion.recovers} />,
            "Mended and sent again": ingestion.recoveries > 0 && (
              <Link to="." search={changed({ tab: "quarantine" })}>
                {formatPlural(ingestion.recoveries, "time")}
              </Link>
            ),
            "Same content as": ingestion.duplicate_of && <Other id={ingestion.duplicate_of} />,
          }}
        />
      </Section>
      <Section title="Raw objects">
        <ul className="lines">
          {ingestion.objects.map((each) => (
            <li key={`${each.name} ${each.generation}`}>
              <code>{each.name}</code>
              <span className="dim">
                {formatBytes(each.size)} · generation {each.generation} · {each.content_type}
              </span>
              <span className="dim">
                sha256 <code>{each.sha256?.slice(0, 16)}…</code>
              </span>
            </li>
          ))}
          {ingestion.object_count > ingestion.objects.length && (
            <li>and {formatCount(ingestion.object_count - ingestion.objects.length)} more</li>
          )}
        </ul>
      </Section>
    </>
  );
}

function Other({ id }: { readonly id: string }) {
  return (
    <Link to="/ingestions/$id" params={{ id }}>
      <code>{id.slice(0, 8)}</code>
    </Link>
  );
}
