import { useSyncExternalStore } from "react";

/** A setting of this browser, kept from one visit to the next and told to every tab. */
export interface Preference {
  readonly get: () => string;
  readonly set: (value: string) => void;
  readonly subscribe: (listener: () => void) => () => void;
}

export function makePreference(name: string, fallback: string): Preference {
  const key = `eventpulse.${name}`;
  const listeners = new Set<() => void>();
  const tell = () => {
    for (const each of listeners) each();
  };
  addEventListener("storage", (event) => {
    if (event.key === key) tell();
  });
  return {
    get: () => localStorage.getItem(key) ?? fallback,
    set: (value) => {
      localStorage.setItem(key, value);
      tell();
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export function usePreference(preference: Preference): string {
  return useSyncExternalStore(preference.subscribe, preference.get);
}
