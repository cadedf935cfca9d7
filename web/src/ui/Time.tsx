import { useZone } from "../settings/zone";
import { formatAge, formatTime, type TimeDetail } from "./format";

/** A moment in the chosen zone; its title says how long ago and in which zone. */
export function Time({
  at,
  detail = "second",
}: {
  readonly at: string | null;
  readonly detail?: TimeDetail;
}) {
  const zone = useZone();
  if (at === null || at === "") return <span className="dim">–</span>;
  const date = new Date(at);
  const title = `${formatAge(date, Date.now())} · ${formatTime(date, zone, "second")} ${zone}`;
  return (
    <time dateTime={at} title={title}>
      {formatTime(date, zone, detail)}
    </time>
  );
}

/** How long ago, with the moment in the title. */
export function Age({ at }: { readonly at: string | null }) {
  const zone = useZone();
  if (at === null) return <span className="dim">never</span>;
  const date = new Date(at);
  return (
    <time dateTime={at} title={`${formatTime(date, zone, "second")} ${zone}`}>
      {formatAge(date, Date.now())}
    </time>
  );
}
