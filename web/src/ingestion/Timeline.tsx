import { useQuery } from "@tanstack/react-query";

import { timelineQuery } from "../api/queries";
import type { Ingestion, TimelineEvent } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { formatCount } from "../ui/format";
import { Loaded } from "../ui/Loaded";
import { Section } from "../ui/Section";
import { Time } from "../ui/Time";

/** Everything that happened, and who caused it: the audit trail of one ingestion. */
export function Timeline({ ingestion }: { readonly ingestion: Ingestion }) {
  const query = useQuery(timelineQuery(ingestion));
  return (
    <Section title="Everything that happened">
      <Loaded query={query} height={8}>
        {({ events }) => (
          <DataTable
            label="Events"
            columns={COLUMNS}
            rows={events}
            rowId={({ version }) => String(version)}
          />
        )}
      </Loaded>
    </Section>
  );
}

const COLUMNS: readonly Column<TimelineEvent>[] = [
  { id: "version", name: "No.", numeric: true, cell: ({ version }) => version },
  { id: "at", name: "When", cell: ({ at }) => <Time at={at} /> },
  { id: "type", name: "What", cell: ({ type }) => <b>{type}</b> },
  { id: "details", name: "Details", wide: true, cell: ({ data }) => describe(data) },
  { id: "by", name: "By", cell: ({ cause }) => cause.actor ?? cause.function ?? "–" },
  { id: "request", name: "Request", cell: ({ cause }) => <code>{cause.request_id ?? "–"}</code> },
];

/** What an event says that a line has room for: its plain values. */
function describe(data: TimelineEvent["data"]): string {
  return Object.entries(data)
    .filter(([name, value]) => !name.endsWith("sha256") && isPlain(value) && value !== "")
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${show(value)}`)
    .join(" · ");
}

function isPlain(value: unknown): value is string | number | boolean {
  return ["string", "number", "boolean"].includes(typeof value);
}

function show(value: unknown): string {
  return typeof value === "number" ? formatCount(value) : String(value);
}
