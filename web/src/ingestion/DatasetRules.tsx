import type { QualityReport } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { formatNumber } from "../ui/format";
import { Section } from "../ui/Section";
import { State } from "../ui/State";

type DatasetRule = NonNullable<QualityReport["dataset_rules"]>[number];

const RULES: readonly Column<DatasetRule>[] = [
  {
    id: "passed",
    name: "Verdict",
    cell: ({ passed, severity }) =>
      passed ? (
        <State tone="good" word="passed" />
      ) : (
        <State
          tone={severity === "error" ? "bad" : "warn"}
          word={severity === "error" ? "broken" : "warning"}
        />
      ),
  },
  {
    id: "name",
    name: "Rule",
    wide: true,
    cell: (rule) => (
      <>
        {rule.name}
        <p className="dim">
          {rule.columns.length > 0 ? `${rule.metric} of ${rule.columns.join(", ")}` : rule.metric}
        </p>
        {rule.problem && <p className="tone-bad">{rule.problem}</p>}
      </>
    ),
  },
  { id: "expected", name: "Expected", cell: ({ expected, unit }) => `${expected} ${unit}` },
  {
    id: "observed",
    name: "Observed",
    numeric: true,
    cell: ({ observed }) =>
      observed === null ? <span className="dim">no answer</span> : formatNumber(observed),
  },
];

/** Rules over a whole file or mart, the broken ones first: what was expected, and what was found. */
export function DatasetRules({
  title,
  results,
}: {
  readonly title: string;
  readonly results: readonly DatasetRule[];
}) {
  if (results.length === 0) return null;
  const sorted = results.toSorted((a, b) => Number(a.passed) - Number(b.passed));
  return (
    <Section title={title}>
      <DataTable label={title} columns={RULES} rows={sorted} rowId={(row) => row.name} />
    </Section>
  );
}
