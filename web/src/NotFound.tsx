import { Link } from "@tanstack/react-router";

import { Empty } from "./ui/Empty";
import { Page } from "./ui/Page";

export function NotFound() {
  return (
    <Page title="There is no such page">
      <Empty title="The address leads nowhere.">
        <Link to="/ingestions" className="button">
          Go to the ingestions
        </Link>
      </Empty>
    </Page>
  );
}
