import { expect, test } from "vitest";

import type { TrendDay } from "../src/api/types";
import { barOfCost, barOfEnds, barOfLatency, barOfRows, fillDays } from "../src/trends/days";

const DAY: TrendDay = {
  day: "2026-02-28",
  dataset: null,
  ingestions: 10,
  ends: { loaded: 6, rejected: 2, failed: 1, duplicate: 1 },
  rejected: { drift: 2 },
  rows_read: 1000,
  rows_accepted: 989,
  rows_quarantined: 10,
  rows_duplicate: 1,
  invalid_percent: 1,
  latency_p50: 0.5,
  latency_p95: 2,
  latency_max: 3,
  load_jobs: 1,
  loaded_rows: 989,
  processed_bytes: 0,
  cost_usd: 0.5,
  size: 100,
  slot_ms: 0,
};

test("a range has every day, across the end of a month", () => {
  const days = fillDays("2026-02-27", "2026-03-01", [DAY]);
  expect(days.map((each) => [each.day, each.ingestions])).toEqual([
    ["2026-02-27", 0],
    ["2026-02-28", 10],
    ["2026-03-01", 0],
  ]);
});

test("the parts of a day's bar are all of its ingestions", () => {
  const { parts, says } = barOfEnds(DAY);
  expect(parts.map(({ tone, value }) => [tone, value])).toEqual([
    ["good", 6],
    ["calm", 1],
    ["bad", 2],
    ["fault", 1],
  ]);
  expect(says).toBe("2026-02-28: 10 ingestions, 6 loaded, 2 rejected, 1 failed, 1 duplicate");
});

test("rows and times are said in words", () => {
  expect(barOfRows(DAY).says).toBe("2026-02-28: 1,000 rows read, 10 refused (1%)");
  expect(barOfLatency(DAY).says).toBe("2026-02-28: half within 500 ms, 95% within 2 s");
  expect(barOfCost(DAY).says).toBe("2026-02-28: about $0.50");
  expect(barOfCost({ ...DAY, cost_usd: 0.00123 }).says).toBe("2026-02-28: about $0.0012");
  expect(barOfLatency({ ...DAY, latency_p95: null }).parts).toEqual([]);
});
