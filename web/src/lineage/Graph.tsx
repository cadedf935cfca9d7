import { useRouter } from "@tanstack/react-router";
import { type MouseEvent, useMemo } from "react";

import { type Edge, type Node, NODE_HEIGHT, NODE_WIDTH, type Placed, placeNodes } from "./layout";

const MARGIN = 8;
const MOST_LETTERS = 26;

/** A lineage graph as SVG; nodes that have a page are links to it. */
export function Graph({
  label,
  nodes,
  edges,
  focus,
}: {
  readonly label: string;
  readonly nodes: readonly Node[];
  readonly edges: readonly Edge[];
  readonly focus?: string;
}) {
  const { nodes: placed, width, height } = useMemo(() => placeNodes(nodes, edges), [nodes, edges]);
  const at = new Map(placed.map((each) => [each.id, each]));
  return (
    <div className="graph" role="region" aria-label={label} tabIndex={0}>
      <svg
        viewBox={`${-MARGIN} ${-MARGIN} ${width + 2 * MARGIN} ${height + 2 * MARGIN}`}
        width={width + 2 * MARGIN}
        height={height + 2 * MARGIN}
      >
        <title>{label}</title>
        {edges.map(({ from, to }) => {
          const [a, b] = [at.get(from), at.get(to)];
          return a && b && <path key={`${from} ${to}`} className="edge" d={curve(a, b)} />;
        })}
        {placed.map((each) => (
          <GraphNode key={each.id} node={each} focused={each.id === focus} />
        ))}
      </svg>
    </div>
  );
}

function GraphNode({ node, focused }: { readonly node: Placed; readonly focused: boolean }) {
  const router = useRouter();
  const { to } = node;
  const box = (
    <>
      <title>{node.name}</title>
      <rect width={NODE_WIDTH} height={NODE_HEIGHT} rx="6" />
      <text x="12" y="18" className="kind">
        {node.kind}
      </text>
      <text x="12" y="35">
        {shorten(node.name)}
      </text>
    </>
  );
  const classes = focused ? "node focus" : "node";
  const transform = `translate(${node.x} ${node.y})`;
  if (to === undefined) {
    return (
      <g className={classes} transform={transform}>
        {box}
      </g>
    );
  }
  const go = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    router.history.push(to);
  };
  return (
    <g className={classes} transform={transform}>
      <a href={to} onClick={go}>
        {box}
      </a>
    </g>
  );
}

/** The end of a long name says more than its beginning: a path's file. */
function shorten(name: string): string {
  return name.length > MOST_LETTERS ? `…${name.slice(1 - MOST_LETTERS)}` : name;
}

function curve(from: Placed, to: Placed): string {
  const [x1, y1] = [from.x + NODE_WIDTH, from.y + NODE_HEIGHT / 2];
  const [x2, y2] = [to.x, to.y + NODE_HEIGHT / 2];
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}
