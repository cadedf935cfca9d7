/** How far back a list looks, as it stands in the address. */
export const RANGES = {
  "1h": { name: "the last hour", seconds: 3_600 },
  "24h": { name: "24 hours", seconds: 86_400 },
  "7d": { name: "7 days", seconds: 604_800 },
  "30d": { name: "30 days", seconds: 2_592_000 },
} as const;

export type Range = keyof typeof RANGES;

export const RANGE_NAMES = Object.keys(RANGES) as readonly Range[];

const MINUTE_MS = 60_000;

/** The first moment of a range, to the minute, so that asking again asks the same. */
export function sinceOf(range: Range | undefined, now = Date.now()): string | undefined {
  if (range === undefined) return undefined;
  const minute = Math.floor(now / MINUTE_MS) * MINUTE_MS;
  return new Date(minute - RANGES[range].seconds * 1000).toISOString();
}
