import { useQuery } from "@tanstack/react-query";

import { ingestionRowsQuery } from "../api/queries";
import type { Ingestion } from "../api/types";
import { SampleTable } from "../ui/SampleTable";

/** The first rows that were accepted. */
export function Rows({ ingestion }: { readonly ingestion: Ingestion }) {
  const query = useQuery(ingestionRowsQuery(ingestion));
  return <SampleTable title="Accepted rows" query={query} none="No row was accepted." />;
}
