import { Link } from "@tanstack/react-router";

import type { Ingestion } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { formatCount, formatSeconds, shortenName } from "../ui/format";
import { Time } from "../ui/Time";
import { IngestionState } from "./IngestionState";

const COLUMNS: readonly Column<Ingestion>[] = [
  { id: "state", name: "State", cell: (row) => <IngestionState ingestion={row} /> },
  {
    id: "object",
    name: "File",
    wide: true,
    cell: (row) => (
      <>
        <Link to="/ingestions/$id" params={{ id: row.id }} title={row.object}>
          {shortenName(row.object)}
        </Link>
        {(row.state === "rejected" || row.state === "failed") && (
          <p className="dim clamp" title={row.detail ?? undefined}>
            {row.detail}
          </p>
        )}
      </>
    ),
  },
  {
    id: "dataset",
    name: "Dataset",
    cell: (row) => row.dataset ?? <span className="dim">none</span>,
  },
  {
    id: "received_at",
    name: "Received",
    sortBy: (row) => row.received_at,
    cell: (row) => <Time at={row.received_at} />,
  },
  {
    id: "seconds",
    name: "Took",
    numeric: true,
    sortBy: (row) => row.seconds,
    cell: (row) => formatSeconds(row.seconds),
  },
  {
    id: "rows_read",
    name: "Read",
    numeric: true,
    sortBy: (row) => row.rows_read,
    cell: (row) => formatCount(row.rows_read),
  },
  {
    id: "rows_quarantined",
    name: "Refused",
    numeric: true,
    sortBy: (row) => row.rows_quarantined,
    cell: (row) => (
      <span className={row.rows_quarantined ? "tone-bad" : "dim"}>
        {formatCount(row.rows_quarantined)}
      </span>
    ),
  },
];

/** Ingestions as rows; with `onSort` they can be asked for in another order. */
export function IngestionTable({
  ingestions,
  sort,
  onSort,
}: {
  readonly ingestions: readonly Ingestion[];
  readonly sort?: string;
  readonly onSort?: (sort: string | undefined) => void;
}) {
  return (
    <DataTable
      label="Ingestions"
      columns={COLUMNS}
      rows={ingestions}
      rowId={({ id }) => id}
      sort={sort}
      onSort={onSort}
      ordered
    />
  );
}
