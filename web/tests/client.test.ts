import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { api, read } from "../src/api/client";
import { ApiError } from "../src/api/problem";
import { adoptToken, readToken, shareToken } from "../src/api/token";

const PROBLEM = {
  type: "urn:eventpulse:problem:unavailable",
  title: "unavailable",
  status: 503,
  detail: "The warehouse does not answer.",
  code: "unavailable",
  retryable: true,
  request_id: "7cb68c0e",
};

function answer(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "Content-Type": status < 400 ? "application/json" : "application/problem+json" },
  });
}

const fetched = vi.fn<(request: Request) => Promise<Response>>();

beforeEach(() => {
  vi.stubGlobal("fetch", fetched);
  sessionStorage.clear();
});

afterEach(() => {
  fetched.mockReset();
  vi.unstubAllGlobals();
});

test("the token of the address is kept for the tab and taken out of the address", async () => {
  history.replaceState(null, "", "/ingestions?state=failed#token=secret");
  adoptToken();
  expect(location.href).toMatch(/\/ingestions\?state=failed$/);
  fetched.mockResolvedValueOnce(answer({ datasets: [] }));
  await read(api.GET("/api/datasets"));
  expect(fetched.mock.calls[0]?.[0].headers.get("Authorization")).toBe("Bearer secret");
});

test("a problem tells its title, detail and request", async () => {
  fetched.mockResolvedValueOnce(answer(PROBLEM, 503));
  const error = await read(api.GET("/api/datasets")).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({
    title: "unavailable",
    message: "The warehouse does not answer.",
    requestId: "7cb68c0e",
    retryable: true,
  });
});

test("an answer of something in between is told by its status", async () => {
  fetched.mockResolvedValueOnce(new Response("<h1>Bad Gateway</h1>", { status: 502 }));
  await expect(read(api.GET("/api/datasets"))).rejects.toMatchObject({
    status: 502,
    retryable: true,
  });
});

test("no answer at all is an error that may be retried", async () => {
  fetched.mockRejectedValueOnce(new TypeError("Failed to fetch"));
  await expect(read(api.GET("/api/datasets"))).rejects.toMatchObject({
    code: "unreachable",
    retryable: true,
  });
});

test("a tab without a token asks the others, and sends the request again", async () => {
  const other = new BroadcastChannel("eventpulse.token");
  other.addEventListener("message", ({ data }) => {
    if ("wanted" in data) other.postMessage({ token: "theirs" });
  });
  fetched
    .mockResolvedValueOnce(answer(PROBLEM, 401))
    .mockResolvedValueOnce(answer({ datasets: [] }));
  expect(await read(api.GET("/api/datasets"))).toEqual({ datasets: [] });
  expect(fetched.mock.calls[1]?.[0].headers.get("Authorization")).toBe("Bearer theirs");
  expect(readToken()).toBe("theirs");
  other.close();
});

test("a tab with a token answers those that ask", async () => {
  sessionStorage.setItem("eventpulse.token", "mine");
  shareToken();
  const asking = new BroadcastChannel("eventpulse.token");
  const told = new Promise((resolve) => {
    asking.addEventListener("message", ({ data }) => resolve(data));
  });
  asking.postMessage({ wanted: true });
  expect(await told).toEqual({ token: "mine" });
  asking.close();
});
