import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { ApiError } from "../api/problem";
import { quarantineQuery, uploadedQuery } from "../api/queries";
import type { Ingestion } from "../api/types";
import { IngestionState } from "../ingestion/IngestionState";
import { RefusedRows } from "../ingestion/RefusedRows";
import { formatBytes, formatCount } from "../ui/format";
import { ErrorNotice, Notice } from "../ui/Notice";
import { State } from "../ui/State";
import { type Progress, uploadFile } from "./send";

const FEW = 5;

/** One file on its way: progress, then its ingestion's state, then what was refused of it. */
export function UploadItem({ file, dataset }: { readonly file: File; readonly dataset: string }) {
  const [name, setName] = useState(`${dataset}/${file.name}`);
  const [progress, setProgress] = useState<Progress>({ doing: "reading", share: 0 });
  const upload = useMutation({
    mutationFn: (as: string) => uploadFile(file, as, dataset, setProgress),
  });
  const { mutate } = upload;
  useEffect(() => mutate(name), [mutate, name]);
  const exists = upload.error instanceof ApiError && upload.error.code === "object_exists";
  return (
    <li className="upload">
      <header>
        <code>{name}</code>
        <span className="dim">{formatBytes(file.size)}</span>
        {upload.isPending && <Doing progress={progress} />}
      </header>
      {upload.error && (
        <>
          <ErrorNotice error={upload.error} retry={exists ? undefined : () => mutate(name)} />
          {exists && (
            <button type="button" onClick={() => setName(anotherName(name, new Date()))}>
              Upload it as {anotherName(name, new Date())}
            </button>
          )}
        </>
      )}
      {upload.isSuccess && <Outcome object={name} />}
    </li>
  );
}

/** `weather/2013.csv` as `weather/2013-20261128T101500.csv`. */
export function anotherName(name: string, now: Date): string {
  const stamp = now.toISOString().replace(/[-:]|\.\d+Z/g, "");
  return name.replace(/(-\d{8}T\d{6})?(\.[^./]+)?$/, `-${stamp}$2`);
}

function Doing({ progress }: { readonly progress: Progress }) {
  return (
    <label className="progress">
      <span>{progress.doing === "reading" ? "Reading" : "Sending"}</span>
      <progress value={progress.share} />
    </label>
  );
}

function Outcome({ object }: { readonly object: string }) {
  const { data, error, refetch } = useQuery(uploadedQuery(object));
  const ingestion = data?.ingestions[0];
  if (error !== null) return <ErrorNotice error={error} retry={() => void refetch()} />;
  if (ingestion === undefined)
    return <State tone="active" word="uploaded, waiting for its ingestion" />;
  return (
    <>
      <p>
        <IngestionState ingestion={ingestion} />{" "}
        {ingestion.rows_read !== null &&
          `${formatCount(ingestion.rows_read)} rows read, ${formatCount(ingestion.rows_accepted)} accepted, ${formatCount(ingestion.rows_quarantined)} refused. `}
        <Link to="/ingestions/$id" params={{ id: ingestion.id }}>
          Open the ingestion
        </Link>
      </p>
      {ingestion.state === "rejected" && (
        <Notice tone="bad" title="The file is refused">
          <p>{ingestion.detail}</p>
        </Notice>
      )}
      {(ingestion.rows_quarantined ?? 0) > 0 && <Refused ingestion={ingestion} />}
    </>
  );
}

function Refused({ ingestion }: { readonly ingestion: Ingestion }) {
  const { data } = useQuery(quarantineQuery(ingestion, { limit: FEW }));
  if (data === undefined) return null;
  return (
    <>
      <RefusedRows rows={data.rows} />
      {data.next_cursor !== null && (
        <Link to="/ingestions/$id" params={{ id: ingestion.id }} search={{ tab: "quarantine" }}>
          All {formatCount(ingestion.rows_quarantined)} refused rows
        </Link>
      )}
    </>
  );
}
