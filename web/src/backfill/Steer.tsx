import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, read } from "../api/client";
import type { Backfill } from "../api/types";
import { Confirm } from "../ui/Confirm";
import { formatCount, formatPlural } from "../ui/format";
import { ErrorNotice } from "../ui/Notice";

/** Start, pause, resume and cancel, as the state allows. */
export function Steer({ backfill }: { readonly backfill: Backfill }) {
  const queries = useQueryClient();
  const params = { path: { id: backfill.id } };
  const steps = {
    start: () => api.POST("/api/backfills/{id}/start", { params }),
    pause: () => api.POST("/api/backfills/{id}/pause", { params }),
    resume: () => api.POST("/api/backfills/{id}/resume", { params }),
    cancel: () => api.POST("/api/backfills/{id}/cancel", { params }),
  };
  const steer = useMutation({
    mutationFn: (step: keyof typeof steps) => read<Backfill>(steps[step]()),
    onSuccess: (answer) => {
      queries.setQueryData(["backfill", backfill.id], answer);
      void queries.invalidateQueries({ queryKey: ["backfills"] });
    },
  });
  const { state } = backfill;
  const button = (step: keyof typeof steps, label: string) => (
    <button
      type="button"
      className="primary"
      disabled={steer.isPending}
      onClick={() => steer.mutate(step)}
    >
      {label}
    </button>
  );
  return (
    <>
      <div className="buttons">
        {state === "planned" && (
          <Confirm
            label="Start"
            title={`Read ${formatPlural(backfill.items ?? 0, "file")} again?`}
            action="Start"
            onConfirm={() => steer.mutate("start")}
          >
            <p>
              {backfill.checked < (backfill.items ?? 0)
                ? `The dry run has looked at ${formatCount(backfill.checked)} of them so far.`
                : `The dry run foresees another end for ${formatCount(backfill.foreseen.changed)} of them.`}
            </p>
          </Confirm>
        )}
        {state === "running" && button("pause", "Pause")}
        {state === "paused" && button("resume", "Resume")}
        {["planning", "planned", "running", "paused"].includes(state) && (
          <Confirm
            label="Cancel"
            title="Cancel the backfill?"
            action="Cancel it"
            onConfirm={() => steer.mutate("cancel")}
          >
            <p>What has ended stays as it is; what is under way ends.</p>
          </Confirm>
        )}
      </div>
      {steer.error && <ErrorNotice error={steer.error} />}
    </>
  );
}
