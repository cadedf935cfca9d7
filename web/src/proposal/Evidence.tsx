import type { ProposalDetail } from "../api/types";
import { Section } from "../ui/Section";

/** Why it is proposed: what the files had, fact by fact. */
export function Evidence({ evidence }: { readonly evidence: ProposalDetail["evidence"] }) {
  if (evidence.length === 0) return null;
  return (
    <Section title="Why it is proposed">
      <ul className="lines">
        {evidence.map((each, index) => (
          <li key={`${index} ${Object.values(each).join(" ")}`}>
            <dl className="raw">
              {Object.entries(each)
                .filter(([, value]) => tells(value))
                .map(([name, value]) => (
                  <div key={name}>
                    <dt>{name.replaceAll("_", " ")}</dt>
                    <dd>{show(value)}</dd>
                  </div>
                ))}
            </dl>
          </li>
        ))}
      </ul>
    </Section>
  );
}

/** What is not there, or not so, says nothing. */
const tells = (value: unknown): boolean =>
  value !== null && value !== "" && value !== false && !(Array.isArray(value) && !value.length);

/** Nested facts as `name value`, one after the other. */
function show(value: unknown): string {
  if (Array.isArray(value)) return value.map(show).join(", ");
  if (typeof value !== "object" || value === null) return String(value);
  return Object.entries(value)
    .map(([name, inner]) => `${name.replaceAll("_", " ")} ${show(inner)}`)
    .join(" · ");
}
