import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, read } from "../api/client";
import type { DeviceDetail, DeviceKey } from "../api/types";
import { Confirm } from "../ui/Confirm";
import { type Column, DataTable } from "../ui/DataTable";
import { ErrorNotice, Notice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { Age, Time } from "../ui/Time";

/** Its keys, to be removed one by one, and a command that has it make a new one. */
export function Keys({ device }: { readonly device: DeviceDetail }) {
  const queries = useQueryClient();
  const { id } = device;
  const refresh = () => void queries.invalidateQueries({ queryKey: ["device", id] });
  const remove = useMutation({
    mutationFn: (kid: string) =>
      read(api.POST("/api/devices/{id}/keys/{kid}/remove", { params: { path: { id, kid } } })),
    onSuccess: refresh,
  });
  const rotate = useMutation({
    mutationFn: (key: string) =>
      read(
        api.POST("/api/devices/{id}/commands", {
          params: { path: { id }, header: { "Idempotency-Key": key } },
          body: { type: "rotate_key" },
        }),
      ),
    onSuccess: refresh,
  });
  const error = remove.error ?? rotate.error;
  const columns: readonly Column<DeviceKey>[] = [
    ...COLUMNS,
    {
      id: "remove",
      name: "Action",
      cell: ({ kid }) => (
        <Confirm
          label="Remove"
          title="Remove this key?"
          action="Remove"
          disabled={remove.isPending}
          onConfirm={() => remove.mutate(kid)}
        >
          <p>
            What is signed with <code>{kid.slice(0, 12)}…</code> is refused from then on.
            {device.keys.length === 1 &&
              " It is the only one: the device can say nothing until it has a new claim code."}
          </p>
        </Confirm>
      ),
    },
  ];
  return (
    <Section
      title="Keys"
      aside={
        <Confirm
          label="Rotate"
          title={`Have ${id} make a new key?`}
          action="Rotate"
          disabled={device.state !== "enrolled" || rotate.isPending}
          onConfirm={() => rotate.mutate(crypto.randomUUID())}
        >
          <p>
            It is sent a command. Its keys of before go on working until they are removed here,
            three at most.
          </p>
        </Confirm>
      }
    >
      {error && <ErrorNotice error={error} />}
      {rotate.isSuccess && (
        <Notice tone="active" title="Asked to rotate: its commands say how far it is" />
      )}
      {device.keys.length === 0 ? (
        <p className="dim">It has none yet: one is bound with its claim code.</p>
      ) : (
        <DataTable label="Keys" columns={columns} rows={device.keys} rowId={({ kid }) => kid} />
      )}
    </Section>
  );
}

const COLUMNS: readonly Column<DeviceKey>[] = [
  { id: "kid", name: "Key", wide: true, cell: ({ kid }) => <code>{kid}</code> },
  { id: "created", name: "Bound", cell: ({ created }) => <Time at={created} /> },
  { id: "used", name: "Last used", cell: ({ last_used }) => <Age at={last_used} /> },
];
