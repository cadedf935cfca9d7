import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";

import { contractQuery, datasetsQuery } from "../api/queries";
import { UploadItem } from "../upload/UploadItem";
import { DropZone } from "../ui/DropZone";
import { Empty } from "../ui/Empty";
import { Facts } from "../ui/Facts";
import { ErrorNotice } from "../ui/Notice";
import { Page } from "../ui/Page";

const route = getRouteApi("/upload");

interface Chosen {
  readonly id: string;
  readonly file: File;
  readonly dataset: string;
}

export function UploadPage() {
  const { dataset } = route.useSearch();
  const navigate = route.useNavigate();
  const datasets = useQuery(datasetsQuery);
  const names = new Set(datasets.data?.datasets.map(({ name }) => name));
  if (dataset !== undefined) names.add(dataset);
  const [chosen, setChosen] = useState<readonly Chosen[]>([]);
  const add = (files: readonly File[]) => {
    if (dataset === undefined) return;
    const added = files.map((file) => ({ id: crypto.randomUUID(), file, dataset }));
    setChosen((before) => [...added, ...before]);
  };
  return (
    <Page title="Upload">
      {datasets.error && (
        <ErrorNotice error={datasets.error} retry={() => void datasets.refetch()} />
      )}
      <div className="filters">
        <label>
          <span>Dataset</span>
          <select
            value={dataset ?? ""}
            onChange={({ target }) =>
              void navigate({ search: { dataset: target.value || undefined } })
            }
          >
            <option value="">choose one</option>
            {[...names].map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </div>
      {dataset === undefined ? (
        <Empty title="Which dataset is the file for?">
          <p>Its contract says what a row must be.</p>
        </Empty>
      ) : (
        <>
          <DropZone title="Drop files here, or choose them" multiple onFiles={add} />
          <Hints dataset={dataset} />
        </>
      )}
      <ul className="uploads" aria-live="polite" aria-label="Uploads">
        {chosen.map((each) => (
          <UploadItem key={each.id} file={each.file} dataset={each.dataset} />
        ))}
      </ul>
    </Page>
  );
}

/** How the contract wants the file to be written. */
function Hints({ dataset }: { readonly dataset: string }) {
  const { data } = useQuery(contractQuery(dataset));
  if (data === undefined) return null;
  const { dialect, fields } = data.contract;
  return (
    <details className="more">
      <summary>How the file should be written</summary>
      <Facts
        facts={{
          Format: dialect?.format ?? "found out from the file",
          Delimiter: dialect?.delimiter && <code>{dialect.delimiter}</code>,
          Encoding: dialect?.encoding,
          "Decimal mark": dialect?.decimal_mark && <code>{dialect.decimal_mark}</code>,
          "Empty is written": dialect?.null_markers?.map((each) => (
            <code key={each}>{each || "(nothing)"} </code>
          )),
          Header: (
            <code>
              {fields.map((each) => each.header || each.name).join(dialect?.delimiter ?? ",")}
            </code>
          ),
        }}
      />
    </details>
  );
}
