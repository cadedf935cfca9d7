import type { Compatibility as Found } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { Facts } from "../ui/Facts";
import { State, type Tone } from "../ui/State";

const MODES: Readonly<Record<Found["mode"], { readonly tone: Tone; readonly says: string }>> = {
  FULL: { tone: "good", says: "each version accepts the files of the other" },
  BACKWARD: { tone: "good", says: "files of the old version are accepted by the new one" },
  FORWARD: { tone: "warn", says: "files of the new version are accepted by the old one only" },
  NONE: { tone: "bad", says: "neither version accepts all files of the other" },
};

/** How two versions of a contract stand to each other, and what that asks of the version. */
export function Compatibility({ found }: { readonly found: Found }) {
  const { mode, transitive, enough, needed_version, differences } = found;
  return (
    <>
      <Facts
        facts={{
          Compatibility: (
            <>
              <State tone={MODES[mode].tone} word={mode} />
              <p className="dim">{MODES[mode].says}</p>
            </>
          ),
          "Against every version before": (
            <State tone={MODES[transitive].tone} word={transitive} title={MODES[transitive].says} />
          ),
          "Version that it asks for": (
            <>
              <State
                tone={enough ? "good" : "warn"}
                word={enough ? `${found.new} is enough` : `${needed_version} or higher`}
              />
              <p className="dim">
                {found.bump === "none" ? "nothing that counts has changed" : `a ${found.bump} step`}
              </p>
            </>
          ),
        }}
      />
      {differences.length > 0 && (
        <DataTable
          label="Differences"
          columns={DIFFERENCES}
          rows={differences}
          rowId={({ path, what }) => `${path} ${what}`}
        />
      )}
    </>
  );
}

const DIFFERENCES: readonly Column<Found["differences"][number]>[] = [
  { id: "path", name: "Where", cell: ({ path }) => <code>{path}</code> },
  {
    id: "what",
    name: "What changed",
    wide: true,
    cell: ({ what, why }) => (
      <>
        {what}
        <p className="dim">{why}</p>
      </>
    ),
  },
  { id: "backward", name: "New reads old files", cell: ({ backward }) => <Kept kept={backward} /> },
  { id: "forward", name: "Old reads new files", cell: ({ forward }) => <Kept kept={forward} /> },
  { id: "bump", name: "Step", cell: ({ bump }) => bump },
];

function Kept({ kept }: { readonly kept: boolean }) {
  return <State tone={kept ? "good" : "bad"} word={kept ? "yes" : "no"} />;
}
