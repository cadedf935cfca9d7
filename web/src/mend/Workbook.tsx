import { useMutation } from "@tanstack/react-query";

import { api, read } from "../api/client";
import type { Ingestion } from "../api/types";
import { saveFile } from "../saveFile";
import { DropZone } from "../ui/DropZone";
import { ErrorNotice } from "../ui/Notice";

const XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/** All refused rows as a workbook with the faulty cells marked; and that workbook, mended. */
export function Workbook({
  ingestion,
  onSent,
}: {
  readonly ingestion: Ingestion;
  readonly onSent: () => void;
}) {
  const path = { id: ingestion.id };
  const fetchBook = useMutation({
    mutationFn: async () => {
      const call = api.GET("/api/ingestions/{id}/quarantine", {
        params: { path, query: { format: "xlsx" } },
        parseAs: "blob",
      });
      saveFile(`refused-${ingestion.id}.xlsx`, await read<Blob>(call));
    },
  });
  const send = useMutation({
    mutationFn: (file: File) =>
      read(
        api.POST("/api/ingestions/{id}/recover", {
          params: { path, header: { "Idempotency-Key": crypto.randomUUID() } },
          headers: { "Content-Type": XLSX },
          body: file as never,
          bodySerializer: (body: unknown) => body as File,
        }),
      ),
    onSuccess: onSent,
  });
  const error = fetchBook.error ?? send.error;
  return (
    <div className="workbook">
      <p>
        Many to mend? The workbook has every refused row, each faulty cell coloured, with its reason
        in a comment.
      </p>
      <button type="button" disabled={fetchBook.isPending} onClick={() => fetchBook.mutate()}>
        Download the workbook
      </button>
      <DropZone
        title={send.isPending ? "Sending…" : "Drop the mended one here, or choose it"}
        accept={`.xlsx,${XLSX}`}
        onFiles={([file]) => file && send.mutate(file)}
      />
      {error && <ErrorNotice error={error} />}
    </div>
  );
}
