import type { components } from "./schema";

type Problem = components["schemas"]["Problem"];

/** An answer that is no success, or none at all. */
export class ApiError extends Error {
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly retryable: boolean;
  readonly requestId: string | null;
  readonly problems: readonly string[];

  constructor(fields: Partial<Problem> & { readonly title: string }) {
    super(fields.detail ?? fields.title);
    this.title = fields.title;
    this.status = fields.status ?? 0;
    this.code = fields.code ?? "unknown";
    this.retryable = fields.retryable ?? false;
    this.requestId = fields.request_id ?? null;
    this.problems = fields.problems ?? [];
  }
}

const UNREACHABLE = {
  title: "The API does not answer",
  detail: "Is the stack running, and this machine online?",
  code: "unreachable",
  retryable: true,
};

export function unreachable(): ApiError {
  return new ApiError(UNREACHABLE);
}

/** What an answer that is no success says; proxies answer without problem details. */
export function toApiError(body: unknown, response: Response): ApiError {
  if (typeof body === "object" && body !== null && "title" in body && "code" in body) {
    return new ApiError(body as Problem);
  }
  return new ApiError({
    title: `The API answered ${response.status} ${response.statusText}`.trim(),
    status: response.status,
    retryable: response.status >= 500,
    request_id: response.headers.get("X-Request-ID") ?? undefined,
  });
}

/** Any thrown value as an ApiError: a fault of the page's own shows its message. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError({ title: "The page has a fault", detail: String(error), code: "fault" });
}
