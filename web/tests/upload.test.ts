import { expect, test } from "vitest";

import { hashFile } from "../src/upload/send";
import { anotherName } from "../src/upload/UploadItem";

test("a file's MD5 is read in pieces and written as the store wants it", async () => {
  const shares: number[] = [];
  const pieces = [new TextEncoder().encode("hello "), new TextEncoder().encode("world")];
  const file = {
    size: 11,
    stream: () =>
      new ReadableStream<Uint8Array>({
        start(controller) {
          for (const each of pieces) controller.enqueue(each);
          controller.close();
        },
      }),
  } as unknown as Blob;
  expect(await hashFile(file, (share) => shares.push(share))).toBe("XrY7u+Ae7tCTyyK7j1rNww==");
  expect(shares).toEqual([6 / 11, 1]);
});

test.each([
  ["weather/2013.csv", "weather/2013-20261128T101500.csv"],
  ["weather/2013-20250101T000000.csv", "weather/2013-20261128T101500.csv"],
  ["v1.2/readme", "v1.2/readme-20261128T101500"],
  ["a/b.tar.gz", "a/b.tar-20261128T101500.gz"],
])("%s that exists can be uploaded as %s", (name, other) => {
  expect(anotherName(name, new Date("2026-11-28T10:15:00Z"))).toBe(other);
});
