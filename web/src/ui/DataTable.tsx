import {
  createSortedRowModel,
  type RowData,
  rowSortingFeature,
  type SortingState,
  sortFn_basic,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";
import { type ReactNode, useMemo, useState } from "react";

import { formatCount } from "./format";

export interface Column<Row> {
  readonly id: string;
  readonly name: string;
  readonly cell: (row: Row) => ReactNode;
  /** What the column is sorted by; a column without it cannot be sorted. */
  readonly sortBy?: (row: Row) => string | number | null;
  readonly numeric?: boolean;
  /** Takes what room is left, and wraps. */
  readonly wide?: boolean;
}

/** More rows than these are shown in parts: each costs about 0.3 ms. */
const MOST = 200;

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: { basic: sortFn_basic },
});

/** `-rows` is by rows, the most first. */
function parseSort(sort: string | undefined): SortingState {
  if (!sort) return [];
  return [{ id: sort.replace(/^-/, ""), desc: sort.startsWith("-") }];
}

/**
 * A table that fits a phone: there, each row is a card whose cells carry their columns' names.
 * `sort` is kept by the caller, in the address; without `onSort` the order is that of the rows.
 * `ordered` rows are a page that comes in that order: it begins with the most.
 */
export function DataTable<Row extends RowData>({
  label,
  columns,
  rows,
  rowId,
  sort,
  onSort,
  ordered = false,
}: {
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly rowId: (row: Row, index: number) => string;
  readonly sort?: string;
  readonly onSort?: (sort: string | undefined) => void;
  readonly ordered?: boolean;
}) {
  const definitions = useMemo(
    () =>
      columns.map((column) => ({
        id: column.id,
        header: column.name,
        accessorFn: (row: Row) => column.sortBy?.(row) ?? undefined,
        enableSorting: column.sortBy !== undefined && onSort !== undefined,
        sortFn: "basic" as const,
        sortUndefined: "last" as const,
        ...(ordered && { sortDescFirst: true }),
      })),
    [columns, onSort === undefined, ordered],
  );
  const sorting = useMemo(() => parseSort(sort), [sort]);
  const [part, setPart] = useState(0);
  const parts = Math.ceil(rows.length / MOST);
  const first = Math.min(part, Math.max(parts - 1, 0)) * MOST;
  const table = useTable({
    features,
    columns: definitions,
    data: rows as Row[],
    manualSorting: ordered,
    getRowId: rowId,
    state: { sorting },
    onSortingChange: (change) => {
      const next = typeof change === "function" ? change(sorting) : change;
      const by = next[0];
      setPart(0);
      onSort?.(by && `${by.desc ? "-" : ""}${by.id}`);
    },
  });
  return (
    <>
      <div className="table-frame" role="region" aria-label={label} tabIndex={0}>
        <table className="data">
          <thead>
            <tr>
              {table.getFlatHeaders().map((header, index) => {
                const column = columns[index] as Column<Row>;
                const sorted = header.column.getIsSorted();
                return (
                  <th
                    key={header.id}
                    scope="col"
                    className={classOf(column)}
                    aria-sort={
                      sorted ? (sorted === "desc" ? "descending" : "ascending") : undefined
                    }
                  >
                    {header.column.getCanSort() ? (
                      <button type="button" onClick={header.column.getToggleSortingHandler()}>
                        {column.name}
                        <i aria-hidden="true">{sorted ? (sorted === "desc" ? "↓" : "↑") : ""}</i>
                      </button>
                    ) : (
                      column.name
                    )}
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {table
              .getRowModel()
              .rows.slice(first, first + MOST)
              .map((row) => (
                <tr key={row.id}>
                  {columns.map((column) => (
                    <td key={column.id} className={classOf(column)} data-label={column.name}>
                      {column.cell(row.original)}
                    </td>
                  ))}
                </tr>
              ))}
          </tbody>
        </table>
      </div>
      {parts > 1 && (
        <nav className="parts" aria-label={`Parts of ${label}`}>
          <button type="button" disabled={first === 0} onClick={() => setPart(first / MOST - 1)}>
            Previous
          </button>
          <span aria-live="polite">
            {formatCount(first + 1)}–{formatCount(Math.min(first + MOST, rows.length))} of{" "}
            {formatCount(rows.length)}
          </span>
          <button
            type="button"
            disabled={first + MOST >= rows.length}
            onClick={() => setPart(first / MOST + 1)}
          >
            Next
          </button>
        </nav>
      )}
    </>
  );
}

function classOf<Row>(column: Column<Row>): string | undefined {
  return column.numeric ? "numeric" : column.wide ? "wide" : undefined;
}
