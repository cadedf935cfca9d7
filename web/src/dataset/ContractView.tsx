import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { contractQuery, contractTextQuery } from "../api/queries";
import type { Contract, DatasetDetail } from "../api/types";
import { ContractDiff } from "./ContractDiff";
import { changed } from "../address";
import { type Column, DataTable } from "../ui/DataTable";
import { Empty } from "../ui/Empty";
import { Facts } from "../ui/Facts";
import { formatSeconds } from "../ui/format";
import { Loaded } from "../ui/Loaded";
import { Section } from "../ui/Section";

/** A contract as it is enforced, and as it was written. */
export function ContractView({
  dataset,
  version,
}: {
  readonly dataset: DatasetDetail;
  readonly version: string | undefined;
}) {
  const navigate = useNavigate();
  const query = useQuery({
    ...contractQuery(dataset.name, version),
    enabled: dataset.contract_version !== null,
  });
  if (dataset.contract_version === null) {
    return (
      <Empty title="It has no contract.">
        <p>
          Publish one: <code>eventpulse contract publish contracts/</code>
        </p>
      </Empty>
    );
  }
  const shown = version ?? dataset.contract_version;
  return (
    <>
      <div className="filters">
        <label>
          <span>Version</span>
          <select
            value={shown}
            onChange={({ target }) =>
              void navigate({
                to: ".",
                search: changed({ version: target.value }),
              })
            }
          >
            {dataset.contract_versions.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
      </div>
      <Loaded query={query} height={14}>
        {({ contract }) => (
          <>
            <Parsed contract={contract} />
            <Written dataset={dataset.name} version={version} />
            <ContractDiff
              key={version}
              dataset={dataset.name}
              version={shown}
              versions={dataset.contract_versions}
            />
          </>
        )}
      </Loaded>
    </>
  );
}

function Parsed({ contract }: { readonly contract: Contract }) {
  const { drift = {}, service_level } = contract;
  return (
    <>
      <Section title="What a file must be">
        {contract.description && <p>{contract.description}</p>}
        <Facts
          facts={{
            Format: contract.dialect?.format ?? "found out from the file",
            "Most refused rows": `${contract.max_invalid_percent}%`,
            "Newest wins by": contract.ordering && <code>{contract.ordering}</code>,
            "Expected every": service_level?.frequency && formatSeconds(service_level.frequency),
            ...Object.fromEntries(
              Object.entries(drift).map(([kind, mode]) => [DRIFT[kind] ?? kind, spell(mode)]),
            ),
          }}
        />
      </Section>
      <Section title="Columns">
        <DataTable
          label="Columns of the contract"
          columns={FIELDS}
          rows={contract.fields}
          rowId={({ name }) => name}
        />
      </Section>
    </>
  );
}

const DRIFT: Readonly<Record<string, string>> = {
  added: "A new column",
  removed: "A missing column",
  renamed: "A renamed column",
  retyped: "Another type",
  nullability: "Missing values",
};

const spell = (mode: unknown): string => String(mode).replaceAll("_", " ");

type Field = Contract["fields"][number];

const FIELDS: readonly Column<Field>[] = [
  {
    id: "name",
    name: "Column",
    cell: ({ name, key_position }) => (
      <>
        <code>{name}</code>{" "}
        {key_position != null && <small className="dim">key {key_position}</small>}
      </>
    ),
  },
  { id: "type", name: "Type", cell: ({ type }) => type },
  {
    id: "header",
    name: "Header in the file",
    cell: ({ header, name, aliases }) => [header || name, ...(aliases ?? [])].join(", "),
  },
  {
    id: "rules",
    name: "Rules",
    wide: true,
    cell: (field) => describeRules(field) || <span className="dim">–</span>,
  },
  { id: "description", name: "Meaning", wide: true, cell: ({ description }) => description },
  {
    id: "classification",
    name: "Class",
    cell: ({ classification }) => classification ?? <span className="dim">–</span>,
  },
];

function describeRules({ required, unique, options }: Field): string {
  const declared = Object.entries(options ?? {})
    .filter(([, value]) => value !== null && !(Array.isArray(value) && value.length === 0))
    .map(
      ([name, value]) =>
        `${name.replaceAll("_", " ")} ${Array.isArray(value) ? value.join(", ") : value}`,
    );
  return [...(required ? ["required"] : []), ...(unique ? ["unique"] : []), ...declared].join(
    " · ",
  );
}

function Written({
  dataset,
  version,
}: {
  readonly dataset: string;
  readonly version: string | undefined;
}) {
  const [open, setOpen] = useState(false);
  const query = useQuery({ ...contractTextQuery(dataset, version), enabled: open });
  return (
    <details className="more" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>As it was written (YAML)</summary>
      {open && (
        <Loaded query={query} height={12}>
          {(yaml) => (
            <pre className="code" tabIndex={0}>
              {String(yaml)}
            </pre>
          )}
        </Loaded>
      )}
    </details>
  );
}
