import { useSyncExternalStore } from "react";

import { forgetToken, keepToken } from "./token";

let refused = false;
const listeners = new Set<() => void>();

function change(next: boolean): void {
  refused = next;
  for (const each of listeners) each();
}

/** Whether the API lets this tab in; it is found out by asking. */
export const session = {
  refuse() {
    forgetToken();
    change(true);
  },
  signIn(token: string) {
    keepToken(token);
    change(false);
  },
};

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useRefused(): boolean {
  return useSyncExternalStore(subscribe, () => refused);
}
