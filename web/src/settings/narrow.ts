import { useSyncExternalStore } from "react";

const narrow = matchMedia("(width < 800px)");

function subscribe(listener: () => void): () => void {
  narrow.addEventListener("change", listener);
  return () => narrow.removeEventListener("change", listener);
}

/** Whether the window is too narrow for a sidebar; the style sheet has the same width. */
export function useNarrow(): boolean {
  return useSyncExternalStore(subscribe, () => narrow.matches);
}
