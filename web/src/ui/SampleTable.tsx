import type { SampleRows } from "../api/types";
import { Empty } from "./Empty";
import { Loaded } from "./Loaded";
import { RowsTable } from "./RowsTable";
import { Section } from "./Section";
import type { Answer } from "./together";

/** A few rows of a table, with a word about the columns whose values are masked. */
export function SampleTable({
  title,
  query,
  none,
}: {
  readonly title: string;
  readonly query: Answer<SampleRows>;
  readonly none: string;
}) {
  return (
    <Section
      title={title}
      aside={query.data && <span className="dim">the first {query.data.rows.length}</span>}
    >
      <Loaded query={query} height={10}>
        {({ columns, masked, rows }) =>
          rows.length === 0 ? (
            <Empty title={none} />
          ) : (
            <>
              {masked.length > 0 && (
                <p className="dim">Masked, as the contract classifies them: {masked.join(", ")}.</p>
              )}
              <RowsTable label={title} columns={columns} rows={rows} />
            </>
          )
        }
      </Loaded>
    </Section>
  );
}
