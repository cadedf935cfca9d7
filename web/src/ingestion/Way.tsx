import { useQuery } from "@tanstack/react-query";

import { timelineQuery } from "../api/queries";
import type { Ingestion, StepRun } from "../api/types";
import { formatPlural, formatSeconds } from "../ui/format";
import { ErrorNotice } from "../ui/Notice";
import { Glyph, type Tone } from "../ui/State";
import { Time } from "../ui/Time";
import { STATES } from "./states";

const STEPS = { validate: "Validate", drift: "Judge", load: "Load" } as const;

/** The steps of an ingestion's way: what each took, and how often it was tried. */
export function Way({ ingestion }: { readonly ingestion: Ingestion }) {
  const { data, error, refetch } = useQuery(timelineQuery(ingestion));
  return (
    <>
      {error !== null && <ErrorNotice error={error} retry={() => void refetch()} />}
      <ol className="way" aria-label="Steps">
        <li className="tone-good">
          <Glyph tone="good" />
          <div>
            <strong>Receive</strong>
            <Time at={ingestion.received_at} detail="time" />
          </div>
        </li>
        {Object.entries(STEPS).map(([step, name]) => (
          <StepOfWay
            key={step}
            name={name}
            runs={data?.steps.filter((each) => each.step === step)}
            ingestion={ingestion}
            last={data?.steps.at(-1)?.step === step}
          />
        ))}
      </ol>
    </>
  );
}

function StepOfWay({
  name,
  runs,
  ingestion,
  last,
}: {
  readonly name: string;
  /** Undefined before they are known. */
  readonly runs: readonly StepRun[] | undefined;
  readonly ingestion: Ingestion;
  readonly last: boolean;
}) {
  const run = runs?.at(-1);
  const tone = toneOf(run, ingestion, last);
  const problems = (runs ?? []).flatMap((each) => (each.problem === null ? [] : [each.problem]));
  return (
    <li className={`tone-${tone}`}>
      <Glyph tone={tone} />
      <div>
        <strong>{name}</strong>
        <span>
          {run === undefined
            ? runs === undefined
              ? "…"
              : "not reached"
            : run.seconds === null
              ? "working…"
              : formatSeconds(run.seconds)}
          {runs !== undefined && runs.length > 1 && ` · ${formatPlural(runs.length, "attempt")}`}
        </span>
        {problems.map((problem, index) => (
          <small key={`${index} ${problem}`}>{problem}</small>
        ))}
      </div>
    </li>
  );
}

function toneOf(run: StepRun | undefined, ingestion: Ingestion, last: boolean): Tone {
  if (run === undefined) return "calm";
  const { tone } = STATES[ingestion.state];
  if (last && (tone === "bad" || tone === "fault")) return tone;
  return run.ended_at === null ? "active" : "good";
}
