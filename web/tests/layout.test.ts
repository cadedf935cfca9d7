import { expect, test } from "vitest";

import { NODE_HEIGHT, NODE_WIDTH, placeNodes } from "../src/lineage/layout";

const node = (id: string) => ({ id, name: id, kind: "table" });

test("whatever is made of something stands to its right", () => {
  const edges = [
    { from: "raw", to: "table" },
    { from: "table", to: "mart" },
    { from: "raw", to: "mart" },
  ];
  const { nodes } = placeNodes(["mart", "raw", "table"].map(node), edges);
  const x = new Map(nodes.map((each) => [each.id, each.x]));
  for (const { from, to } of edges) expect(x.get(from)).toBeLessThan(x.get(to) ?? 0);
});

test("nodes never stand on each other, and all are within the drawing", () => {
  const names = Array.from({ length: 60 }, (_, index) => `n${index}`);
  const edges = names.flatMap((to, index) =>
    index === 0 ? [] : [{ from: `n${Math.floor(index / 3)}`, to }],
  );
  const { nodes, width, height } = placeNodes(names.map(node), edges);
  const places = nodes.map(({ x, y }) => [x, y] as const);
  for (const [x, y] of places) {
    expect(x + NODE_WIDTH).toBeLessThanOrEqual(width);
    expect(y + NODE_HEIGHT).toBeLessThanOrEqual(height);
    const close = places.filter(
      ([otherX, otherY]) => Math.abs(otherX - x) < NODE_WIDTH && Math.abs(otherY - y) < NODE_HEIGHT,
    );
    expect(close).toHaveLength(1);
  }
});

test("a circle and an edge to nowhere do no harm", () => {
  const edges = [
    { from: "a", to: "b" },
    { from: "b", to: "a" },
    { from: "a", to: "gone" },
  ];
  expect(placeNodes(["a", "b"].map(node), edges).nodes).toHaveLength(2);
  expect(placeNodes([], [])).toEqual({ nodes: [], width: 0, height: 0 });
});
