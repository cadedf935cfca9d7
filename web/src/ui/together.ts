import type { UseQueryResult } from "@tanstack/react-query";

type Answers<Queries extends readonly UseQueryResult<unknown>[]> = {
  readonly [Index in keyof Queries]: NonNullable<Queries[Index]["data"]>;
};

/** What a part of a page needs of a query. */
export interface Answer<T> {
  readonly data: T | undefined;
  readonly error: Error | null;
  readonly isPlaceholderData: boolean;
  readonly refetch: () => unknown;
}

/** Queries that are shown together, so that none pushes the others down when it comes late. */
export function together<Queries extends readonly UseQueryResult<unknown>[]>(
  ...queries: Queries
): Answer<Answers<Queries>> {
  const complete = queries.every((each) => each.data !== undefined);
  const failed = queries.filter((each) => each.error !== null);
  return {
    data: complete ? (queries.map((each) => each.data) as unknown as Answers<Queries>) : undefined,
    error: failed[0]?.error ?? null,
    isPlaceholderData: queries.some((each) => each.isPlaceholderData),
    refetch: () => Promise.all(failed.map((each) => each.refetch())),
  };
}
