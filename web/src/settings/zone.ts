import { makePreference, usePreference } from "./preference";

export const BROWSER = "browser";

export const zone = makePreference("zone", BROWSER);

export const browserZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** The chosen time zone's IANA name. */
export function useZone(): string {
  const chosen = usePreference(zone);
  return chosen === BROWSER || !isZone(chosen) ? browserZone() : chosen;
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en-GB", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
