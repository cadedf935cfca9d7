import { expect, test } from "vitest";

import { showNumber, sizeAxis, toColumns } from "../src/charts/columns";
import { compareSchemas } from "../src/dataset/compareSchemas";
import { sinceOf } from "../src/ingestion/ranges";

const point = (at: string, mean: number) => ({ at, mean, least: mean - 1, greatest: mean + 1 });

test("no line is drawn across a gap", () => {
  const columns = toColumns(
    [
      point("2026-01-01T00:00:00Z", 1),
      point("2026-01-01T00:01:00Z", 2),
      point("2026-01-01T00:05:00Z", 3),
    ],
    60,
  );
  const start = Date.parse("2026-01-01T00:00:00Z") / 1000;
  expect(columns[0]).toEqual([start, start + 60, start + 120, start + 300]);
  expect(columns[1]).toEqual([1, 2, null, 3]);
  expect(columns[2]).toEqual([0, 1, null, 2]);
  expect(columns[3]).toEqual([2, 3, null, 4]);
  expect(toColumns([], 60)).toEqual([[], [], [], []]);
});

test("an axis has room for its widest label", () => {
  const measure = (text: string) => 7 * text.length;
  expect(sizeAxis(["1,006.35", "5"], measure)).toBe(72);
  expect(sizeAxis(["5"], measure)).toBe(sizeAxis([], measure));
});

test("a number keeps all of its digits before the point", () => {
  expect([101325.25, -120000.4, 1013.25, 20.123456, 0].map(showNumber)).toEqual([
    "101325",
    "-120000",
    "1013.3",
    "20.123",
    "0",
  ]);
});

test("schemas differ by what was added, taken out and retyped, whatever the order", () => {
  expect(
    compareSchemas(
      { a: "integer", b: "string", c: "date" },
      { c: "date", d: "string", a: "number" },
    ),
  ).toEqual([
    { column: "a", kind: "retyped", before: "integer", after: "number" },
    { column: "b", kind: "removed", before: "string", after: null },
    { column: "d", kind: "added", before: null, after: "string" },
  ]);
});

test("a range is the same for a whole minute, so that asking again asks the same", () => {
  const at = Date.parse("2026-01-02T10:00:59.999Z");
  expect(sinceOf("24h", at)).toBe("2026-01-01T10:00:00.000Z");
  expect(sinceOf("24h", at - 59_000)).toBe("2026-01-01T10:00:00.000Z");
  expect(sinceOf(undefined, at)).toBeUndefined();
});
