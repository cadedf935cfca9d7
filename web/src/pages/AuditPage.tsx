import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import type { FormEvent } from "react";

import { auditQuery } from "../api/queries";
import { ActionTable } from "../audit/ActionTable";
import { Empty } from "../ui/Empty";
import { Loaded, Updated } from "../ui/Loaded";
import { Page } from "../ui/Page";
import { Pages } from "../ui/Pages";

const route = getRouteApi("/audit");

/** Who asked for what, and what came of it. */
export function AuditPage() {
  const { actor, subject, cursor } = route.useSearch();
  const query = useQuery(auditQuery({ actor, subject, cursor }));
  return (
    <Page
      title="Audit"
      aside={<Updated query={query} rows={query.data?.actions.length} noun="action" />}
    >
      <Filters />
      <Loaded query={query} height={16}>
        {({ actions, next_cursor }) =>
          actions.length === 0 ? (
            <Empty title="Nobody has done anything that is like that.">
              <p>Every replay, retraction, upload and publication stands here.</p>
            </Empty>
          ) : (
            <>
              <ActionTable actions={actions} />
              <Pages label="Pages of actions" cursor={cursor} next={next_cursor} />
            </>
          )
        }
      </Loaded>
    </Page>
  );
}

function Filters() {
  const { actor, subject } = route.useSearch();
  const navigate = route.useNavigate();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const read = (name: string) => String(form.get(name) ?? "").trim() || undefined;
    void navigate({ search: { actor: read("actor"), subject: read("subject") } });
  };
  return (
    <form className="filters" role="search" onSubmit={submit}>
      <label>
        <span>Who</span>
        <input key={actor} name="actor" type="search" defaultValue={actor} />
      </label>
      <label>
        <span>About</span>
        <input
          key={subject}
          name="subject"
          type="search"
          defaultValue={subject}
          placeholder="ingestion/…"
        />
      </label>
      <button type="submit">Filter</button>
    </form>
  );
}
