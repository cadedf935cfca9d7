import { expect, test } from "vitest";

import { among, many, parseSearch, searchOf, stringifySearch, text } from "../src/address";

test("the address holds plain text, whatever it looks like", () => {
  const search = { dataset: "2024", q: "a&b=ü", object: "true" };
  const address = stringifySearch(search);
  expect(address).toBe("?dataset=2024&q=a%26b%3D%C3%BC&object=true");
  expect(parseSearch(address)).toEqual(search);
  expect(stringifySearch({ state: undefined, q: "" })).toBe("");
});

test("what a route cannot read is left out", () => {
  const read = searchOf({ state: among(["loaded", "failed"]), q: text });
  expect(read({ state: "failed", q: "x", other: "y" })).toEqual({ state: "failed", q: "x" });
  expect(read({ state: "gone", q: 7 })).toEqual({});
});

test("a list stands in the address as its values, one after the other", () => {
  const search = { not_state: ["loaded", "duplicate"], not_dataset: ["a,b"], q: "x" };
  const address = stringifySearch(search);
  expect(address).toBe("?not_state=loaded&not_state=duplicate&not_dataset=a%2Cb&q=x");
  const read = searchOf({
    not_state: many(among(["loaded", "duplicate"])),
    not_dataset: many(text),
    q: text,
  });
  expect(read(parseSearch(address))).toEqual(search);
  expect(read({ not_state: ["gone", "loaded", "loaded"], not_dataset: "" })).toEqual({
    not_state: ["loaded"],
  });
  expect(read({ not_state: "gone" })).toEqual({});
});
