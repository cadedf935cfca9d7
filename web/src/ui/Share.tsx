import { formatCount, formatShare } from "./format";
import type { Tone } from "./State";

export interface Part {
  readonly name: string;
  readonly count: number;
  readonly tone: Tone;
}

/** A whole as a bar of its parts, each named with its count. */
export function Share({
  parts,
  total,
}: {
  readonly parts: readonly Part[];
  readonly total: number;
}) {
  const shown = parts.filter((each) => each.count > 0);
  return (
    <div className="share">
      <div className="share-bar" aria-hidden="true">
        {shown.map(({ name, count, tone }) => (
          <i key={name} className={`tone-${tone}`} style={{ flexGrow: count }} />
        ))}
      </div>
      <ul>
        {parts.map(({ name, count, tone }) => (
          <li key={name} className={`tone-${count > 0 ? tone : "calm"}`}>
            <b>{formatCount(count)}</b> {name}{" "}
            <span className="dim">{formatShare(count, total)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
