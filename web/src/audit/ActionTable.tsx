import { Link } from "@tanstack/react-router";

import type { Action } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { State, type Tone } from "../ui/State";
import { Time } from "../ui/Time";

const TONES: Readonly<Record<Action["state"], Tone>> = {
  begun: "active",
  done: "good",
  refused: "bad",
  faulted: "fault",
};

/** What is not clear from the operation's own name. */
const ACTIONS: Readonly<Record<string, string>> = {
  post_device: "provision",
  post_revocation: "revoke",
  post_configuration: "configure",
  post_key_removal: "remove a key",
  post_cancellation: "cancel a command",
  post_claim_code: "new claim code",
  post_contract: "publish a contract",
  post_mart: "publish a mart",
  post_recover: "send mended rows",
  post_accept: "accept a proposal",
  post_reject: "reject a proposal",
};

const COLUMNS: readonly Column<Action>[] = [
  { id: "at", name: "When", cell: ({ at }) => <Time at={at} /> },
  {
    id: "actor",
    name: "Who",
    cell: ({ actor, role }) => (role === null ? actor : `${actor} (${role})`),
  },
  {
    id: "action",
    name: "What",
    cell: ({ action }) => ACTIONS[action] ?? action.replace(/^post_/, "").replaceAll("_", " "),
  },
  {
    id: "subject",
    name: "About",
    wide: true,
    cell: ({ subject }) => <Subject subject={subject} />,
  },
  {
    id: "state",
    name: "Outcome",
    cell: ({ state, code }) => <State tone={TONES[state]} word={code ?? state} />,
  },
  { id: "request", name: "Request", cell: ({ request_id }) => <code>{request_id}</code> },
];

/** What was asked for, by whom, and what came of it. */
export function ActionTable({ actions }: { readonly actions: readonly Action[] }) {
  return <DataTable label="Actions" columns={COLUMNS} rows={actions} rowId={({ id }) => id} />;
}

/** A stream's name, as a link where it has a page. */
function Subject({ subject }: { readonly subject: string }) {
  const [kind, id = ""] = subject.split(/\/(.*)/s);
  if (kind === "ingestion" && id !== "*") {
    return (
      <Link to="/ingestions/$id" params={{ id }}>
        {subject}
      </Link>
    );
  }
  if (kind === "dataset" || kind === "contract") {
    return (
      <Link to="/datasets/$name" params={{ name: id }}>
        {subject}
      </Link>
    );
  }
  if (kind === "device") {
    return (
      <Link to="/devices/$id" params={{ id }}>
        {subject}
      </Link>
    );
  }
  if (kind === "mart") {
    return (
      <Link to="/marts/$name" params={{ name: id }}>
        {subject}
      </Link>
    );
  }
  return <code>{subject}</code>;
}
