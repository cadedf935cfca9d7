import type { EpochGaps } from "../api/types";
import { formatCount, formatPlural } from "../ui/format";
import { Section } from "../ui/Section";
import { State } from "../ui/State";
import { Age } from "../ui/Time";

/** Exactly which events are missing and which the device gave up, by start of the agent. */
export function Gaps({ epochs }: { readonly epochs: readonly EpochGaps[] }) {
  return (
    <Section title="Missing events">
      {epochs.length === 0 ? (
        <p className="dim">No event is missing, and none was given up.</p>
      ) : (
        <ul className="lines">
          {epochs.map((each) => (
            <li key={each.epoch}>
              <code>{each.epoch}</code>
              {each.missing_count > 0 && (
                <State tone="warn" word={`${formatPlural(each.missing_count, "event")} missing`} />
              )}
              {each.given_up_count > 0 && (
                <State tone="bad" word={`${formatPlural(each.given_up_count, "event")} given up`} />
              )}
              <span className="dim">
                {formatCount(each.landed)} of {formatCount(each.known_last)} landed
                {each.missing_since !== null && (
                  <>
                    {" "}
                    · missing since <Age at={each.missing_since} />
                  </>
                )}
              </span>
              <Numbers of="Missing" ranges={each.missing} />
              <Numbers of="Given up by the device" ranges={each.given_up} />
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function Numbers({ of, ranges }: { readonly of: string; readonly ranges: EpochGaps["missing"] }) {
  if (ranges.length === 0) return null;
  const shown = ranges.map(([first, last]) => (first === last ? first : `${first}–${last}`));
  return (
    <p className="dim">
      {of}: {shown.join(", ")}
    </p>
  );
}
