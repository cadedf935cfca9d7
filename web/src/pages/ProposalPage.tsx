import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";

import { proposalQuery } from "../api/queries";
import type { ProposalDetail } from "../api/types";
import { Decide } from "../proposal/Decide";
import { Evidence } from "../proposal/Evidence";
import { KINDS, TONES } from "../proposal/kinds";
import { Diff } from "../ui/Diff";
import { Facts } from "../ui/Facts";
import { formatCount, formatPlural } from "../ui/format";
import { Loaded, Updated } from "../ui/Loaded";
import { Notice } from "../ui/Notice";
import { Page } from "../ui/Page";
import { Section } from "../ui/Section";
import { State } from "../ui/State";
import { Age } from "../ui/Time";

const route = getRouteApi("/proposals/$id");

export function ProposalPage() {
  const { id } = route.useParams();
  const query = useQuery(proposalQuery(id));
  const title = query.data ? `${query.data.dataset}: ${KINDS[query.data.kind]}` : "Proposal";
  return (
    <Page title={title} aside={<Updated query={query} />}>
      <Loaded query={query} height={14}>
        {(proposal) => <Details proposal={proposal} />}
      </Loaded>
    </Page>
  );
}

function Details({ proposal }: { readonly proposal: ProposalDetail }) {
  return (
    <>
      <div className="title-bar">
        <State tone={TONES[proposal.state]} word={proposal.state} />
        <p>{proposal.summary}</p>
      </div>
      {proposal.problem !== null && (
        <Notice tone="warn" title="It does not fit any more">
          <p>{proposal.problem}</p>
        </Notice>
      )}
      {proposal.state === "open" && <Decide proposal={proposal} />}
      {proposal.state === "accepted" && proposal.still_waiting > 0 && (
        <Notice
          tone="warn"
          title={`${formatPlural(proposal.still_waiting, "ingestion")} still wait`}
        >
          <p>
            <code>eventpulse accept {proposal.id.slice(0, 8)}</code> replays them.
          </p>
        </Notice>
      )}
      <Section title="About">
        <Facts
          facts={{
            Dataset:
              proposal.base === null ? (
                proposal.dataset
              ) : (
                <Link to="/datasets/$name" params={{ name: proposal.dataset }}>
                  {proposal.dataset}
                </Link>
              ),
            "For version": proposal.base ?? "no contract yet",
            "Registered as": proposal.version,
            Proposed: <Age at={proposal.created_at} />,
            Decided: proposal.decided_at && <Age at={proposal.decided_at} />,
            "Seen in": `${formatCount(proposal.seen)} ${proposal.seen === 1 ? "file" : "files"}`,
            "First in": <IngestionLink id={proposal.first} />,
            "Waiting for it":
              proposal.waiting.length > 0
                ? proposal.waiting.map((each) => <IngestionLink key={each} id={each} />)
                : "nothing",
          }}
        />
      </Section>
      <Evidence evidence={proposal.evidence} />
      {proposal.diff !== "" && (
        <Section title={`What version ${proposal.suggested_version} changes`}>
          <Diff label="What it changes" lines={proposal.diff.trimEnd().split("\n")} />
        </Section>
      )}
    </>
  );
}

function IngestionLink({ id }: { readonly id: string }) {
  return (
    <>
      <Link to="/ingestions/$id" params={{ id }}>
        <code>{id.slice(0, 8)}</code>
      </Link>{" "}
    </>
  );
}
