import { expect, test } from "vitest";

import { among, parseSearch, searchOf, stringifySearch, text } from "../src/address";

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
