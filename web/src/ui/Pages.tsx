import { Link } from "@tanstack/react-router";

import { changed } from "../address";

/** From page to page by cursors, which stand in the address. */
export function Pages({
  label,
  cursor,
  next,
  first = "Newest",
  further = "Older",
}: {
  readonly label: string;
  readonly cursor: string | undefined;
  readonly next: string | null;
  readonly first?: string;
  readonly further?: string;
}) {
  if (cursor === undefined && next === null) return null;
  return (
    <nav className="pages" aria-label={label}>
      {cursor !== undefined && (
        <Link to="." search={changed({ cursor: undefined })} className="button">
          {first}
        </Link>
      )}
      {next !== null && (
        <Link to="." search={changed({ cursor: next })} className="button">
          {further}
        </Link>
      )}
    </nav>
  );
}
