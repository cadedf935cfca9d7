import { getRouteApi, Link } from "@tanstack/react-router";

import { changed } from "../address";
import { REASON_NAMES, REASONS, STATE_NAMES } from "./states";

const route = getRouteApi("/ingestions");

const GROUPS = { not_state: "State", not_reason: "Reason", not_dataset: "Dataset" } as const;

type Name = keyof typeof GROUPS;

const NAMES = Object.keys(GROUPS) as readonly Name[];

function wordOf(name: Name, value: string): string {
  return name === "not_reason" ? REASONS[value as keyof typeof REASONS] : value;
}

/** A state, reason or dataset to leave out of the list beside those that are. */
export function LeaveOut({ datasets }: { readonly datasets: readonly string[] }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const values = { not_state: STATE_NAMES, not_reason: REASON_NAMES, not_dataset: datasets };
  const leaveOut = (choice: string) => {
    const [name, value] = JSON.parse(choice) as [Name, string];
    void navigate({
      search: (before) => ({
        ...before,
        [name]: [...(before[name] ?? []), value],
        cursor: undefined,
      }),
    });
  };
  return (
    <label>
      <span>Leave out</span>
      <select value="" onChange={({ target }) => leaveOut(target.value)}>
        <option value="">{NAMES.some((name) => search[name]) ? "more" : "nothing"}</option>
        {NAMES.map((name) => (
          <optgroup key={name} label={GROUPS[name]}>
            {values[name]
              .filter((value) => !(search[name] as readonly string[] | undefined)?.includes(value))
              .map((value) => (
                <option key={value} value={JSON.stringify([name, value])}>
                  {wordOf(name, value)}
                </option>
              ))}
          </optgroup>
        ))}
      </select>
    </label>
  );
}

/** What is left out, each a link that takes it in again. */
export function LeftOut() {
  const search = route.useSearch();
  const found = NAMES.flatMap((name) =>
    (search[name] ?? []).map((value, _, all) => ({
      name,
      value,
      rest: all.filter((each) => each !== value),
    })),
  );
  if (found.length === 0) return null;
  return (
    <nav className="chips" aria-label="Left out">
      {found.map(({ name, value, rest }) => (
        <Link
          key={`${name} ${value}`}
          to="."
          search={changed({ [name]: rest, cursor: undefined })}
          title="Take it in again"
        >
          not {wordOf(name, value)} <i aria-hidden="true">×</i>
        </Link>
      ))}
    </nav>
  );
}
