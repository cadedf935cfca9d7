import type { Ingestion } from "../api/types";
import { State } from "../ui/State";
import { REASONS, STATES } from "./states";

type Shown = Pick<Ingestion, "state" | "reason" | "retract_requested" | "replaced_by">;

export function IngestionState({ ingestion }: { readonly ingestion: Shown }) {
  const { tone, says } = STATES[ingestion.state];
  if (ingestion.retract_requested) return <State tone="active" word="retracting" title={says} />;
  if (ingestion.replaced_by !== null) {
    return <State tone="calm" word="replaced" title="A replay took its place" />;
  }
  return (
    <>
      <State tone={tone} word={ingestion.state} title={says} />
      {ingestion.reason !== null && <small className="dim"> {REASONS[ingestion.reason]}</small>}
    </>
  );
}
