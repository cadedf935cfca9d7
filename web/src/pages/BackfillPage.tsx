import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";

import { backfillQuery } from "../api/queries";
import type { Backfill } from "../api/types";
import { Foreseen } from "../backfill/Foreseen";
import { Plan } from "../backfill/Plan";
import { Steer } from "../backfill/Steer";
import { TONES } from "../backfill/states";
import { Facts } from "../ui/Facts";
import { formatCount } from "../ui/format";
import { Loaded, Updated } from "../ui/Loaded";
import { Notice } from "../ui/Notice";
import { Page } from "../ui/Page";
import { Section } from "../ui/Section";
import { Share } from "../ui/Share";
import { State } from "../ui/State";
import { Time } from "../ui/Time";

const route = getRouteApi("/backfills/$id");

export function BackfillPage() {
  const { id } = route.useParams();
  const { cursor } = route.useSearch();
  const query = useQuery(backfillQuery(id));
  const title = query.data ? `Backfill of ${query.data.dataset}` : "Backfill";
  return (
    <Page title={title} aside={<Updated query={query} />}>
      <Loaded query={query} height={14}>
        {(backfill) => (
          <>
            <div className="title-bar">
              <State tone={TONES[backfill.state]} word={backfill.state} />
              <Steer backfill={backfill} />
            </div>
            {backfill.detail !== null && (
              <Notice tone={TONES[backfill.state]} title={backfill.detail} />
            )}
            <Progress backfill={backfill} />
            {backfill.check && <Foreseen backfill={backfill} />}
            <About backfill={backfill} />
            <Plan backfill={backfill} cursor={cursor} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Progress({ backfill }: { readonly backfill: Backfill }) {
  const { items, ended, in_flight, outcomes } = backfill;
  if (items === null) return null;
  const { loaded = 0, rejected = 0, failed = 0 } = outcomes;
  const parts = [
    { name: "loaded", count: loaded, tone: "good" },
    { name: "rejected", count: rejected, tone: "bad" },
    { name: "failed", count: failed, tone: "fault" },
    { name: "ended otherwise", count: ended - loaded - rejected - failed, tone: "calm" },
    { name: "under way", count: in_flight.length, tone: "active" },
    { name: "to come", count: items - ended - in_flight.length, tone: "calm" },
  ] as const;
  return (
    <Section title="Progress" aside={<b>{`${formatCount(ended)} of ${formatCount(items)}`}</b>}>
      <Share total={items} parts={parts} />
    </Section>
  );
}

function About({ backfill }: { readonly backfill: Backfill }) {
  const skipped = Object.entries(backfill.skipped).map(([why, count]) => `${count} ${why}`);
  return (
    <Section title="About">
      <Facts
        facts={{
          Contract: backfill.contract_version,
          "Files created from": backfill.since ? <Time at={backfill.since} /> : "the first",
          "Until before": backfill.until ? <Time at={backfill.until} /> : "the last",
          "Left out": skipped.length > 0 ? skipped.join(", ").replaceAll("_", " ") : "none",
          "Asked for by": backfill.requested_by,
          "Asked for": <Time at={backfill.created_at} />,
          Finished: backfill.finished_at && <Time at={backfill.finished_at} />,
        }}
      />
    </Section>
  );
}
