export interface Point {
  readonly at: string;
  readonly mean: number | null;
  readonly least: number | null;
  readonly greatest: number | null;
}

type Column = (number | null)[];

/** Points as columns of seconds, means, least and greatest values. Where a step has no point, one
 * of nulls stands, so that no line is drawn across a gap. */
export function toColumns(
  points: readonly Point[],
  stepSeconds: number,
): [number[], Column, Column, Column] {
  const columns: [number[], Column, Column, Column] = [[], [], [], []];
  const add = (at: number, ...values: readonly (number | null)[]) => {
    columns[0].push(at);
    values.forEach((value, index) => (columns[index + 1] as Column).push(value));
  };
  for (const { at, mean, least, greatest } of points) {
    const seconds = Date.parse(at) / 1000;
    const before = columns[0].at(-1);
    if (before !== undefined && seconds - before > 1.5 * stepSeconds) {
      add(before + stepSeconds, null, null, null);
    }
    add(seconds, mean, least, greatest);
  }
  return columns;
}

/** Room for the widest label of an axis, its tick and what is between them, in pixels. */
export function sizeAxis(labels: readonly string[], measure: (text: string) => number): number {
  return Math.max(52, Math.ceil(Math.max(0, ...labels.map(measure))) + 16);
}

/** Five digits, and all of those before the point. */
export function showNumber(value: number): string {
  const whole = String(Math.trunc(Math.abs(value))).length;
  return String(Number(value.toPrecision(Math.max(5, whole))));
}
