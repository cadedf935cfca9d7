import { useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { changed } from "../address";
import { contractQuery, seriesQuery } from "../api/queries";
import type { Contract, DeviceDetail, Series } from "../api/types";
import { Chart, type Limits } from "../charts/Chart";
import { type Range, RANGE_NAMES, RANGES, sinceOf } from "../ingestion/ranges";
import { formatAge } from "../ui/format";
import { Loaded } from "../ui/Loaded";
import { Notice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { together } from "../ui/together";
import { isHeard } from "./states";

const DATASET = "edge_telemetry";

/** Columns that number events, not what is measured. */
const COUNTERS = /^(seq|gap_.*|clock_bound)$/;

/** What the device measured, one chart a column, over the range that stands in the address. */
export function Telemetry({
  device,
  range,
}: {
  readonly device: DeviceDetail;
  readonly range: Range;
}) {
  const query = useQuery(contractQuery(DATASET));
  const until = sinceOf("1h", Date.now() + 3_660_000) ?? "";
  return (
    <>
      <nav className="chips" aria-label="Range">
        {RANGE_NAMES.map((each) => (
          <Link
            key={each}
            to="."
            search={changed({ range: each === "24h" ? undefined : each })}
            activeOptions={{ exact: true, includeSearch: true, explicitUndefined: true }}
            aria-current={each === range ? "true" : undefined}
          >
            {RANGES[each].name}
          </Link>
        ))}
      </nav>
      {!isHeard(device) && device.last_seen !== null && (
        <Notice
          tone="warn"
          title={`Not heard of: the last values are from ${formatAge(new Date(device.last_seen), Date.now())}`}
        />
      )}
      <Loaded query={query} height={12}>
        {({ contract }) => (
          <Charts
            device={device}
            fields={contract.fields.filter(isMeasured)}
            since={sinceOf(range) ?? ""}
            until={until}
          />
        )}
      </Loaded>
    </>
  );
}

type Field = Contract["fields"][number];

function isMeasured({ name, type }: Field): boolean {
  return (type === "number" || type === "integer") && !COUNTERS.test(name);
}

/** One chart for each column that has values; the others are named. */
function Charts({
  device,
  fields,
  since,
  until,
}: {
  readonly device: DeviceDetail;
  readonly fields: readonly Field[];
  readonly since: string;
  readonly until: string;
}) {
  const queries = useQueries({
    queries: fields.map(({ name }) => seriesQuery(device.id, name, since, until)),
  });
  return (
    <Loaded query={together(...queries)} height={12}>
      {(all) => {
        const empty = all.filter(({ points }) => points.length === 0).map(({ column }) => column);
        return (
          <>
            <div className="halves">
              {all
                .filter(({ points }) => points.length > 0)
                .map((series) => (
                  <Measured
                    key={series.column}
                    series={series}
                    limits={fields.find(({ name }) => name === series.column)?.alert ?? null}
                    stale={!isHeard(device)}
                  />
                ))}
            </div>
            {empty.length > 0 && (
              <p className="dim">No values in this range: {empty.join(", ")}.</p>
            )}
          </>
        );
      }}
    </Loaded>
  );
}

function Measured({
  series,
  limits,
  stale,
}: {
  readonly series: Series;
  readonly limits: Limits | null;
  readonly stale: boolean;
}) {
  return (
    <Section
      title={series.column}
      aside={limits && <span className="dim">{describe(limits)}</span>}
    >
      <Chart
        label={series.column}
        points={series.points}
        stepSeconds={series.step_seconds}
        since={series.since}
        until={series.until}
        limits={limits}
        stale={stale}
      />
    </Section>
  );
}

function describe({ above, below }: Limits): string {
  const words = [above != null && `above ${above}`, below != null && `below ${below}`];
  return `alerts ${words.filter(Boolean).join(" or ")}`;
}
