import { Link } from "@tanstack/react-router";

import { changed } from "../address";

/** View state of one tab, which the others do not have. */
const NOTHING = {
  cursor: undefined,
  column: undefined,
  rule: undefined,
  version: undefined,
  against: undefined,
  before: undefined,
  after: undefined,
};

/** Tabs are links, so each has an address and the back button works. */
export function Tabs<Name extends string>({
  label,
  names,
  current,
}: {
  readonly label: string;
  readonly names: Readonly<Record<Name, string>>;
  readonly current: Name;
}) {
  const entries = Object.entries(names) as [Name, string][];
  return (
    <nav className="tabs" aria-label={label}>
      {entries.map(([name, title], index) => (
        <Link
          key={name}
          to="."
          search={changed({ ...NOTHING, tab: index === 0 ? undefined : name })}
          activeOptions={{ exact: true, includeSearch: true, explicitUndefined: true }}
          aria-current={name === current ? "page" : undefined}
          resetScroll={false}
        >
          {title}
        </Link>
      ))}
    </nav>
  );
}
