import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Suspense } from "react";

import { deviceQuery } from "../api/queries";
import { Alerts } from "../device/Alerts";
import { Manage } from "../device/Manage";
import { About, Batches, Commands, History } from "../device/parts";
import { STATUS_TONES } from "../device/states";
import { Telemetry } from "../device/Telemetry";
import { Loaded, Skeleton, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { State } from "../ui/State";
import { Tabs } from "../ui/Tabs";

const route = getRouteApi("/devices/$id");

const TABS = {
  telemetry: "Telemetry",
  commands: "Commands",
  batches: "Batches and gaps",
  about: "About",
  audit: "Audit",
} as const;

export function DevicePage() {
  const { id } = route.useParams();
  const { tab = "telemetry", range = "24h", cursor } = route.useSearch();
  const query = useQuery(deviceQuery(id));
  return (
    <Page key={id} title={id} aside={<Updated query={query} />}>
      <Loaded query={query} height={14}>
        {(device) => (
          <>
            <div className="title-bar">
              <State tone={STATUS_TONES[device.status]} word={device.status} />
              <p className="dim">{device.basis}</p>
              <Manage device={device} />
            </div>
            <Alerts device={device} />
            <Tabs label="Parts of the device" names={TABS} current={tab} />
            {tab === "telemetry" && <Telemetry device={device} range={range} />}
            <Suspense fallback={<Skeleton rows={8} />}>
              {tab === "commands" && <Commands device={device} cursor={cursor} />}
              {tab === "batches" && <Batches device={device.id} cursor={cursor} />}
              {tab === "about" && <About device={device} />}
              {tab === "audit" && <History device={device.id} />}
            </Suspense>
          </>
        )}
      </Loaded>
    </Page>
  );
}
