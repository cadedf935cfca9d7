import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { ingestionsQuery } from "../api/queries";
import { IngestionTable } from "../ingestion/IngestionTable";
import { Empty } from "../ui/Empty";
import { Loaded } from "../ui/Loaded";
import { Section } from "../ui/Section";

/** The last ingestions of a dataset. */
export function Runs({ dataset }: { readonly dataset: string }) {
  const query = useQuery(ingestionsQuery({ dataset, limit: 20 }));
  return (
    <Section
      title="Last ingestions"
      aside={
        <Link to="/ingestions" search={{ dataset }}>
          All of them
        </Link>
      }
    >
      <Loaded query={query} height={8}>
        {({ ingestions }) =>
          ingestions.length === 0 ? (
            <Empty title="Nothing has arrived for it yet.">
              <Link to="/upload" search={{ dataset }} className="button primary">
                Upload a file
              </Link>
            </Empty>
          ) : (
            <IngestionTable ingestions={ingestions} />
          )
        }
      </Loaded>
    </Section>
  );
}
