import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { contractQuery, driftQuery } from "../api/queries";
import type { Contract, DriftChange, DriftVerdict, Ingestion } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { Loaded } from "../ui/Loaded";
import { Notice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { State, type Tone } from "../ui/State";

const OUTCOMES: Readonly<
  Record<DriftVerdict["outcome"], { readonly tone: Tone; readonly title: string }>
> = {
  accepted: { tone: "good", title: "The schema is accepted" },
  evolved: { tone: "warn", title: "The schema is accepted, and the table evolves" },
  rejected: { tone: "bad", title: "The schema is refused" },
  not_evaluated: { tone: "calm", title: "The schema was not judged" },
};

const MODES: Readonly<Record<DriftChange["mode"], string>> = {
  evolve: "the table follows",
  freeze: "the file is refused",
  discard_row: "such rows are refused",
  discard_value: "such values are left out",
};

/** The drift verdict: what changed and what follows, the columns before and after, the patch. */
export function Drift({ ingestion }: { readonly ingestion: Ingestion }) {
  const query = useQuery(driftQuery(ingestion));
  const { data: contract } = useQuery({
    ...contractQuery(ingestion.dataset ?? "", ingestion.contract_version ?? undefined),
    enabled: ingestion.dataset !== null && ingestion.contract_version !== null,
  });
  return (
    <Loaded query={query} height={8}>
      {(verdict) => <Verdict verdict={verdict} contract={contract?.contract} />}
    </Loaded>
  );
}

function Verdict({
  verdict,
  contract,
}: {
  readonly verdict: DriftVerdict;
  readonly contract: Contract | undefined;
}) {
  const { changes = [], header = [], observed = {}, patch = [] } = verdict;
  return (
    <>
      <Notice {...OUTCOMES[verdict.outcome]}>
        <p>{verdict.message}</p>
      </Notice>
      {changes.length > 0 && (
        <Section title="Changes">
          <DataTable
            label="Changes"
            columns={CHANGES}
            rows={changes}
            rowId={({ kind, column }) => `${kind} ${column}`}
          />
        </Section>
      )}
      {patch.length > 0 && <Patch patch={patch} proposal={verdict.proposal ?? null} />}
      {header.length > 0 && contract && (
        <Section title="Columns before and after">
          <DataTable
            label="Columns before and after"
            columns={COMPARED}
            rows={compareColumns(contract, header, observed, changes)}
            rowId={({ name, before }) => `${name} ${before}`}
          />
        </Section>
      )}
    </>
  );
}

const CHANGES: readonly Column<DriftChange>[] = [
  {
    id: "kind",
    name: "Change",
    cell: ({ kind, rejects }) => <State tone={rejects ? "bad" : "warn"} word={kind} />,
  },
  { id: "column", name: "Column", cell: ({ column }) => <code>{column}</code> },
  { id: "seen", name: "Seen", cell: ({ seen }) => <p>{seen}</p> },
  {
    id: "expected",
    name: "Contract",
    cell: ({ expected }) => expected ?? <span className="dim">–</span>,
  },
  {
    id: "observed",
    name: "File",
    cell: ({ observed }) => observed ?? <span className="dim">–</span>,
  },
  {
    id: "mode",
    name: "Policy",
    cell: ({ mode }) => (
      <>
        {mode.replaceAll("_", " ")}
        <p className="dim">{MODES[mode]}</p>
      </>
    ),
  },
  { id: "effect", name: "What follows", wide: true, cell: ({ effect }) => effect },
];

interface Compared {
  readonly name: string;
  readonly before: string | null;
  readonly after: string | null;
}

const COMPARED: readonly Column<Compared>[] = [
  { id: "name", name: "Column", cell: ({ name }) => <code>{name}</code> },
  {
    id: "before",
    name: "Contract",
    cell: ({ before }) => before ?? <State tone="warn" word="not in it" />,
  },
  { id: "after", name: "File", cell: ({ after }) => after ?? <State tone="bad" word="missing" /> },
];

/** The contract's columns and the file's, each with its type on either side. */
function compareColumns(
  contract: Contract,
  header: readonly string[],
  observed: Readonly<Record<string, string>>,
  changes: readonly DriftChange[],
): readonly Compared[] {
  const removed = new Set(
    changes.flatMap((each) => (each.kind === "removed" ? [each.column] : [])),
  );
  const known = new Set(
    contract.fields.flatMap((each) => [each.name, each.header ?? "", ...(each.aliases ?? [])]),
  );
  return [
    ...contract.fields.map(({ name, type = "string" }) => ({
      name,
      before: type,
      after: removed.has(name) ? null : (observed[name] ?? "as declared"),
    })),
    ...header
      .filter((name) => !known.has(name))
      .map((name) => ({ name, before: null, after: observed[name] ?? "new" })),
  ];
}

const PATCHES: Readonly<Record<string, string>> = {
  add: "Add the property",
  remove: "Take out the property",
  replace: "Change the property",
};

function Patch({
  patch,
  proposal,
}: {
  readonly patch: NonNullable<DriftVerdict["patch"]>;
  readonly proposal: string | null;
}) {
  return (
    <Section
      title="The patch that would accept it"
      aside={
        proposal !== null && (
          <Link to="/proposals/$id" params={{ id: proposal }} className="button primary">
            Decide on it
          </Link>
        )
      }
    >
      <ul className="lines">
        {patch.map((each) => {
          const property = Object.entries((each.property ?? {}) as Record<string, unknown>);
          return (
            <li key={JSON.stringify(each)}>
              <strong>{PATCHES[String(each.op)] ?? String(each.op)}</strong>
              <pre>{property.map(([name, value]) => `${name}: ${String(value)}`).join("\n")}</pre>
            </li>
          );
        })}
      </ul>
      {proposal === null && (
        <p className="dim">
          Write it into the contract under a new version and publish that; then replay the file.
        </p>
      )}
    </Section>
  );
}
