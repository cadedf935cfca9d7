import type { Ingestion, IngestionState } from "../api/types";
import type { Tone } from "../ui/State";

/** Every state in the order of an ingestion's way, with how it is shown. */
export const STATES: Readonly<
  Record<IngestionState, { readonly tone: Tone; readonly says: string }>
> = {
  received: { tone: "active", says: "Waiting to be validated" },
  validated: { tone: "active", says: "Waiting for the verdict" },
  accepted: { tone: "active", says: "Waiting to be loaded" },
  loaded: { tone: "good", says: "Its rows are in the table" },
  rejected: { tone: "bad", says: "Refused as a whole" },
  failed: { tone: "fault", says: "A fault outlived its retries; replay it" },
  duplicate: { tone: "calm", says: "The same content was there before" },
  retracted: { tone: "calm", says: "Its rows were taken out again" },
};

export const STATE_NAMES = Object.keys(STATES) as readonly IngestionState[];

export const REASONS: Readonly<Record<NonNullable<Ingestion["reason"]>, string>> = {
  unreadable: "unreadable",
  no_contract: "no contract",
  revoked: "device revoked",
  drift: "schema drift",
  quality: "quality",
};

export function isActive({ state, retract_requested }: Ingestion): boolean {
  return STATES[state].tone === "active" || retract_requested;
}

export const REASON_NAMES = Object.keys(REASONS) as readonly (keyof typeof REASONS)[];
