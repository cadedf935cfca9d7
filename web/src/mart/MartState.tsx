import type { Mart } from "../api/types";
import { State, type Tone } from "../ui/State";

const TONES: Readonly<Record<Mart["state"], Tone>> = {
  waiting: "calm",
  building: "active",
  built: "good",
  failed: "bad",
};

export function MartState({ mart }: { readonly mart: Mart }) {
  return <State tone={TONES[mart.state]} word={mart.state} />;
}
