/** The API, typed by its own OpenAPI document. Conditional requests are the browser's: answers
 * carry an ETag, and its cache asks again with If-None-Match by itself. */
import createClient from "openapi-fetch";

import { toApiError, unreachable } from "./problem";
import type { paths } from "./schema";
import { askOtherTabs, keepToken, readToken } from "./token";

async function send(request: Request): Promise<Response> {
  const token = readToken();
  if (token !== null) request.headers.set("Authorization", `Bearer ${token}`);
  try {
    return await globalThis.fetch(request);
  } catch (error) {
    if (request.signal.aborted) throw error;
    throw unreachable();
  }
}

/** Sends a request; one that is refused for its token is sent once more with another tab's. */
async function sendAuthorized(request: Request): Promise<Response> {
  const again = request.clone();
  const response = await send(request);
  if (response.status !== 401 || readToken() !== null) return response;
  const token = await askOtherTabs();
  if (token === null) return response;
  keepToken(token);
  return send(again);
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: sendAuthorized });

interface Answered<T> {
  readonly data?: T;
  readonly error?: unknown;
  readonly response: Response;
}

/** The answer's body. Throws ApiError. */
export async function read<T>(call: Promise<Answered<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) throw toApiError(error, response);
  return data as T;
}
