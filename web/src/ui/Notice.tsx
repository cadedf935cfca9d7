import type { ReactNode } from "react";

import { asApiError } from "../api/problem";
import { Glyph, type Tone } from "./State";

/** Something to know before the rest: a title, an explanation, and what can be done. */
export function Notice({
  tone,
  title,
  children,
  actions,
}: {
  readonly tone: Tone;
  readonly title: string;
  readonly children?: ReactNode;
  readonly actions?: ReactNode;
}) {
  return (
    <div className={`notice tone-${tone}`} role={tone === "bad" ? "alert" : undefined}>
      <Glyph tone={tone} />
      <div>
        <strong>{title}</strong>
        {children}
      </div>
      {actions}
    </div>
  );
}

/** An error of the API: what it says, the request to look for in the log, and Retry. */
export function ErrorNotice({
  error,
  retry,
  stale = false,
}: {
  readonly error: unknown;
  readonly retry?: () => void;
  readonly stale?: boolean;
}) {
  const { title, message, problems, requestId } = asApiError(error);
  return (
    <Notice
      tone="bad"
      title={title}
      actions={
        retry && (
          <button type="button" onClick={retry}>
            Retry
          </button>
        )
      }
    >
      {problems.length > 1 ? (
        <ul>
          {problems.map((each) => (
            <li key={each}>{each}</li>
          ))}
        </ul>
      ) : (
        message !== title && <p>{message}</p>
      )}
      {stale && <p>What is shown below is from before.</p>}
      {requestId !== null && (
        <p className="dim">
          Request <code>{requestId}</code>
        </p>
      )}
    </Notice>
  );
}
