import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, read } from "../api/client";
import type { ClaimCode, DeviceDetail } from "../api/types";
import { Confirm } from "../ui/Confirm";
import { ErrorNotice } from "../ui/Notice";
import { ClaimCodeShown } from "./ClaimCodeShown";

/** A new claim code, and revocation. */
export function Manage({ device }: { readonly device: DeviceDetail }) {
  const queries = useQueryClient();
  const params = { path: { id: device.id } };
  const refresh = () => void queries.invalidateQueries({ queryKey: ["device", device.id] });
  const renew = useMutation({
    mutationFn: () => read<ClaimCode>(api.POST("/api/devices/{id}/claim-code", { params })),
    onSuccess: refresh,
  });
  const revoke = useMutation({
    mutationFn: (reason: string) =>
      read(api.POST("/api/devices/{id}/revoke", { params, body: { reason } })),
    onSuccess: refresh,
  });
  const revoked = device.state === "revoked";
  const error = renew.error ?? revoke.error;
  return (
    <>
      <div className="buttons">
        <Confirm
          label="New claim code"
          title="Make a new claim code?"
          action="Make it"
          disabled={renew.isPending}
          onConfirm={() => renew.mutate()}
        >
          <p>
            A device that uses it drops the keys that it had, and a code before it stops working.
          </p>
        </Confirm>
        <Confirm
          label="Revoke"
          title={`Revoke ${device.id}?`}
          action="Revoke"
          disabled={revoked || revoke.isPending}
          onConfirm={(form) => revoke.mutate(String(form.get("reason")))}
        >
          <p>It is refused from now on, and what it still uploads is rejected.</p>
          <label className="field">
            <span>Reason</span>
            <input name="reason" required maxLength={200} />
          </label>
        </Confirm>
      </div>
      {error && <ErrorNotice error={error} />}
      {renew.data && <ClaimCodeShown code={renew.data} />}
    </>
  );
}
