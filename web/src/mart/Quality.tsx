import { useQuery } from "@tanstack/react-query";

import { martReportQuery } from "../api/queries";
import type { MartDetail, MartReport } from "../api/types";
import { DatasetRules } from "../ingestion/DatasetRules";
import { type Column, DataTable } from "../ui/DataTable";
import { formatCount, formatPlural } from "../ui/format";
import { Loaded } from "../ui/Loaded";
import { Notice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { State } from "../ui/State";

type Result = NonNullable<MartReport["rules"]>[number];

const COLUMNS: readonly Column<Result>[] = [
  { id: "column", name: "Column", cell: ({ column }) => <State tone="bad" word={column} /> },
  { id: "rule", name: "Rule", cell: ({ rule }) => rule },
  { id: "rows", name: "Rows", numeric: true, cell: ({ failed }) => formatCount(failed) },
  { id: "message", name: "Finding", wide: true, cell: ({ message }) => message },
];

/** Whether the last build keeps the mart's own contract; `finding` says what breaks it. */
export function Verdict({ finding }: { readonly finding: MartDetail["finding"] }) {
  return finding === null ? (
    <Notice tone="good" title="The build keeps its contract" />
  ) : (
    <Notice tone="bad" title="The build breaks its contract">
      <p>{finding}</p>
    </Notice>
  );
}

/** Every rule of the contract, broken ones first; last on its page, since it comes later. */
export function Rules({ mart }: { readonly mart: MartDetail }) {
  const query = useQuery({ ...martReportQuery(mart.name), enabled: mart.quality_uri !== null });
  if (mart.quality_uri === null) return null;
  return (
    <Loaded query={query} height={6}>
      {({ rules = [], dataset_rules = [] }) => (
        <>
          {rules.length > 0 && (
            <RowRules
              failed={rules.filter((each) => each.failed > 0)}
              passed={rules.filter((each) => each.failed === 0)}
            />
          )}
          <DatasetRules title="Rules of the whole mart" results={dataset_rules} />
        </>
      )}
    </Loaded>
  );
}

function RowRules({
  failed,
  passed,
}: {
  readonly failed: readonly Result[];
  readonly passed: readonly Result[];
}) {
  return (
    <Section
      title="Rules of rows"
      aside={<span className="dim">{formatPlural(failed.length, "rule")} broken</span>}
    >
      {failed.length === 0 ? (
        <p className="dim">No row breaks a rule.</p>
      ) : (
        <DataTable
          label="Rules of rows"
          columns={COLUMNS}
          rows={failed.toSorted((a, b) => b.failed - a.failed)}
          rowId={({ column, rule }) => `${column} ${rule}`}
        />
      )}
      {passed.length > 0 && (
        <details className="more">
          <summary>{formatPlural(passed.length, "rule")} passed</summary>
          <ul className="columns">
            {passed.map(({ column, rule }) => (
              <li key={`${column} ${rule}`}>
                <code>{column}</code> {rule}
              </li>
            ))}
          </ul>
        </details>
      )}
    </Section>
  );
}
