import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { contractQuery, qualityQuery } from "../api/queries";
import type { Contract, Ingestion, QualityReport, RuleResult } from "../api/types";
import { changed } from "../address";
import { formatCount, formatNumber, formatPlural, formatShare } from "../ui/format";
import { Loaded } from "../ui/Loaded";
import { Notice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { State } from "../ui/State";
import { DatasetRules } from "./DatasetRules";
import { describeExpected } from "./expected";
import { Profiles } from "./Profiles";

/** The quality report: the verdict, then what failed, then what passed. */
export function Quality({ ingestion }: { readonly ingestion: Ingestion }) {
  const query = useQuery(qualityQuery(ingestion));
  const { data: contract } = useQuery({
    ...contractQuery(ingestion.dataset ?? "", ingestion.contract_version ?? undefined),
    enabled: ingestion.dataset !== null && ingestion.contract_version !== null,
  });
  return (
    <Loaded query={query} height={12}>
      {(report) => <Report report={report} contract={contract?.contract} />}
    </Loaded>
  );
}

function Report({
  report,
  contract,
}: {
  readonly report: QualityReport;
  readonly contract: Contract | undefined;
}) {
  const { rules = [], dataset_rules = [], columns = [] } = report;
  const failed = rules.filter((each) => each.failed > 0).sort((a, b) => b.failed - a.failed);
  const passed = rules.filter((each) => each.failed === 0);
  return (
    <>
      <Notice
        tone={report.outcome === "accepted" ? "good" : "bad"}
        title={report.outcome === "accepted" ? "Accepted" : "Rejected"}
      >
        <p>{report.message}</p>
        {report.max_invalid_percent != null && (
          <p className="dim">
            {formatShare(report.balance.rows_quarantined, report.balance.rows_read)} of the rows are
            refused; the contract allows {formatNumber(report.max_invalid_percent)}%.
          </p>
        )}
      </Notice>
      <DatasetRules title="Rules of the whole file" results={dataset_rules} />
      <Section
        title="Rules of rows"
        aside={<span className="dim">{formatPlural(failed.length, "rule")} broken</span>}
      >
        {failed.length === 0 ? (
          <p className="dim">No row breaks a rule.</p>
        ) : (
          <ul className="findings">
            {failed.map((each) => (
              <BrokenRule key={`${each.column} ${each.rule}`} result={each} contract={contract} />
            ))}
          </ul>
        )}
        {passed.length > 0 && (
          <details className="more">
            <summary>{formatPlural(passed.length, "rule")} passed</summary>
            <ul className="columns">
              {passed.map((each) => (
                <li key={`${each.column} ${each.rule}`}>
                  <code>{each.column}</code>{" "}
                  {describeExpected(contract, each.column, each.rule) ?? each.rule}
                </li>
              ))}
            </ul>
          </details>
        )}
      </Section>
      <Profiles columns={columns} contract={contract} />
    </>
  );
}

function BrokenRule({
  result,
  contract,
}: {
  readonly result: RuleResult;
  readonly contract: Contract | undefined;
}) {
  const expected = describeExpected(contract, result.column, result.rule);
  return (
    <li>
      <header>
        <span className="group">
          <State tone="bad" word={result.column} />
          <span className="dim">{result.rule}</span>
        </span>
        <span>
          {formatPlural(result.failed, "row")} of {formatCount(result.checked)} (
          {formatShare(result.failed, result.checked)})
        </span>
      </header>
      <dl className="against">
        <dt>Expected</dt>
        <dd>{expected ?? result.rule}</dd>
        <dt>Observed</dt>
        <dd>
          {groupSamples(result.samples).map(({ value, records }) => (
            <span key={value} className="sample">
              <code>{value}</code>
              <small className="dim">
                {records.length === 1 ? "record" : "records"} {records.join(", ")}
              </small>
            </span>
          ))}
          {result.failed > result.samples.length && (
            <Link
              to="."
              search={changed({ tab: "quarantine", column: result.column, rule: result.rule })}
            >
              all {formatCount(result.failed)}
            </Link>
          )}
        </dd>
        {result.remedies?.length ? (
          <>
            <dt>What to do</dt>
            <dd>{result.remedies.join(" ")}</dd>
          </>
        ) : null}
      </dl>
    </li>
  );
}

/** Each value once, with the records that have it, as faults tend to repeat. */
function groupSamples(samples: RuleResult["samples"]) {
  const groups = new Map<string, string[]>();
  for (const { record, value } of samples) {
    const shown = value === null ? "empty" : String(value);
    groups.set(shown, [...(groups.get(shown) ?? []), String(record)]);
  }
  return [...groups].map(([value, records]) => ({ value, records }));
}
