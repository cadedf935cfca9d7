import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { backfillItemsQuery } from "../api/queries";
import type { Backfill, BackfillItem } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { formatBytes } from "../ui/format";
import { Loaded } from "../ui/Loaded";
import { Pages } from "../ui/Pages";
import { Section } from "../ui/Section";
import { Time } from "../ui/Time";

const COLUMNS: readonly Column<BackfillItem>[] = [
  {
    id: "object",
    name: "File",
    wide: true,
    cell: ({ object, ingestion, action }) =>
      action === "replay" ? (
        <Link to="/ingestions/$id" params={{ id: ingestion }}>
          {object}
        </Link>
      ) : (
        object
      ),
  },
  {
    id: "action",
    name: "What is done",
    cell: ({ action }) => (action === "replay" ? "replayed" : "landed"),
  },
  { id: "state", name: "Was", cell: ({ state }) => state ?? <span className="dim">unknown</span> },
  { id: "size", name: "Size", numeric: true, cell: ({ size }) => formatBytes(size) },
  { id: "created", name: "Created", cell: ({ created }) => <Time at={created} /> },
];

/** The files in the order in which they are read again. */
export function Plan({
  backfill,
  cursor,
}: {
  readonly backfill: Backfill;
  readonly cursor: string | undefined;
}) {
  const query = useQuery({
    ...backfillItemsQuery(backfill.id, cursor),
    enabled: backfill.items !== null,
  });
  if (backfill.items === null) return null;
  return (
    <Section title="Plan">
      <Loaded query={query} height={6}>
        {({ items, next_cursor }) => (
          <>
            {items.length === 0 ? (
              <p className="dim">No file is to be read again.</p>
            ) : (
              <DataTable
                label="Plan"
                columns={COLUMNS}
                rows={items}
                rowId={({ object, generation }) => `${object} ${generation}`}
              />
            )}
            <Pages
              label="Pages of the plan"
              cursor={cursor}
              next={next_cursor}
              first="First"
              further="Next"
            />
          </>
        )}
      </Loaded>
    </Section>
  );
}
