import type { Trends } from "../api/types";
import { formatCount, formatDollars, formatSeconds } from "../ui/format";
import { Section } from "../ui/Section";
import { Bars } from "./Bars";
import { barOfCost, barOfEnds, barOfLatency, barOfRows, fillDays } from "./days";

/** Volume, quality, latency and cost, day by day (UTC). */
export function TrendCharts({ trends }: { readonly trends: Trends }) {
  const days = fillDays(trends.since, trends.until, trends.days);
  return (
    <>
      <div className="quarters">
        <Section title="Ingestions a day">
          <Bars
            label="Ingestions a day"
            bars={days.map(barOfEnds)}
            legend={{ good: "loaded", bad: "rejected", fault: "failed", calm: "other" }}
            format={formatCount}
          />
        </Section>
        <Section title="Rows a day">
          <Bars
            label="Rows a day"
            bars={days.map(barOfRows)}
            legend={{ active: "accepted", bad: "refused" }}
            format={formatCount}
          />
        </Section>
        <Section title="95% loaded within">
          <Bars
            label="Time to load, by day"
            bars={days.map(barOfLatency)}
            legend={{ active: "95%" }}
            format={formatSeconds}
          />
        </Section>
        <Section title="Estimated cost a day">
          <Bars
            label="Estimated cost a day"
            bars={days.map(barOfCost)}
            legend={{ active: "at list prices" }}
            format={formatDollars}
          />
        </Section>
      </div>
      <p className="dim fine">Cost: {trends.cost_basis}</p>
    </>
  );
}
