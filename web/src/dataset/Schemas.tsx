import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { changed } from "../address";
import { schemasQuery } from "../api/queries";
import type { SchemaHistory } from "../api/types";
import { Empty } from "../ui/Empty";
import { Loaded } from "../ui/Loaded";
import { Section } from "../ui/Section";
import { State, type Tone } from "../ui/State";
import { Age } from "../ui/Time";
import { compareSchemas } from "./compareSchemas";

const route = getRouteApi("/datasets/$name");

/** The schemas that files had and that were accepted, any two of them compared. */
export function Schemas({ dataset }: { readonly dataset: string }) {
  const query = useQuery(schemasQuery(dataset));
  return (
    <Loaded query={query} height={10}>
      {(history) => (
        <>
          <Compare history={history} />
          <Observed observed={history.observed} />
        </>
      )}
    </Loaded>
  );
}

interface Choice {
  /** As it stands in the address. */
  readonly id: string;
  readonly name: string;
  readonly schema: Readonly<Record<string, string>>;
}

function Compare({ history }: { readonly history: SchemaHistory }) {
  const choices: readonly Choice[] = [
    ...history.accepted.map(({ version, observed }) => ({
      id: `v${version}`,
      name: `accepted, version ${version}`,
      schema: observed,
    })),
    ...history.observed.map(({ object, ingestion, observed }) => ({
      id: ingestion,
      name: `${object} (${ingestion.slice(0, 8)})`,
      schema: observed,
    })),
  ];
  const { before, after } = route.useSearch();
  const navigate = route.useNavigate();
  const choose = (changes: Readonly<Record<string, string>>) =>
    void navigate({ to: ".", search: changed(changes), resetScroll: false });
  if (choices.length === 0) {
    return <Empty title="No file of it was judged yet, so no schema is known." />;
  }
  const find = (id: string | undefined, otherwise: number) =>
    choices.find((each) => each.id === id) ?? choices[Math.min(otherwise, choices.length - 1)];
  const [old, current] = [find(before, 1), find(after, 0)];
  const changes = compareSchemas(old?.schema ?? {}, current?.schema ?? {});
  return (
    <Section title="Compare two schemas">
      <div className="filters long">
        <Choose
          label="Before"
          choices={choices}
          value={old?.id}
          onChange={(before) => choose({ before })}
        />
        <Choose
          label="After"
          choices={choices}
          value={current?.id}
          onChange={(after) => choose({ after })}
        />
      </div>
      {changes.length === 0 ? (
        <p className="dim">They are the same.</p>
      ) : (
        <ul className="lines">
          {changes.map(({ column, kind, before, after }) => (
            <li key={column}>
              <code>{column}</code>
              <State tone={kind === "removed" ? "bad" : "warn"} word={kind} />
              <span>
                {before ?? "–"} → {after ?? "–"}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function Choose({
  label,
  choices,
  value,
  onChange,
}: {
  readonly label: string;
  readonly choices: readonly Choice[];
  readonly value: string | undefined;
  readonly onChange: (value: string) => void;
}) {
  return (
    <label>
      <span>{label}</span>
      <select value={value} onChange={({ target }) => onChange(target.value)}>
        {choices.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

const TONES: Readonly<Record<SchemaHistory["observed"][number]["outcome"], Tone>> = {
  accepted: "good",
  evolved: "warn",
  rejected: "bad",
  not_evaluated: "calm",
};

function Observed({ observed }: { readonly observed: SchemaHistory["observed"] }) {
  if (observed.length === 0) return null;
  return (
    <Section title="What files had">
      <ul className="lines">
        {observed.map((each) => (
          <li key={each.ingestion}>
            <Link to="/ingestions/$id" params={{ id: each.ingestion }} search={{ tab: "drift" }}>
              {each.object}
            </Link>
            <State tone={TONES[each.outcome]} word={each.outcome.replace("_", " ")} />
            <span className="dim">
              <Age at={each.received_at} />
            </span>
            {each.outcome !== "accepted" && <p className="dim">{each.message}</p>}
          </li>
        ))}
      </ul>
    </Section>
  );
}
