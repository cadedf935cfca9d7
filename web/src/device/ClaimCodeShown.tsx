import type { ClaimCode } from "../api/types";
import { Notice } from "../ui/Notice";
import { Time } from "../ui/Time";

/** A claim code with the commands that bind a device with it. It cannot be shown again. */
export function ClaimCodeShown({ code }: { readonly code: ClaimCode }) {
  return (
    <Notice tone="warn" title="Note the claim code now: it is shown this once">
      <p>
        <code className="secret">{code.claim_code}</code>
      </p>
      <p>
        It binds one key to <code>{code.device}</code> until <Time at={code.expires} />. On the
        device:
      </p>
      <pre className="code" tabIndex={0}>{`pip install eventpulse-edge
export EVENTPULSE_EDGE_SERVER=${location.origin} EVENTPULSE_EDGE_DEVICE=${code.device}
EVENTPULSE_EDGE_CLAIM_CODE=${code.claim_code} eventpulse-edge enroll
eventpulse-edge run`}</pre>
    </Notice>
  );
}
