import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";

import { api, read } from "../api/client";
import type { Ingestion } from "../api/types";
import { Confirm } from "../ui/Confirm";
import { ErrorNotice } from "../ui/Notice";

const REPLAYABLE: readonly Ingestion["state"][] = ["loaded", "rejected", "failed"];

/** Replay and retract. A replay's own page opens; what is refused is said on the spot. */
export function Actions({ ingestion }: { readonly ingestion: Ingestion }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const params = { path: { id: ingestion.id } };
  const replay = useMutation({
    mutationFn: (key: string) =>
      read(
        api.POST("/api/ingestions/{id}/replay", {
          params: { ...params, header: { "Idempotency-Key": key } },
        }),
      ),
    onSuccess: (made) => {
      void queries.invalidateQueries();
      void navigate({ to: "/ingestions/$id", params: { id: made.id } });
    },
  });
  const retract = useMutation({
    mutationFn: () => read(api.POST("/api/ingestions/{id}/retract", { params })),
    onSuccess: () => void queries.invalidateQueries(),
  });
  const error = replay.error ?? retract.error;
  return (
    <>
      <div className="buttons">
        <button
          type="button"
          className="primary"
          disabled={!REPLAYABLE.includes(ingestion.state) || replay.isPending}
          onClick={() => replay.mutate(crypto.randomUUID())}
        >
          Replay
        </button>
        <Confirm
          label="Retract"
          title="Take its rows out again?"
          action="Retract"
          disabled={
            ingestion.state !== "loaded" || ingestion.retract_requested || retract.isPending
          }
          onConfirm={() => retract.mutate()}
        >
          <p>
            The table will be as if <code>{ingestion.object}</code> had never come: rows that it
            superseded come back. A replay brings it back.
          </p>
        </Confirm>
      </div>
      {error && <ErrorNotice error={error} />}
    </>
  );
}
