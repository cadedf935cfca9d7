/** Numbers, sizes and times as text. Times are 24 h, in a named zone. */

const WHOLE = new Intl.NumberFormat("en-GB");
const FEW = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });

export function formatCount(value: number | null | undefined): string {
  return value == null ? "–" : WHOLE.format(value);
}

export function formatNumber(value: number): string {
  return Number.isInteger(value) ? WHOLE.format(value) : FEW.format(value);
}

/** `1 row`, `2 rows`. */
export function formatPlural(count: number, noun: string): string {
  return `${WHOLE.format(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** Never 0% or 100% for what is only nearly so. */
export function formatShare(part: number, whole: number): string {
  if (whole === 0) return "–";
  const percent = (100 * part) / whole;
  if (percent > 0 && percent < 0.1) return "<0.1%";
  if (percent < 100 && percent > 99.9) return ">99.9%";
  return `${FEW.format(percent)}%`;
}

const MOST_LETTERS = 60;

/** A long name by its beginning and its end, which tell most: folder and suffix. */
export function shortenName(name: string): string {
  if (name.length <= MOST_LETTERS) return name;
  const half = Math.floor(MOST_LETTERS / 2);
  return `${name.slice(0, half)}…${name.slice(1 - half)}`;
}

const CENTS = new Intl.NumberFormat("en-GB", {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
});

/** US dollars; a fraction of a cent by its first digits, not as nothing. */
export function formatDollars(dollars: number): string {
  return `$${dollars >= 0.01 || dollars === 0 ? CENTS.format(dollars) : Number(dollars.toPrecision(2))}`;
}

const SIZES = ["B", "kB", "MB", "GB", "TB"] as const;

export function formatBytes(bytes: number): string {
  const power = Math.min(SIZES.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${FEW.format(bytes / 1000 ** power)} ${SIZES[power]}`;
}

export function formatSeconds(seconds: number | null): string {
  if (seconds === null) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${FEW.format(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${FEW.format(hours / 24)} days`;
}

export type TimeDetail = "time" | "minute" | "second";

const PARTS: Readonly<Record<TimeDetail, Intl.DateTimeFormatOptions>> = {
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  minute: { day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" },
  second: {
    day: "2-digit",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  },
};

const formats = new Map<string, Intl.DateTimeFormat>();

export function formatTime(at: Date | number, zone: string, detail: TimeDetail): string {
  const key = `${detail} ${zone}`;
  let format = formats.get(key);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-GB", {
      ...PARTS[detail],
      timeZone: zone,
      hourCycle: "h23",
    });
    formats.set(key, format);
  }
  return format.format(at);
}

const AGO = new Intl.RelativeTimeFormat("en-GB", { numeric: "always" });
const STEPS: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** `3 minutes ago`, `in 2 hours`. */
export function formatAge(at: Date | number, now: number): string {
  const seconds = (Number(at) - now) / 1000;
  const [unit, size] = STEPS.find(([, step]) => Math.abs(seconds) >= step) ?? ["second", 1];
  return AGO.format(Math.trunc(seconds / size), unit);
}
