import { type KeyboardEvent, memo, useId, useState } from "react";

import type { RefusedRecord } from "../api/types";
import { formatPlural } from "../ui/format";
import { State } from "../ui/State";
import { type CellToMend, type Edits, keyOf, listFaulty, listOthers } from "./edits";

type OnEdit = (refused: RefusedRecord, header: string, text: string) => void;

/** Refused rows with their faulty cells to be changed, each beside its reason. */
export function MendTable({
  rows,
  columns,
  edits,
  onEdit,
}: {
  readonly rows: readonly RefusedRecord[];
  readonly columns: readonly string[];
  readonly edits: Edits;
  readonly onEdit: OnEdit;
}) {
  return (
    <div className="table-frame" onKeyDown={goOn}>
      <table className="data mend" aria-label="Refused rows">
        <thead>
          <tr>
            <th scope="col">Row</th>
            <th scope="col">Column</th>
            <th scope="col">Value</th>
            <th scope="col">Why it was refused</th>
          </tr>
        </thead>
        {rows.map((each) => (
          <MendRow
            key={keyOf(each)}
            refused={each}
            columns={columns}
            cells={edits.get(keyOf(each))?.cells}
            onEdit={onEdit}
          />
        ))}
      </table>
    </div>
  );
}

/** Enter goes to the next cell, as in a spreadsheet, and does not send anything. */
function goOn(event: KeyboardEvent<HTMLDivElement>) {
  if (event.key !== "Enter" || !(event.target instanceof HTMLInputElement)) return;
  event.preventDefault();
  const inputs = [...event.currentTarget.querySelectorAll("input")];
  const next = inputs[inputs.indexOf(event.target) + (event.shiftKey ? -1 : 1)];
  next?.focus();
  next?.select();
}

const MendRow = memo(function MendRow({
  refused,
  columns,
  cells,
  onEdit,
}: {
  readonly refused: RefusedRecord;
  readonly columns: readonly string[];
  readonly cells: Readonly<Record<string, string>> | undefined;
  readonly onEdit: OnEdit;
}) {
  const id = useId();
  const [whole, setWhole] = useState(false);
  const faulty = listFaulty(refused);
  const others = listOthers(refused, columns);
  const unsplit = refused.failures.filter(({ headers }) => headers.length === 0);
  const shown = whole ? [...faulty, ...others] : faulty;
  return (
    <tbody>
      {unsplit.map(({ message }) => (
        <tr key={message}>
          <RowHead refused={refused} />
          <td data-label="Column" className="dim">
            the whole row
          </td>
          <td data-label="Value">
            <code>{Object.values(refused.row).join(" ")}</code>
          </td>
          <td data-label="Why">{message}</td>
        </tr>
      ))}
      {shown.map((cell, index) => (
        <tr key={cell.header}>
          {index === 0 && unsplit.length === 0 ? (
            <RowHead refused={refused} />
          ) : (
            <th className="again" aria-hidden="true" />
          )}
          <Cell
            id={`${id}${cell.header}`}
            cell={cell}
            record={refused.record}
            before={refused.row[cell.header] ?? ""}
            repeated={index > 0 && cell.reason !== null && shown[index - 1]?.reason === cell.reason}
            text={cells?.[cell.header]}
            onText={(text) => onEdit(refused, cell.header, text)}
          />
        </tr>
      ))}
      {others.length > 0 && (
        <tr>
          <th className="again" aria-hidden="true" />
          <td colSpan={3} className="unlabelled">
            <button
              type="button"
              className="plain"
              aria-expanded={whole}
              onClick={() => setWhole(!whole)}
            >
              {whole ? "Hide" : "Show"} {formatPlural(others.length, "other column")}
              <span className="hidden"> of record {refused.record}</span>
            </button>
          </td>
        </tr>
      )}
    </tbody>
  );
});

function RowHead({ refused }: { readonly refused: RefusedRecord }) {
  const { sheet, record, duplicate } = refused;
  return (
    <th scope="row">
      <State
        tone={duplicate ? "warn" : "bad"}
        word={`${sheet === null ? "" : `${sheet}, `}record ${record}`}
      />
    </th>
  );
}

function Cell({
  id,
  cell,
  record,
  before,
  repeated,
  text,
  onText,
}: {
  readonly id: string;
  readonly cell: CellToMend;
  readonly record: number;
  readonly before: string;
  /** The cell above has the same reason, as the columns of a key do. */
  readonly repeated: boolean;
  readonly text: string | undefined;
  readonly onText: (text: string) => void;
}) {
  const { header, reason } = cell;
  const Box = before.includes("\n") ? "textarea" : "input";
  return (
    <>
      <td data-label="Column">
        <code>{header}</code>
      </td>
      <td data-label="Value">
        <Box
          aria-label={`${header} of record ${record}`}
          aria-invalid={reason !== null && text === undefined}
          aria-describedby={id}
          autoComplete="off"
          spellCheck={false}
          placeholder="empty"
          value={text ?? before}
          onChange={({ target }) => onText(target.value)}
        />
      </td>
      <td data-label="Why" id={id}>
        <span className={repeated ? "hidden" : undefined}>{reason}</span>
        {text !== undefined && (
          <p className="dim">
            changed; was <code>{before || "empty"}</code>
          </p>
        )}
      </td>
    </>
  );
}
