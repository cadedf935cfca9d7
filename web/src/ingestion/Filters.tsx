import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import type { FormEvent } from "react";

import { among } from "../address";
import { datasetsQuery } from "../api/queries";
import { LeaveOut } from "./LeftOut";
import { RANGE_NAMES, RANGES } from "./ranges";
import { REASON_NAMES, REASONS } from "./states";

const route = getRouteApi("/ingestions");

/** The filters beside the states: dataset, reason, what is left out, how far back, and a text. */
export function Filters() {
  const { dataset, reason, range, q } = route.useSearch();
  const navigate = route.useNavigate();
  const datasets = useQuery(datasetsQuery);
  const change = (changes: Readonly<Record<string, string | undefined>>) =>
    void navigate({ search: (before) => ({ ...before, ...changes, cursor: undefined }) });
  const search = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    change({ q: String(new FormData(event.currentTarget).get("q") ?? "").trim() || undefined });
  };
  const names = new Set(datasets.data?.datasets.map((each) => each.name));
  if (dataset !== undefined) names.add(dataset);
  return (
    <div className="filters">
      <label>
        <span>Dataset</span>
        <select
          value={dataset ?? ""}
          onChange={({ target }) => change({ dataset: target.value || undefined })}
        >
          <option value="">every</option>
          {[...names].map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        <span>Reason</span>
        <select
          value={reason ?? ""}
          onChange={({ target }) =>
            change({ reason: among(REASON_NAMES)(target.value), state: undefined })
          }
        >
          <option value="">any</option>
          {REASON_NAMES.map((name) => (
            <option key={name} value={name}>
              {REASONS[name]}
            </option>
          ))}
        </select>
      </label>
      <LeaveOut datasets={[...names]} />
      <label>
        <span>Received in</span>
        <select
          value={range ?? ""}
          onChange={({ target }) => change({ range: among(RANGE_NAMES)(target.value) })}
        >
          <option value="">all time</option>
          {RANGE_NAMES.map((name) => (
            <option key={name} value={name}>
              {RANGES[name].name}
            </option>
          ))}
        </select>
      </label>
      <form role="search" onSubmit={search}>
        <label>
          <span>Text</span>
          <input key={q} name="q" type="search" defaultValue={q} placeholder="file, id or detail" />
        </label>
      </form>
    </div>
  );
}
