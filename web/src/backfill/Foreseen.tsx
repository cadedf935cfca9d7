import { Link } from "@tanstack/react-router";

import type { Backfill } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { formatCount } from "../ui/format";
import { Section } from "../ui/Section";

interface Line {
  readonly what: string;
  readonly before: number;
  readonly after: number;
}

const COLUMNS: readonly Column<Line>[] = [
  { id: "what", name: "What", wide: true, cell: ({ what }) => what },
  { id: "before", name: "Now", numeric: true, cell: ({ before }) => formatCount(before) },
  { id: "after", name: "After", numeric: true, cell: ({ after }) => <b>{formatCount(after)}</b> },
  {
    id: "change",
    name: "Change",
    numeric: true,
    cell: ({ before, after }) => `${after > before ? "+" : ""}${formatCount(after - before)}`,
  },
];

/** What the dry run says would change. */
export function Foreseen({ backfill }: { readonly backfill: Backfill }) {
  const { foreseen, checked, items } = backfill;
  const {
    examples = [],
    accepted_before = 0,
    accepted_after = 0,
    rows_accepted_before = 0,
    rows_accepted_after = 0,
    rows_refused_before = 0,
    rows_refused_after = 0,
  } = foreseen;
  const lines: readonly Line[] = [
    { what: "Files accepted", before: accepted_before, after: accepted_after },
    { what: "Rows accepted", before: rows_accepted_before, after: rows_accepted_after },
    { what: "Rows refused", before: rows_refused_before, after: rows_refused_after },
  ];
  return (
    <Section
      title="What the dry run foresees"
      aside={
        <span className="dim">{`${formatCount(checked)} of ${formatCount(items)} files checked`}</span>
      }
    >
      {examples.length > 0 && (
        <ul className="lines">
          {examples.map((each) => (
            <li key={each.ingestion}>
              <Link to="/ingestions/$id" params={{ id: each.ingestion }}>
                {each.object}
              </Link>
              <span>
                {each.before} → <b>{each.after}</b>
              </span>
            </li>
          ))}
        </ul>
      )}
      <DataTable
        label="What would change"
        columns={COLUMNS}
        rows={lines}
        rowId={({ what }) => what}
      />
    </Section>
  );
}
