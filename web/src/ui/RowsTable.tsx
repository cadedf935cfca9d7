import { useMemo } from "react";

import { DataTable } from "./DataTable";

type Row = Readonly<Record<string, unknown>>;

/** Rows of any table, as they are. */
export function RowsTable({
  label,
  columns,
  rows,
}: {
  readonly label: string;
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
}) {
  const definitions = useMemo(
    () =>
      columns.map((name) => ({
        id: name,
        name,
        numeric: rows.some((row) => typeof row[name] === "number"),
        cell: (row: Row) => showCell(row[name]),
      })),
    [columns, rows],
  );
  return (
    <DataTable
      label={label}
      columns={definitions}
      rows={rows}
      rowId={(_, index) => String(index)}
    />
  );
}

function showCell(value: unknown) {
  if (value === null || value === undefined) return <span className="dim">–</span>;
  if (typeof value === "number") return Number(value.toPrecision(8));
  return typeof value === "object" ? <code>{JSON.stringify(value)}</code> : String(value);
}
