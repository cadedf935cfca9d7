import { Link } from "@tanstack/react-router";

import type { Mart } from "../api/types";
import { Age } from "../ui/Time";
import { MartState } from "./MartState";

/** Marts by name, each with its state and the age of its last build. */
export function MartLines({ marts }: { readonly marts: readonly Mart[] }) {
  return (
    <ul className="lines">
      {marts.map((each) => (
        <li key={each.name}>
          <Link to="/marts/$name" params={{ name: each.name }}>
            {each.name}
          </Link>
          <MartState mart={each} />
          <span className="dim">
            built <Age at={each.built_at} />
          </span>
        </li>
      ))}
    </ul>
  );
}
