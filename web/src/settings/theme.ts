import { useSyncExternalStore } from "react";

import { makePreference } from "./preference";

export const THEMES = { system: "System", light: "Light", dark: "Dark" } as const;

export const theme = makePreference("theme", "system");

/** Puts the chosen theme on the document, now and whenever it changes. */
export function applyTheme(): void {
  const apply = () => {
    const chosen = theme.get();
    document.documentElement.style.colorScheme = chosen === "system" ? "light dark" : chosen;
  };
  theme.subscribe(apply);
  apply();
}

const systemDark = matchMedia("(prefers-color-scheme: dark)");

/** Whether the page is dark now, for what is painted and not styled. */
export function useDark(): boolean {
  return useSyncExternalStore(
    (listener) => {
      const forget = theme.subscribe(listener);
      systemDark.addEventListener("change", listener);
      return () => {
        forget();
        systemDark.removeEventListener("change", listener);
      };
    },
    () => (theme.get() === "system" ? systemDark.matches : theme.get() === "dark"),
  );
}
