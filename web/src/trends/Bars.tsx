import { Fragment } from "react";

import type { Tone } from "../ui/State";

export interface Bar {
  readonly label: string;
  readonly parts: readonly { readonly value: number; readonly tone: Tone }[];
  /** What the bar says, in words. */
  readonly says: string;
}

const HEIGHT = 64;
const STEP = 10;
const WIDTH = 7;
const LEAST = 2;

/** Days as bars of stacked parts; each says its numbers when it is pointed at, and as a list. */
export function Bars({
  label,
  bars,
  legend,
  format,
}: {
  readonly label: string;
  readonly bars: readonly Bar[];
  readonly legend: Readonly<Partial<Record<Tone, string>>>;
  readonly format: (value: number) => string;
}) {
  const most = Math.max(...bars.map((each) => sum(each)));
  const scale = HEIGHT / Math.max(most, Number.MIN_VALUE);
  return (
    <figure className="bars">
      <svg
        viewBox={`0 0 ${bars.length * STEP} ${HEIGHT}`}
        preserveAspectRatio="none"
        aria-hidden="true"
      >
        {bars.map((bar, index) => (
          <Fragment key={bar.label}>
            <rect className="slot" x={index * STEP} width={STEP} height={HEIGHT}>
              <title>{bar.says}</title>
            </rect>
            <Stack bar={bar} x={index * STEP} scale={scale} />
          </Fragment>
        ))}
      </svg>
      <figcaption>
        <ul className="legend">
          {Object.entries(legend).map(([tone, name]) => (
            <li key={tone} className={`tone-${tone}`}>
              {name}
            </li>
          ))}
        </ul>
        <span>at most {format(most)}</span>
      </figcaption>
      <ul className="hidden" aria-label={label}>
        {bars.map((bar) => (
          <li key={bar.label}>{bar.says}</li>
        ))}
      </ul>
    </figure>
  );
}

function Stack({
  bar,
  x,
  scale,
}: {
  readonly bar: Bar;
  readonly x: number;
  readonly scale: number;
}) {
  let top = HEIGHT;
  return bar.parts
    .filter(({ value }) => value > 0)
    .map(({ value, tone }) => {
      const height = Math.max(LEAST, value * scale);
      top -= height;
      return (
        <rect key={tone} className={`tone-${tone}`} x={x + 1} y={top} width={WIDTH} height={height}>
          <title>{bar.says}</title>
        </rect>
      );
    });
}

function sum({ parts }: Bar): number {
  return parts.reduce((total, { value }) => total + value, 0);
}
