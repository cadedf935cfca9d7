import "uplot/dist/uPlot.min.css";

import { useEffect, useRef } from "react";
import uPlot from "uplot";

import { useDark } from "../settings/theme";
import { useZone } from "../settings/zone";
import { formatTime } from "../ui/format";
import { showNumber, sizeAxis, toColumns } from "./columns";
import type { Point } from "./columns";

export interface Limits {
  readonly above?: number | null;
  readonly below?: number | null;
}

const HEIGHT = 150;
const SYNC = "telemetry";

/**
 * A column over time: its mean, within the band of its extremes. Gaps stay gaps; limits are drawn;
 * the values of a device that is not heard of are grey. All charts of a page share their cursor.
 */
export function Chart({
  label,
  points,
  stepSeconds,
  since,
  until,
  limits,
  stale,
}: {
  readonly label: string;
  readonly points: readonly Point[];
  readonly stepSeconds: number;
  readonly since: string;
  readonly until: string;
  readonly limits: Limits | null;
  readonly stale: boolean;
}) {
  const frame = useRef<HTMLDivElement>(null);
  const zone = useZone();
  const dark = useDark();
  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const color = readColors(element);
    const line = stale ? color("--dim") : color("--accent");
    const plot = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        cursor: { sync: { key: SYNC }, drag: { x: false, y: false } },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
        scales: { x: { range: [Date.parse(since) / 1000, Date.parse(until) / 1000] } },
        legend: { live: true },
        axes: [
          axis(color, (at) => formatTime(at * 1000, zone, "time").slice(0, 5)),
          { ...axis(color), size: (drawn, labels) => sizeAxis(labels ?? [], measureIn(drawn)) },
        ],
        series: [
          {
            label: "Time",
            value: (_, at) => (at === null ? "–" : formatTime(at * 1000, zone, "second")),
          },
          { label, stroke: line, width: 1.6, spanGaps: false, value: showValue },
          { label: "least", stroke: "transparent", spanGaps: false, value: showValue },
          { label: "greatest", stroke: "transparent", spanGaps: false, value: showValue },
        ],
        bands: [{ series: [3, 2], fill: fade(line) }],
        hooks: { draw: [(drawn) => drawLimits(drawn, limits, color("--bad"))] },
      },
      toColumns(points, stepSeconds),
      element,
    );
    const resized = new ResizeObserver(() =>
      plot.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    resized.observe(element);
    return () => {
      resized.disconnect();
      plot.destroy();
    };
  }, [label, points, stepSeconds, since, until, limits, stale, zone, dark]);
  return <div ref={frame} className="chart" role="img" aria-label={describe(label, points)} />;
}

function describe(label: string, points: readonly Point[]): string {
  const values = points.flatMap(({ least, greatest }) =>
    least === null || greatest === null ? [] : [least, greatest],
  );
  if (values.length === 0) return `${label}: no values`;
  return `${label}: from ${showNumber(Math.min(...values))} to ${showNumber(Math.max(...values))}`;
}

function readColors(element: Element) {
  const probe = getComputedStyle(element);
  const canvas = document.createElement("span");
  return (name: string): string => {
    canvas.style.color = probe.getPropertyValue(name);
    element.append(canvas);
    const color = getComputedStyle(canvas).color;
    canvas.remove();
    return color;
  };
}

const fade = (color: string): string => color.replace("rgb(", "rgba(").replace(")", ", 0.16)");

function axis(color: (name: string) => string, show?: (value: number) => string): uPlot.Axis {
  return {
    stroke: color("--dim"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: color("--line"), width: 1 },
    ticks: { stroke: color("--line"), width: 1 },
    ...(show && { values: (_: uPlot, values: number[]) => values.map(show) }),
  };
}

/** The width of a label in CSS pixels; the canvas is drawn in the screen's. */
function measureIn({ ctx }: uPlot) {
  return (text: string): number => {
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    return ctx.measureText(text).width / devicePixelRatio;
  };
}

function drawLimits(plot: uPlot, limits: Limits | null, color: string): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = color;
  ctx.setLineDash([5, 4]);
  for (const limit of [limits?.above, limits?.below]) {
    if (limit == null) continue;
    const y = plot.valToPos(limit, "y", true);
    if (y < bbox.top || y > bbox.top + bbox.height) continue;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}

const showValue = (_: unknown, value: number | null): string =>
  value === null ? "–" : showNumber(value);
