import { expect, test } from "vitest";

import {
  formatAge,
  formatBytes,
  formatCount,
  formatPlural,
  formatSeconds,
  formatShare,
  formatTime,
  shortenName,
} from "../src/ui/format";

const NOON = Date.parse("2026-01-31T12:00:00Z");

test("times are 24 h in the zone that is asked for", () => {
  expect(formatTime(NOON, "UTC", "time")).toBe("12:00:00");
  expect(formatTime(NOON, "America/New_York", "time")).toBe("07:00:00");
  expect(formatTime(Date.parse("2026-01-31T00:05:09Z"), "UTC", "second")).toBe(
    "31 Jan 2026, 00:05:09",
  );
  expect(formatTime(Date.parse("2026-07-31T22:30:00Z"), "Europe/Prague", "minute")).toBe(
    "01 Aug 2026, 00:30",
  );
});

test.each([
  [NOON - 3_000, "3 seconds ago"],
  [NOON - 120_000, "2 minutes ago"],
  [NOON - 7_200_000, "2 hours ago"],
  [NOON - 3 * 86_400_000, "3 days ago"],
  [NOON + 90_000, "in 1 minute"],
])("an age is told in the largest unit that fits: %s", (at, text) => {
  expect(formatAge(at, NOON)).toBe(text);
});

test.each([
  [0, 10, "0%"],
  [1, 100_000, "<0.1%"],
  [99_999, 100_000, ">99.9%"],
  [100, 100, "100%"],
  [65, 6_497, "1%"],
  [0, 0, "–"],
])(
  "a share of %i in %i is %s: never nothing or all for what is only nearly so",
  (part, whole, text) => {
    expect(formatShare(part, whole)).toBe(text);
  },
);

test.each([
  [0.031, "31 ms"],
  [2.089, "2.09 s"],
  [75, "1 min 15 s"],
  [7_260, "2 h 1 min"],
  [null, "–"],
])("a duration of %s seconds is %s", (seconds, text) => {
  expect(formatSeconds(seconds)).toBe(text);
});

test("a long name keeps its beginning and its end", () => {
  const name = `edge_telemetry/pump-02/${"0".repeat(80)}.ndjson.gz`;
  expect(shortenName(name)).toMatch(/^edge_telemetry\/pump-02\/0+…0+\.ndjson\.gz$/);
  expect(shortenName(name)).toHaveLength(60);
  expect(shortenName("weather/2013.csv")).toBe("weather/2013.csv");
});

test("sizes and counts are short", () => {
  expect([0, 999, 1_000, 576_116, 3e12].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1 kB",
    "576 kB",
    "3 TB",
  ]);
  expect(formatCount(1234567)).toBe("1,234,567");
  expect(formatCount(null)).toBe("–");
  expect([formatPlural(1, "row"), formatPlural(2, "row")]).toEqual(["1 row", "2 rows"]);
});
