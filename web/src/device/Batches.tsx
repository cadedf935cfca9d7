import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { deviceBatchesQuery, deviceGapsQuery } from "../api/queries";
import type { Batch } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { Empty } from "../ui/Empty";
import { formatBytes, formatCount } from "../ui/format";
import { Loaded } from "../ui/Loaded";
import { Pages } from "../ui/Pages";
import { Section } from "../ui/Section";
import { State } from "../ui/State";
import { Time } from "../ui/Time";
import { together } from "../ui/together";
import { Gaps } from "./Gaps";

const COLUMNS: readonly Column<Batch>[] = [
  {
    id: "state",
    name: "State",
    cell: ({ state, problem }) => (
      <State tone={problem === null ? "calm" : "bad"} word={state} title={problem ?? undefined} />
    ),
  },
  {
    id: "events",
    name: "Events",
    wide: true,
    cell: ({ epoch, first, last, ingestion, problem }) => (
      <>
        {ingestion === null ? (
          `${first}–${last}`
        ) : (
          <Link to="/ingestions/$id" params={{ id: ingestion }}>
            {first}–{last}
          </Link>
        )}{" "}
        <span className="dim">of {epoch}</span>
        {problem !== null && <p className="tone-bad">{problem}</p>}
      </>
    ),
  },
  { id: "rows", name: "Rows", numeric: true, cell: ({ rows }) => formatCount(rows) },
  { id: "bytes", name: "Size", numeric: true, cell: ({ bytes }) => formatBytes(bytes) },
  { id: "claimed", name: "Announced", cell: ({ claimed_at }) => <Time at={claimed_at} /> },
  { id: "landed", name: "Landed", cell: ({ landed_at }) => <Time at={landed_at} /> },
];

/** What of the device's events is missing, and its batches, each with the ingestion that reads it. */
export function Batches({
  device,
  cursor,
}: {
  readonly device: string;
  readonly cursor: string | undefined;
}) {
  const gaps = useQuery(deviceGapsQuery(device));
  const batches = useQuery(deviceBatchesQuery(device, cursor));
  return (
    <Loaded query={together(gaps, batches)} height={8}>
      {([{ epochs }, { batches, next_cursor }]) => (
        <>
          <Gaps epochs={epochs} />
          <Section title="Batches">
            {batches.length === 0 ? (
              <Empty title="Waiting for its first events.">
                <p>A batch comes when the agent seals one: at an alarm at once.</p>
              </Empty>
            ) : (
              <DataTable
                label="Batches"
                columns={COLUMNS}
                rows={batches}
                rowId={({ object }) => object}
              />
            )}
            <Pages label="Pages of batches" cursor={cursor} next={next_cursor} />
          </Section>
        </>
      )}
    </Loaded>
  );
}
