import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { ActionTable } from "../audit/ActionTable";
import { auditQuery, deviceTimelineQuery } from "../api/queries";
import type { DeviceEvent } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { Loaded } from "../ui/Loaded";
import { Section } from "../ui/Section";
import { Time } from "../ui/Time";
import { together } from "../ui/together";

const COLUMNS: readonly Column<DeviceEvent>[] = [
  { id: "at", name: "When", cell: ({ at }) => <Time at={at} /> },
  { id: "about", name: "About", cell: ({ about }) => <code>{about.slice(0, 40)}</code> },
  { id: "type", name: "What", wide: true, cell: ({ type }) => <b>{type}</b> },
  { id: "by", name: "By", cell: ({ cause }) => cause.actor ?? cause.function ?? "–" },
  { id: "request", name: "Request", cell: ({ cause }) => <code>{cause.request_id ?? "–"}</code> },
];

/** What was asked for about the device, whoever asked; and everything that happened to it, its
 * alerts and its commands. */
export function History({ device }: { readonly device: string }) {
  const subject = `device/${device}`;
  const asked = useQuery(auditQuery({ subject, limit: 20 }));
  const happened = useQuery(deviceTimelineQuery(device));
  return (
    <Loaded query={together(asked, happened)} height={12}>
      {([{ actions, next_cursor }, { events }]) => (
        <>
          <Section
            title="What was asked for"
            aside={
              next_cursor !== null && (
                <Link to="/audit" search={{ subject }}>
                  All of it
                </Link>
              )
            }
          >
            {actions.length === 0 ? (
              <p className="dim">Nobody has asked for anything about it.</p>
            ) : (
              <ActionTable actions={actions} />
            )}
          </Section>
          <Section title="Everything that happened">
            <DataTable
              label="Events of the device"
              columns={COLUMNS}
              rows={events.toReversed()}
              rowId={(_, index) => String(index)}
            />
          </Section>
        </>
      )}
    </Loaded>
  );
}
