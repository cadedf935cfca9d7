import type { Contract, QualityReport } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { formatCount, formatPlural } from "../ui/format";
import { Section } from "../ui/Section";

type Profile = NonNullable<QualityReport["columns"]>[number];
type Shown = Profile & { readonly classification: string | null };

const FEW = 3;

/** What stood in each column, refused rows included. */
export function Profiles({
  columns,
  contract,
}: {
  readonly columns: readonly Profile[];
  readonly contract: Contract | undefined;
}) {
  if (columns.length === 0) return null;
  const classes = new Map(contract?.fields.map((each) => [each.name, each.classification]));
  const sampled = Math.max(...columns.map((each) => each.sampled_rows ?? 0));
  return (
    <Section
      title="Columns as they were read"
      aside={
        sampled > 0 && (
          <span className="dim">
            quantiles and frequent values of long columns: from {formatPlural(sampled, "row")}
          </span>
        )
      }
    >
      <DataTable
        label="Columns as they were read"
        columns={COLUMNS}
        rows={columns.map((each) => ({
          ...each,
          classification: classes.get(each.name) ?? null,
        }))}
        rowId={(row) => row.name}
      />
    </Section>
  );
}

const COLUMNS: readonly Column<Shown>[] = [
  {
    id: "name",
    name: "Column",
    cell: ({ name, type }) => (
      <>
        <code>{name}</code>
        <p className="dim">{type}</p>
      </>
    ),
  },
  { id: "cells", name: "Values", numeric: true, cell: ({ cells }) => formatCount(cells) },
  { id: "nulls", name: "Empty", numeric: true, cell: ({ nulls }) => formatCount(nulls) },
  {
    id: "mistyped",
    name: "Mistyped",
    numeric: true,
    cell: ({ mistyped }) => (
      <span className={mistyped ? "tone-bad" : ""}>{formatCount(mistyped)}</span>
    ),
  },
  {
    id: "distinct",
    name: "Distinct",
    numeric: true,
    cell: ({ distinct, distinct_estimated }) =>
      `${distinct_estimated ? "≈ " : ""}${formatCount(distinct)}`,
  },
  { id: "minimum", name: "Least", cell: (row) => showValue(row, row.minimum) },
  { id: "p05", name: "5%", cell: (row) => showValue(row, row.quantiles?.["p05"]) },
  { id: "p50", name: "Median", cell: (row) => showValue(row, row.quantiles?.["p50"]) },
  { id: "p95", name: "95%", cell: (row) => showValue(row, row.quantiles?.["p95"]) },
  { id: "maximum", name: "Most", cell: (row) => showValue(row, row.maximum) },
  { id: "top", name: "Most frequent", wide: true, cell: (row) => <Frequent profile={row} /> },
];

const MOST_LETTERS = 24;

const MOMENT = /^(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d)(:00(\.0+)?)?Z$/;

/** A number by its first digits, a moment without the zeros at its end, a long text's beginning. */
function shorten(value: unknown): string {
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  const text = String(value).replace(MOMENT, "$1\u2011$2\u2011$3 $4");
  return text.length > MOST_LETTERS ? `${text.slice(0, MOST_LETTERS)}…` : text;
}

/** A classified column's values are in no report. */
function isMasked({ classification, cells, minimum, quantiles, top_values }: Shown): boolean {
  const none = minimum == null && quantiles == null && (top_values ?? []).length === 0;
  return none && cells > 0 && classification !== null && classification !== "public";
}

function showValue(profile: Shown, value: unknown) {
  if (value != null) return <code className="value">{shorten(value)}</code>;
  return <span className="dim">{isMasked(profile) ? "masked" : "–"}</span>;
}

function Frequent({ profile }: { readonly profile: Shown }) {
  const values = profile.top_values ?? [];
  if (values.length === 0) return showValue(profile, null);
  return (
    <span className="group" title={values.map(describe).join("\n")}>
      {values.slice(0, FEW).map((each) => (
        <span key={String(each.value)}>
          <code>{shorten(each.value)}</code>{" "}
          <small className="dim">{formatCount(each.count)}</small>
        </span>
      ))}
    </span>
  );
}

const describe = ({ value, count }: NonNullable<Profile["top_values"]>[number]): string =>
  `${String(value)}: ${formatCount(count)}`;
