import type { RefusedRecord } from "../api/types";
import { State } from "../ui/State";

/** Rows that were set apart: each fault of each, and the row as it stands in the file. */
export function RefusedRows({ rows }: { readonly rows: readonly RefusedRecord[] }) {
  return (
    <ul className="refused">
      {rows.map((each) => (
        <li key={`${each.object} ${each.sheet} ${each.record}`}>
          <RefusedRow refused={each} />
        </li>
      ))}
    </ul>
  );
}

function RefusedRow({ refused }: { readonly refused: RefusedRecord }) {
  const faulty = new Set(refused.failures.flatMap((each) => each.headers));
  const sheet = refused.sheet === null ? "" : `${refused.sheet}, `;
  return (
    <details>
      <summary>
        <State
          tone={refused.duplicate ? "warn" : "bad"}
          word={`${sheet}record ${refused.record}`}
        />
        <span>
          {refused.failures.map(({ column, rule, message }) => (
            <span key={`${column} ${rule}`}>{message}</span>
          ))}
        </span>
      </summary>
      <dl className="raw">
        {Object.entries(refused.row).map(([name, value]) => (
          <div key={name} className={faulty.has(name) ? "tone-bad" : undefined}>
            <dt>{name}</dt>
            <dd>{value ?? <span className="dim">empty</span>}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
