import type { Freshness } from "../api/types";
import { formatAge } from "../ui/format";
import { State, type Tone } from "../ui/State";

const TONES: Readonly<Record<Freshness["state"], Tone>> = {
  fresh: "good",
  late: "bad",
  empty: "warn",
  undeclared: "calm",
};

const WORDS: Readonly<Record<Freshness["state"], string>> = {
  fresh: "fresh",
  late: "late",
  empty: "never loaded",
  undeclared: "nothing promised",
};

/** Whether a dataset is as new as its contract promises. */
export function FreshnessState({ freshness }: { readonly freshness: Freshness }) {
  const { state, due_at } = freshness;
  const due = due_at === null ? undefined : `due ${formatAge(new Date(due_at), Date.now())}`;
  return <State tone={TONES[state]} word={WORDS[state]} title={due} />;
}
