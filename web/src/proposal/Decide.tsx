import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";

import { api, read } from "../api/client";
import type { Acceptance, ProposalDetail } from "../api/types";
import { Confirm } from "../ui/Confirm";
import { Diff } from "../ui/Diff";
import { formatPlural } from "../ui/format";
import { ErrorNotice, Notice } from "../ui/Notice";
import { Section } from "../ui/Section";

/** Accept a proposal as it is or as one writes it, or reject it. */
export function Decide({ proposal }: { readonly proposal: ProposalDetail }) {
  const queries = useQueryClient();
  const [text, setText] = useState<string | null>(null);
  const params = { path: { id: proposal.id } };
  const refresh = () => void queries.invalidateQueries();
  const accept = useMutation({
    mutationFn: (key: string) =>
      read(
        api.POST("/api/proposals/{id}/accept", {
          params: { ...params, header: { "Idempotency-Key": key } },
          body: { text },
        }),
      ),
  });
  const reject = useMutation({
    mutationFn: () => read(api.POST("/api/proposals/{id}/reject", { params })),
    onSuccess: refresh,
  });
  if (accept.data)
    return (
      <Accepted
        acceptance={accept.data}
        onClose={refresh}
        onMore={() => accept.mutate(crypto.randomUUID())}
      />
    );
  const error = accept.error ?? reject.error;
  return (
    <Section
      title="Decide"
      aside={
        <div className="buttons">
          <button
            type="button"
            className="primary"
            disabled={accept.isPending || proposal.problem !== null}
            onClick={() => accept.mutate(crypto.randomUUID())}
          >
            Accept as {text === null ? proposal.suggested_version : "written"}
          </button>
          <Confirm
            label="Reject"
            title="Reject the proposal?"
            action="Reject"
            disabled={reject.isPending}
            onConfirm={() => reject.mutate()}
          >
            <p>Files like it go on being refused. What waits stays rejected.</p>
          </Confirm>
        </div>
      }
    >
      <p className="dim">
        Accepting registers the contract and replays{" "}
        {formatPlural(proposal.still_waiting, "ingestion")} that wait for it.
      </p>
      {error && <ErrorNotice error={error} />}
      {proposal.contract !== "" && (
        <details className="more" open={text !== null}>
          <summary>Read or change the whole contract</summary>
          <textarea
            aria-label="Contract"
            rows={24}
            spellCheck={false}
            value={text ?? proposal.contract}
            onChange={({ target }) =>
              setText(target.value === proposal.contract ? null : target.value)
            }
          />
        </details>
      )}
    </Section>
  );
}

/** What became of it; the patch belongs into the repository. */
function Accepted({
  acceptance,
  onClose,
  onMore,
}: {
  readonly acceptance: Acceptance;
  readonly onClose: () => void;
  readonly onMore: () => void;
}) {
  const replays = Object.values(acceptance.replays);
  return (
    <Section
      title={`Registered as ${acceptance.version}`}
      aside={
        <button type="button" onClick={onClose}>
          Done
        </button>
      }
    >
      <Notice tone="good" title={`${formatPlural(replays.length, "replay")} begun`}>
        <p>
          {replays.map((id) => (
            <span key={id}>
              <Link to="/ingestions/$id" params={{ id }}>
                <code>{id.slice(0, 8)}</code>
              </Link>{" "}
            </span>
          ))}
        </p>
      </Notice>
      {acceptance.remaining > 0 && (
        <Notice tone="warn" title={`${formatPlural(acceptance.remaining, "ingestion")} still wait`}>
          <p>
            One request begins no more.{" "}
            <button type="button" onClick={onMore}>
              Replay further
            </button>
          </p>
        </Notice>
      )}
      {Object.entries(acceptance.left).map(([id, why]) => (
        <Notice key={id} tone="warn" title={`${id.slice(0, 8)} was not replayed`}>
          <p>{why}</p>
        </Notice>
      ))}
      {acceptance.diff !== "" && (
        <>
          <p className="dim">Write this into the contract in your repository too:</p>
          <Diff label="Patch for the repository" lines={acceptance.diff.trimEnd().split("\n")} />
        </>
      )}
    </Section>
  );
}
