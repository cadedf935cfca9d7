import { useQuery } from "@tanstack/react-query";

import { datasetRowsQuery } from "../api/queries";
import { SampleTable } from "../ui/SampleTable";

/** A few rows of the curated table. */
export function Rows({ dataset }: { readonly dataset: string }) {
  const query = useQuery(datasetRowsQuery(dataset));
  return <SampleTable title="Rows of the table" query={query} none="The table is empty." />;
}
