/** Where the nodes of an acyclic graph stand: in layers from left to right, with few crossings. */

export interface Node {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly to?: string;
}

export interface Edge {
  readonly from: string;
  readonly to: string;
}

export interface Placed extends Node {
  readonly x: number;
  readonly y: number;
}

export interface Layout {
  readonly nodes: readonly Placed[];
  readonly width: number;
  readonly height: number;
}

export const NODE_WIDTH = 196;
export const NODE_HEIGHT = 46;
const GAP_X = 48;
const GAP_Y = 18;
const SWEEPS = 4;

/** Layers by the longest path; within a layer, by the mean place of the neighbours. A circle, which
 * lineage has none of, is cut where it closes. */
export function placeNodes(nodes: readonly Node[], edges: readonly Edge[]): Layout {
  const known = new Set(nodes.map((each) => each.id));
  const inner = edges.filter((each) => known.has(each.from) && known.has(each.to));
  const sources = groupBy(inner, "to", "from");
  const targets = groupBy(inner, "from", "to");
  const layers = collectLayers(nodes, sources);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const forward = sweep % 2 === 0;
    const neighbours = forward ? sources : targets;
    const order = forward ? layers : layers.toReversed();
    for (const layer of order) sortLayer(layer, neighbours, layers);
  }
  const tallest = Math.max(0, ...layers.map((each) => each.length));
  const height = Math.max(0, tallest * (NODE_HEIGHT + GAP_Y) - GAP_Y);
  const placed = layers.flatMap((layer, column) => {
    const top = (height - (layer.length * (NODE_HEIGHT + GAP_Y) - GAP_Y)) / 2;
    return layer.map((node, row) => ({
      ...node,
      x: column * (NODE_WIDTH + GAP_X),
      y: top + row * (NODE_HEIGHT + GAP_Y),
    }));
  });
  const width = Math.max(0, layers.length * (NODE_WIDTH + GAP_X) - GAP_X);
  return { nodes: placed, width, height };
}

function groupBy(edges: readonly Edge[], key: keyof Edge, value: keyof Edge) {
  const groups = new Map<string, string[]>();
  for (const edge of edges) groups.set(edge[key], [...(groups.get(edge[key]) ?? []), edge[value]]);
  return groups;
}

function collectLayers(nodes: readonly Node[], sources: ReadonlyMap<string, readonly string[]>) {
  const depths = new Map<string, number>();
  const measure = (id: string, path: ReadonlySet<string>): number => {
    const found = depths.get(id);
    if (found !== undefined) return found;
    const before = (sources.get(id) ?? []).filter((each) => !path.has(each));
    const within = new Set(path).add(id);
    const depth = Math.max(-1, ...before.map((each) => measure(each, within))) + 1;
    depths.set(id, depth);
    return depth;
  };
  const layers: Node[][] = [];
  for (const node of nodes) {
    const depth = measure(node.id, new Set([node.id]));
    while (layers.length <= depth) layers.push([]);
    layers[depth]?.push(node);
  }
  return layers;
}

function sortLayer(
  layer: Node[],
  neighbours: ReadonlyMap<string, readonly string[]>,
  layers: readonly (readonly Node[])[],
): void {
  const rows = new Map(layers.flatMap((each) => each.map((node, row) => [node.id, row] as const)));
  const wanted = new Map(
    layer.map((node, row) => {
      const near = (neighbours.get(node.id) ?? []).map((id) => rows.get(id) ?? 0);
      return [node.id, near.length === 0 ? row : near.reduce((a, b) => a + b) / near.length];
    }),
  );
  layer.sort((a, b) => (wanted.get(a.id) ?? 0) - (wanted.get(b.id) ?? 0));
}
