import type { IngestionFilter } from "../api/queries";

/** How the list may be ordered, as the API and the address have it. */
export const SORTS = [
  "-received_at",
  "received_at",
  "-rows_read",
  "rows_read",
  "-rows_quarantined",
  "rows_quarantined",
  "-seconds",
  "seconds",
] as const satisfies readonly NonNullable<IngestionFilter["sort"]>[];

export type Sort = (typeof SORTS)[number];

/** What leads back to the first page, and on to the next. */
export function wordsOf(sort: Sort): readonly [first: string, further: string] {
  if (sort === "-received_at") return ["Newest", "Older"];
  return sort === "received_at" ? ["Oldest", "Newer"] : ["From the top", "Further down"];
}
