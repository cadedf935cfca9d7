import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";

import { ApiError } from "./api/problem";
import { session } from "./api/session";

const MOST_RETRIES = 2;

function noteRefusal(error: unknown): void {
  if (error instanceof ApiError && error.status === 401) session.refuse();
}

/** Only what may go well the next time is tried again by itself. Hidden tabs ask for nothing. */
export function makeQueryClient(): QueryClient {
  return new QueryClient({
    queryCache: new QueryCache({ onError: noteRefusal }),
    mutationCache: new MutationCache({ onError: noteRefusal }),
    defaultOptions: {
      queries: {
        staleTime: 2_000,
        retry: (count, error) =>
          count < MOST_RETRIES && error instanceof ApiError && error.retryable,
        retryDelay: (count) => 500 * 2 ** count,
      },
    },
  });
}
