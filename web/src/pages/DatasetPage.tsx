import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";

import { datasetQuery } from "../api/queries";
import { ContractView } from "../dataset/ContractView";
import { Health } from "../dataset/Health";
import { Rows } from "../dataset/Rows";
import { Runs } from "../dataset/Runs";
import { Schemas } from "../dataset/Schemas";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { Tabs } from "../ui/Tabs";

const route = getRouteApi("/datasets/$name");

const TABS = {
  health: "Health",
  contract: "Contract",
  schemas: "Schemas",
  rows: "Rows",
  runs: "Runs",
} as const;

export function DatasetPage() {
  const { name } = route.useParams();
  const { tab = "health", version } = route.useSearch();
  const query = useQuery(datasetQuery(name));
  return (
    <Page key={name} title={name} aside={<Updated query={query} />}>
      <Loaded query={query} height={14}>
        {(dataset) => (
          <>
            <Tabs label="Parts of the dataset" names={TABS} current={tab} />
            {tab === "health" && <Health dataset={dataset} />}
            {tab === "contract" && <ContractView dataset={dataset} version={version} />}
            {tab === "schemas" && <Schemas dataset={dataset.name} />}
            {tab === "rows" && <Rows dataset={dataset.name} />}
            {tab === "runs" && <Runs dataset={dataset.name} />}
          </>
        )}
      </Loaded>
    </Page>
  );
}
