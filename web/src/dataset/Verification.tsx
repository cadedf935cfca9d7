import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { api, read } from "../api/client";
import type { DatasetDetail, Verification as Found } from "../api/types";
import { formatCount } from "../ui/format";
import { ErrorNotice, Notice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { Time } from "../ui/Time";

/** Whether the table is what its raw objects make it, and asking for it anew. */
export function Verification({ dataset }: { readonly dataset: DatasetDetail }) {
  const queries = useQueryClient();
  const verify = useMutation({
    mutationFn: () =>
      read(api.POST("/api/datasets/{name}/verify", { params: { path: { name: dataset.name } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["dataset", dataset.name] }),
  });
  const { verification } = dataset;
  const running = verify.isPending || verification?.state === "running";
  return (
    <Section
      title="Verification"
      aside={
        <button
          type="button"
          disabled={dataset.loads === 0 || running}
          onClick={() => verify.mutate()}
        >
          {running ? "Rebuilding…" : "Verify now"}
        </button>
      }
    >
      {verify.error && <ErrorNotice error={verify.error} retry={() => verify.mutate()} />}
      {verification === null ? (
        <p className="dim">
          Not verified yet. Verifying rebuilds the table from the raw objects and compares digests.
        </p>
      ) : (
        <Outcome found={verification} />
      )}
    </Section>
  );
}

function Outcome({ found }: { readonly found: Found }) {
  if (found.state === "running") return <Running found={found} />;
  if (found.state === "failed") {
    return (
      <Notice tone="fault" title="The verification failed">
        <p>{found.detail}</p>
        <About found={found} />
      </Notice>
    );
  }
  return found.equal ? (
    <Notice tone="good" title="The table is what its raw objects say">
      <About found={found} />
    </Notice>
  ) : (
    <Notice tone="bad" title="The table differs from its raw objects">
      <p>
        {`${formatCount(found.rows)} rows, ${formatCount(found.rebuilt_rows)} rebuilt. `}
        {`${formatCount(found.differing)} ingestions have other rows than they should:`}
      </p>
      <ul>
        {found.differences.map(({ ingestion, rows, rebuilt_rows }) => (
          <li key={ingestion}>
            <Link to="/ingestions/$id" params={{ id: ingestion }}>
              {ingestion}
            </Link>
            {` ${formatCount(rows)} rows, ${formatCount(rebuilt_rows)} rebuilt`}
          </li>
        ))}
      </ul>
      <About found={found} />
    </Notice>
  );
}

function Running({ found }: { readonly found: Found }) {
  const { ingestions, position } = found;
  return (
    <label className="progress">
      <span>
        {ingestions === null
          ? "Reading the table"
          : `${formatCount(position)} of ${formatCount(ingestions)} ingestions rebuilt`}
      </span>
      <progress value={ingestions === null ? undefined : position} max={ingestions || 1} />
    </label>
  );
}

function About({ found }: { readonly found: Found }) {
  return (
    <p className="dim">
      <Time at={found.finished_at} />
      {` · ${formatCount(found.ingestions)} ingestions`}
      {found.digest !== null && (
        <>
          {" · digest "}
          <code>{found.digest.slice(0, 16)}…</code>
        </>
      )}
    </p>
  );
}
