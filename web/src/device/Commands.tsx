import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { api, read } from "../api/client";
import { commandsQuery } from "../api/queries";
import type { Command, DeviceDetail } from "../api/types";
import { type Column, DataTable } from "../ui/DataTable";
import { Empty } from "../ui/Empty";
import { Loaded } from "../ui/Loaded";
import { ErrorNotice } from "../ui/Notice";
import { Pages } from "../ui/Pages";
import { Section } from "../ui/Section";
import { State } from "../ui/State";
import { Age, Time } from "../ui/Time";
import { SendCommand } from "./SendCommand";
import { COMMAND_TONES } from "./states";

const CANCELLABLE = new Set<Command["status"]>(["queued", "delivered", "acked", "running"]);

/** Commands with the states that the device itself reported, and a form for the next one. */
export function Commands({
  device,
  cursor,
}: {
  readonly device: DeviceDetail;
  readonly cursor: string | undefined;
}) {
  const queries = useQueryClient();
  const query = useQuery(commandsQuery(device.id, cursor));
  const cancel = useMutation({
    mutationFn: (command: string) =>
      read(
        api.POST("/api/devices/{id}/commands/{command}/cancel", {
          params: { path: { id: device.id, command } },
        }),
      ),
    onSettled: () =>
      void queries.invalidateQueries({ queryKey: ["device", device.id, "commands"] }),
  });
  const columns: readonly Column<Command>[] = [
    ...COLUMNS,
    {
      id: "cancel",
      name: "Action",
      cell: ({ id, type, status }) =>
        CANCELLABLE.has(status) && (
          <button
            type="button"
            aria-label={`Cancel ${type}`}
            disabled={cancel.isPending}
            onClick={() => cancel.mutate(id)}
          >
            Cancel
          </button>
        ),
    },
  ];
  return (
    <>
      <SendCommand device={device} />
      <Section title="Commands">
        {cancel.error && <ErrorNotice error={cancel.error} />}
        <Loaded query={query} height={6}>
          {({ commands, next_cursor }) =>
            commands.length === 0 ? (
              <Empty title="Nothing was asked of it yet." />
            ) : (
              <>
                <DataTable
                  label="Commands"
                  columns={columns}
                  rows={commands}
                  rowId={({ id }) => id}
                />
                <Pages label="Pages of commands" cursor={cursor} next={next_cursor} />
              </>
            )
          }
        </Loaded>
      </Section>
    </>
  );
}

const COLUMNS: readonly Column<Command>[] = [
  {
    id: "status",
    name: "State",
    cell: ({ status }) => <State tone={COMMAND_TONES[status]} word={status} />,
  },
  {
    id: "type",
    name: "Command",
    wide: true,
    cell: ({ type, arguments: given, result }) => (
      <>
        <b>{type.replaceAll("_", " ")}</b> {describe(given)}
        {result !== null && <p className="dim">{describe(result)}</p>}
      </>
    ),
  },
  { id: "created", name: "Asked", cell: ({ created_at }) => <Time at={created_at} /> },
  { id: "updated", name: "Changed", cell: ({ updated_at }) => <Age at={updated_at} /> },
  { id: "expires", name: "Expires", cell: ({ expires }) => <Age at={expires} /> },
];

function describe(facts: Readonly<Record<string, unknown>>): string {
  return Object.entries(facts)
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${String(value)}`)
    .join(", ");
}
