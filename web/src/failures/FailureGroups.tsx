import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { api, read } from "../api/client";
import type { FailureGroup, ManyReplays } from "../api/types";
import { REASONS } from "../ingestion/states";
import { Confirm } from "../ui/Confirm";
import { formatCount, formatPlural } from "../ui/format";
import { ErrorNotice, Notice } from "../ui/Notice";
import { State } from "../ui/State";
import { Age } from "../ui/Time";

const MOST_AT_ONCE = 100;

/** What was rejected or failed, by dataset and cause, each group with a replay of all of it. */
export function FailureGroups({ groups }: { readonly groups: readonly FailureGroup[] }) {
  return (
    <ul className="lines">
      {groups.map((each) => (
        <Group
          key={[each.state, each.reason, each.failed_step, each.dataset].join(" ")}
          group={each}
        />
      ))}
    </ul>
  );
}

function Group({ group }: { readonly group: FailureGroup }) {
  const queries = useQueryClient();
  const { state, reason, failed_step, dataset } = group;
  const replay = useMutation({
    mutationFn: (key: string) =>
      read(
        api.POST("/api/ingestions/replay", {
          params: { header: { "Idempotency-Key": key } },
          body: {
            state,
            reason,
            failed_step,
            dataset,
            limit: MOST_AT_ONCE,
          },
        }),
      ),
    // The group itself is asked for again in its own time: its answer is to be read first.
    onSuccess: () =>
      void queries.invalidateQueries({
        queryKey: ["ingestions"],
        predicate: ({ queryKey }) => queryKey[1] !== "failures",
      }),
  });
  const cause = state === "failed" ? `step ${failed_step}` : reason && REASONS[reason];
  return (
    <li>
      <span className="group">
        <State
          tone={state === "failed" ? "fault" : "bad"}
          word={`${formatCount(group.count)} ${state}`}
        />
        <Link
          to="/ingestions"
          search={{ state, dataset: dataset ?? undefined, reason: reason ?? undefined }}
        >
          {dataset ?? "no dataset"}: {cause}
        </Link>
      </span>
      <span className="dim">
        last <Age at={group.last_seen} />, first <Age at={group.first_seen} />
      </span>
      <Confirm
        label="Replay all"
        title={`Replay ${formatPlural(group.count, "ingestion")}?`}
        action="Replay"
        disabled={replay.isPending}
        onConfirm={() => replay.mutate(crypto.randomUUID())}
      >
        <p>
          Their raw objects are read again under the current contract, {MOST_AT_ONCE} at a time, the
          longest waiting first. What is wrong in a file itself is refused again.
        </p>
      </Confirm>
      <p className="dim clamp">
        <Link to="/ingestions/$id" params={{ id: group.last_ingestion }}>
          {group.last_object}
        </Link>{" "}
        {group.last_detail?.replace(`${group.last_object}: `, "")}
      </p>
      {replay.error && <ErrorNotice error={replay.error} />}
      {replay.data && <Replayed answer={replay.data} />}
    </li>
  );
}

function Replayed({ answer }: { readonly answer: ManyReplays }) {
  const refused = answer.replays.filter((each) => each.replay === null);
  const begun = answer.replays.length - refused.length;
  return (
    <Notice
      tone={refused.length > 0 ? "warn" : "good"}
      title={`${formatPlural(begun, "replay")} begun${answer.more ? "; others wait: replay again" : ""}`}
    >
      {refused.map(({ ingestion, detail }) => (
        <p key={ingestion}>{detail}</p>
      ))}
    </Notice>
  );
}
