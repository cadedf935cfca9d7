import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useCallback, useState } from "react";

import { changed } from "../address";
import { api, read } from "../api/client";
import { quarantineQuery, timelineQuery } from "../api/queries";
import type { Ingestion, RefusedRecord } from "../api/types";
import { saveFile } from "../saveFile";
import { Empty } from "../ui/Empty";
import { formatCount, formatPlural } from "../ui/format";
import { Loaded } from "../ui/Loaded";
import { ErrorNotice } from "../ui/Notice";
import { Pages } from "../ui/Pages";
import { Section } from "../ui/Section";
import { together } from "../ui/together";
import { countCells, type Edits, editCell, NO_EDITS, toMended } from "./edits";
import { MendTable } from "./MendTable";
import { Recoveries } from "./Recoveries";
import { Workbook } from "./Workbook";

const AT_ONCE = 25;

/** The refused rows, page by page, to be mended here or in a workbook and sent again. What is
 * changed on one page is kept while one looks at another. */
export function Quarantine({
  ingestion,
  column,
  rule,
  cursor,
}: {
  readonly ingestion: Ingestion;
  /** Only rows that are refused for this column, and for this rule. */
  readonly column: string | undefined;
  readonly rule: string | undefined;
  readonly cursor: string | undefined;
}) {
  const queries = useQueryClient();
  const query = together(
    useQuery(quarantineQuery(ingestion, { column, rule, cursor, limit: AT_ONCE })),
    useQuery(timelineQuery(ingestion)),
  );
  const [edits, setEdits] = useState(NO_EDITS);
  const onEdit = useCallback(
    (refused: RefusedRecord, header: string, text: string) =>
      setEdits((before) => editCell(before, refused, header, text)),
    [],
  );
  const onSent = () => {
    void queries.invalidateQueries({ queryKey: ["ingestion", ingestion.id] });
    window.scrollTo({ top: 0 });
  };
  return (
    <Loaded query={query} height={12}>
      {([{ rows, columns, next_cursor }, { events }]) =>
        rows.length === 0 ? (
          <Empty title={column ? "No row is refused for that." : "No row was refused."}>
            <p>{formatCount(ingestion.rows_accepted)} rows were accepted.</p>
          </Empty>
        ) : (
          <>
            <Recoveries events={events} />
            <Section title="Refused rows" aside={<DownloadCsv id={ingestion.id} />}>
              {column !== undefined && (
                <p className="chips">
                  <Link
                    to="."
                    search={changed({ column: undefined, rule: undefined, cursor: undefined })}
                  >
                    only {column}: {rule} <b aria-hidden="true">×</b>
                    <span className="hidden">show all</span>
                  </Link>
                </p>
              )}
              <Workbook ingestion={ingestion} onSent={onSent} />
              <MendTable rows={rows} columns={columns} edits={edits} onEdit={onEdit} />
              <Pages
                label="Pages of refused rows"
                cursor={cursor}
                next={next_cursor}
                first="First"
                further="Next"
              />
              <Send
                id={ingestion.id}
                edits={edits}
                onUndo={() => setEdits(NO_EDITS)}
                onSent={() => {
                  setEdits(NO_EDITS);
                  onSent();
                }}
              />
            </Section>
          </>
        )
      }
    </Loaded>
  );
}

/** How much is mended, and the button that sends it. */
function Send({
  id,
  edits,
  onUndo,
  onSent,
}: {
  readonly id: string;
  readonly edits: Edits;
  readonly onUndo: () => void;
  readonly onSent: () => void;
}) {
  const send = useMutation({
    mutationFn: (key: string) =>
      read(
        api.POST("/api/ingestions/{id}/recover", {
          params: { path: { id }, header: { "Idempotency-Key": key } },
          body: { rows: toMended(edits) },
        }),
      ),
    onSuccess: onSent,
  });
  const none = edits.size === 0;
  return (
    <div className="send-bar" role="group" aria-label="Mended rows">
      {send.error && <ErrorNotice error={send.error} />}
      <p aria-live="polite">
        {none
          ? "Change the faulty values above; Enter goes to the next one."
          : `${formatPlural(countCells(edits), "cell")} changed in ${formatPlural(edits.size, "row")}`}
      </p>
      <button type="button" disabled={none || send.isPending} onClick={onUndo}>
        Undo all
      </button>
      <button
        type="button"
        className="primary"
        disabled={none || send.isPending}
        onClick={() => send.mutate(crypto.randomUUID())}
      >
        {none ? "Send again" : `Send ${formatPlural(edits.size, "row")} again`}
      </button>
    </div>
  );
}

function DownloadCsv({ id }: { readonly id: string }) {
  const download = useMutation({
    mutationFn: async () => {
      const call = api.GET("/api/ingestions/{id}/quarantine", {
        params: { path: { id }, query: { format: "csv" } },
        parseAs: "blob",
      });
      saveFile(`quarantine-${id}.csv`, await read<Blob>(call));
    },
  });
  return (
    <>
      {download.error && <ErrorNotice error={download.error} retry={() => download.mutate()} />}
      <button type="button" disabled={download.isPending} onClick={() => download.mutate()}>
        Download all as CSV
      </button>
    </>
  );
}
