import { type ReactNode, useRef } from "react";

/** A button whose action is asked about first, in a dialog that says what it does. */
export function Confirm({
  label,
  title,
  children,
  action,
  onConfirm,
  disabled = false,
}: {
  readonly label: string;
  readonly title: string;
  readonly children: ReactNode;
  readonly action: string;
  /** Gets what was filled in, if `children` hold fields. */
  readonly onConfirm: (form: FormData) => void;
  readonly disabled?: boolean;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button type="button" disabled={disabled} onClick={() => dialog.current?.showModal()}>
        {label}
      </button>
      <dialog ref={dialog} aria-label={title}>
        <form
          method="dialog"
          onSubmit={({ currentTarget }) => onConfirm(new FormData(currentTarget))}
        >
          <h2>{title}</h2>
          {children}
          <div className="buttons">
            <button type="button" onClick={() => dialog.current?.close()}>
              Cancel
            </button>
            <button type="submit" className="primary">
              {action}
            </button>
          </div>
        </form>
      </dialog>
    </>
  );
}
