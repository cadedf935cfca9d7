import type { Proposal } from "../api/types";
import type { Tone } from "../ui/State";

export const KINDS: Readonly<Record<Proposal["kind"], string>> = {
  draft: "a first contract",
  drift: "a changed schema",
  rename: "a renamed column",
};

export const TONES: Readonly<Record<Proposal["state"], Tone>> = {
  open: "warn",
  accepted: "good",
  rejected: "calm",
};

export const PROPOSAL_STATES = Object.keys(TONES) as readonly Proposal["state"][];
