import type { EpochGaps } from "../api/types";
import { formatCount, formatPlural } from "../ui/format";
import { Section } from "../ui/Section";
import { State } from "../ui/State";
import { Age } from "../ui/Time";

/** Exactly which events are missing, by start of the agent. */
export function Gaps({ epochs }: { readonly epochs: readonly EpochGaps[] }) {
  return (
    <Section title="Missing events">
      {epochs.length === 0 ? (
        <p className="dim">No event is missing.</p>
      ) : (
        <ul className="lines">
          {epochs.map((each) => (
            <li key={each.epoch}>
              <code>{each.epoch}</code>
              <State
                tone={each.missing_count > 0 ? "warn" : "good"}
                word={`${formatPlural(each.missing_count, "event")} missing`}
              />
              <span className="dim">
                {formatCount(each.landed)} of {formatCount(each.known_last)} landed
                {each.missing_since !== null && (
                  <>
                    {" "}
                    · missing since <Age at={each.missing_since} />
                  </>
                )}
              </span>
              {each.missing.length > 0 && (
                <p className="dim">
                  Numbers {each.missing.map((range) => range.join("–")).join(", ")}
                </p>
              )}
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}
