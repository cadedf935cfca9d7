import type { TrendDay } from "../api/types";
import {
  formatCount,
  formatDollars,
  formatNumber,
  formatPlural,
  formatSeconds,
} from "../ui/format";
import type { Bar } from "./Bars";

/** Every day of a range, those without ingestions too; days are UTC, as `2026-01-31`. */
export function fillDays(
  since: string,
  until: string,
  days: readonly TrendDay[],
): readonly (TrendDay | { readonly day: string; readonly ingestions: 0 })[] {
  const found = new Map(days.map((each) => [each.day, each]));
  const filled = [];
  for (let at = Date.parse(since); at <= Date.parse(until); at += 86_400_000) {
    const day = new Date(at).toISOString().slice(0, 10);
    filled.push(found.get(day) ?? { day, ingestions: 0 as const });
  }
  return filled;
}

type Day = ReturnType<typeof fillDays>[number];

const isBusy = (day: Day): day is TrendDay => "ends" in day;

/** How the ingestions of a day ended. */
export function barOfEnds(day: Day): Bar {
  if (!isBusy(day)) return { label: day.day, parts: [], says: `${day.day}: nothing arrived` };
  const { loaded = 0, rejected = 0, failed = 0 } = day.ends;
  const other = day.ingestions - loaded - rejected - failed;
  const says = [
    formatPlural(day.ingestions, "ingestion"),
    ...Object.entries(day.ends).map(([state, count]) => `${formatCount(count)} ${state}`),
  ];
  return {
    label: day.day,
    parts: [
      { value: loaded, tone: "good" },
      { value: other, tone: "calm" },
      { value: rejected, tone: "bad" },
      { value: failed, tone: "fault" },
    ],
    says: `${day.day}: ${says.join(", ")}`,
  };
}

export function barOfRows(day: Day): Bar {
  if (!isBusy(day)) return { label: day.day, parts: [], says: `${day.day}: no rows` };
  return {
    label: day.day,
    parts: [
      { value: day.rows_accepted, tone: "active" },
      { value: day.rows_quarantined + day.rows_duplicate, tone: "bad" },
    ],
    says: `${day.day}: ${formatCount(day.rows_read)} rows read, ${formatCount(day.rows_quarantined)} refused (${formatNumber(day.invalid_percent ?? 0)}%)`,
  };
}

export function barOfRefused(day: Day): Bar {
  const refused = isBusy(day) ? day.rows_quarantined : 0;
  return {
    label: day.day,
    parts: [{ value: refused, tone: "bad" }],
    says: `${day.day}: ${formatCount(refused)} rows refused`,
  };
}

export function barOfCost(day: Day): Bar {
  const cost = isBusy(day) ? day.cost_usd : 0;
  return {
    label: day.day,
    parts: [{ value: cost, tone: "active" }],
    says: `${day.day}: about ${formatDollars(cost)}`,
  };
}

export function barOfLatency(day: Day): Bar {
  if (!isBusy(day) || day.latency_p95 === null) {
    return { label: day.day, parts: [], says: `${day.day}: nothing was loaded` };
  }
  return {
    label: day.day,
    parts: [{ value: day.latency_p95, tone: "active" }],
    says: `${day.day}: half within ${formatSeconds(day.latency_p50)}, 95% within ${formatSeconds(day.latency_p95)}`,
  };
}
