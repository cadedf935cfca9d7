import { md5 } from "js-md5";

import { api, read } from "../api/client";
import { ApiError, unreachable } from "../api/problem";

export interface Progress {
  readonly doing: "reading" | "sending";
  /** From 0 to 1. */
  readonly share: number;
}

/** Creates the raw object `name` from a file. Throws ApiError; one that exists is 409. */
export async function uploadFile(
  file: File,
  name: string,
  dataset: string,
  tell: (progress: Progress) => void,
): Promise<void> {
  const digest = await hashFile(file, (share) => tell({ doing: "reading", share }));
  const content_type = file.type || "application/octet-stream";
  const signed = await read(
    api.POST("/api/uploads", {
      body: { name, length: file.size, md5: digest, content_type, dataset },
    }),
  );
  await send(file, signed, (share) => tell({ doing: "sending", share }));
}

/** MD5 in base64, as Cloud Storage wants it; read in pieces, whatever the file's size. */
export async function hashFile(file: Blob, tell: (share: number) => void): Promise<string> {
  const hash = md5.create();
  const reader = file.stream().getReader();
  let seen = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    hash.update(value);
    seen += value.length;
    tell(seen / file.size);
  }
  return btoa(String.fromCharCode(...hash.digest()));
}

interface Signed {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The signed request as it is; XMLHttpRequest, because fetch does not say how far it is. */
function send(file: File, signed: Signed, tell: (share: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(signed.method, signed.url);
    for (const [name, value] of Object.entries(signed.headers)) {
      if (name.toLowerCase() !== "content-length") request.setRequestHeader(name, value);
    }
    request.upload.onprogress = ({ loaded, total }) => tell(loaded / total);
    request.onerror = () => reject(unreachable());
    request.onload = () => {
      if (request.status < 300) resolve();
      else
        reject(
          new ApiError({
            title: "The store refused the file",
            status: request.status,
            detail: request.responseText.slice(0, 500),
          }),
        );
    };
    request.send(file);
  });
}
