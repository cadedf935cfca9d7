/** What somebody has changed of refused rows, before it is sent. */
import type { RefusedRecord } from "../api/types";

type Place = Pick<RefusedRecord, "object" | "generation" | "record">;

export interface EditedRow extends Place {
  /** New text by header; only what differs from what was refused. */
  readonly cells: Readonly<Record<string, string>>;
}

/** By `keyOf`; rows of which nothing is changed are not in it. */
export type Edits = ReadonlyMap<string, EditedRow>;

export const NO_EDITS: Edits = new Map();

export const keyOf = ({ object, generation, record }: Place): string =>
  `${record} ${generation} ${object}`;

/** With one cell changed; a cell that is as it was counts as not changed. */
export function editCell(edits: Edits, refused: RefusedRecord, header: string, text: string) {
  const { object, generation, record, row } = refused;
  const { [header]: _, ...others } = edits.get(keyOf(refused))?.cells ?? {};
  const cells = text === (row[header] ?? "") ? others : { ...others, [header]: text };
  const changed = new Map(edits);
  if (Object.keys(cells).length === 0) changed.delete(keyOf(refused));
  else changed.set(keyOf(refused), { object, generation, record, cells });
  return changed as Edits;
}

export function countCells(edits: Edits): number {
  return [...edits.values()].reduce((sum, { cells }) => sum + Object.keys(cells).length, 0);
}

/** As the API takes them: an emptied cell has no value. */
export function toMended(edits: Edits) {
  return [...edits.values()].map(({ object, generation, record, cells }) => ({
    object,
    generation,
    record,
    row: Object.fromEntries(Object.entries(cells).map(([header, text]) => [header, text || null])),
  }));
}

export interface CellToMend {
  readonly header: string;
  /** Why it was refused; null for a cell that is not at fault. */
  readonly reason: string | null;
}

/** The faulty cells of a row, each once with all its reasons. */
export function listFaulty({ failures }: RefusedRecord): readonly CellToMend[] {
  const reasons = new Map<string, string[]>();
  for (const { headers, message } of failures) {
    for (const header of headers) reasons.set(header, [...(reasons.get(header) ?? []), message]);
  }
  return [...reasons].map(([header, messages]) => ({ header, reason: messages.join(" ") }));
}

/** The other cells; all that the contract has, of a row that could not be split. */
export function listOthers(
  { row, failures }: RefusedRecord,
  columns: readonly string[],
): readonly CellToMend[] {
  const faulty = new Set(failures.flatMap(({ headers }) => headers));
  const headers = Object.keys(row).filter((header) => header !== "");
  return (headers.length > 0 ? headers : columns)
    .filter((header) => !faulty.has(header))
    .map((header) => ({ header, reason: null }));
}
