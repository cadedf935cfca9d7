import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { useZone } from "../settings/zone";
import { ErrorNotice } from "./Notice";
import { formatPlural, formatTime } from "./format";
import type { Answer } from "./together";

/** What a query brought: a skeleton before, the last rows under an error after. */
export function Loaded<T>({
  query,
  height,
  children,
}: {
  readonly query: Answer<T>;
  /** Of the skeleton, in rows of a table: as many as are likely to come. */
  readonly height: number;
  readonly children: (data: T) => ReactNode;
}) {
  const { data, error, refetch, isPlaceholderData } = query;
  if (data === undefined && error === null) return <Skeleton rows={height} />;
  return (
    <>
      {error !== null && (
        <ErrorNotice error={error} retry={() => void refetch()} stale={data !== undefined} />
      )}
      {data !== undefined && (
        <div className={isPlaceholderData ? "fading" : undefined}>{children(data)}</div>
      )}
    </>
  );
}

export function Skeleton({ rows }: { readonly rows: number }) {
  return (
    <div className="skeleton" aria-busy="true" role="status">
      <span className="hidden">Loading…</span>
      {Array.from({ length: rows }, (_, row) => (
        // eslint-disable-next-line react/no-array-index-key
        <i key={row} />
      ))}
    </div>
  );
}

/** When the rows are from and how many they are. */
export function Updated({
  query,
  rows,
  noun = "row",
}: {
  readonly query: UseQueryResult<unknown>;
  readonly rows?: number;
  readonly noun?: string;
}) {
  const zone = useZone();
  const { dataUpdatedAt, isFetching } = query;
  return (
    <p className="updated">
      {dataUpdatedAt === 0
        ? ""
        : `Updated ${formatTime(dataUpdatedAt, zone, "time")}${rows === undefined ? "" : ` · ${formatPlural(rows, noun)}`}`}
      <i className={isFetching ? "pulse on" : "pulse"} aria-hidden="true" />
    </p>
  );
}
