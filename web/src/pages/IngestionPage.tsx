import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";

import { ingestionQuery } from "../api/queries";
import type { Ingestion } from "../api/types";
import { Actions } from "../ingestion/Actions";
import { Drift } from "../ingestion/Drift";
import { IngestionState } from "../ingestion/IngestionState";
import { Lineage } from "../ingestion/Lineage";
import { Overview } from "../ingestion/Overview";
import { Quality } from "../ingestion/Quality";
import { Rows } from "../ingestion/Rows";
import { STATES } from "../ingestion/states";
import { Timeline } from "../ingestion/Timeline";
import { Quarantine } from "../mend/Quarantine";
import { Loaded, Updated } from "../ui/Loaded";
import { Notice } from "../ui/Notice";
import { shortenName } from "../ui/format";
import { Page } from "../ui/Page";
import { Tabs } from "../ui/Tabs";

const route = getRouteApi("/ingestions/$id");

const TABS = {
  overview: "Overview",
  quality: "Quality",
  drift: "Drift",
  quarantine: "Refused rows",
  rows: "Rows",
  lineage: "Lineage",
  timeline: "Timeline",
} as const;

export function IngestionPage() {
  const { id } = route.useParams();
  const query = useQuery(ingestionQuery(id));
  return (
    <Page
      key={id}
      title={query.data ? shortenName(query.data.object) : `Ingestion ${id.slice(0, 8)}`}
      aside={<Updated query={query} />}
    >
      <Loaded query={query} height={14}>
        {(ingestion) => <Details ingestion={ingestion} />}
      </Loaded>
    </Page>
  );
}

function Details({ ingestion }: { readonly ingestion: Ingestion }) {
  const { tab = "overview", column, rule, cursor } = route.useSearch();
  const { tone } = STATES[ingestion.state];
  return (
    <>
      <div className="title-bar">
        <IngestionState ingestion={ingestion} />
        <Actions ingestion={ingestion} />
      </div>
      {tab === "overview" && ingestion.detail !== null && tone !== "good" && (
        <Notice tone={tone} title={STATES[ingestion.state].says}>
          <p>{ingestion.detail}</p>
        </Notice>
      )}
      <Tabs label="Parts of the ingestion" names={TABS} current={tab} />
      {tab === "overview" && <Overview ingestion={ingestion} />}
      {tab === "quality" && <Quality ingestion={ingestion} />}
      {tab === "drift" && <Drift ingestion={ingestion} />}
      {tab === "quarantine" && (
        <Quarantine ingestion={ingestion} column={column} rule={rule} cursor={cursor} />
      )}
      {tab === "rows" && <Rows ingestion={ingestion} />}
      {tab === "lineage" && <Lineage ingestion={ingestion} />}
      {tab === "timeline" && <Timeline ingestion={ingestion} />}
    </>
  );
}
