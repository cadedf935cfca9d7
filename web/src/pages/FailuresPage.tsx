import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { failuresQuery } from "../api/queries";
import { FailureGroups } from "../failures/FailureGroups";
import { Empty } from "../ui/Empty";
import { Loaded, Updated } from "../ui/Loaded";
import { Notice } from "../ui/Notice";
import { Page } from "../ui/Page";

/** What went wrong in the last 30 days and nobody has replayed, by cause. */
export function FailuresPage() {
  const query = useQuery(failuresQuery({}));
  return (
    <Page
      title="Failures"
      aside={<Updated query={query} rows={query.data?.groups.length} noun="group" />}
    >
      <Loaded query={query} height={10}>
        {({ groups, complete }) =>
          groups.length === 0 ? (
            <Empty title="Nothing was refused or failed in the last 30 days that was not replayed.">
              <Link to="/ingestions" className="button">
                Show all ingestions
              </Link>
            </Empty>
          ) : (
            <>
              {!complete && (
                <Notice tone="warn" title="There are more than were looked at">
                  <p>The counts are of the latest ones.</p>
                </Notice>
              )}
              <div className="section">
                <FailureGroups groups={groups} />
              </div>
            </>
          )
        }
      </Loaded>
    </Page>
  );
}
