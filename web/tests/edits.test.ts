import { describe, expect, it } from "vitest";

import type { RefusedRecord } from "../src/api/types";
import {
  countCells,
  editCell,
  listFaulty,
  listOthers,
  NO_EDITS,
  toMended,
} from "../src/mend/edits";

const REFUSED: RefusedRecord = {
  object: "weather/a.csv",
  generation: 1,
  sheet: null,
  record: 7,
  duplicate: false,
  failures: [
    { column: "temp", headers: ["Temp"], rule: "type", value: "cold", message: "no number." },
    { column: "temp", headers: ["Temp"], rule: "maxLength", value: "cold", message: "too long." },
  ],
  row: { Temp: "cold", origin: "EWR", gust: null },
};

describe("edits of refused rows", () => {
  it("are sent with the cells that differ, an emptied one without a value", () => {
    const some = editCell(editCell(NO_EDITS, REFUSED, "Temp", "4"), REFUSED, "origin", "");
    expect(countCells(some)).toBe(2);
    expect(toMended(some)).toEqual([
      { object: "weather/a.csv", generation: 1, record: 7, row: { Temp: "4", origin: null } },
    ]);
  });

  it("are none once a cell is as it was", () => {
    const some = editCell(NO_EDITS, REFUSED, "Temp", "4");
    expect(editCell(some, REFUSED, "Temp", "cold").size).toBe(0);
    expect(editCell(NO_EDITS, REFUSED, "gust", "").size).toBe(0);
  });
});

describe("cells to mend", () => {
  it("are the faulty ones with all their reasons, then the others", () => {
    expect(listFaulty(REFUSED)).toEqual([{ header: "Temp", reason: "no number. too long." }]);
    expect(listOthers(REFUSED, []).map(({ header }) => header)).toEqual(["origin", "gust"]);
  });

  it("are all columns of a row that could not be split", () => {
    const unsplit: RefusedRecord = {
      ...REFUSED,
      failures: [{ column: "", headers: [], rule: "malformed", value: null, message: "3 of 15." }],
      row: { "": "a,b,c" },
    };
    expect(listFaulty(unsplit)).toEqual([]);
    expect(listOthers(unsplit, ["temp", "origin"]).length).toBe(2);
  });
});
