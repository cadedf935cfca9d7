import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, read } from "../api/client";
import type { DeviceDetail } from "../api/types";
import { ErrorNotice, Notice } from "../ui/Notice";

/** Open alerts, each to be closed once it is dealt with. */
export function Alerts({ device }: { readonly device: DeviceDetail }) {
  const queries = useQueryClient();
  const close = useMutation({
    mutationFn: (rule: string) =>
      read(
        api.POST("/api/devices/{id}/alerts/{rule}/close", {
          params: { path: { id: device.id, rule } },
        }),
      ),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["device", device.id] }),
  });
  return (
    <>
      {device.alerts.map((rule) => (
        <Notice
          key={rule}
          tone="bad"
          title={`Alert: ${rule.replaceAll("_", " ")}`}
          actions={
            <button type="button" disabled={close.isPending} onClick={() => close.mutate(rule)}>
              Close
            </button>
          }
        />
      ))}
      {close.error && <ErrorNotice error={close.error} />}
    </>
  );
}
