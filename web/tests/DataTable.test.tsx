import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import { type Column, DataTable } from "../src/ui/DataTable";

interface Row {
  readonly name: string;
  readonly rows: number | null;
}

const ROWS: readonly Row[] = [
  { name: "weather", rows: 10 },
  { name: "airports", rows: null },
  { name: "planes", rows: 200 },
];

const COLUMNS: readonly Column<Row>[] = [
  { id: "name", name: "Name", cell: ({ name }) => name, sortBy: ({ name }) => name },
  {
    id: "rows",
    name: "Rows",
    numeric: true,
    cell: ({ rows }) => rows ?? "–",
    sortBy: ({ rows }) => rows,
  },
  { id: "note", name: "Note", cell: () => "" },
];

afterEach(cleanup);

function show(sort?: string, onSort?: (sort: string | undefined) => void, ordered?: boolean) {
  render(
    <DataTable
      label="Datasets"
      columns={COLUMNS}
      rows={ROWS}
      rowId={({ name }) => name}
      sort={sort}
      onSort={onSort}
      ordered={ordered}
    />,
  );
  return within(screen.getByRole("table"))
    .getAllByRole("row")
    .slice(1)
    .map((row) => within(row).getAllByRole("cell")[0]?.textContent);
}

test("rows keep their order until one asks for another", () => {
  expect(show()).toEqual(["weather", "airports", "planes"]);
  expect(screen.queryByRole("button")).toBeNull();
});

test("unknown values come last, whichever way one sorts", () => {
  expect(show("rows", vi.fn())).toEqual(["weather", "planes", "airports"]);
  cleanup();
  expect(show("-rows", vi.fn())).toEqual(["planes", "weather", "airports"]);
  expect(screen.getByRole("columnheader", { name: /Rows/ }).getAttribute("aria-sort")).toBe(
    "descending",
  );
});

test("a heading asks for its order, the other way round the next time", () => {
  const onSort = vi.fn();
  show("name", onSort);
  fireEvent.click(screen.getByRole("button", { name: "Name" }));
  expect(onSort).toHaveBeenLastCalledWith("-name");
  expect(screen.queryByRole("button", { name: "Note" })).toBeNull();
});

test("rows that come in order keep it, and the most comes first", () => {
  const onSort = vi.fn();
  expect(show("rows", onSort, true)).toEqual(["weather", "airports", "planes"]);
  fireEvent.click(screen.getByRole("button", { name: "Name" }));
  expect(onSort).toHaveBeenLastCalledWith("-name");
  fireEvent.click(screen.getByRole("button", { name: "Rows" }));
  expect(onSort).toHaveBeenLastCalledWith(undefined);
  cleanup();
  show("-rows", onSort, true);
  fireEvent.click(screen.getByRole("button", { name: "Rows" }));
  expect(onSort).toHaveBeenLastCalledWith("rows");
});

test("many rows are shown in parts of 200, the first of them again in another order", () => {
  const many = Array.from({ length: 450 }, (_, rows) => ({ name: `mart ${rows}`, rows }));
  render(
    <DataTable
      label="Marts"
      columns={COLUMNS}
      rows={many}
      rowId={({ name }) => name}
      sort="rows"
      onSort={vi.fn()}
    />,
  );
  const names = () =>
    [...document.querySelectorAll("tbody tr")].map((row) => row.firstElementChild?.textContent);
  expect(names().length).toBe(200);
  const [previous, next] = document.querySelectorAll<HTMLButtonElement>(".parts button");
  expect(previous?.disabled).toBe(true);
  fireEvent.click(next as HTMLButtonElement);
  fireEvent.click(next as HTMLButtonElement);
  expect(names().length).toBe(50);
  expect(names().at(-1)).toBe("mart 449");
  expect(document.querySelector(".parts span")?.textContent).toBe("401–450 of 450");
  expect(next?.disabled).toBe(true);
  fireEvent.click(document.querySelector("th:nth-child(2) button") as HTMLButtonElement);
  expect(names()[0]).toBe("mart 0");
});
