import { useState } from "react";

import { usePreference } from "./preference";
import { THEMES, theme } from "./theme";
import { BROWSER, browserZone, zone } from "./zone";

/** The time zone and the theme, on every page. */
export function Settings() {
  const chosenZone = usePreference(zone);
  const chosenTheme = usePreference(theme);
  const [all, setAll] = useState<readonly string[]>([]);
  const listZones = () => setAll(Intl.supportedValuesOf("timeZone"));
  const others = new Set([...all, chosenZone]);
  others.delete(BROWSER);
  others.delete("UTC");
  return (
    <div className="settings">
      <label>
        <span>Times in</span>
        <select
          value={chosenZone}
          onChange={(event) => zone.set(event.target.value)}
          onFocus={listZones}
          onPointerDown={listZones}
        >
          <option value={BROWSER}>Browser ({browserZone()})</option>
          <option value="UTC">UTC</option>
          {[...others].map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      <label>
        <span>Theme</span>
        <select value={chosenTheme} onChange={(event) => theme.set(event.target.value)}>
          {Object.entries(THEMES).map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
