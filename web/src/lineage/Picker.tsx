import { getRouteApi } from "@tanstack/react-router";

import { among } from "../address";
import type { LineageGraph } from "../api/types";
import { DIRECTIONS } from "./directions";

const route = getRouteApi("/lineage");

const DEPTHS = ["1", "2", "3"] as const;

/** Of which table and column, which way and how far. */
export function Picker({ nodes }: { readonly nodes: LineageGraph["nodes"] }) {
  const { node, column, direction, depth } = route.useSearch();
  const navigate = route.useNavigate();
  const change = (changes: Readonly<Record<string, string | undefined>>) =>
    void navigate({ search: (before) => ({ ...before, ...changes }) });
  const columns = nodes.find((each) => each.id === node)?.columns ?? [];
  const tables = nodes.map(({ id }) => id);
  return (
    <div className="filters">
      <label>
        <span>Table</span>
        <select
          value={node ?? ""}
          onChange={({ target }) => change({ node: target.value || undefined, column: undefined })}
        >
          <option value="">all</option>
          {withChosen(tables, node).map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      {node !== undefined && (
        <>
          <label>
            <span>Column</span>
            <select
              value={column ?? ""}
              onChange={({ target }) => change({ column: target.value || undefined })}
            >
              <option value="">the whole table</option>
              {withChosen(columns, column).map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
          <label>
            <span>Direction</span>
            <select
              value={direction ?? ""}
              onChange={({ target }) => change({ direction: among(DIRECTIONS)(target.value) })}
            >
              <option value="">both</option>
              {DIRECTIONS.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
          <label>
            <span>Steps</span>
            <select
              value={depth ?? ""}
              onChange={({ target }) => change({ depth: target.value || undefined })}
            >
              <option value="">all</option>
              {DEPTHS.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
        </>
      )}
    </div>
  );
}

/** What stands in the address is shown before the others are known. */
function withChosen(names: readonly string[], chosen: string | undefined): readonly string[] {
  return chosen === undefined || names.includes(chosen) ? names : [chosen, ...names];
}
