import type { Backfill } from "../api/types";
import type { Tone } from "../ui/State";

export const TONES: Readonly<Record<Backfill["state"], Tone>> = {
  planning: "active",
  planned: "warn",
  running: "active",
  paused: "warn",
  done: "good",
  cancelled: "calm",
  failed: "fault",
};
